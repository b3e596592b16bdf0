"""OpenTelemetry's exporter against a collector on the loopback: what arrives, and what a bad collector costs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest

from adapters import opentelemetry
from adapters.opentelemetry import ModelServer
from adapters.opentelemetry.exporting import FLUSH_SECONDS
from bot.callbacks import no_op
from bot.conversation import Ending, FinishReason, TurnKey
from bot.telemetry import Figures, TurnRecord
from tests.servers.otlp import Collector
from tests.support.traces import NOW
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

SECRET = "hunter2-secret"


class Quiet(logging.Handler):
    """All lines of the process."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.levelname} {self.format(record)} {vars(record).get('why', '')}")

    def of(self, part: str) -> list[str]:
        return [line for line in self.lines if part in line]


@pytest.fixture
def said() -> Iterator[Quiet]:
    """What any logger says, and the SDK's loggers as they were afterwards."""
    handler, root, sdk = Quiet(), logging.getLogger(), logging.getLogger("opentelemetry")
    level, handlers = root.level, list(sdk.handlers)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    sdk.handlers, sdk.propagate = handlers, True


def record(message: str = "1") -> TurnRecord:
    """An ended turn of one attempt."""
    figures = Figures(0.0)
    figures.timeline.attempt_began(0.1, "m", streamed=True)
    figures.timeline.attempt_finished(FinishReason.STOP)
    figures.timeline.attempt_ended(1.0)
    return figures.record(2.0, TurnKey("slack", "T1", "C1", message), Ending.DONE, 1)


@asynccontextmanager
async def started(
    collector: str,
    monkeypatch: pytest.MonkeyPatch,
    variables: Mapping[str, str] | None = None,
    *,
    release: Callable[[], object] = no_op,
) -> AsyncIterator[opentelemetry.StartedTracing]:
    """Traces to a collector, sent ten times a second, and closed at the end; `release` lets a hanging one answer."""
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.3",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        **(variables or {}),
    }.items():
        monkeypatch.setenv(name, value)
    loop = asyncio.get_running_loop()
    tracing = opentelemetry.start("collector:1", ModelServer, version="1", clock=loop.time, wall_clock=lambda: NOW)
    try:
        yield tracing
    finally:
        await tracing.close()
        release()
        await until(lambda: not has_threads(), seconds=20.0)


def has_threads() -> bool:
    """Whether a thread of an exporter is left; it would speak in other tests."""
    return any(each.name.startswith(("OtelBatch", "last traces")) for each in threading.enumerate())


async def test_spans_arrive_with_headers_and_resource(said: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's headers, attributes and compression reach the collector; our name and version complete them."""
    variables = {"OTEL_RESOURCE_ATTRIBUTES": "team=a,service.version=7", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    async with (
        Collector().running() as collector,
        started(collector.url, monkeypatch, variables) as tracing,
    ):
        tracing.recorder.ended(record())
        await collector.until_turns(1)
    (turn,) = collector.turns
    assert [span.name for span in collector.below(turn)] == ["chat m"]
    assert turn.ended == NOW
    assert turn.resource["team"] == "a"
    assert turn.resource["service.version"] == "7"
    assert turn.resource["service.name"] == "tickertape"
    assert collector.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert collector.headers[0]["Content-Encoding"] == "gzip"
    assert not said.of("WARNING")


@pytest.mark.parametrize("fault", ["down", "500", "503", "401", "302"])
async def test_a_failing_collector_is_one_line(fault: str, said: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line tells the status or that there was none; no secret, no traceback, and nothing of the response."""
    async with Collector(status=int(fault) if fault.isdigit() else 200).running() as collector:
        address = collector.url if fault.isdigit() else "http://127.0.0.1:1"
        async with started(address, monkeypatch) as tracing:
            for number in range(3):
                tracing.recorder.ended(record(str(number)))
                await until(lambda: bool(said.of("traces do not reach")), seconds=20.0)
    (line,) = said.of("WARNING")
    expected = f"HTTP {fault}" if fault.isdigit() else "no connection or no response"
    assert line.endswith(f"traces do not reach the collector {expected}")
    assert not said.of(SECRET)
    assert not said.of("opentelemetry.exporter")


async def test_spans_arrive_again_after_an_outage(said: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter goes on, and one line says that it works again."""
    async with (
        Collector(status=500).running() as collector,
        started(collector.url, monkeypatch) as tracing,
    ):
        tracing.recorder.ended(record("lost"))
        await until(lambda: bool(said.of("traces do not reach")), seconds=20.0)
        collector.status = 200
        tracing.recorder.ended(record("kept"))
        await collector.until_turns(1)
        await until(lambda: bool(said.of("traces reach the collector again")), seconds=20.0)
    assert len(collector.turns) == 1


async def test_the_end_waits_for_a_bounded_time(said: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that never answers holds the end for two seconds, not for its timeout of a minute."""
    loop, patient = asyncio.get_running_loop(), {"OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
    async with Collector().running() as collector:
        collector.answers.clear()
        async with started(collector.url, monkeypatch, patient, release=collector.answers.set) as tracing:
            tracing.recorder.ended(record())
            await until(lambda: bool(collector.bodies), seconds=20.0)
            began = loop.time()
        assert FLUSH_SECONDS * 0.9 < loop.time() - began < 30.0  # far from a minute, however busy the machine is


async def test_a_full_queue_is_one_line_and_turns_go_on(said: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a slow collector, spans are dropped; the recorder never waits."""
    loop = asyncio.get_running_loop()
    variables = {
        "OTEL_BSP_MAX_QUEUE_SIZE": "4",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
    }
    async with Collector().running() as collector:
        collector.answers.clear()
        async with started(collector.url, monkeypatch, variables, release=collector.answers.set) as tracing:
            began = loop.time()
            for number in range(200):
                tracing.recorder.ended(record(str(number)))
            assert loop.time() - began < 20.0  # each would wait for a minute
            await until(lambda: bool(said.of("traces do not reach")), seconds=20.0)
    (line,) = said.of("WARNING")
    assert line.endswith("the collector is too slow")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000"),
    ],
)
async def test_a_value_that_the_sdk_rejects_is_a_failure_of_ours(
    name: str, value: str, said: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the settings let through: one sentence without the value, and no line of the SDK."""
    with pytest.raises(opentelemetry.TracingUnavailable, match="no traces are sent") as raised:
        async with started("http://127.0.0.1:1", monkeypatch, {name: value}):
            pass
    assert value not in str(raised.value)
    assert not said.of("opentelemetry")
