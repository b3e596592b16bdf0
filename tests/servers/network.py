"""A network between the bot and loopback servers, to switch off and on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Network:
    """Forwards connections to loopback servers while `up`, and refuses them otherwise."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._ports: dict[int, int] = {}  # our port by the server's port
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def through(self, url: str) -> str:
        """The address of the server of `url` through this network."""
        port = urlsplit(url).port
        assert port is not None
        if port not in self._ports:
            self._ports[port] = await self._listen(port, 0)
        return url.replace(f":{port}", f":{self._ports[port]}")

    async def up(self) -> None:
        """Forward again, at the same addresses."""
        for port, our_port in self._ports.items():
            await self._listen(port, our_port)

    def down(self) -> None:
        """Reset open connections and refuse new ones."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for writer in self._writers:
            writer.transport.abort()

    async def _listen(self, port: int, our_port: int) -> int:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._group.create_task(self._carry(reader, writer, port))

        server = await asyncio.start_server(accept, "127.0.0.1", our_port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        ends = {writer, server_writer}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, server_writer))
                both.create_task(_pass(server_reader, writer))
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(65_536):
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # the network went down
        writer.transport.abort()


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """A network, up at first and down at the end."""
    async with asyncio.TaskGroup() as group:
        network_ = Network(group)
        try:
            yield network_
        finally:
            network_.down()
