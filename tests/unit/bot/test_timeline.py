"""What a turn did, and when: the records of its attempts and writes."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answer_context import AnswerContext
from bot.completion import Completion, CompletionPolicy
from bot.conversation import Finish, FinishReason, Prompt, Text, Usage
from bot.telemetry import NoRecorder
from bot.timeline import MAX_ATTEMPTS, AttemptRecord, Timeline, WriteRecord
from tests.support.fakes import ScriptedModel, words


def test_an_attempt_is_recorded_from_its_call_to_its_end() -> None:
    """Times count from the turn's acceptance; usage and finish belong to the attempt in progress."""
    timeline = Timeline(100.0)
    timeline.attempt_began(101.0, "a", streamed=True)
    timeline.attempt_ended(102.0, "broken")
    timeline.attempt_began(103.0, "b", streamed=False)
    timeline.first_delta_came(104.0)
    timeline.usage_came(Usage(1, 2))
    timeline.attempt_finished(FinishReason.STOP)
    timeline.attempt_ended(105.0)
    events = timeline.events(110.0, resumed=True)
    assert events.attempts == (
        AttemptRecord("a", streamed=True, began=1.0, ended=2.0, failure="broken"),
        AttemptRecord("b", False, 3.0, 5.0, 4.0, FinishReason.STOP, "", Usage(1, 2)),
    )
    assert (events.streamed_attempts, events.fallback, events.resumed) == (1, True, True)


def test_an_attempt_in_progress_ends_with_the_record() -> None:
    """A record of a turn holds no attempt without an end."""
    timeline = Timeline(0.0)
    timeline.attempt_began(1.0, "a", streamed=True)
    (attempt,) = timeline.events(4.0).attempts
    assert attempt.ended == 4.0


def test_the_records_of_an_endless_outage_are_bounded() -> None:
    """All attempts count, and the first hundred have records."""
    timeline = Timeline(0.0)
    for number in range(MAX_ATTEMPTS * 3):
        timeline.attempt_began(number, "a", streamed=True)
        timeline.attempt_ended(number, "unreachable")
    events = timeline.events(1_000.0)
    assert len(events.attempts) == MAX_ATTEMPTS
    assert events.streamed_attempts == MAX_ATTEMPTS * 3


def test_a_first_write_holds_its_tries() -> None:
    """Two failures and a success are one write, from the first try to the last response."""
    timeline = Timeline(0.0)
    timeline.wrote("post", "failed", sent=1.0, now=2.0)
    timeline.wrote("post", "limited", sent=3.0, now=4.0)
    timeline.wrote("post", "ok", sent=5.0, now=6.0)
    timeline.wrote("edit", "ok", sent=7.0, now=8.0)
    timeline.wrote("edit", "ok", sent=9.0, now=10.0)
    events = timeline.events(11.0)
    assert events.first_write == WriteRecord("post", 1.0, 6.0, 3, "ok")
    assert events.last_write == WriteRecord("edit", 9.0, 10.0, 1, "ok")


@given(st.lists(st.tuples(st.sampled_from(["post", "edit"]), st.booleans(), st.floats(0, 5), st.floats(0, 5))))
def test_whatever_the_outcomes_no_write_is_both_first_and_last(writes: list[tuple[str, bool, float, float]]) -> None:
    """The first write is the first success, or the last try without one; the last write comes after it."""
    timeline, now = Timeline(0.0), 0.0
    for verb, succeeds, pause, seconds in writes:
        sent, now = now + pause, now + pause + seconds
        timeline.wrote(verb, "ok" if succeeds else "failed", sent=sent, now=now)
    first, last = timeline.events(now).first_write, timeline.events(now).last_write
    assert (first is None) == (not writes)
    if first is not None and last is not None:
        assert first.outcome == "ok"
        assert first.ended <= last.began
    if first is not None:
        assert first.tries == next((at for at, each in enumerate(writes, 1) if each[1]), len(writes))


class CountedTimeline(Timeline):
    """Counts the calls of its methods."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.calls: list[str] = []

    def attempt_began(self, now: float, model: str, *, streamed: bool) -> None:
        self.calls.append("began")
        super().attempt_began(now, model, streamed=streamed)

    def first_delta_came(self, now: float) -> None:
        self.calls.append("first")
        super().first_delta_came(now)

    def attempt_ended(self, now: float, failure: str = "") -> None:
        self.calls.append("ended")
        super().attempt_ended(now, failure)


@pytest.mark.parametrize("count", [1, 1_000])
async def test_a_delta_costs_the_timeline_nothing(count: int) -> None:
    """Three calls for an attempt, however many deltas it has."""
    timeline = CountedTimeline()
    completion = Completion(ScriptedModel(words(count)), CompletionPolicy(), NoRecorder(), random.Random(1))
    async with aclosing(completion.answer(Prompt("", ()), AnswerContext(timeline=timeline))) as deltas:
        seen = [delta async for delta in deltas]
    assert sum(isinstance(delta, Text) for delta in seen) == count
    assert isinstance(seen[-1], Finish)
    assert timeline.calls == ["began", "first", "ended"]


async def test_a_closed_stream_ends_its_attempt_without_a_failure() -> None:
    """Whoever stops to read cancels the attempt: it ends then, with neither a finish nor a failure."""
    timeline, loop = Timeline(asyncio.get_running_loop().time()), asyncio.get_running_loop()
    completion = Completion(ScriptedModel(words(40)), CompletionPolicy(), NoRecorder(), random.Random(1))
    async with aclosing(completion.answer(Prompt("", ()), AnswerContext(timeline=timeline))) as deltas:
        async for delta in deltas:
            if isinstance(delta, Text) and delta.text == "word20 ":
                break
    (attempt,) = timeline.events(loop.time() + 9.0).attempts
    assert attempt.ended == pytest.approx(0.5, abs=0.01)
    assert (attempt.finish, attempt.failure) == (None, "")
