"""A pooler in transaction mode before PostgreSQL, as far as a client can tell.

It refuses parameters of a session (as PgBouncer does), gives each transaction another session of the server, and
delivers no notification. Named prepared statements of one transaction are unknown in the next one. Protocol:
https://www.postgresql.org/docs/current/protocol-message-formats.html.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
PROTOCOL = 196608

# Parameters that PgBouncer accepts at the start (https://www.pgbouncer.org/config.html, ignore_startup_parameters).
ACCEPTED = {"user", "database", "client_encoding", "datestyle", "timezone", "application_name"}
SESSIONS = 2

# A client's last message.
TERMINATE = b"X"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def refusal(parameter: str) -> bytes:
    fields = {"S": "FATAL", "C": "08P01", "M": f"unsupported startup parameter: {parameter}"}
    return message(b"E", b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0")


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The kind of a message, and all its bytes."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


@dataclass
class ServerSession:
    """One session of the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes = b""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Pooler:
    """The state of a pooler: its sessions, and what its clients did."""

    port: int
    # Whether it refuses parameters; else it ignores them.
    refuses: bool = True
    sessions: list[ServerSession] = field(default_factory=list)
    transactions: int = 0
    refused: int = 0
    _next: Iterator[int] = field(default_factory=itertools.count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves."""
        try:
            if (parameters := await self._read_start(reader, writer)) is not None:
                await self._open_sessions(parameters)
                writer.write(self.sessions[0].greeting)
                await self._serve_transactions(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _read_start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, str] | None:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code in (SSL_REQUEST, GSS_REQUEST):
                writer.write(b"N")
            elif code == CANCEL_REQUEST:
                return None
            else:
                break
        words = body[4:].decode().split("\0")
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        unknown = [name for name in parameters if name and name.lower() not in ACCEPTED]
        if unknown and self.refuses:
            self.refused += 1
            writer.write(refusal(unknown[0]))
            await writer.drain()
            return None
        return {name: value for name, value in parameters.items() if name.lower() in ACCEPTED}

    async def _open_sessions(self, parameters: dict[str, str]) -> None:
        while len(self.sessions) < SESSIONS:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            words = "".join(f"{name}\0{value}\0" for name, value in parameters.items()) + "\0"
            body = struct.pack("!i", PROTOCOL) + words.encode()
            writer.write(struct.pack("!i", len(body) + 4) + body)
            session = ServerSession(reader, writer)
            kind = b""
            while kind != b"Z":
                kind, data = await read_message(reader)
                session.greeting += data
            self.sessions.append(session)

    async def _serve_transactions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read_all(reader, asked))
            while (first := await asked.get())[0] != TERMINATE:
                session = self.sessions[next(self._next) % len(self.sessions)]
                self.transactions += 1
                async with session.lock:
                    await _Transaction(session, asked, writer).run(first)
            reading.cancel()


async def _read_all(reader: asyncio.StreamReader, asked: asyncio.Queue[tuple[bytes, bytes]]) -> None:
    """Read a client's messages; its end is a message too."""
    try:
        while True:
            asked.put_nowait(await read_message(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        asked.put_nowait((TERMINATE, b""))


class _Transaction:
    """One transaction of a client in a session of the server."""

    def __init__(
        self, session: ServerSession, asked: asyncio.Queue[tuple[bytes, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        self._session = session
        self._asked = asked
        self._writer = writer
        self._expected = 0  # answers ReadyForQuery on the way

    async def run(self, first: tuple[bytes, bytes]) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._send(first))
            await self._answer()
            sending.cancel()

    async def _send(self, first: tuple[bytes, bytes]) -> None:
        kind, data = first
        while True:
            if kind == TERMINATE:  # its client left in the middle
                data = message(b"S", b"") + message(b"Q", b"ROLLBACK\0")
            self._expected += {b"Q": 1, b"S": 1, TERMINATE: 2}.get(kind, 0)
            self._session.writer.write(data)
            if kind == TERMINATE:
                self._asked.put_nowait((kind, b""))
                return
            kind, data = await self._asked.get()

    async def _answer(self) -> None:
        """Pass on answers until the session is idle."""
        while True:
            kind, data = await read_message(self._session.reader)
            if kind != b"A":  # a notification belongs to nobody
                self._writer.write(data)
            if kind == b"Z":
                self._expected -= 1
                if self._expected == 0 and data[5:6] == b"I":
                    return


@asynccontextmanager
async def pooler(url: str, *, refuses: bool = True) -> AsyncIterator[tuple[str, Pooler]]:
    """A pooler before the server of `url`, and the address of its database there."""
    parts = urlsplit(url)
    assert parts.port is not None
    opened = Pooler(parts.port, refuses)
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0)
    try:
        yield url.replace(f":{parts.port}/", f":{server.sockets[0].getsockname()[1]}/"), opened
    finally:
        server.close()
        for session in opened.sessions:
            session.writer.transport.abort()
