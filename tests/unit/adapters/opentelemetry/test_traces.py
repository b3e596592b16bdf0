"""The spans of whole turns on virtual time: which there are, when, below which, and what they never hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from adapters.opentelemetry.servers import ModelServer
from adapters.opentelemetry.spans import child_spans
from adapters.opentelemetry.turn_ids import TurnTrace
from bot.backoff import Backoff
from bot.completion import CompletionPolicy
from bot.conversation import Author, Ending, Finish, FinishReason, Reasoning, Text, TurnKey, Usage
from bot.errors import (
    ConnectFailed,
    Failure,
    Forbidden,
    ModelRejected,
    NotReady,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    ServiceError,
)
from bot.model_fallback import FallbackPolicy
from bot.models import ModelCatalog, ModelInfo
from bot.ports import Verb
from bot.telemetry import Figures, Recorders
from tests.support.clock import VirtualLoop
from tests.support.core import CoreOptions, TurnRecords, make_turns, running, running_core
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, turn, words
from tests.support.generations import running_generations
from tests.support.traces import NOW, SpansInMemory, Trace, attributes_of, end_of, start_of, traces_of

SECOND = 1_000_000_000
CUT: list[Step] = [Text("half "), 1.0, ServiceError("cut")]
BROKEN: list[Step] = [0.5, ServiceError("broken")]
COUNTED: list[Step] = [0.5, Text("yes "), 0.5, Usage(40, 120, 10, 100, "gpt-x-2026"), Finish(FinishReason.STOP)]
DELAYED = CompletionPolicy(backoff=Backoff(1.0, 1.0, jitter=0.0))


async def traced(model: ScriptedModel, channel: FakeChannel | None = None, **options: Unpack[CoreOptions]) -> Trace:
    """The trace of one turn."""
    async with running_core(model, **options) as core:
        core.turns.accept(turn(), channel or FakeChannel())
        await core.idle()
    (trace,) = traces_of(core.recorder.records)
    return trace


def seconds_of(trace: Trace, span: ReadableSpan) -> tuple[float, float]:
    """When a span began and ended, in seconds from the turn's beginning."""
    began = start_of(trace.turn)
    return (start_of(span) - began) / SECOND, (end_of(span) - began) / SECOND


async def test_a_turn_has_an_attempt_a_first_post_and_a_final_edit() -> None:
    """One span for the turn, and three below it, each with its kind and its times."""
    trace = await traced(ScriptedModel(words(200)))
    assert [span.name for span in trace.children] == ["chat gpt-x", "first post", "final edit"]
    assert trace.turn.kind is SpanKind.CONSUMER
    assert all(span.kind is SpanKind.CLIENT for span in trace.children)
    attempt, first, final = trace.children
    assert seconds_of(trace, attempt) == pytest.approx((0.0, 5.0), abs=0.01)
    assert seconds_of(trace, first) == pytest.approx((0.2, 0.2), abs=0.01)
    assert seconds_of(trace, final)[1] == pytest.approx(seconds_of(trace, trace.turn)[1], abs=0.01)
    assert end_of(trace.turn) == NOW


async def test_the_turn_tells_its_figures_and_no_person() -> None:
    """Platform, workspace, reference, ending and figures; neither the channel, the author nor the question."""
    attributes = attributes_of((await traced(ScriptedModel(words(200)))).turn)
    figures = {name: attributes.pop(name) for name in list(attributes) if name.endswith("_seconds")}
    assert set(figures) == {
        "tickertape.first_visible_seconds",
        "tickertape.character_delay_seconds",
        "tickertape.settle_seconds",
    }
    writes = attributes.pop("tickertape.writes")
    assert isinstance(writes, int)
    assert writes > 2
    assert attributes == {
        "tickertape.platform": "memory",
        "tickertape.workspace": "W",
        "tickertape.turn": turn().key.reference,
        "tickertape.ending": "done",
        "tickertape.messages": 1,
        "tickertape.attempts": 1,
    }


async def test_an_attempt_follows_the_conventions() -> None:
    """Operation, provider, models, server, tokens with their parts, finish, and the time to the first chunk."""
    (attempt,) = (await traced(ScriptedModel(COUNTED))).attempts
    assert attributes_of(attempt) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-x-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": pytest.approx(0.5),
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 120,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 100,
        "server.address": "model.example",
        "server.port": 8443,
    }
    assert attempt.status.status_code is StatusCode.UNSET


