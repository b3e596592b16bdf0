"""The SDK's HTTP requests over aiohttp: its C parser needs a third of the time of h11 for a chunk of a stream.

This module also maps aiohttp's errors to httpx2's, the input of `errors`. The SDK still does authentication, addresses
and headers. Requests through a proxy use httpx2's own transport (see `make_http_client`), with its well-known rules.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.request import getproxies

import aiohttp
import httpx2
import openai
from aiohttp.http import HttpProcessingError
from multidict import istr
from typing_extensions import override
from yarl import URL

from adapters.openai.errors import REUSED_CONNECTION

# Response extension with the `ResponseBody`, read by `byte_source`.
BODY_EXTENSION = "tickertape.body"

# Close idle connections before most servers do. httpx2's own value. Seconds.
KEEPALIVE_SECONDS = 5.0

# aiohttp must not add these headers: the SDK decides about headers.
SKIPPED_HEADERS = ("accept", "accept-encoding", "content-type", "user-agent")

# aiohttp's errors and their httpx2 equivalents; the first match counts.
HTTPX2_ERRORS: tuple[tuple[tuple[type[Exception], ...], type[httpx2.TransportError]], ...] = (
    ((aiohttp.ConnectionTimeoutError,), httpx2.ConnectTimeout),
    ((aiohttp.ServerTimeoutError,), httpx2.ReadTimeout),
    ((aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError), httpx2.ConnectError),
    ((aiohttp.ClientConnectorSSLError, aiohttp.ServerFingerprintMismatch), httpx2.ConnectError),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), httpx2.UnsupportedProtocol),
    ((aiohttp.ServerConnectionError,), httpx2.RemoteProtocolError),  # closed without a response
    ((aiohttp.ClientConnectionError,), httpx2.ReadError),  # reset
    ((aiohttp.ClientPayloadError, aiohttp.ClientResponseError), httpx2.RemoteProtocolError),
    ((HttpProcessingError, aiohttp.ClientError), httpx2.RemoteProtocolError),
)
AIOHTTP_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientError, HttpProcessingError)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def make_http_client(base_url: str, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """A client over aiohttp, or over httpx2's own transport if the environment names a proxy for this address."""
    if (transport := make_transport(base_url)) is not None:
        return openai.DefaultAsyncHttpx2Client(timeout=timeout, transport=transport)
    # The SDK would allow 1,000 connections. Ours are bounded by the number of turns in `bot.turns.manager`.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_SECONDS)
    hooks = {"request": [trace_connection_reuse]}
    return openai.DefaultAsyncHttpx2Client(timeout=timeout, limits=limits, event_hooks=hooks)


def make_transport(base_url: str) -> AiohttpTransport | None:
    """The aiohttp transport for an address; None if the environment names a proxy for it."""
    url = httpx2.URL(base_url)
    if url.scheme == "http" and url.host in LOOPBACK:
        # The environment's proxy cannot reach this machine's loopback (the embedded model). Plain HTTP needs no
        # certificates: an empty context is made at once, reading the system's certificates takes 30 to 150 ms. A
        # redirect to https elsewhere fails.
        return AiohttpTransport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    proxies = getproxies()
    has_proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if has_proxy else AiohttpTransport(httpx2.create_ssl_context())


async def trace_connection_reuse(request: httpx2.Request) -> None:
    """Set `errors.REUSED_CONNECTION` for httpx2's own transport; `AiohttpTransport` sets it itself."""
    request.extensions[REUSED_CONNECTION] = True

    async def trace(event: str, info: object) -> None:  # noqa: ARG001 (the signature is httpcore's)
        if event.endswith(("connect_tcp.started", "receive_response_headers.complete")):
            request.extensions[REUSED_CONNECTION] = False

    request.extensions["trace"] = trace


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """httpx2 transport over aiohttp. The session is opened at the first request, which needs a running loop."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._verify = verify
        self._session: aiohttp.ClientSession | None = None
        # aiohttp keeps a request's headers until its response is read. All requests share one copy of each name; the
        # SDK has a fixed set of names.
        self._header_names: dict[str, istr] = {}

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the body is read through a `ResponseBody`. Raises httpx2's errors."""
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise httpx2.UnsupportedProtocol("The URL needs http:// or https:// and a host.")
        connect = request.extensions.get("timeout", {}).get("connect")
        with map_aiohttp_errors():
            response = await self._open_session().request(
                request.method,
                # httpx2 has moved user and password into a header.
                URL(str(request.url.copy_with(username=None, password=None)), encoded=True),
                headers=[(self._header_name(name), sys.intern(value)) for name, value in request.headers.multi_items()],
                data=await request.aread() or None,
                skip_auto_headers=SKIPPED_HEADERS,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect),
                trace_request_ctx=request.extensions,  # not the request itself: aiohttp keeps this as well
            )
        request.extensions[REUSED_CONNECTION] = False
        body = ResponseBody(response)
        return httpx2.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=body,
            extensions={"http_version": b"HTTP/1.1", BODY_EXTENSION: body},
        )

    @override
    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _header_name(self, name: str) -> istr:
        return self._header_names.get(name) or self._header_names.setdefault(name, istr(name))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = make_session(self._verify)
        return self._session


