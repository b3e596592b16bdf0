"""Asking a model until there is an answer: which calls are made, when, and what comes of them."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.completion import Attempt, Completion, CompletionPolicy, Silent, _Watch
from bot.conversation import Delta, Finish, FinishReason, Prompt, Reasoning, Refusal, Text, Usage
from bot.errors import Because, Broken, Declined, Failure, Limited, Retryable, Unreachable
from bot.telemetry import NoRecorder
from tests.memory import ScriptedModel, Step, words

PROMPT = Prompt("", ())
STOP = Finish(FinishReason.STOP)
# No delay of ours, so that times below are the scripts' own.
AT_ONCE = CompletionPolicy(backoff_seconds=0.0)


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
        (Broken("500"), 4),
        (Limited("429", retry_after=1.0), 4),
        (Limited("429", retry_after=3600.0), 1),  # neither waited for nor asked again before that
        (Declined("quota", because=Because.QUOTA), 1),
        (Declined("bad", because=Because.REQUEST), 1),
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
        ([Reasoning("hm"), STOP], False),
        ([Finish(FinishReason.TOOLS)], False),
        ([Finish(FinishReason.LENGTH)], True),
        ([Finish(FinishReason.FILTERED)], True),
        ([Refusal("no"), STOP], True),
        ([Text("a")], False),
    ],
)
async def test_what_counts_as_an_answer(script: list[Step], good: bool) -> None:
    """It ends with a reason and has words, unless asking again would be cut again."""
    model = ScriptedModel(script, words(2))
    seen, _ = await collect(model)
    assert len(model.calls) == (1 if good else 2)
    assert isinstance(seen[-1], Finish)


@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_a_server_that_is_restarted_is_waited_for(cut: int) -> None:
    """Refused connections do not count as attempts, nor do they between streams that were cut."""
    refused: list[Step] = [Unreachable("refused")]
    cuts: list[list[Step]] = [[Text("a"), Broken("cut")]] * cut
    model = ScriptedModel(*cuts, *[refused] * 5, [Text("a"), STOP])
    seen, _ = await collect(model, CompletionPolicy())
    assert isinstance(seen[-1], Finish)
    assert [stream for stream, _ in model.calls] == [True] * (cut + 6)


async def test_a_server_that_stays_away_is_not_waited_for_longer_than_it_is_said() -> None:
    """Then its last failure is raised, within two delays."""
    policy = CompletionPolicy()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Unreachable):
        await collect(ScriptedModel([Unreachable("refused")]), policy)
    assert loop.time() - began < policy.absence_seconds + 4 * policy.backoff_limit_seconds


async def test_retry_after_is_obeyed() -> None:
    """The server's own seconds, not ours."""
    _, seconds = await collect(ScriptedModel([Limited("429", retry_after=7.0)], [Text("a"), STOP]))
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
    with _Watch(loop) as watch:
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
        with _Watch(loop) as watch:
            await watch.over(asyncio.sleep(1000), loop.time() + 5)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait()) for _ in range(2)]
        loop.call_later(1, tasks[0].cancel)
        loop.call_later(5, tasks[1].cancel)
    assert [task.cancelled() for task in tasks] == [True, True]
