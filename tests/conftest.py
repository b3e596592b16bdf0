"""Runs coroutine tests on virtual time (or in real time, if marked ``sockets``), and divides the suite in two.

``make test`` runs ``-m "not slow"``. ``make test-all`` then runs ``-m "slow and not alone"``.
Last, it runs ``-m alone`` in one process.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers.postgres import start_keeper
from tests.support import postgres
from tests.support.clock import BUSY, LoopbackLoop, VirtualLoop
from tests.support.fork_server import IS_POSSIBLE, VARIABLE, open_fork_server
from tests.support.paths import ROOT
from tests.support.process import BARE
from tests.support.transport import TRANSPORT, Transport

# A test with sockets hangs if it takes longer on an idle machine. Real seconds; read below only, and times `BUSY`.
SOCKET_TEST_SECONDS = 60.0
VIRTUAL_TEST_SECONDS = 10_000.0  # the same in virtual time

# Processes per processor: tests with sockets or child processes mostly wait, the quick half mostly computes.
PROCESSES_EACH = 3
QUICK_PROCESSES_EACH = 1

# Marks of a test outside the quick half.
_SLOW = re.compile(r"mark\.(slow|alone)\b")

# A file whose tests all use sockets.
_SOCKETS = re.compile(r"^pytestmark = .*pytest\.mark\.sockets", re.MULTILINE)

# The expressions that `make test` and `make test-all` select by.
QUICK_HALF, SLOW_HALF, ALONE = "not slow", "slow and not alone", "alone"
SLOW_FOLDERS = {"benchmarks", "e2e", "stress"}

# No example fails for having taken long: other things run on the same machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

# `make test` alone tries fewer examples of each property, `make test-all` all of them: 60 s of processor time less.
settings.register_profile("fewer-examples", settings.get_profile("untimed"), max_examples=20)

# The property under which a test says how many whole replies it ran.
WHOLE_REPLIES = "whole replies"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the sweep covered, in whichever processes it ran."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    ended = (report for report in reports if getattr(report, "when", "") == "teardown")
    counts = [count for report in ended for name, count in report.user_properties if name == WHOLE_REPLIES]
    if counts:
        terminalreporter.write_line(f"the sweep ran {sum(counts):,} whole replies")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many processes ``-n auto`` starts; None leaves it to ``PYTEST_XDIST_AUTO_NUM_WORKERS``, if set."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:  # noqa: TID251 (it is the runner's, and no setting of ours)
        return None
    each = QUICK_PROCESSES_EACH if config.option.markexpr == QUICK_HALF else PROCESSES_EACH
    return each * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Let the processes share a PostgreSQL; and those of the slow half a server that forks the program."""
    if postgres.is_possible():
        os.environ[postgres.VARIABLE] = str(start_keeper())  # noqa: TID251 (the runner's too)
    if IS_POSSIBLE and config.option.markexpr == SLOW_HALF:
        os.environ[VARIABLE] = open_fork_server(BARE, ROOT)  # noqa: TID251 (the runner's too)


def folder_of(file: Path) -> str:
    """The folder of ``tests`` that a file is in."""
    return file.relative_to(Path(__file__).parent).parts[0]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark as ``slow``: whole folders, integration tests with sockets, and ``alone``; except tests marked ``quick``."""
    folder = folder_of(item.path)
    slow = folder in SLOW_FOLDERS or (folder == "integration" and item.get_closest_marker("sockets") is not None)
    slow = slow or item.get_closest_marker("alone") is not None
    if slow and item.get_closest_marker("quick") is None:
        item.add_marker("slow")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files without a test of the chosen part: importing them takes seconds in every process."""
    chosen = config.option.markexpr
    if collection_path.suffix != ".py" or chosen not in {QUICK_HALF, SLOW_HALF, ALONE}:
        return None
    text = collection_path.read_text(encoding="utf-8")
    folder = folder_of(collection_path)
    if chosen == ALONE:
        return True if "mark.alone" not in text else None
    may_be_slow = folder in SLOW_FOLDERS or folder == "integration" or _SLOW.search(text) is not None
    is_slow = folder in SLOW_FOLDERS or (folder == "integration" and _SOCKETS.search(text) is not None)
    skip = not may_be_slow if chosen == SLOW_HALF else is_slow and "mark.quick" not in text
    return True if skip else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A parameter for each transport of the closest mark."""
    marker = metafunc.definition.get_closest_marker("transports")
    if marker is not None and marker.args != (Transport.SOCKET.value,):
        metafunc.parametrize("transport", [Transport(name) for name in marker.args], ids=marker.args, indirect=True)


@pytest.fixture(autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Slack's way to the bot in this test."""
    chosen = getattr(request, "param", Transport.SOCKET)
    token = TRANSPORT.set(chosen)
    yield chosen
    TRANSPORT.reset(token)


@pytest.fixture
def database() -> str:
    """The address of a database with all tables and no rows. Skipped without PostgreSQL, unless it is required."""
    postgres.require_postgres()
    return postgres.empty_database()


@pytest.fixture
def bare_database() -> str:
    """The address of a database without any table."""
    postgres.require_postgres()
    return postgres.empty_database(migrated=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test: on a `VirtualLoop`, or in real time where it is marked ``sockets``.

    With ``sockets(virtual=True)`` clients and servers share a `LoopbackLoop`, whose seconds are virtual.
    """
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    marker = pyfuncitem.get_closest_marker("sockets")
    if marker is None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(function(**arguments))
        return True
    is_virtual = marker.kwargs.get("virtual", False)
    seconds = marker.kwargs.get("seconds", VIRTUAL_TEST_SECONDS if is_virtual else SOCKET_TEST_SECONDS)
    limit = seconds if is_virtual else seconds * BUSY

    async def bounded() -> None:
        async with asyncio.timeout(limit):
            await function(**arguments)

    with asyncio.Runner(loop_factory=LoopbackLoop if is_virtual else None) as runner:
        runner.run(bounded())
    return True