async def test_each_attempt_has_a_span_that_ends_with_it() -> None:
    """Two failed attempts and a good one: the delay between them belongs to none."""
    trace = await traced(ScriptedModel(CUT, BROKEN, COUNTED), completion=DELAYED)
    assert [seconds_of(trace, span) for span in trace.attempts] == [
        pytest.approx((0.0, 1.0), abs=0.01),
        pytest.approx((2.0, 2.5), abs=0.01),
        pytest.approx((3.5, 4.5), abs=0.01),
    ]
    assert [attributes_of(span).get("error.type") for span in trace.attempts] == ["broken", "broken", None]
    assert [span.status.status_code for span in trace.attempts] == [StatusCode.ERROR] * 2 + [StatusCode.UNSET]
    assert all(span.status.description is None for span in trace.attempts)
    assert attributes_of(trace.attempts[0])["gen_ai.response.finish_reasons"] == ("error",)
    assert trace.turn.status.status_code is StatusCode.UNSET


async def test_the_call_without_streaming_is_an_attempt_too() -> None:
    """After three streamed attempts, the fourth span says that it does not stream, and the turn says so too."""
    trace = await traced(ScriptedModel(BROKEN, whole=COUNTED), completion=DELAYED)
    streams = [attributes_of(span).get("gen_ai.request.stream") for span in trace.attempts]
    assert streams == [True, True, True, None]
    assert "gen_ai.response.time_to_first_chunk" not in attributes_of(trace.attempts[-1])
    assert attributes_of(trace.turn)["tickertape.fallback"] is True
    assert attributes_of(trace.turn)["tickertape.attempts"] == 4


@pytest.mark.parametrize(
    ("failure", "label"),
    [
        (RateLimited("429", retry_after=0.0), "limited"),
        (ConnectFailed("refused"), "unreachable"),
        (NotReady("loading"), "unready"),
        (OutcomeUnknown("lost"), "unanswered"),
        (ModelRejected("no such model", reason=RejectionReason.MODEL), "rejected_model"),
        (ModelRejected("too many", reason=RejectionReason.TOO_MANY_IMAGES), "rejected_too_many_images"),
    ],
)
async def test_a_failed_turn_names_the_class_of_its_failure(failure: Failure, label: str) -> None:
    """Attempt and turn are marked as failed with a class; no message of a failure is in them."""
    policy = CompletionPolicy(attempts=1, connect_wait_seconds=0.0, outage_seconds=0.0)
    trace = await traced(ScriptedModel([failure]), completion=policy)
    assert {attributes_of(span)["error.type"] for span in trace.attempts} == {label}
    assert attributes_of(trace.turn)["error.type"] == label
    assert attributes_of(trace.turn)["tickertape.ending"] == "failed"
    assert trace.turn.status.status_code is StatusCode.ERROR
    assert trace.turn.status.description is None


async def test_a_silent_model_is_named_so() -> None:
    """An attempt without any chunk ends when it is given up, as silent."""
    policy = CompletionPolicy(attempts=1, first_chunk_seconds=5.0, fallback_seconds=5.0)
    trace = await traced(ScriptedModel([60.0]), completion=policy)
    assert seconds_of(trace, trace.attempts[0]) == pytest.approx((0.0, 5.0), abs=0.01)
    assert attributes_of(trace.attempts[0])["error.type"] == "silent"
    assert "gen_ai.response.time_to_first_chunk" not in attributes_of(trace.attempts[0])


