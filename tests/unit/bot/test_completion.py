"""Asking a model until there is an answer: which calls are made, when, and what comes of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from bot.attempt_failures import Silent
from bot.backoff import Backoff
from bot.completion import Attempt, Completion, CompletionPolicy
from bot.conversation import (
    Activity,
    Announced,
    Delta,
    Finish,
    FinishReason,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from bot.errors import (
    ConnectFailed,
    Failure,
    ModelRejected,
    NotReady,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    Retryable,
    ServiceError,
)
from bot.ports import NextWriteAt, at_once
from bot.reusable_timeout import ReusableTimeout
from bot.telemetry import NoRecorder
from tests.support.fakes import ScriptedModel, Step, words

PROMPT = Prompt("", ())
STOP = Finish(FinishReason.STOP)
# No delay of ours, so that times below are the scripts' own.
AT_ONCE = CompletionPolicy(backoff=Backoff(0.0, 8.0, jitter=1.0))


async def collect(model: ScriptedModel, policy: CompletionPolicy = AT_ONCE) -> tuple[list[Delta | Attempt], float]:
    """Everything that is yielded, and the seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    completion = Completion(model, policy, NoRecorder(), random.Random(1))
    async with aclosing(completion.answer(PROMPT)) as deltas:
        seen = [delta async for delta in deltas]
    return seen, loop.time() - began


async def test_a_good_stream_passes_as_it_is() -> None:
    """All kinds of deltas pass in order, known to the core or not, after the attempt they belong to."""
    script: list[Step] = [Reasoning("hm"), Text("a"), Text("b"), Usage(1, 2), STOP]
    seen, _ = await collect(ScriptedModel(script))
    assert seen == [Attempt(1, streamed=True), *script]


FIRST, STALL, ALL, WHOLE = 60.0, 20.0, 300.0, 120.0


@pytest.mark.parametrize(
    ("script", "calls", "seconds"),
    [
        # The longest silence before the first delta, three times over, then the whole call.
        ([1000.0], [True, True, True, False], 3 * FIRST + WHOLE),
        # Between deltas it is shorter.
        ([Text("a"), 1000.0], [True, True, True, False], 3 * STALL + WHOLE),
        # Just within both limits: an answer, however slow.
        ([FIRST - 1, Text("a"), STALL - 1, Text("b"), STOP], [True], FIRST + STALL - 2),
        # All streamed attempts share one limit: a stream that never ends is cut there.
        ([Text("a"), *[STALL - 1, Text("b")] * 30, STOP], [True, False], ALL + WHOLE),
    ],
)
async def test_every_wait_has_an_end(script: list[Step], calls: list[bool], seconds: float) -> None:
    """For the first delta, between deltas, for all attempts together, and for the call without streaming."""
    model = ScriptedModel(script)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with suppress(Silent):
        await collect(model)
    assert [stream for stream, _ in model.calls] == calls
    assert loop.time() - began == pytest.approx(seconds, abs=0.1)
    assert model.open == 0


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        (ServiceError("500"), 4),
        (RateLimited("429", retry_after=1.0), 4),
        (RateLimited("429", retry_after=3600.0), 1),  # neither waited for nor asked again before that
        (ModelRejected("quota", reason=RejectionReason.QUOTA), 1),
        (ModelRejected("bad", reason=RejectionReason.REQUEST), 1),
    ],
)
async def test_what_is_asked_again(failure: Failure, times: int) -> None:
    """Retryable failures are, three times streamed and once not; what is declined is not."""
    model = ScriptedModel([failure])
    with pytest.raises(type(failure)):
        await collect(model)
    assert len(model.calls) == times


@pytest.mark.parametrize(
    ("script", "good"),
    [
        ([STOP], False),
        ([Text("  \n"), STOP], False),
        ([Reasoning("hm"), STOP], True),
        ([ToolCall("1", "clock", "{}"), STOP], True),
        ([Finish(FinishReason.TOOLS)], True),
        ([Reasoning("hm")], False),
        ([Finish(FinishReason.LENGTH)], True),
        ([Finish(FinishReason.FILTERED)], True),
        ([Refusal("no"), STOP], True),
        ([Text("a")], False),
    ],
)
async def test_what_counts_as_an_answer(script: list[Step], good: bool) -> None:
    """It ends with a reason and has words, unless asking again would bring the same."""
    model = ScriptedModel(script, words(2))
    seen, _ = await collect(model)
    assert len(model.calls) == (1 if good else 2)
    assert isinstance(seen[-1], Finish)


ALIVE = Activity()


