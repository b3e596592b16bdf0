"""After a rejected write the text continues in smaller, plainer or new messages.

On virtual time, with a platform rejecting by size, and one rejecting edits.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.journal import MemoryJournal
from bot.conversation import Ending, Finish, FinishReason, Reasoning, Text, TurnKey
from bot.delivery.policy import ReasoningPolicy, WritePolicy
from bot.errors import Forbidden, InvalidRequest, NotEditable, TooLarge
from bot.ports import Body, ChannelCapabilities, Controls, Verb
from bot.strings import Strings
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, ScriptedModel, Step, answer_of, turn, words
from tests.unit.bot.turns.test_recovery import left_after, taken_up

ROLLOVER = WritePolicy().rollover_after_seconds
ANY_NUMBER = WritePolicy(max_messages=0)  # of messages
LEAST = 40  # characters of a message, below which the platform of these tests refuses for good


@dataclass
class Picky(FakeChannel):
    """A platform with configurable rejections of bodies and edits."""

    takes: Callable[[str], bool] = lambda text: True
    edits_it: Callable[[FakeChannel, str], bool] = lambda channel, message: True
    deletes_it: bool = True
    refused: list[tuple[Verb, str, str]] = field(default_factory=list)

    async def post(self, body: Body, key: str) -> str:
        self._weigh(Verb.POST, "", body)
        return await super().post(body, key)

    async def edit(self, message: str, body: Body) -> None:
        if not self.edits_it(self, message):
            self.refused.append((Verb.EDIT, message, body.text))
            raise NotEditable("edit_window_closed")
        self._weigh(Verb.EDIT, message, body)
        await super().edit(message, body)

    async def delete(self, message: str) -> None:
        if not self.deletes_it:
            raise Forbidden("cant_delete_message")
        await super().delete(message)

    def _weigh(self, verb: Verb, message: str, body: Body) -> None:
        if not self.takes(body.text):
            self.refused.append((verb, message, body.text))
            smaller = min(self.limit, len(body.text)) // 2
            if smaller < LEAST:
                raise InvalidRequest("too long, or malformed")
            self.limit = smaller
            raise TooLarge("too long")

    def posts_at(self) -> list[float]:
        return [wrote.at for wrote in self.writes(Verb.POST)]


class Ends(MemoryJournal):
    """A journal recording the endings of turns."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: list[Ending] = []

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        self.endings.append(ending)
        await super().ended(key, ending)


async def answered(
    channel: FakeChannel, *scripts: Iterable[Step], writing: WritePolicy | None = None
) -> tuple[ScriptedModel, Ending]:
    """One question, asked and answered to its end."""
    model, journal = ScriptedModel(*scripts), Ends()
    async with running(make_turns(model, journal, writes=writing or WritePolicy())) as turns:
        turns.accept(turn(), channel)
        await turns.idle()
    assert model.open == 0
    return model, journal.endings[-1]


def check_order(channel: FakeChannel) -> None:
    """When a message is posted, the one before it is final."""
    now: dict[str, str] = {}
    for wrote in channel.writes():
        if wrote.verb is Verb.POST and now:
            last = list(now)[-1]
            if last in channel.shown:
                assert now[last] == channel.shown[last].text
        if wrote.verb is Verb.DELETE:
            now.pop(wrote.message, None)
        else:
            now[wrote.message] = wrote.text


@pytest.mark.parametrize("most", [1500, 700, 300, 90])
async def test_what_is_too_long_goes_on_in_smaller_messages(most: int) -> None:
    """However much less a platform takes than it says, one call's text is whole and shown once."""
    channel, script = Picky(takes=lambda text: len(text) <= most), words(600)
    model, ending = await answered(channel, script, writing=ANY_NUMBER)
    assert channel.text.split() == answer_of(script).split()
    assert all(len(body.text) <= most for body in channel.shown.values())
    assert ending is Ending.DONE
    assert len(model.calls) == 1
    check_order(channel)


