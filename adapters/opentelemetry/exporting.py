"""Sends spans to a collector by OTLP over HTTP, from a thread of OpenTelemetry's SDK.

The SDK reads its ``OTEL_*`` variables itself. Turns never wait for the collector, and the end of the program waits for
a bounded time. Only the extra may load this module.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer
from typing_extensions import override

from adapters.opentelemetry.conventions import SCHEMA_URL, SERVICE_NAME, SERVICE_VERSION
from adapters.opentelemetry.export_report import ExportReport
from adapters.opentelemetry.sdk_silence import SdkSilence
from adapters.opentelemetry.turn_ids import TurnIds

# Time for the last spans at the end of the program, after the drain. Hosts kill 25 s after SIGTERM at the earliest, and
# the drain takes 20 of them. Seconds.
FLUSH_SECONDS = 2.0

SERVICE = "tickertape"


class Tracing:
    """OpenTelemetry's SDK at work, until `close`. Raises `ValueError` and others for variables unusable for the SDK."""

    def __init__(self, report: ExportReport, silence: SdkSilence, version: str) -> None:
        self._silence = silence
        self._version = version
        self.ids = TurnIds()
        self._provider = TracerProvider(resource=_resource(version), id_generator=self.ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(ReportingExporter(report)))

    def tracer(self) -> Tracer:
        """The source of all spans."""
        return self._provider.get_tracer(SERVICE, self._version, schema_url=SCHEMA_URL)

    async def close(self) -> None:
        """Send the last spans, for `FLUSH_SECONDS` at most. A thread that still waits then ends with the process."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=flush, name="last traces", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await sent.wait()
                self._silence.end()  # otherwise the thread may have more to say


class ReportingExporter(SpanExporter):
    """The SDK's exporter, whose outcomes go to the report."""

    def __init__(self, report: ExportReport) -> None:
        self._report = report
        self._last = _LastResponse()
        session = requests.Session()
        session.hooks["response"].append(self._last.record)
        self._exporter = OTLPSpanExporter(session=session)

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._last.status = 0
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 (its message may quote a header; the SDK would log it)
            self._report.lost(len(spans), type(error).__name__)
            return SpanExportResult.FAILURE
        # The SDK takes a redirect for a success, and does not follow it.
        status = self._last.status
        if result is SpanExportResult.SUCCESS and status < 300:
            self._report.sent()
            return result
        self._report.lost(len(spans), f"HTTP {status}" if status else "no connection or no response")
        return SpanExportResult.FAILURE

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK has no types there


class _LastResponse:
    """The status of the last response; 0 without one."""

    def __init__(self) -> None:
        self.status = 0

    def record(self, response: requests.Response, **_options: Any) -> None:  # noqa: ANN401 (whatever requests passes)
        self.status = response.status_code


def _resource(version: str) -> Resource:
    """The description of this process: the operator's, completed by our name and version."""
    resource = Resource.create()
    ours = {SERVICE_VERSION: version}
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):  # the SDK's default
        ours[SERVICE_NAME] = SERVICE
    missing = {name: value for name, value in ours.items() if name == SERVICE_NAME or name not in resource.attributes}
    return resource.merge(Resource(missing))
