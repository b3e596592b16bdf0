"""The size of an answer is limited: messages stay within their limit, and other turns run meanwhile."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown
from bot.conversation import Delta, Ending, Finish, FinishReason, Reasoning, Refusal, Text
from bot.delivery.draft import Draft
from bot.delivery.overflow import uploads_in_steps
from bot.delivery.pacer import Pacer
from bot.delivery.policy import AnswerLimits, WritePolicy
from bot.delivery.reply import Reply
from bot.delivery.start import ReplyStart
from bot.delivery.writes import DesiredMessage
from bot.markdown import PlainMarkdown, Splitter, utf16_units
from bot.markdown.code_blocks import find_code_blocks, find_code_blocks_in_steps
from bot.ports import Body, ChannelCapabilities, Verb
from bot.strings import Strings
from bot.telemetry import Figures, NoRecorder
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, ScriptedModel, Step, turn, words
from tests.unit.bot.turns.test_manager import ask

MILLION = 1_000_000
POLICY = WritePolicy(first_seconds=0.0)

# What is hard to cut or to look through, a stretch of it; and what a million characters of it may be fed as.
STRETCHES = {
    "prose": "Sentence after sentence says something. ",
    "no space": "x",
    "line breaks": "\n",
    "fences": "```\n",
    "code": "```py\nx = 1\n```\n",
    "quoted code": "> ```\n> x\n",
    "emphasis": "*a **b _c ",
    "marks": "*",
    "rows": "| a | b |\n",
    "links": "[a](http://x.example/y) ",
    "brackets": "[",
    "emoji": "\U0001f1e9\U0001f1ea",
}
stretches = pytest.mark.parametrize("stretch", STRETCHES.values(), ids=STRETCHES)


def sized(stretch: str, size: int) -> str:
    return (stretch * (size // len(stretch) + 1))[:size]


@stretches
def test_a_cut_costs_no_more_however_much_waits(stretch: str) -> None:
    """Cutting one message measures as many characters with ten thousand waiting behind it as with a million."""

    def cost(size: int) -> list[int]:
        measured = itertools.count()
        seen = [0]

        def measure(piece: Any) -> int:
            next(measured)
            seen[0] += len(piece.source)
            return utf16_units(piece.closed())

        splitter = Splitter(measure, 500)
        splitter.feed(sized(stretch, size))
        costs = []
        for _ in range(8):
            before = seen[0]
            splitter.cut(steps=1)
            costs.append(seen[0] - before)
        return costs

    assert cost(MILLION) == cost(10_000)


@pytest.mark.slow
@stretches
def test_files_are_looked_for_in_steps(stretch: str) -> None:
    """No step takes long for a million characters, and all steps together find the same as one pass."""
    source = sized(stretch, 300_000)
    count = sum(1 for _ in find_code_blocks_in_steps(source))
    assert count >= (1 if "\n" not in stretch else 300_000 // 20_000)
    gc.collect()
    gc.disable()  # a collection costs what earlier tests left in the process, and is no cost of a step
    try:
        steps = uploads_in_steps(source, 1000, lambda text: len(text) > 2000, "r", finished=True)
        longest = max(_processor_seconds(steps))
    finally:
        gc.enable()
    assert longest < 0.5  # some ten milliseconds; the bound is for a machine that is shared


def _processor_seconds(steps: Iterator[None]) -> Iterator[float]:
    yield 0.0
    while True:
        began = time.thread_time()
        if next(steps, "over") == "over":
            return
        yield time.thread_time() - began


LINES = st.lists(st.sampled_from(["```py\n", "```\n", "> ```\n", "> x\n", "text\n", "- ~~~\n", "~~~\n", "x" * 9_000]))


@settings(max_examples=60)
@given(LINES.map("".join), st.integers(1, 5))
def test_blocks_of_code_do_not_depend_on_the_steps(source: str, times: int) -> None:
    """A step may end anywhere: the blocks of a long text are those of its walk in one."""
    source *= times
    for block in find_code_blocks(source):
        assert block.fence.marker in source[block.opening_line : block.start]
        assert block.opening_line < block.start <= block.end <= block.next_line


@pytest.mark.parametrize("chunk", [1_000, 50_000, 3_000_000])
@pytest.mark.parametrize("stretch", ["Sentence after sentence. ", "x"])
@pytest.mark.parametrize("files", [0, 8_000_000])
async def test_an_answer_without_end_is_ended(stretch: str, chunk: int, files: int) -> None:
    """The model's stream is closed at the limit; the line names this bot's limit, and messages stay within theirs."""
    script = [Text(sized(stretch, chunk))] * (3_000_000 // chunk)
    channel, model = FakeChannel(uploads=files), ScriptedModel([*script, Finish(FinishReason.STOP)])
    core = await ask(model, channel, turn())
    assert core.journal.endings == [Ending.LIMIT]
    assert len(channel.shown) <= WritePolicy().max_messages + bool(files)
    assert channel.text.count(Strings().limit) == 1
    assert Strings().length not in channel.text
    (record,) = core.recorder.records
    assert record.characters <= MILLION
    assert len(model.calls) == 1
    assert len(channel.writes(Verb.DELETE)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Text, Refusal])
@pytest.mark.parametrize("stream", [True, False])
async def test_one_piece_of_twelve_million_characters(kind: type[Text | Refusal], stream: bool) -> None:
    """Streamed or not, and as a refusal too, it is cut at the limit."""
    whole: list[Delta] = [kind("word " * 2_400_000), Finish(FinishReason.STOP)]
    script = whole if stream else [Finish(FinishReason.STOP)]
    channel, model = FakeChannel(uploads=8_000_000), ScriptedModel(script, whole=whole)
    core = await ask(model, channel, turn())
    assert core.journal.endings == [Ending.LIMIT]
    *texts, last = channel.shown.values()
    said = " ".join([*(body.text for body in texts), last.files[0].text]).split()
    assert said == ["word"] * (MILLION // 5)


@pytest.mark.parametrize(("size", "ending"), [(MILLION, Ending.DONE), (MILLION + 1, Ending.LIMIT)])
async def test_an_answer_of_just_the_limit_is_whole(size: int, ending: Ending) -> None:
    """One character more is cut."""
    model = ScriptedModel([Text(sized("word ", size)), Finish(FinishReason.STOP)])
    channel = FakeChannel(uploads=8_000_000)
    assert (await ask(model, channel, turn())).journal.endings == [ending]
    assert (Strings().limit in channel.text) == (ending is Ending.LIMIT)


async def test_thinking_counts_for_nothing_and_is_not_kept() -> None:
    """Thirty million characters of it before the answer: the answer is whole."""
    thoughts = [Reasoning("hmm, " * 200_000)] * 30
    channel, model = FakeChannel(), ScriptedModel([*thoughts, Text("Yes."), Finish(FinishReason.STOP)])
    assert (await ask(model, channel, turn())).journal.endings == [Ending.DONE]
    assert channel.text == "Yes."


@pytest.mark.slow
@stretches
async def test_no_step_of_the_loop_takes_long(stretch: str) -> None:
    """A million characters at once, in any number of messages: each round of the loop does a bounded part of it."""
    limit, rounds = 2_000, []
    caps = ChannelCapabilities(limit, utf16_units, DiscordMarkdown(), files=8_000_000)
    draft = Draft(caps, AnswerLimits(), lambda: 0)
    draft.feed(sized(stretch, 40_000))
    draft.finish(for_good=True)
    began = time.thread_time()
    desired: list[DesiredMessage] | None = None
    for most in itertools.count(1):
        while (desired := draft.desired(most)) is None:
            rounds.append(time.thread_time() - began)
            began = time.thread_time()
        rounds.append(time.thread_time() - began)
        began = time.thread_time()
        if draft.is_complete:
            break
    assert desired is not None
    assert all(utf16_units(want.body.text) <= limit for want in desired)
    assert max(rounds) < 1.0  # two cuts, of some ten milliseconds each; the bound is for a machine that is shared


async def test_others_are_answered_while_an_answer_without_end_is_written() -> None:
    """Each at its own speed: an answer beside one of a million characters at once is as soon whole as alone."""
    seconds = []
    for beside in (False, True):
        flood: list[Delta] = [Text("word " * 2_000_000), Finish(FinishReason.STOP)]
        quick: list[Step] = words(40, rate=20.0)
        model = ScriptedModel(*([flood] if beside else []), quick)
        async with running_core(model) as core:
            if beside:
                core.turns.accept(turn("F", conversation="f"), FakeChannel(connection="other"))
                await asyncio.sleep(0)
            channel, began = FakeChannel(), asyncio.get_running_loop().time()
            core.turns.accept(turn("Q"), channel)
            while "word39" not in channel.text:
                await asyncio.sleep(0.05)
            seconds.append(asyncio.get_running_loop().time() - began)
            await core.idle()
    alone, beside_another = seconds
    assert beside_another <= alone + 0.1


async def test_a_reply_that_is_taken_up_goes_on_after_what_an_earlier_process_showed() -> None:
    """Hundreds of messages are cut again, a few per round, without needless posts or deletions."""
    channel = FakeChannel()
    left = []
    for number in range(60):
        channel.shown[f"old{number}"] = Body(f"old {number}")
        left.append(f"old{number}")
    reply = Reply(turn().key, channel, Strings(), Figures(0.0), start=ReplyStart(recovered=left))
    pacer = Pacer(POLICY, NoRecorder(), random.Random(1))
    text = "".join(f"Sentence number {number} says something. " for number in range(4_000))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        with pacer.admitted(reply):
            reply.feed(Text(text), asyncio.get_running_loop().time(), POLICY)
            reply.feed(Finish(FinishReason.STOP), asyncio.get_running_loop().time(), POLICY)
            await reply.done
        running.cancel()
    assert channel.text.split() == text.split()
    assert not channel.writes(Verb.DELETE)


def test_the_room_for_our_lines_is_in_the_last_message_only() -> None:
    """Messages before the last are as long as ever."""
    caps = ChannelCapabilities(300, len, PlainMarkdown())
    draft = Draft(caps, AnswerLimits(messages=3), lambda: 100)
    draft.feed("word " * 1_000)
    while (desired := draft.desired(3)) is None:
        pass
    sizes = [len(want.body.text) for want in desired]
    assert sizes[0] == sizes[1] > 290
    assert 150 < sizes[2] <= 200