async def test_a_message_is_split_again_only_while_it_is_the_last() -> None:
    """With a shrinking size limit, messages followed by another are never touched again."""
    channel, script = Picky(), words(1500)
    channel.takes = lambda text: len(text) <= max(1900 - 300 * len(channel.shown), 200)
    await answered(channel, script, writing=ANY_NUMBER)
    assert channel.text.split() == answer_of(script).split()
    check_order(channel)
    for verb, message, _ in channel.refused:
        assert verb is Verb.POST or message in list(channel.shown)


async def test_blocks_that_are_cut_smaller_stay_blocks() -> None:
    """Code split again is closed and reopened, and loses no line."""
    lines = [f"line = {number}" for number in range(150)]
    script: list[Step] = [
        Text("```py\n"),
        *(Text(f"{line}\n") for line in lines),
        Text("```"),
        Finish(FinishReason.STOP),
    ]
    channel = Picky(takes=lambda text: len(text) <= 500)
    await answered(channel, script)
    assert [line for line in channel.text.split("\n") if line.startswith("line")] == lines
    assert all(body.text.startswith("```py\n") and body.text.endswith("\n```") for body in channel.shown.values())


async def test_where_nothing_is_taken_the_platform_is_named() -> None:
    """Text rejected in every form ends the answer and its stream, with a notice naming the platform, not the model."""
    channel, script = Picky(takes=lambda text: "refused" in text), words(4000)
    _, ending = await answered(channel, script)
    assert ending is Ending.FAILED
    (only,) = channel.shown.values()
    assert "the chat platform refused" in only.text
    assert "model" not in only.text


async def test_what_was_shown_stays_where_the_rest_is_refused() -> None:
    """Accepted text stays, and the notice below it names the platform."""
    script = [Text("Good words. "), 2.0, Text("bad"), *words(50)]
    channel = Picky(takes=lambda text: "bad" not in text)
    await answered(channel, script)
    first, last = channel.shown.values()
    assert first.text == "Good words."
    assert "the chat platform refused" in last.text


@pytest.mark.parametrize("controls", [Controls.NONE, Controls.STOP])
async def test_without_edits_the_answer_goes_on_in_new_messages(controls: Controls) -> None:
    """All text shows once, in at most one message per interval, with nothing left for an edit to remove."""
    channel = Picky(edits_it=lambda channel, message: False, controls=controls, limit=11_500)
    script = words(2000)
    model, ending = await answered(channel, script)
    assert channel.text.split() == answer_of(script).split()
    assert ending is Ending.DONE
    assert len(model.calls) == 1
    *gaps, _ = [after - before for before, after in itertools.pairwise(channel.posts_at())]
    assert len(gaps) >= 2
    assert all(gap >= ROLLOVER - 0.001 for gap in gaps)
    assert len([verb for verb, _, _ in channel.refused if verb is Verb.EDIT]) <= 3
    assert all(not body.controls for body in list(channel.shown.values())[1:])
    check_order(channel)


