"""How asynchronous tests run: on virtual time, unless a test says that it uses sockets."""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest
from hypothesis import settings

from tests.support.clock import VirtualLoop

# A test with sockets that takes longer than this hangs. Real seconds; read below only.
SOCKET_TEST_SECONDS = 60.0


# Processes that share the suite, for each processor: most of its time, a test with sockets waits for somebody.
PROCESSES_EACH = 3

# No example fails for having taken long: other things run on the same machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

# The property under which a test says how many whole replies it ran.
WHOLE_REPLIES = "whole replies"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the sweep covered, in whichever processes it ran."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    ended = (report for report in reports if getattr(report, "when", "") == "teardown")
    counts = [count for report in ended for name, count in report.user_properties if name == WHOLE_REPLIES]
    if counts:
        terminalreporter.write_line(f"the sweep ran {sum(counts):,} whole replies")


def pytest_xdist_auto_num_workers() -> int | None:
    """How many processes ``-n auto`` means; None leaves it to ``PYTEST_XDIST_AUTO_NUM_WORKERS``, where that is set."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:  # noqa: TID251 (it is the runner's, and no setting of ours)
        return None
    return PROCESSES_EACH * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


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
