"""With edits spent and posts left, an answer continues in a new message, or waits and goes up whole.

On virtual time, with a workspace's 50 edits a minute (or fewer, to need little text) and separate posts.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.journal import MemoryJournal
from bot.conversation import Finish, FinishReason, Text
from bot.delivery.policy import WritePolicy
from bot.errors import Failure, OutcomeUnknown, ServiceError
from bot.markdown import Piece, Splitter
from bot.ports import Controls, Verb
from bot.rate_limits import FixedWindow, LeakyBucket, RollingWindow
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, ScriptedModel, Server, Step, answer_of, turn, words

ROLLOVER = WritePolicy().rollover_after_seconds


def workspace(
    count: int, *, limit: int = 50, fault: Callable[[Verb], Failure | None] | None = None
) -> list[FakeChannel]:
    """Channels sharing a minute's edits, each with its own posts."""
    server, edits = Server(limit=limit, period=60.0, rolling=True, counts_posts=False), RollingWindow(limit, 60.0)
    channels = [FakeChannel(server, limit=11_500, edits=edits, posts=LeakyBucket(1.05)) for _ in range(count)]
    for channel in channels:
        channel.fault = fault or channel.fault
    return channels


async def answered(scripts: Sequence[Sequence[Step]], channels: Sequence[FakeChannel]) -> None:
    """All asked at once, each in a conversation of its own."""
    async with running(make_turns(ScriptedModel(*scripts), MemoryJournal())) as turns:
        for number, channel in enumerate(channels):
            turns.accept(turn(str(number), conversation=str(number)), channel)
        await turns.idle()


def changes(channel: FakeChannel) -> list[float]:
    return [wrote.at for wrote in channel.writes()]


@pytest.mark.slow
async def test_nobody_waits_a_minute_for_an_edit() -> None:
    """12 answers of 3,000 words spend a minute's edits early; all go on by posts, whole, without a 429."""
    channels, script = workspace(12), words(3000)
    await answered([script], channels)
    for channel in channels:
        assert channel.text.split() == answer_of(script).split()
        waits = [after - before for before, after in itertools.pairwise(changes(channel))]
        assert max(waits) <= 2 * ROLLOVER
    assert channels[0].server.limited == 0


async def test_a_message_that_was_left_is_never_touched_again() -> None:
    """Once a reply rolls over, its earlier messages are never edited again."""
    channels, script = workspace(3, limit=8), words(2000)
    await answered([script], channels)
    for channel in channels:
        order = list(channel.shown)
        assert len(order) > 2
        newest = 0
        for wrote in channel.writes():
            assert order.index(wrote.message) >= newest
            newest = order.index(wrote.message)


@pytest.mark.parametrize("controls", [Controls.NONE, Controls.STOP])
async def test_sharing_answers_go_on_in_the_next_message_without_filling_up_the_last(controls: Controls) -> None:
    """An edit is saved where a post is needed anyway; one message at most keeps its buttons until the end."""
    server = Server()
    edits, posts = FixedWindow(5, 5.0, paced=True), FixedWindow(5, 5.0, paced=False)
    channels = [FakeChannel(server, edits=edits, posts=posts, controls=controls) for _ in range(4)]
    script = words(800)
    await answered([script], channels)
    for channel in channels:
        assert channel.text.split() == answer_of(script).split()
        lengths = [len(body.text) for body in channel.shown.values()]
        assert min(lengths[:-1]) >= 1000, "at least half full"
        assert any(length < 1900 for length in lengths[:-1])
        assert not any(body.controls & Controls.STOP for body in channel.shown.values())
        removals = [wrote for wrote in channel.writes() if wrote.at > 1000 + 800 / 40 + 1]
        assert len(removals) == (1 if controls else 0)
    assert server.limited == 0


@pytest.mark.slow
async def test_70_at_once_are_whole_in_one_message_each() -> None:
    """With more replies than edits, those without a permit for their end wait with their first post.

    So it is for answers shorter than their text may wait for an edit.
    """
    channels, script = workspace(70), words(340)
    await answered([script], channels)
    last_delta = 1000 + 339 / 40
    assert last_delta - 1000 < ROLLOVER
    for channel in channels:
        assert channel.text.split() == answer_of(script).split()
        assert len(channel.shown) == 1
        assert changes(channel)[-1] - last_delta < 1.0
    assert channels[0].server.limited == 0


@pytest.mark.slow
async def test_first_words_wait_no_longer_than_text_may() -> None:
    """70 answers of 1,500 words: a waiting first post comes after the bound at the latest."""
    channels, script = workspace(70), words(1500)
    await answered([script], channels)
    for channel in channels:
        assert channel.text.split() == answer_of(script).split()
        assert changes(channel)[0] - 1000 <= ROLLOVER + 0.3
    assert channels[0].server.limited == 0