@pytest.mark.parametrize(
    ("script", "calls", "seconds"),
    [
        # Nothing but signs of life: not without end, and no streamed attempt follows.
        ([*[10.0, ALIVE] * 1000], [True, False], 10 + 300 + WHOLE),
        ([Reasoning("hm"), *[10.0, ALIVE] * 1000], [True, False], 300 + WHOLE),
        ([Text("a"), *[10.0, ALIVE] * 1000], [True, False], 300 + WHOLE),
        ([Text("a"), *[10.0, Reasoning("hm")] * 1000], [True, False], 300 + WHOLE),
        # One chunk of thinking, then signs of life for longer than any silence may be.
        ([Reasoning("hm"), *[13.0, ALIVE] * 6, Text("a"), STOP], [True], 78.0),
        # A sign of life is no delta: the first of those may come as late as ever.
        ([ALIVE, FIRST - 1, Text("a"), STOP], [True], FIRST - 1),
        # The answer's own time begins with its first text.
        ([*[15.0, ALIVE] * 18, *[15.0, Text("a")] * 18, STOP], [True], 540.0),
    ],
)
async def test_signs_of_life(script: list[Step], calls: list[bool], seconds: float) -> None:
    """They are waited for, up to a limit of their own; then the call without streaming is made."""
    model = ScriptedModel(script, whole=[1000.0])
    loop = asyncio.get_running_loop()
    began = loop.time()
    with suppress(Silent):
        seen, _ = await collect(model)
        assert ALIVE not in seen
    assert [stream for stream, _ in model.calls] == calls
    assert loop.time() - began == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize(
    ("behind", "seconds"),
    [
        ([1000.0], STALL),
        ([*[5.0, ALIVE] * 100], STALL),
        ([*[5.0, Usage(1, 2)] * 100], STALL),
        ([*[5.0, Announced(FinishReason.STOP)] * 100], STALL),
        ([12.0, Text("b"), 1000.0], 12.0 + STALL),
        ([12.0, Reasoning("hm"), 1000.0], 12.0 + STALL),
        ([12.0, Announced(FinishReason.LENGTH), 1000.0], 12.0 + STALL),
        ([*[15.0, Text("b")] * 100], ALL),
    ],
)
async def test_behind_an_end_that_was_announced(behind: list[Step], seconds: float) -> None:
    """Text, thinking and another end are waited for, nothing else is; then the answer has ended, with one call."""
    announced = Announced(FinishReason.STOP, (Text("<"),))
    model = ScriptedModel([Text("a"), announced, *behind])
    seen, took = await collect(model)
    last = [delta for delta in behind if isinstance(delta, Announced)]
    assert seen[-1] == Finish(last[-1].reason if last else FinishReason.STOP)
    assert (seen[-2] == Text("<")) == (not last)
    assert took == pytest.approx(seconds, abs=0.1)
    assert len(model.calls) == 1
    assert model.open == 0


async def test_an_end_without_a_word_is_judged_when_it_is_one() -> None:
    """An announced end of nothing is no answer, and of nothing but thinking it is told as that."""
    announced = Announced(FinishReason.STOP)
    seen, _ = await collect(ScriptedModel([announced, 1000.0], words(2)))
    assert seen[-1] == STOP
    assert Attempt(2, streamed=True) in seen
    seen, _ = await collect(ScriptedModel([Reasoning("hm"), announced, 1000.0]))
    assert seen[-1] == Finish(FinishReason.THOUGHT_ONLY)


@pytest.mark.parametrize(("silence", "calls"), [(130.0, 1), (179.0, 1), (181.0, 2)])
async def test_a_server_that_loads_its_model_is_waited_for_once(silence: float, calls: int) -> None:
    """The first attempt may be silent for longer, where the operator's server may be loading; the next may not."""
    model = ScriptedModel([silence, Text("a"), STOP], words(2))
    await collect(model, CompletionPolicy(model_loading_seconds=180.0))
    assert len(model.calls) == calls
    slow = ScriptedModel([1000.0], [61.0, Text("a"), STOP], words(2))
    await collect(slow, CompletionPolicy(model_loading_seconds=180.0))
    assert len(slow.calls) == 3


@pytest.mark.parametrize("streams", [True, False])
async def test_a_server_that_is_not_ready_is_waited_for(streams: bool) -> None:
    """For half a minute, which costs no attempt, also in the call without streaming."""
    model = ScriptedModel(*[[NotReady("503", retry_after=2.0)]] * 12, [Text("a"), STOP])
    seen, seconds = await collect(model if streams else NotStreaming(model))
    assert seen[-1] == STOP
    assert seconds == pytest.approx(24.0, abs=0.1)
    attempts = [attempt for attempt in seen if isinstance(attempt, Attempt)]
    assert len(attempts) == (13 if streams else 16)
    assert attempts[-1].streamed is streams


class NotStreaming(ScriptedModel):
    """A model that cannot stream, and answers calls without streaming as another does."""

    def __init__(self, of: ScriptedModel) -> None:
        super().__init__([ServiceError("no streaming")])
        self._of = of

    def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        return super().answer(prompt, stream=True) if stream else self._of.answer(prompt, stream=True)


@pytest.mark.parametrize("seconds", [45.0, 60.0])
async def test_a_longer_pause_that_the_server_asks_for_wins(seconds: float) -> None:
    """It is waited for, up to its limit; beyond that the server is not asked again."""
    _, took = await collect(ScriptedModel([NotReady("503", retry_after=seconds)], [Text("a"), STOP]))
    assert took == pytest.approx(seconds, abs=0.1)
    too_long = ScriptedModel([NotReady("503", retry_after=61.0)])
    with pytest.raises(NotReady):
        await collect(too_long)
    assert len(too_long.calls) == 1


