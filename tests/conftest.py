"""How asynchronous tests run: on virtual time, unless a test says that it uses sockets."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.clock import VirtualLoop

# A test with sockets that takes longer than this hangs. Real seconds; read below only.
SOCKET_TEST_SECONDS = 60.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test: on a `VirtualLoop`, or in real time where it is marked ``sockets``."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    marker = pyfuncitem.get_closest_marker("sockets")
    if marker is None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(function(**arguments))
        return True
    seconds = marker.kwargs.get("seconds", SOCKET_TEST_SECONDS)

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await function(**arguments)

    with asyncio.Runner() as runner:
        runner.run(bounded())
    return True
