"""The virtual clock with sockets."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession, ClientTimeout, web

pytestmark = pytest.mark.sockets(virtual=True)

HOUR = 3_600.0


async def test_an_hour_passes_between_a_client_and_a_server() -> None:
    """A response that takes an hour arrives an hour later, and a client with less patience gives up in time."""

    async def late(request: web.Request) -> web.Response:
        await asyncio.sleep(HOUR)
        return web.Response(text="late")

    app = web.Application()
    app.router.add_get("/", late)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url, loop = f"http://127.0.0.1:{runner.addresses[0][1]}/", asyncio.get_running_loop()
    try:
        async with ClientSession(timeout=ClientTimeout(total=2 * HOUR)) as session:
            began = loop.time()
            async with session.get(url) as response:
                assert await response.text() == "late"
            assert HOUR <= loop.time() - began < HOUR + 1.0
            began = loop.time()
            with pytest.raises(TimeoutError):
                await session.get(url, timeout=ClientTimeout(total=10.0))
            assert 10.0 <= loop.time() - began < 11.0
    finally:
        await runner.cleanup()