async def test_a_stopped_attempt_ends_at_the_stop_and_has_not_failed() -> None:
    """A stop cancels the attempt: no failure, no finish, and the span ends with the stop."""
    async with running_core(ScriptedModel(words(400))) as core:
        core.turns.accept(turn(), FakeChannel())
        await asyncio.sleep(3.0)
        assert core.turns.stop(TurnKey("memory", "W", "C", "1"), by=Author("U1", "Dana"))
        await core.idle()
    (trace,) = traces_of(core.recorder.records)
    (attempt,) = trace.attempts
    assert seconds_of(trace, attempt) == pytest.approx((0.0, 3.0), abs=0.01)
    assert attributes_of(attempt)["tickertape.cancelled"] is True
    assert attributes_of(attempt)["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in attributes_of(attempt)
    assert attributes_of(trace.turn)["tickertape.ending"] == "stopped"
    assert trace.turn.status.status_code is StatusCode.UNSET


async def test_a_short_answer_has_a_first_post_alone() -> None:
    """One write is not reported twice."""
    trace = await traced(ScriptedModel(words(5)))
    assert [span.name for span in trace.children] == ["chat gpt-x", "first post"]


async def test_a_long_answer_ends_in_the_last_of_its_messages() -> None:
    """Of several messages, the first post is the first one's, and the last write is the last one's."""
    trace = await traced(ScriptedModel(words(900)), FakeChannel(Server(limit=100), limit=700))
    assert [span.name for span in trace.children][:2] == ["chat gpt-x", "first post"]
    assert len(trace.children) == 3
    messages = attributes_of(trace.turn)["tickertape.messages"]
    assert isinstance(messages, int)
    assert messages > 5
    assert trace.children[-1].name in {"final edit", "final post"}
    assert seconds_of(trace, trace.children[-1])[1] == pytest.approx(seconds_of(trace, trace.turn)[1], abs=0.01)


async def test_a_final_edit_spans_its_failed_tries() -> None:
    """The last write fails three times: its span holds all tries, and their number."""
    channel, ends_at = FakeChannel(), asyncio.get_running_loop().time() + 5.0  # 200 words at 40 a second

    def fault(verb: Verb) -> Failure | None:
        is_last = asyncio.get_running_loop().time() >= ends_at
        return ServiceError("503") if is_last and len(channel.log) - len(channel.writes()) < 3 else None

    channel.fault = fault
    trace = await traced(ScriptedModel(words(200)), channel)
    final = trace.children[-1]
    began, ended = seconds_of(trace, final)
    assert final.name == "final edit"
    assert attributes_of(final)["tickertape.write.tries"] == 4
    assert ended - began > 1.0
    assert final.status.status_code is StatusCode.UNSET


async def test_a_refused_post_is_the_failure_of_the_turn() -> None:
    """The platform takes no post: one first write, failed, and nothing final."""
    trace = await traced(ScriptedModel(words(50)), FakeChannel(fault=lambda verb: ServiceError("503")))
    (first,) = [span for span in trace.children if not span.name.startswith("chat")]
    assert first.name == "first post"
    assert attributes_of(first)["error.type"] == "failed"
    assert attributes_of(trace.turn)["error.type"] == "write_failed"


async def test_a_channel_that_is_gone_is_no_failure_of_the_turn() -> None:
    """Whoever deleted a channel wanted no answer: the turn is not marked, though the write is."""
    trace = await traced(ScriptedModel(words(50)), FakeChannel(fault=lambda verb: Forbidden("no")))
    assert attributes_of(trace.turn)["tickertape.ending"] == "gone"
    assert trace.turn.status.status_code is StatusCode.UNSET
    assert attributes_of(trace.children[-1])["error.type"] == "refused"


async def test_each_model_of_the_list_has_its_own_attempts() -> None:
    """The chosen model and its fallback: their spans follow each other below one turn."""
    models = ModelCatalog((ModelInfo("a", "A", "server-a"), ModelInfo("b", "B", "server-b")))
    async with running_core(
        ScriptedModel(BROKEN, BROKEN, COUNTED, whole=BROKEN),
        models=models,
        fallback=FallbackPolicy(("b",)),
        completion=replace(DELAYED, attempts=2),
    ) as core:
        core.turns.accept(turn(), FakeChannel())
        await core.idle()
    (record,) = core.recorder.records
    assert [(each.model, each.streamed) for each in record.events.attempts] == [
        ("a", True),
        ("a", True),
        ("a", False),
        ("b", True),
    ]
    assert [each.failure for each in record.events.attempts] == ["broken", "broken", "broken", ""]
    (trace,) = traces_of([record])
    assert len(trace.attempts) == 4


async def test_a_turn_of_an_earlier_process_says_so() -> None:
    """After a crash the turn's span is marked as resumed; that of the process before was never sent."""
    journal, channel = FakeJournal(durable=True), FakeChannel()
    key = TurnKey("memory", "W", "C", "Q")
    async with running(make_turns(ScriptedModel(words(400)), journal)) as turns:
        assert await turns.receive(key, "the event")
        turns.accept(turn("Q"), channel)
        await asyncio.sleep(3.0)
    records = TurnRecords()
    async with running(make_turns(ScriptedModel(words(400)), FakeJournal(of=journal), records)) as turns:
        await turns.unfinished_turns("memory")
        turns.accept(turn("Q"), channel)
        await turns.idle()
    (trace,) = traces_of(records.records)
    assert attributes_of(trace.turn)["tickertape.resumed"] is True
    assert next(span.name for span in trace.children) == "chat gpt-x"
    assert [span.name for span in trace.children][-1] == "final edit"
    assert trace.named("first")[0].name == "first edit"


async def test_a_turn_handed_over_stays_in_its_trace() -> None:
    """The process that continues it sends into the same trace, with a span of its own that links to the first one."""
    first, second = SpansInMemory(), SpansInMemory()
    journal, channel, records = FakeJournal(durable=True), FakeChannel(), TurnRecords()
    async with running(make_turns(ScriptedModel(words(400)), journal, first.recorder)) as turns:
        assert await turns.receive(turn("Q").key, "the event")
        turns.accept(turn("Q"), channel)
        await asyncio.sleep(3.0)
        await turns.drain(0.5)
    recorders = Recorders(second.recorder, records)
    async with running(make_turns(ScriptedModel(words(400)), FakeJournal(of=journal), recorders)) as turns:
        await turns.unfinished_turns("memory")
        turns.accept(turn("Q"), channel)
        await turns.idle()
    (before,), (after,) = first.traces(), second.traces()
    assert attributes_of(before.turn)["tickertape.ending"] == "interrupted"
    assert [record.ending for record in records.records] == [Ending.DONE]
    assert before.turn.context.trace_id == after.turn.context.trace_id
    assert before.turn.context.span_id != after.turn.context.span_id
    assert before.turn.links == ()
    (link,) = after.turn.links
    assert (link.context.trace_id, link.context.span_id) == (
        before.turn.context.trace_id,
        before.turn.context.span_id,
    )
    for trace in (before, after):
        assert trace.children
        assert {span.context.trace_id for span in trace.children} == {trace.turn.context.trace_id}


def test_ids_are_valid_and_of_one_turn() -> None:
    """Other questions, and other answers to the same question, have other traces; ids are spread evenly."""
    keys = [TurnKey("memory", "W", "C", str(number), number % 3) for number in range(2_000)]
    traces = [TurnTrace.of(key) for key in keys]
    assert len({each.trace for each in traces}) == len({each.first_span for each in traces}) == len(keys)
    assert all(0 < each.trace < 2**128 and 0 < each.first_span < 2**64 for each in traces)
    assert 900 < sum(each.trace % 2**56 < 2**55 for each in traces) < 1_100
    assert TurnTrace.of(replace(keys[0])) == traces[0]


async def test_another_answer_to_the_same_question_has_its_own_trace() -> None:
    """A try again makes a second turn with its generation, whose first write edits the old message."""
    async with running_generations(ScriptedModel(words(100), words(100))) as harness:
        await harness.ask()
        await harness.core.idle()
        assert await harness.retry() == ""
        await harness.core.idle()
    first, second = traces_of(harness.core.recorder.records)
    assert "tickertape.generation" not in attributes_of(first.turn)
    assert attributes_of(second.turn)["tickertape.generation"] == 1
    assert first.turn.context.trace_id != second.turn.context.trace_id
    assert "tickertape.resumed" not in attributes_of(second.turn)
    assert second.named("first")[0].name == "first edit"


async def test_fifty_turns_at_once_keep_their_own_children() -> None:
    """Each turn is the parent of its own attempts and writes, and a trace of its own."""
    memory, records = SpansInMemory(), TurnRecords()
    model = ScriptedModel(*([CUT, COUNTED] * 25))
    options = CoreOptions(completion=DELAYED)
    async with running(make_turns(model, None, Recorders(records, memory.recorder), **options)) as turns:
        for number in range(50):
            turns.accept(turn(str(number), conversation=str(number)), FakeChannel())
        await turns.idle()
    traces = memory.traces()
    made = {record.key.reference: len(record.events.attempts) for record in records.records}
    assert {attributes_of(each.turn)["tickertape.turn"]: len(each.attempts) for each in traces} == made
    assert len(made) == 50
    assert sum(made.values()) > 60
    assert sum(1 + len(each.children) for each in traces) == len(memory.spans)
    for each in traces:
        assert {span.context.trace_id for span in each.children} == {each.turn.context.trace_id}


async def test_a_turn_that_the_sampler_leaves_out_has_no_spans() -> None:
    """Neither the turn nor anything below it is made."""
    memory = SpansInMemory(ALWAYS_OFF)
    async with running(make_turns(ScriptedModel(words(20)), None, memory.recorder)) as turns:
        turns.accept(turn(), FakeChannel())
        await turns.idle()
    assert not memory.spans


# ----------------------------------------------------------------------------------------------------- any fault script

SECRET = "Xq"  # in every word of a question or an answer, and in every message of a failure

deltas: st.SearchStrategy[Step] = st.one_of(
    st.integers(1, 40).map(lambda count: Text(f"{SECRET}{count} " * count)),
    st.just(Reasoning(f"{SECRET} thinks ")),
    st.builds(Usage, st.integers(0, 99), st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), st.just("m-1")),
    st.floats(0.0, 3.0),
)
ends: st.SearchStrategy[list[Step]] = st.one_of(
    st.sampled_from(FinishReason).map(lambda reason: [Finish(reason)]),
    st.sampled_from(
        [
            ServiceError(SECRET),
            RateLimited(SECRET, retry_after=1.0),
            ConnectFailed(SECRET),
            OutcomeUnknown(SECRET),
            ModelRejected(SECRET, reason=RejectionReason.CONTEXT),
            ModelRejected(SECRET, reason=RejectionReason.QUOTA),
        ]
    ).map(lambda failure: [failure]),
    st.just([]),
)
scripts: st.SearchStrategy[list[Step]] = st.builds(lambda body, end: [*body, *end], st.lists(deltas, max_size=8), ends)
write_faults = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from([ServiceError(SECRET), RateLimited(SECRET, retry_after=1.0), OutcomeUnknown(SECRET)]),
        st.sampled_from([Forbidden(SECRET)]),
    ),
    max_size=6,
)


