"""Spans in memory: a recorder with OpenTelemetry's SDK behind it, and the spans as trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from adapters.opentelemetry.recorder import TraceRecorder
from adapters.opentelemetry.servers import ModelServer
from adapters.opentelemetry.turn_ids import TurnIds
from bot.telemetry import TurnRecord

NOW = 1_800_000_000_000_000_000  # when turns end, in nanoseconds since 1970
SERVER = ModelServer("gpt-x", "openai", "model.example", 8443)


@dataclass(frozen=True, slots=True)
class Trace:
    """One turn's span with those below it, in the order of their beginning."""

    turn: ReadableSpan
    children: Sequence[ReadableSpan]

    def named(self, beginning: str) -> list[ReadableSpan]:
        """The children whose name begins so."""
        return [span for span in self.children if span.name.startswith(beginning)]

    @property
    def attempts(self) -> list[ReadableSpan]:
        return self.named("chat")


class SpansInMemory:
    """A `TraceRecorder` whose spans can be read again."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        ids = TurnIds()
        provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.recorder = TraceRecorder(provider.get_tracer("tests"), ids, lambda _name: SERVER, lambda: NOW)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All ended spans."""
        return self._exporter.get_finished_spans()

    def traces(self) -> list[Trace]:
        """The turns, in the order of their end."""
        below: dict[int, list[ReadableSpan]] = {}
        for span in self.spans:
            if span.parent is not None:
                below.setdefault(span.parent.span_id, []).append(span)
        return [
            Trace(span, sorted(below.get(context_of(span), []), key=start_of))
            for span in self.spans
            if span.parent is None
        ]


def traces_of(records: Iterable[TurnRecord]) -> list[Trace]:
    """The traces of ended turns."""
    memory = SpansInMemory()
    for record in records:
        memory.recorder.ended(record)
    return memory.traces()


def context_of(span: ReadableSpan) -> int:
    """A span's id."""
    assert span.context is not None
    id_: int = span.context.span_id
    return id_


def start_of(span: ReadableSpan) -> int:
    """When a span began, in nanoseconds since 1970."""
    assert span.start_time is not None
    return span.start_time


def end_of(span: ReadableSpan) -> int:
    """When a span ended, in nanoseconds since 1970."""
    assert span.end_time is not None
    return span.end_time


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    """A span's attributes."""
    return dict(span.attributes or {})