@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_a_server_that_is_restarted_is_waited_for(cut: int) -> None:
    """Refused connections do not count as attempts, nor do they between streams that were cut."""
    refused: list[Step] = [ConnectFailed("refused")]
    cuts: list[list[Step]] = [[Text("a"), ServiceError("cut")]] * cut
    model = ScriptedModel(*cuts, *[refused] * 5, [Text("a"), STOP])
    seen, _ = await collect(model, CompletionPolicy())
    assert isinstance(seen[-1], Finish)
    assert [stream for stream, _ in model.calls] == [True] * (cut + 6)


async def test_a_server_that_stays_away_is_not_waited_for_longer_than_it_is_said() -> None:
    """Then its last failure is raised, within two delays."""
    policy = CompletionPolicy()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(ConnectFailed):
        await collect(ScriptedModel([ConnectFailed("refused")]), policy)
    assert loop.time() - began < policy.connect_wait_seconds + 4 * policy.backoff.limit


async def test_retry_after_is_obeyed() -> None:
    """The server's own seconds, not ours."""
    _, seconds = await collect(ScriptedModel([RateLimited("429", retry_after=7.0)], [Text("a"), STOP]))
    assert seconds == pytest.approx(7.0, abs=0.01)


async def test_a_reader_who_leaves_closes_the_stream() -> None:
    """Whoever stops reading closes the model's connection at once."""
    model = ScriptedModel(words(100))
    completion = Completion(model, AT_ONCE, NoRecorder(), random.Random(1))
    async with aclosing(completion.answer(PROMPT)) as deltas:
        async for delta in deltas:
            if isinstance(delta, Text):
                break
    assert model.open == 0


@given(st.integers(1, 20), st.integers())
def test_delays_grow_up_to_a_limit_and_are_drawn_from_all_of_it(attempt: int, seed: int) -> None:
    """Full jitter: from nothing up to a bound that doubles, and never over the limit."""
    policy = CompletionPolicy()
    delay = policy.delay(attempt, Retryable(""), random.Random(seed))
    assert delay is not None
    assert 0 <= delay <= min(0.5 * 2 ** (attempt - 1), 8.0)


async def test_one_timer_watches_many_waits() -> None:
    """Each wait ends at its own time, however often the timer was set for another; what lies between is not counted."""
    loop = asyncio.get_running_loop()
    with ReusableTimeout(loop) as watch:
        for _ in range(30):
            await watch.over(asyncio.sleep(1), loop.time() + 5)
            await asyncio.sleep(7)  # nobody waits: whoever is given a delta may take his time
        for seconds in (60.0, 5.0, 20.0):
            began = loop.time()
            with pytest.raises(TimeoutError):
                await watch.over(asyncio.sleep(1000), began + seconds)
            assert loop.time() - began == pytest.approx(seconds, abs=0.001)
            current = asyncio.current_task()
            assert current is not None
            assert not current.cancelling()


async def test_a_watch_does_not_take_others_cancelling_for_its_own() -> None:
    """Who is cancelled from outside, even at the very moment that the time is over, is cancelled."""
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        with ReusableTimeout(loop) as watch:
            await watch.over(asyncio.sleep(1000), loop.time() + 5)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait()) for _ in range(2)]
        loop.call_later(1, tasks[0].cancel)
        loop.call_later(5, tasks[1].cancel)
    assert [task.cancelled() for task in tasks] == [True, True]


class FailureLabels(NoRecorder):
    """Keeps the labels of failed attempts."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    @override
    def attempt_failed(self, kind: str) -> None:
        self.labels.append(kind)


@pytest.mark.parametrize(
    ("failure", "label"),
    [
        (RateLimited("429"), "limited"),
        (ServiceError("500"), "broken"),
        (ConnectFailed("refused"), "unreachable"),
        (NotReady("503"), "unready"),
        (OutcomeUnknown("reset"), "unanswered"),
    ],
)
async def test_failures_keep_their_metric_labels(failure: Retryable, label: str) -> None:
    """The metric's `kind` label stays the same when a class is renamed."""
    recorder = FailureLabels()
    completion = Completion(ScriptedModel([failure], [Text("Hi"), STOP]), AT_ONCE, recorder, random.Random(1))
    async for _ in completion.answer(PROMPT):
        pass
    assert recorder.labels == [label]


@pytest.mark.parametrize("reason", RejectionReason)
async def test_a_rejection_is_a_failed_attempt(reason: RejectionReason) -> None:
    """It counts once, under its reason in one word: a wrong key shows in the metrics, not only in the log."""
    recorder, rejection = FailureLabels(), ModelRejected("no", reason=reason)
    completion = Completion(ScriptedModel([rejection]), AT_ONCE, recorder, random.Random(1))
    with pytest.raises(ModelRejected):
        async for _ in completion.answer(PROMPT):
            pass
    assert recorder.labels == [f"rejected_{reason.name.lower()}"]