def make_session(verify: ssl.SSLContext) -> aiohttp.ClientSession:
    """A session for any number of connections; it marks requests on reused ones."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_mark_reused)
    return aiohttp.ClientSession(
        # No limit here: `bot.turns.manager` bounds the number of turns.
        connector=aiohttp.TCPConnector(limit=0, ssl=verify, keepalive_timeout=KEEPALIVE_SECONDS),
        auto_decompress=False,  # httpx2 does it
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
    )


class ResponseBody(httpx2.AsyncByteStream):
    """The bytes of a response as they arrive, a `read_coalescing.ByteSource`. The socket buffers unread bytes."""

    __slots__ = ("_content", "_response")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        while received := await self.read():
            yield received

    async def read(self) -> bytes:
        """The next bytes, as soon as any arrive; empty at the end. Raises httpx2's errors."""
        try:
            return await self._content.readany()
        except AIOHTTP_ERRORS as error:
            raise httpx2_error(error) from error

    def pause(self) -> bool:
        """Stop reading the socket. False if the response has ended: another request may use its socket by now."""
        transport = self._transport()
        if transport is None or transport.is_closing():
            return False
        transport.pause_reading()
        return True

    def resume(self) -> None:
        """Read the socket again."""
        if (transport := self._transport()) is not None:
            transport.resume_reading()

    @override
    async def aclose(self) -> None:
        """Close the connection unless the response was read to its end."""
        self._response.close()

    def _transport(self) -> asyncio.Transport | None:
        connection = self._response.connection
        return None if connection is None else connection.transport


class EncodedBody:
    """The decoded bytes of a compressed stream, or of one read by httpx2. A `read_coalescing.ByteSource`."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._bytes = response.aiter_bytes()
        self._body: ResponseBody | None = response.extensions.get(BODY_EXTENSION)

    async def read(self) -> bytes:
        """The next bytes, as soon as any arrive; empty at the end. Raises httpx2's errors."""
        return await anext(self._bytes, b"")

    def pause(self) -> bool:
        """Stop reading the socket. False if the stream is not read by aiohttp, or has ended."""
        return self._body is not None and self._body.pause()

    def resume(self) -> None:
        """Read the socket again."""
        if self._body is not None:
            self._body.resume()

    async def aclose(self) -> None:
        """Close the connection unless the response was read to its end."""
        await self._bytes.aclose()
        await self._response.aclose()


def byte_source(response: httpx2.Response) -> ResponseBody | EncodedBody:
    """The source of a stream's bytes. An uncompressed stream bypasses the SDK and httpx2.

    A stream lives for minutes and is read ten times a second; their layers would take a fifth of the memory and time.
    """
    body: ResponseBody | None = response.extensions.get(BODY_EXTENSION)
    coding = response.headers.get("content-encoding", "identity")
    return body if body is not None and coding == "identity" else EncodedBody(response)


async def _mark_reused(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    """The request waits for a response on a reused connection (see `errors.REUSED_CONNECTION`)."""
    context.trace_request_ctx[REUSED_CONNECTION] = True


@contextmanager
def map_aiohttp_errors() -> Iterator[None]:
    """Raise httpx2's equivalents of aiohttp's errors."""
    try:
        yield
    except AIOHTTP_ERRORS as error:
        raise httpx2_error(error) from error
    except ValueError as error:  # a line break in a header's value; the message does not quote it
        raise httpx2.LocalProtocolError("a header cannot be written") from error


def httpx2_error(error: Exception) -> httpx2.TransportError:
    """The httpx2 equivalent of an aiohttp error."""
    mapped = next(mapped for kinds, mapped in HTTPX2_ERRORS if isinstance(error, kinds))
    return mapped(str(error))