async def test_the_end_goes_on_at_once_where_no_edit_is_left() -> None:
    """A reader does not wait for a permit of the next minute: the rest goes up as a message, with its last line."""
    (channel,) = workspace(1, limit=2)
    script = [*words(40, finish=None), 3.0, Text("the end"), Finish(FinishReason.LENGTH)]

    def others_spend_all(verb: Verb) -> Failure | None:
        now = asyncio.get_running_loop().time()
        for _ in range(2 if not channel.log else 0):
            assert channel.edits is not None
            channel.edits.spend(now)
            channel.edits.record_response(now)
            channel.server.count(Verb.EDIT, now)
        return None

    channel.fault = others_spend_all
    await answered([script], [channel])
    first, rest = channel.shown.values()
    assert (first.text + " " + rest.text).split()[:42] == answer_of(script).split()
    assert rest.text.count("\n\n") == 1, "with the line that says that it is cut"
    assert changes(channel)[-1] < 1000 + ROLLOVER + 5


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=9),
    st.integers(2, 9),
    st.lists(st.booleans(), max_size=40),
    st.booleans(),
)
def test_whatever_fails_all_go_on_whole(lengths: list[int], limit: int, fails: list[bool], applied_first: bool) -> None:
    """Few edits, any number and length of answers, writes failing before or after they apply: all are whole."""
    pending = list(fails)

    def fault(verb: Verb) -> Failure | None:
        failure = OutcomeUnknown("reset") if applied_first else ServiceError("503")
        return failure if pending and pending.pop() else None

    channels = workspace(len(lengths), limit=limit, fault=fault)
    for channel in channels:
        channel.applied_first = applied_first
    scripts = [words(length, rate=20.0) for length in lengths]
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(answered(scripts, channels))
    for channel, script in zip(channels, scripts, strict=True):
        assert channel.text.split() == answer_of(script).split()
    assert channels[0].server.limited == 0


PARTS = [*"ab .\n`~-#>*1", "```py\n", "\n```\n", "é", "👍"]
SOURCE = st.lists(st.sampled_from(PARTS), max_size=200).map("".join)


@given(st.lists(st.tuples(SOURCE, st.floats(0, 1)), min_size=1, max_size=6), st.integers(60, 160))
def test_a_piece_can_end_anywhere(parts: list[tuple[str, float]], limit: int) -> None:
    """Pieces still join to the source and fit, and sealed text never changes."""
    splitter = Splitter(lambda piece: len(piece.closed()), limit)
    source, sealed_to = "", 0
    for text, share in parts:
        splitter.feed(text)
        source += text
        before = splitter.pieces()
        at = sealed_to + int((len(source) - sealed_to) * share)
        whole, start = [], 0
        for piece in before:
            start += len(piece.source)
            if start <= at:
                whole.append(piece)
        sealed_to = splitter.seal(at)
        after = splitter.pieces()
        assert at <= sealed_to <= len(source)
        assert not source[at:sealed_to].strip()
        assert after[: len(whole)] == whole or not whole[-1].source
        ends = itertools.accumulate((len(piece.source) for piece in after[: splitter.sealed]), initial=0)
        assert sealed_to in ends  # what follows may be more than one message, and then it is cut as ever
    pieces = splitter.pieces()
    assert "".join(piece.source for piece in pieces) == source
    assert all(len(piece.closed()) <= limit for piece in pieces)


@pytest.mark.parametrize(
    ("text", "at", "rest"),
    [
        ("one two three", 7, "three"),
        ("one\n\n  - two", 3, "  - two"),
        ("one\n", 3, ""),
        ("one   \n\n two", 4, " two"),
    ],
)
def test_space_after_the_seal_stays_behind(text: str, at: int, rest: str) -> None:
    """A new message begins with a word, or with its line's indentation."""
    splitter = Splitter(lambda piece: len(piece.closed()), 100)
    splitter.feed(text)
    splitter.seal(at)
    assert "".join(piece.source for piece in splitter.pieces()[1:]) == rest


@pytest.mark.parametrize(
    ("text", "at", "rest"),
    [
        ("so *last* one", 8, "one"),
        ("so **last** one", 9, "one"),
        ("so `last` one", 8, "one"),
        ("so ~~last~~, one", 9, ", one"),
        ("so **a _last_ b** one", 12, "**b** one"),
        ("so *last\n* one", 8, "* one"),
    ],
)
def test_marks_behind_the_seal_close_what_is_closed_before_it(text: str, at: int, rest: str) -> None:
    """The message before shows the emphasis closed, since its last marks had not arrived."""
    splitter = Splitter(lambda piece: len(piece.closed()), 100)
    splitter.feed(text[:at])
    splitter.seal(at)
    words = rest.replace("*", "")
    for letter in text[at:]:
        splitter.feed(letter)
        shown = splitter.pieces()[-1].shown().closed().replace("*", "")
        assert words.startswith(shown)
    assert splitter.pieces()[-1].closed() == rest


def test_a_fence_is_open_on_both_sides_of_the_seal() -> None:
    """Code continued in a new message is still code in its language."""
    splitter = Splitter(lambda piece: len(piece.closed()), 100)
    splitter.feed("so:\n```py\na = 1\nb = 2\n```\n")
    splitter.seal(15)
    assert splitter.pieces() == [
        Piece("so:\n```py\na = 1\n", None, splitter.pieces()[0].open_fence),
        Piece("b = 2\n```\n", splitter.pieces()[0].open_fence, None),
    ]
    assert splitter.pieces()[1].closed() == "```py\nb = 2\n```"
