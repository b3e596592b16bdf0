"""An answer's files: nothing is lost between messages and files, and code stays code."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import Ending, Finish, FinishReason, Text
from bot.delivery.overflow import MAX_FILES, uploads
from bot.delivery.pacer import Pacer
from bot.delivery.policy import AnswerLimits, WritePolicy
from bot.delivery.reply import Reply
from bot.errors import Failure, Forbidden, InvalidRequest, NotFound, OutcomeUnknown, RateLimited, ServiceError
from bot.markdown.code_blocks import extension_of, find_code_blocks
from bot.ports import Body, Upload, Verb
from bot.strings import Strings
from bot.telemetry import Figures, NoRecorder
from tests.support.fakes import FakeChannel, turn

LINES = [
    *(
        "```py\n",
        "```\n",
        "~~~\n",
        "````\n",
        "> ```js\n",
        "> x = 1\n",
        "  ```c\n",
        "- ```sh\n",
        "  ls\n",
        "\n",
        "> ```\n",
    ),
    *(
        "print(1)\n",
        "words and words\n",
        "| a | b |\n",
        "|---|---|\n",
        "| 1 | 2 |\n",
        "    deep\n",
        "# Head\n",
        "x" * 50,
    ),
]
SOURCES = st.lists(st.sampled_from(LINES), max_size=40).map("".join)


def long(text: str) -> bool:
    return len(text) > 100


@given(SOURCES, st.integers(0, 400), st.booleans())
def test_nothing_is_lost_between_messages_and_files(source: str, shown: int, finished: bool) -> None:
    """The first file holds the whole rest of the answer, wherever it is cut; all names differ."""
    shown = min(shown, len(source))
    line = source.rfind("\n", 0, shown) + 1
    if {"`", "~"} & set(source[line : shown + 3]):
        shown = line  # no cut is in a line that opens or closes a block
    files = uploads(source, shown, long, "3f9c2a1b", finished=finished)
    rest = source[shown:]
    assert len({file.name for file in files}) == len(files) <= MAX_FILES
    assert all(file.rest == "" for file in files[1:])
    if not files or not files[0].rest:
        assert all(line.strip(" >-\t") == "" or "```" in line or "~~~" in line for line in rest.split("\n"))
        return
    first = files[0]
    assert rest.lstrip("\n") in first.rest or first.rest in rest
    lines = [line for line in rest.split("\n") if not ("```" in line or "~~~" in line)]
    assert all(line.strip(" >-\t") in first.text for line in lines)
    if first.name.startswith("answer-"):
        assert rest.lstrip("\n") in first.text or first.text in rest


@given(SOURCES)
def test_blocks_lie_in_order(source: str) -> None:
    """Blocks of code do not overlap, and are where they say."""
    at = 0
    for block in find_code_blocks(source):
        assert at <= block.opening_line < block.start <= block.end <= block.next_line <= len(source)
        assert block.fence.marker in source[block.opening_line : block.start]
        at = block.next_line


def test_code_is_without_its_list_and_its_quote() -> None:
    """A block in a quote or list item becomes plain code; unclosed blocks are recognised."""
    quoted, item, last = find_code_blocks(
        "> ```py\n> if x:\n>     y\n\n1. a\n   ```sh\n   ls\n     -l\n   ```\n\n```go\nfunc"
    )
    source = "> ```py\n> if x:\n>     y\n\n1. a\n   ```sh\n   ls\n     -l\n   ```\n\n```go\nfunc"
    assert (quoted.code(source), quoted.extension, quoted.is_closed) == ("if x:\n    y\n", "py", True)
    assert (item.code(source), item.extension, item.is_closed) == ("ls\n  -l\n", "sh", True)
    assert (last.code(source), last.extension, last.is_closed) == ("func", "go", False)


@pytest.mark.parametrize(
    ("language", "extension"),
    [
        *(("python", "py"), ("Python", "py"), ("js", "js"), ("javascript", "js"), ("ts", "ts"), ("tsx", "tsx")),
        *(("bash", "sh"), ("go", "go"), ("rust", "rs"), ("java", "java"), ("c", "c"), ("c++", "cpp"), ("c#", "cs")),
        *(("ruby", "rb"), ("php", "php"), ("sql", "sql"), ("html", "html"), ("css", "css"), ("json", "json")),
        *(("yml", "yaml"), ("toml", "toml"), ("xml", "xml"), ("markdown", "md"), ("diff", "diff")),
        *(("dockerfile", "dockerfile"), ("", "txt"), ("klingon", "txt"), ("../../etc", "txt"), ("{.python}", "py")),
        *(("rust,no_run", "rs"), ("exe", "txt")),
    ],
)
def test_extensions(language: str, extension: str) -> None:
    """The info string of a fence becomes the file extension; no model output becomes a path."""
    assert extension_of(language) == extension


def test_what_goes_up() -> None:
    """A rest of prose, a rest within code as its whole block, long code beside a rest, and no file if all fits."""
    code = "```python\n" + "print(1)\n" * 20 + "```\n"
    whole = "print(1)\n" * 20
    assert uploads("short", 5, long, "r") == ()
    assert uploads("a" * 90 + "\n\nb", 92, long, "r") == (Upload("answer-r.md", "b", "b"),)
    assert uploads(code, 100, long, "r") == (Upload("code-r.py", whole, f"```python\n{code[100:]}"),)
    assert uploads(f"Look:\n\n{code}", 7, long, "r") == (Upload("code-r.py", whole, code),)
    assert uploads(f"{code}end", len(code) + 3, long, "r") == (Upload("code-r.py", whole),)
    rest = f"{code[100:]}and more"
    both = uploads(f"{code}and more", 100, long, "r")
    assert both == (Upload("answer-r.md", f"```python\n{rest}", f"```python\n{rest}"), Upload("code-r.py", whole))
    twice = uploads(f"{code}\n{code}x", 2 * len(code) + 2, long, "r")
    assert [file.name for file in twice] == ["code-r.py", "code-r-2.py"]
    assert len(uploads(code * 12, len(code) * 12, long, "r")) == MAX_FILES
    assert uploads(code[:-4], len(code) - 4, long, "r", finished=False) == ()
    assert uploads(code[:-4], 100, long, "r", finished=False)[0].rest == f"```python\n{code[100:-4]}"
    assert uploads("x\n```\ncode\n```\n", 11, long, "r") == ()
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nend"
    assert uploads(table, 30, long, "r")[0].text == "| a | b |\n|---|---|\n| 3 | 4 |\n\nend"


# -------------------------------------------------------------------------------------------------------------- replies

POLICY = WritePolicy(first_seconds=0.0)


async def answered(
    channel: FakeChannel, text: str, *, ending: FinishReason = FinishReason.STOP, most: int = 3, chunk: int = 40
) -> Reply:
    """Have an answer written, in chunks as they come."""
    key = turn().key
    limits = WritePolicy(max_messages=most).limits
    reply = Reply(key, channel, Strings(), Figures(asyncio.get_running_loop().time()), limits=limits)
    pacer = Pacer(POLICY, NoRecorder(), random.Random(1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        with pacer.admitted(reply):
            for at in range(0, len(text), chunk):
                reply.feed(Text(text[at : at + chunk]), asyncio.get_running_loop().time(), POLICY)
                await asyncio.sleep(0.2)
            reply.feed(Finish(ending), asyncio.get_running_loop().time(), POLICY)
            await reply.done
        running.cancel()
    return reply


PROSE = "".join(f"Sentence number {number} says something. " for number in range(60))
CODE = "Look:\n\n```python\n" + "".join(f"print({number})\n" for number in range(100)) + "```\n\nThat is all."


async def test_the_rest_of_a_long_answer_goes_up_as_a_file() -> None:
    """Three messages while it comes, none taken back; at the end one more, with a line and the rest as a file."""
    channel = FakeChannel(limit=300, uploads=1_000_000)
    await answered(channel, PROSE)
    *texts, last = channel.shown.values()
    assert len(texts) == 3
    (file,) = last.files
    assert last.text == f"*{Strings().rest}*"
    assert file.name == f"answer-{turn().key.reference}.md"
    assert " ".join([*(body.text for body in texts), file.text]).split() == PROSE.split()
    assert channel.writes(Verb.DELETE) == []
    assert [wrote.message for wrote in channel.writes(Verb.POST)] == ["m1", "m2", "m3", "m4"]


async def test_long_code_stays_in_the_messages_and_goes_up_whole() -> None:
    """Messages show all of the answer, and the file holds the code alone."""
    channel = FakeChannel(limit=300, uploads=1_000_000)
    await answered(channel, CODE, most=0)
    *texts, last = channel.shown.values()
    (file,) = last.files
    assert file.text == "".join(f"print({number})\n" for number in range(100))
    assert file.name.endswith(".py")
    assert all(f"print({number})" in channel.text for number in range(100))
    assert last.text == f"*{Strings().code}*"
    assert all(not body.files for body in texts)


async def test_a_rest_within_code_is_the_whole_code() -> None:
    """Half a file is useless."""
    channel = FakeChannel(limit=300, uploads=1_000_000)
    await answered(channel, CODE.removesuffix("\n\nThat is all."), most=2)
    (file,) = list(channel.shown.values())[-1].files
    assert file.text == "".join(f"print({number})\n" for number in range(100))
    assert file.name.endswith(".py")


@pytest.mark.parametrize("ending", [FinishReason.LENGTH, FinishReason.FILTERED])
async def test_an_honest_line_stands_beside_the_file(ending: FinishReason) -> None:
    """The last message says once why the answer was cut; cut code gets no file."""
    channel = FakeChannel(limit=300, uploads=1_000_000)
    await answered(channel, PROSE, ending=ending)
    line = Strings().length if ending is FinishReason.LENGTH else Strings().filtered
    assert list(channel.shown.values())[-1].text == f"*{Strings().rest}*\n\n*{line}*"
    channel = FakeChannel(limit=300, uploads=1_000_000)
    await answered(channel, CODE[:900], ending=ending, most=0)
    assert all(not body.files for body in channel.shown.values())


@pytest.mark.parametrize("bytes_", [0, 50])
async def test_without_room_for_files_and_without_a_limit_nothing_is_lost(bytes_: int) -> None:
    """Without files (none, or too small) and without a message limit, the channel gets the whole text."""
    channel = FakeChannel(limit=300, uploads=bytes_)
    await answered(channel, PROSE, most=0)
    assert channel.text.split() == PROSE.split()
    assert all(not body.files for body in channel.shown.values())


def cut_at_limit(channel: FakeChannel, most: int) -> None:
    """The messages show the beginning of the answer and name our limit; there are no more than permitted."""
    *texts, last = [body.text for body in channel.shown.values()]
    assert len(channel.shown) == most
    assert len(channel.writes(Verb.POST)) <= most + 1
    before, line, after = last.partition(f"\n\n*{Strings().limit}*")
    assert line
    assert not after
    words = " ".join([*texts, before]).split()
    assert len(words) >= 90
    assert words == PROSE.split()[: len(words)]
    assert not any(body.files for body in channel.shown.values())


@pytest.mark.parametrize("bytes_", [0, 50])
async def test_without_room_for_files_an_answer_ends_at_its_last_message(bytes_: int) -> None:
    """Without files (none, or too small), the last permitted message says where the answer was cut."""
    channel = FakeChannel(limit=300, uploads=bytes_)
    reply = await answered(channel, PROSE, most=3)
    assert reply.ending is Ending.LIMIT
    cut_at_limit(channel, 3)


async def test_a_model_that_reached_its_limit_beyond_the_last_message_is_not_blamed() -> None:
    """Where the rest is shown nowhere, the answer was cut by this bot: one line, and it does not name the model."""
    channel = FakeChannel(limit=300, uploads=50)
    await answered(channel, PROSE, ending=FinishReason.LENGTH)
    cut_at_limit(channel, 3)
    assert Strings().length not in channel.text


FAILURES = [
    RateLimited("x", retry_after=1.0),
    ServiceError("x"),
    ServiceError("x", retry_after=0.0),
    OutcomeUnknown("x"),
    NotFound("x"),
    Forbidden("x"),
    InvalidRequest("x"),
]


@pytest.mark.parametrize("times", [1, 2, 50])
@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
async def test_whatever_befalls_the_file(failure: Failure, applied: bool, times: int) -> None:
    """One file message with the right text, or else an end at the last message; never both, never a file twice."""
    left = times

    def fault(verb: Verb) -> Failure | None:
        nonlocal left
        if verb is not Verb.POST or not any(body.files for body in channel.sending) or not left:
            return None
        left -= 1
        return failure

    channel = Sending(
        limit=300, uploads=1_000_000, fault=fault, applied_first=applied and type(failure) is OutcomeUnknown
    )
    await answered(channel, PROSE)
    bodies = list(channel.shown.values())
    files = [body for body in bodies if body.files]
    permanent = type(failure) in (NotFound, Forbidden, InvalidRequest)
    assert len(files) == (0 if permanent or (times == 50 and not channel.applied_first) else 1)
    if not files:
        cut_at_limit(channel, 3)
        return
    said = " ".join([*(body.text for body in bodies if not body.files), files[0].files[0].text])
    assert said.split() == PROSE.split()


class Sending(FakeChannel):
    """Gives a fault the body being sent."""

    sending: tuple[Body, ...] = ()

    async def post(self, body: Body, key: str) -> str:
        self.sending = (body,)
        return await super().post(body, key)


async def test_a_server_that_loses_files_without_a_word() -> None:
    """The channel finds out from the answer to its post: the message is taken away, and the answer ends before it."""

    class Losing(FakeChannel):
        async def post(self, body: Body, key: str) -> str:
            message = await super().post(body, key)
            if body.files:
                self.uploads = 0
            return message

    channel = Losing(limit=300, uploads=1_000_000)
    await answered(channel, PROSE)
    cut_at_limit(channel, 3)
    assert Strings().rest not in channel.text


async def test_a_stop_while_more_is_hidden() -> None:
    """Received text without a message yet goes up even after a stop."""
    channel = FakeChannel(limit=300, uploads=1_000_000)
    key = turn().key
    reply = Reply(key, channel, Strings(), Figures(0.0), limits=AnswerLimits(messages=2))
    pacer = Pacer(POLICY, NoRecorder(), random.Random(1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        with pacer.admitted(reply):
            for at in range(0, 1200, 40):
                reply.feed(Text(PROSE[at : at + 40]), asyncio.get_running_loop().time(), POLICY)
                await asyncio.sleep(0.2)
            assert len(channel.shown) == 2
            reply.finish(Ending.STOPPED, asyncio.get_running_loop().time())
            await reply.done
        running.cancel()
    *texts, last = channel.shown.values()
    assert last.text == f"*{Strings().rest}*\n\n*{Strings().stopped}*"
    assert " ".join([*(body.text for body in texts), last.files[0].text]).split() == PROSE[:1200].split()