async def played(
    calls: Sequence[Sequence[Step]], faults: Sequence[Failure | None], stop_after: float | None
) -> tuple[SpansInMemory, TurnRecords]:
    """One turn with these calls of the model and faults of writes, perhaps stopped."""
    memory, records, left = SpansInMemory(), TurnRecords(), list(faults)
    channel = FakeChannel(Server(limit=100), fault=lambda verb: left.pop() if left else None)
    async with running(make_turns(ScriptedModel(*calls), None, Recorders(records, memory.recorder))) as turns:
        turns.accept(turn("1", text=f"{SECRET} why?", asker=Author("U-secret", f"{SECRET}Dana")), channel)
        if stop_after is not None:
            await asyncio.sleep(stop_after)
            turns.stop(TurnKey("memory", "W", "C", "1"), by=Author("U-secret", "Dana"))
        await turns.idle()
    return memory, records


@given(st.lists(scripts, min_size=1, max_size=4), write_faults, st.none() | st.floats(0.0, 20.0))
def test_whatever_happens_spans_end_once_inside_their_turn_and_hold_no_text(
    calls: list[list[Step]], faults: list[Failure | None], stop_after: float | None
) -> None:
    """Each call of the model has one span; each span is ended, inside its turn, and free of any words."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        memory, records = runner.run(played(calls, faults, stop_after))
    (record,), (trace,) = records.records, memory.traces()
    assert len(memory.spans) == 1 + len(trace.children)
    assert len({span.context.span_id for span in memory.spans}) == len(memory.spans)
    assert (
        len(trace.attempts)
        == len(record.events.attempts)
        == record.attempts + sum(not attempt.streamed for attempt in record.events.attempts)
    )
    for span in trace.children:
        assert start_of(trace.turn) <= start_of(span) <= end_of(span) <= end_of(trace.turn)
    for earlier, later in zip(trace.attempts, trace.attempts[1:], strict=False):
        assert end_of(earlier) <= start_of(later)
    for span in memory.spans:
        assert not span.events
        assert SECRET not in span.to_json()
        assert "U-secret" not in span.to_json()
        assert span.status.status_code is not StatusCode.ERROR or "error.type" in attributes_of(span)
    failed = record.ending is Ending.FAILED
    assert (trace.turn.status.status_code is StatusCode.ERROR) is failed


def test_a_strange_name_of_a_model_costs_no_other_span() -> None:
    """Surrogates of an undecodable variable, line breaks and endless names become a plain name that can be sent."""
    figures = Figures(0.0)
    figures.timeline.attempt_began(0.0, "m\udc80\n" + "x" * 999, streamed=True)
    figures.timeline.attempt_ended(1.0)
    record = figures.record(2.0, turn().key, Ending.DONE, 0)
    (span,) = child_spans(record, ModelServer)
    assert span.name == "chat m" + "x" * 197
    assert span.name.encode()