async def test_a_message_that_became_old_is_left_and_the_next_is_edited() -> None:
    """Where each message can be edited for a while, the answer grows in the newest one."""
    born: dict[str, float] = {}

    def young(channel: FakeChannel, message: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now - born.setdefault(message, now) < 5.0

    channel, script = Picky(edits_it=young, limit=11_500), words(1200)
    await answered(channel, script)
    assert channel.text.split() == answer_of(script).split()
    assert len(channel.writes(Verb.EDIT)) >= 2 * len(channel.shown)
    check_order(channel)


async def test_a_post_that_reopens_a_thread_has_its_edits_back() -> None:
    """Where edits work again after a post (an archived thread), the last message grows, and no button stays."""
    channel = Picky(controls=Controls.STOP)
    channel.edits_it = lambda channel, message: not 3 <= len(channel.log) < 4 or len(channel.shown) > 1
    script = words(250)
    await answered(channel, script)
    assert channel.text.split() == answer_of(script).split()
    assert len(channel.shown) == 2
    assert not any(body.controls for body in channel.shown.values())
    check_order(channel)


@pytest.mark.parametrize("deletes", [True, False])
async def test_a_line_of_thinking_does_not_stay_where_edits_are_refused(deletes: bool) -> None:
    """The preview is deleted if possible, and no further one is shown."""
    thinking: list[Step] = [step for number in range(20) for step in (Reasoning(f"Thought {number} is this. "), 1.0)]
    channel = Picky(edits_it=lambda channel, message: False, deletes_it=deletes)
    script = [*thinking, *words(100)]
    await answered(channel, script, writing=WritePolicy(reasoning_preview=ReasoningPolicy(shown=True)))
    shown = [body.text for body in channel.shown.values()]
    assert " ".join(shown[0 if deletes else 1 :]).split() == answer_of(script).split()
    assert sum("Thought" in text for text in shown) == (0 if deletes else 1)


async def test_a_second_attempt_is_shown_whole_where_edits_are_refused() -> None:
    """The first attempt's text cannot be replaced: the next one follows, whole or from its continuation."""
    channel = Picky(edits_it=lambda channel, message: False)
    cut = words(200)[:-1]
    again = words(200)
    await answered(channel, [*cut, 30.0], again)
    whole = answer_of(again).split()
    assert channel.text.split()[-len(whole) :] == whole or channel.text.split() == whole


async def test_an_end_that_no_edit_shows_is_posted() -> None:
    """The notice of a cut answer goes up in a message of its own."""
    channel = Picky(edits_it=lambda channel, message: False)
    await answered(channel, [*words(60)[:-1], Finish(FinishReason.LENGTH)])
    assert list(channel.shown.values())[-1].text.endswith(f"*{Strings().length}*")


@dataclass
class Final(Picky):
    """A platform known to reject edits."""

    @property
    def caps(self) -> ChannelCapabilities:
        return replace(super().caps, edits=False)


@pytest.mark.parametrize("known", [False, True])
async def test_what_a_killed_process_left_is_followed_by_the_whole_answer(known: bool) -> None:
    """If a killed process's messages cannot be edited, the whole new answer follows them."""
    channel = FakeChannel()
    journal = await left_after(5.0, channel, count=400)
    kind = Final if known else Picky
    after = kind(shown=channel.shown, keys=channel.keys, edits_it=lambda channel, message: False)
    left = len(after.shown)
    await taken_up(after, journal, count=400)
    shown = [body.text for body in after.shown.values()]
    assert " ".join(shown[left:]).split() == answer_of(words(400)).split()


async def test_where_no_edit_is_taken_none_is_tried() -> None:
    """A platform without edits is never asked for one, and its answers come whole."""
    channel, script = Final(edits_it=lambda channel, message: False, limit=11_500), words(1200)
    await answered(channel, script)
    assert channel.text.split() == answer_of(script).split()
    assert channel.refused == []


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    most=st.lists(st.integers(80, 2000), min_size=1, max_size=6),
    refusals=st.sets(st.integers(0, 40), max_size=12),
    count=st.integers(1, 900),
)
def test_whatever_is_refused_the_text_is_whole(most: list[int], refusals: set[int], count: int) -> None:
    """Any mix of sizes and refused edits: all of the text is shown, once, in its order."""
    edits = itertools.count()
    channel = Picky(edits_it=lambda channel, message: next(edits) not in refusals)
    channel.takes = lambda text: len(text) <= most[min(len(channel.shown), len(most) - 1)]
    script = words(count)
    loop = VirtualLoop()
    try:
        loop.run_until_complete(answered(channel, script, writing=ANY_NUMBER))
    finally:
        loop.close()
    assert channel.text.split() == answer_of(script).split()
    check_order(channel)
