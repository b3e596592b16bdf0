"""A network that can go down: what goes to a loopback server passes through here, or meets nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Network:
    """Addresses that lead to servers on loopback while the network is `up`; otherwise connections are refused."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._ways: dict[int, int] = {}  # our port, by the server's
        self._listening: list[asyncio.Server] = []
        self._open: set[asyncio.StreamWriter] = set()

    async def through(self, url: str) -> str:
        """The address that leads to the server of `url`, by way of this network."""
        port = urlsplit(url).port
        assert port is not None
        if port not in self._ways:
            self._ways[port] = await self._listen(port, 0)
        return url.replace(f":{port}", f":{self._ways[port]}")

    async def up(self) -> None:
        """Lead on again, at the same addresses."""
        for port, ours in self._ways.items():
            await self._listen(port, ours)

    def down(self) -> None:
        """Reset what is connected, and refuse what comes."""
        for server in self._listening:
            server.close()
        self._listening.clear()
        for writer in self._open:
            writer.transport.abort()

    async def _listen(self, port: int, ours: int) -> int:
        def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._group.create_task(self._carry(reader, writer, port))

        server = await asyncio.start_server(came, "127.0.0.1", ours)
        self._listening.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", port)
        ends = {writer, there}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, there))
                both.create_task(_pass(there_reader, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(65_536):
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # it was cut
        writer.transport.abort()


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """A network that is up; it is down at the end."""
    async with asyncio.TaskGroup() as group:
        made = Network(group)
        try:
            yield made
        finally:
            made.down()
