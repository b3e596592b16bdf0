"""A collector of traces on the loopback: OTLP over HTTP, decoded by OpenTelemetry's own messages.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.support.waiting import until

PATH = "/v1/traces"


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """A span as it came. Ids are hexadecimal; times are nanoseconds since 1970."""

    name: str
    id: str
    parent: str
    trace: str
    began: int
    ended: int
    failed: bool
    links: tuple[tuple[str, str], ...]  # trace and span of each
    attributes: Mapping[str, object]
    resource: Mapping[str, object] = field(repr=False)
    schema: str = field(default="", repr=False)


@dataclass
class Collector:
    """Keeps all spans. `status` is its response; until `answers` is set, requests wait."""

    status: int = 200
    spans: list[CollectedSpan] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)  # of each request
    bodies: list[bytes] = field(default_factory=list)  # as they came, without compression
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Collector]:
        """Listen on a free port."""
        self.answers.set()
        app = web.Application()
        app.router.add_post(PATH, self._receive)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            self.answers.set()
            await runner.cleanup()

    @property
    def turns(self) -> list[CollectedSpan]:
        """The spans of turns."""
        return [span for span in self.spans if not span.parent]

    def below(self, turn: CollectedSpan) -> list[CollectedSpan]:
        """A turn's children, in the order of their beginning."""
        return sorted((span for span in self.spans if span.parent == turn.id), key=lambda span: span.began)

    async def until_turns(self, count: int) -> None:
        """Wait for the spans of so many turns."""
        await until(lambda: len(self.turns) >= count)

    async def _receive(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.headers.append(CIMultiDict(request.headers))
        self.bodies.append(body)
        await self.answers.wait()
        if self.status != 200:
            return web.Response(status=self.status, text="no: " + json.dumps(dict(request.headers)))
        self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        return web.Response(body=b"", content_type="application/x-protobuf")


def _spans(message: ExportTraceServiceRequest) -> list[CollectedSpan]:
    return [
        CollectedSpan(
            span.name,
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.trace_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == span.status.STATUS_CODE_ERROR,
            tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
            {each.key: _value(each.value) for each in span.attributes},
            {each.key: _value(each.value) for each in group.resource.attributes},
            scope.schema_url,
        )
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(map(_value, value.array_value.values))
    return getattr(value, kind) if kind else None
