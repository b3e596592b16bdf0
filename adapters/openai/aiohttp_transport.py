"""The SDK's requests over aiohttp, whose parser is written in C: a chunk of a stream costs a third of what h11 takes.

What belongs here: one request and its answer's bytes, and the translation of aiohttp's errors into those of httpx2,
which `errors` reads. What does not: authentication, addresses and headers (the SDK), when a stream is read (`beats`).

Proxies are left to httpx2's own transport (`make_http_client` chooses), whose rules for them people know.
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
from yarl import URL

from adapters.openai.errors import KEPT

# In an answer's extensions: its `Body`. Read by `source_of`.
BODY = "tickertape.body"

# A connection that is not used is closed after this, before most servers do it. httpx2's own figure. Seconds.
KEEP_SECONDS = 5.0

# aiohttp adds these where they are missing; the SDK has decided about headers.
NOT_ADDED = ("accept", "accept-encoding", "content-type", "user-agent")

# What aiohttp raises, and what httpx2 calls that: the first that fits.
MEANINGS: tuple[tuple[tuple[type[Exception], ...], type[httpx2.TransportError]], ...] = (
    ((aiohttp.ConnectionTimeoutError,), httpx2.ConnectTimeout),
    ((aiohttp.ServerTimeoutError,), httpx2.ReadTimeout),
    ((aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError), httpx2.ConnectError),
    ((aiohttp.ClientConnectorSSLError, aiohttp.ServerFingerprintMismatch), httpx2.ConnectError),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), httpx2.UnsupportedProtocol),
    ((aiohttp.ServerConnectionError,), httpx2.RemoteProtocolError),  # closed instead of an answer
    ((aiohttp.ClientConnectionError,), httpx2.ReadError),  # reset
    ((aiohttp.ClientPayloadError, aiohttp.ClientResponseError), httpx2.RemoteProtocolError),
    ((HttpProcessingError, aiohttp.ClientError), httpx2.RemoteProtocolError),
)
OF_AIOHTTP: tuple[type[Exception], ...] = (aiohttp.ClientError, HttpProcessingError)


LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def make_http_client(base_url: str, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """What requests to this address go by: aiohttp, or httpx2's own way where the environment names a proxy for it."""
    url = httpx2.URL(base_url)
    if url.scheme == "http" and url.host in LOOPBACK:
        # A proxy of the environment cannot reach what listens on this machine's loopback (the embedded model). Nor is
        # anybody's certificate seen there: a context that trusts nobody is made at once, where reading the system's
        # certificates takes 30 to 150 ms (and a redirect to elsewhere fails rather than being believed).
        return _direct(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), timeout)
    proxies = getproxies()
    if not (proxies.get(url.scheme) or proxies.get("all")):
        return _direct(httpx2.create_ssl_context(), timeout)
    # The SDK would allow 1,000 connections; here there are as many as answers, which `bot.turns.manager` bounds.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEEP_SECONDS)
    hooks = {"request": [watch_connection]}
    return openai.DefaultAsyncHttpx2Client(timeout=timeout, limits=limits, event_hooks=hooks)


def _direct(verify: ssl.SSLContext, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    return openai.DefaultAsyncHttpx2Client(timeout=timeout, transport=AiohttpTransport(verify))


async def watch_connection(request: httpx2.Request) -> None:
    """Note in a request that goes httpx2's own way what `AiohttpTransport` notes itself (see `errors.KEPT`)."""
    request.extensions[KEPT] = True

    async def trace(event: str, info: object) -> None:  # noqa: ARG001 (the signature is httpcore's)
        if event.endswith(("connect_tcp.started", "receive_response_headers.complete")):
            request.extensions[KEPT] = False

    request.extensions["trace"] = trace


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """See the module's docstring. Opens nothing before its first request, which needs a running loop."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._verify = verify
        self._session: aiohttp.ClientSession | None = None
        # aiohttp keeps a request's headers as long as its answer is read; they are the same for all, so one copy of
        # each is kept for all. There are as many names as the SDK has.
        self._names: dict[str, istr] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; its answer's body is read from its `Body`. Raises httpx2's errors."""
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise httpx2.UnsupportedProtocol("The URL needs http:// or https:// and a host.")
        connect = request.extensions.get("timeout", {}).get("connect")
        with meant():
            response = await self._opened().request(
                request.method,
                # Its user and password, where it had any, are in a header by now.
                URL(str(request.url.copy_with(username=None, password=None)), encoded=True),
                headers=[(self._name(name), sys.intern(value)) for name, value in request.headers.multi_items()],
                data=await request.aread() or None,
                skip_auto_headers=NOT_ADDED,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect),
                trace_request_ctx=request.extensions,  # not the request: this too is kept
            )
        request.extensions[KEPT] = False
        body = Body(response)
        return httpx2.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=body,
            extensions={"http_version": b"HTTP/1.1", BODY: body},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _name(self, name: str) -> istr:
        return self._names.get(name) or self._names.setdefault(name, istr(name))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_kept)
            self._session = aiohttp.ClientSession(
                # As many connections as there are answers, which `bot.turns.manager` bounds.
                connector=aiohttp.TCPConnector(limit=0, ssl=self._verify, keepalive_timeout=KEEP_SECONDS),
                auto_decompress=False,  # httpx2 does it
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
            )
        return self._session


