"""A TCP link to a loopback server that can fail: it swallows data without closing, closes, refuses or delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16


class FaultyLink:
    """Forwards connections. Faults apply to open connections and to later ones."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        # Seconds before each piece of data goes on, in both directions.
        self.delay = 0.0
        self._refusing = False
        # Data from the server is lost from now on; the client's still arrives.
        self.deaf = False

    @property
    def connections(self) -> int:
        """The open connections."""
        return len(self._writers) // 2

    def swallow(self) -> None:
        """Hold all data from now on, without closing a connection: a network that has split."""
        self._flowing.clear()

    def become_deaf(self) -> None:
        """Lose all answers of the server from now on."""
        self.deaf = True

    def close_all(self) -> None:
        """Reset all connections. Held data are lost with them."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset all connections, and every new one at once."""
        self._refusing = True
        self.close_all()

    def heal(self) -> None:
        """Forward again; data held until now arrive late."""
        self._refusing, self.deaf, self.delay = False, False, 0.0
        self._flowing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until one side closes it."""
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        if self._refusing:  # perhaps only since then
            for each in (writer, server_writer):
                each.transport.abort()
            return
        self._writers |= {writer, server_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, server_writer, from_server=False))
                group.create_task(self._carry(server_reader, writer, from_server=True))
        finally:
            self._writers -= {writer, server_writer}
            for each in (writer, server_writer):
                each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not (from_server and self.deaf):
                    writer.write(data)
                    await writer.drain()
            writer.close()
        except ConnectionError:
            writer.transport.abort()


@asynccontextmanager
async def faulty_link(url: str) -> AsyncIterator[tuple[str, FaultyLink]]:
    """A link to the server of `url`, and the address through it."""
    port = urlsplit(url).port
    assert port is not None
    link = FaultyLink(port)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    try:
        yield url.replace(f":{port}/", f":{server.sockets[0].getsockname()[1]}/"), link
    finally:
        server.close()
        link.heal()
        link.close_all()
