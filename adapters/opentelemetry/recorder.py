"""Turns the record of an ended turn into spans. Imports OpenTelemetry's API, so only the extra may load it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from typing_extensions import override

from adapters.opentelemetry.spans import ServerOf, SpanValue, child_spans, turn_span
from adapters.opentelemetry.turn_ids import TurnIds, TurnTrace
from bot.telemetry import NoRecorder, TurnRecord

log = logging.getLogger(__name__)

NANOSECONDS = 1_000_000_000


class TraceRecorder(NoRecorder):
    """Makes all spans of a turn at once when it ends, so none can stay open and none costs anything per delta.

    `ids` are those of the tracer; `wall_clock` returns nanoseconds since 1970.
    """

    def __init__(self, tracer: Tracer, ids: TurnIds, server_of: ServerOf, wall_clock: Callable[[], int]) -> None:
        self._tracer = tracer
        self._ids = ids
        self._server_of = server_of
        self._wall_clock = wall_clock

    @override
    def ended(self, record: TurnRecord) -> None:
        try:
            self._make_spans(record)
        except Exception:
            log.exception("no trace of a turn", extra={"turn": record.key.reference})

    def _make_spans(self, record: TurnRecord) -> None:
        began = self._wall_clock() - _nanoseconds(record.seconds)
        whole, trace, resumed = turn_span(record), TurnTrace.of(record.key), record.events.resumed
        # The context is empty, so a span of other instrumentation is no parent. The kind is for a message taken from a
        # platform's queue of events.
        with self._ids.turn(trace, resumed=resumed):
            turn = self._tracer.start_span(
                whole.name,
                Context(),
                SpanKind.CONSUMER,
                attributes=whole.attributes,
                links=trace.links() if resumed else None,
                start_time=began,
            )
        if turn.is_recording():  # otherwise the sampler leaves out the whole turn
            context = set_span_in_context(turn, Context())
            for child in child_spans(record, self._server_of):
                start = began + _nanoseconds(child.began)
                span = self._tracer.start_span(
                    child.name, context, SpanKind.CLIENT, attributes=child.attributes, start_time=start
                )
                _end(span, child, began)
        _end(turn, whole, began)


def _end(span: Span, value: SpanValue, began: int) -> None:
    """End a span. A failed one gets no description: the message of a failure may quote text."""
    if value.failure:
        span.set_status(Status(StatusCode.ERROR))
    span.end(began + _nanoseconds(value.ended))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