class Body(httpx2.AsyncByteStream):
    """An answer's bytes, as they come; what nobody takes is left to the socket's own buffer. A `beats.Source`."""

    __slots__ = ("_content", "_response")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        while received := await self.read():
            yield received

    async def read(self) -> bytes:
        """What came, as soon as something did; nothing at the end. Raises httpx2's errors."""
        try:
            return await self._content.readany()
        except OF_AIOHTTP as error:
            raise meaning_of(error) from error

    def more(self) -> bytes:
        """What has come since, without waiting; nothing where there is nothing, or an error."""
        return b"" if self._content.exception() else self._content.read_nowait()

    def pause(self) -> bool:
        """Leave what comes to the kernel; false where the answer has ended, whose socket may be another's by now."""
        transport = self._transport()
        if transport is None or transport.is_closing():
            return False
        transport.pause_reading()
        return True

    def resume(self) -> None:
        """Read again."""
        if (transport := self._transport()) is not None:
            transport.resume_reading()

    async def aclose(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        self._response.close()

    def _transport(self) -> asyncio.Transport | None:
        connection = self._response.connection
        return None if connection is None else connection.transport


class Coded:
    """The bytes of a stream that is compressed, or that came httpx2's own way and is read by it. A `beats.Source`."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._bytes = response.aiter_bytes()
        self._body: Body | None = response.extensions.get(BODY)

    async def read(self) -> bytes:
        """What came, as soon as something did; nothing at the end. Raises httpx2's errors."""
        return await anext(self._bytes, b"")

    def more(self) -> bytes:
        """Nothing: it must be waited for."""
        return b""

    def pause(self) -> bool:
        """See `Body.pause`; false where the socket cannot be left alone."""
        return self._body is not None and self._body.pause()

    def resume(self) -> None:
        """Read again."""
        if self._body is not None:
            self._body.resume()

    async def aclose(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        await self._bytes.aclose()
        await self._response.aclose()


def source_of(response: httpx2.Response) -> Body | Coded:
    """What a stream's bytes are read from: nothing of the SDK or httpx2 where it is plain, which need not be kept then.

    A stream lives for minutes and is read ten times a second, and their layers would take a fifth of both.
    """
    body: Body | None = response.extensions.get(BODY)
    coding = response.headers.get("content-encoding", "identity")
    return body if body is not None and coding == "identity" else Coded(response)


async def _note_kept(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    """The request waits for an answer on a connection that had been kept (see `errors.KEPT`)."""
    context.trace_request_ctx[KEPT] = True


@contextmanager
def meant() -> Iterator[None]:
    """Raise httpx2's errors for aiohttp's."""
    try:
        yield
    except OF_AIOHTTP as error:
        raise meaning_of(error) from error
    except ValueError as error:  # a line break in a header's value, which it does not quote
        raise httpx2.LocalProtocolError("a header cannot be written") from error


def meaning_of(error: Exception) -> httpx2.TransportError:
    """httpx2's error for one of aiohttp's."""
    meaning = next(meaning for kinds, meaning in MEANINGS if isinstance(error, kinds))
    return meaning(str(error))
