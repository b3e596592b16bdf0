"""Traces by OpenTelemetry: a span for each turn, with its attempts, its first and its last write.

The packages are an extra. This module loads none of them until `start`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec

from adapters.opentelemetry.export_report import ExportReport
from adapters.opentelemetry.sdk_silence import SdkSilence
from adapters.opentelemetry.servers import ModelServer
from adapters.opentelemetry.spans import ServerOf
from bot.errors import Permanent
from bot.telemetry import Recorder

__all__ = ["INSTALL", "ModelServer", "StartedTracing", "TracingUnavailable", "is_installed", "start"]

INSTALL = "pip install 'tickertape[otel]'"


class TracingUnavailable(Permanent):
    """Traces cannot be sent; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class StartedTracing:
    """A recorder of turns, and the way to end its exporter."""

    recorder: Recorder
    close: Callable[[], Awaitable[None]]


def is_installed() -> bool:
    """Whether the extra is there; loads nothing of it but its empty folders."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def start(
    collector: str,
    server_of: ServerOf,
    *,
    version: str,
    clock: Callable[[], float],
    wall_clock: Callable[[], int],
) -> StartedTracing:
    """Load OpenTelemetry and start its exporter, as the process's ``OTEL_*`` variables say.

    `collector` is the address for the log, `clock` the loop's time, `wall_clock` nanoseconds since 1970. Raises
    `TracingUnavailable`.
    """
    report = ExportReport(collector, clock)
    silence = SdkSilence(report)
    silence.begin()
    try:
        from adapters.opentelemetry.exporting import Tracing  # noqa: PLC0415 (the extra, loaded only if it is used)
        from adapters.opentelemetry.recorder import TraceRecorder  # noqa: PLC0415 (as above)

        tracing = Tracing(report, silence, version)
        return StartedTracing(TraceRecorder(tracing.tracer(), tracing.ids, server_of, wall_clock), tracing.close)
    except Exception as error:  # noqa: BLE001 (the bot runs on without traces)
        silence.end()
        if isinstance(error, ModuleNotFoundError):
            raise TracingUnavailable(f"no traces are sent, since OpenTelemetry is not installed: {INSTALL}") from None
        # Only the kind: the message may quote a header.
        kind = type(error).__name__
        raise TracingUnavailable(f"no traces are sent, since OpenTelemetry does not start ({kind})") from None
