"""A process that has imported the program, and forks a copy for each start.

Importing takes a second and a half of processor time, a fork some milliseconds. The copy runs ``python -m bot`` with an
environment, a folder and arguments of its own, and ends as Python does.

The processes of a test run share a server; a single process starts its own at the first need.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# What a child runs.
MODULE = "bot.__main__"

# The environment variable with the address of a test run's server.
VARIABLE = "TICKERTAPE_TESTS_FORK_SERVER"

# Bytes of a request, which holds an environment: some kilobytes.
REQUEST_BYTES = 1 << 17

# Each request brings the child's output and the pipe that reports its number and exit code.
DESCRIPTORS = 2

IS_POSSIBLE = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the program."""

    environment: dict[str, str]
    arguments: list[str]
    folder: str


class ForkedChild(asyncio.Protocol):
    """The part of `asyncio.subprocess.Process` in use, for a child of the server."""

    def __init__(self) -> None:
        self._pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._said = b""
        self.stdout = asyncio.StreamReader()

    @property
    def pid(self) -> int:
        return self._pid.result()

    @property
    def returncode(self) -> int | None:
        return self._code.result() if self._code.done() else None

    async def started(self) -> None:
        await asyncio.shield(self._pid)

    async def wait(self) -> int:
        await asyncio.shield(self._closed)
        return self._code.result()

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def data_received(self, data: bytes) -> None:
        """Take the child's number first, its exit code last; each is a line."""
        self._said += data
        lines = self._said.split(b"\n")[:-1]
        for future, line in zip((self._pid, self._code), lines, strict=False):
            if not future.done():
                future.set_result(int(line))

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self._pid, self._code):
            if not future.done():
                future.set_exception(exc or ConnectionError("the fork server has ended"))
                future.exception()  # nobody may be waiting
        self._closed.set_result(None)


class ForkServer:
    """The server as seen by the tests."""

    def __init__(self, address: str) -> None:
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.connect(address)
        atexit.register(self._control.close)

    async def start(self, environment: Mapping[str, str], arguments: Sequence[str], folder: Path) -> ForkedChild:
        """Start the program. Standard output and error go to the child's `stdout`."""
        loop = asyncio.get_running_loop()
        child = ForkedChild()
        output, their_output = os.pipe()
        status, their_status = os.pipe()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(child.stdout), os.fdopen(output, "rb"))
        await loop.connect_read_pipe(lambda: child, os.fdopen(status, "rb"))
        request = json.dumps([dict(environment), list(arguments), str(folder)]).encode()
        socket.send_fds(self._control, [request], [their_output, their_status])
        os.close(their_output)
        os.close(their_status)
        await child.started()
        return child


def open_fork_server(environment: Mapping[str, str], folder: Path) -> str:
    """Start a server, which ends with this process; returns its address."""
    private = tempfile.TemporaryDirectory()
    address = str(Path(private.name) / "forks")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(listener.fileno())],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE,  # its end is the server's
            pass_fds=[listener.fileno()],
        )
    atexit.register(private.cleanup)
    atexit.register(process.communicate)
    return address


@cache
def fork_server(folder: Path, **environment: str) -> ForkServer:
    """The test run's server, else one that starts for this process."""
    return ForkServer(os.environ.get(VARIABLE) or open_fork_server(environment, folder))  # noqa: TID251 (the same)


class _Server:
    """The server's own side: one thread that forks, and reports exits."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._clients: dict[int, socket.socket] = {}
        self._live: dict[int, tuple[int, int]] = {}  # a process descriptor -> its number, the pipe of its status
        self._selector = selectors.DefaultSelector()
        for source in (sys.stdin, listener):
            self._selector.register(source, selectors.EVENT_READ)

    def serve(self) -> Start | None:
        """Fork for each request until standard input ends. A child returns with its `Start`, the server with None."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    self._end()
                    return None
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._live:
                    self._report(key.fd)
                elif (start := self._answer(self._clients[key.fd])) is not None:
                    return start

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self._clients[client.fileno()] = client
        self._selector.register(client, selectors.EVENT_READ)

    def _answer(self, client: socket.socket) -> Start | None:
        request, descriptors, _, _ = socket.recv_fds(client, REQUEST_BYTES, DESCRIPTORS)
        if request:
            return self._fork(Start(*json.loads(request)), *descriptors)
        self._selector.unregister(client)
        del self._clients[client.fileno()]
        client.close()
        return None

    def _fork(self, start: Start, output: int, status: int) -> Start | None:
        pid = os.fork()
        if pid == 0:
            self._leave(status)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            return start
        os.close(output)
        os.write(status, f"{pid}\n".encode())
        descriptor = os.pidfd_open(pid)
        self._live[descriptor] = (pid, status)
        self._selector.register(descriptor, selectors.EVENT_READ)
        return None

    def _report(self, descriptor: int) -> None:
        pid, status = self._live.pop(descriptor)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(BrokenPipeError):  # its test has ended
            os.write(status, f"{code}\n".encode())
        os.close(status)

    def _leave(self, status: int) -> None:
        """Close what a child has of the server; its standard input is empty."""
        self._selector.close()
        for each in (self._listener, *self._clients.values()):
            each.close()
        os.close(status)
        for descriptor, (_, pipe) in self._live.items():
            os.close(descriptor)
            os.close(pipe)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def _end(self) -> None:
        for pid, _ in self._live.values():
            os.kill(pid, signal.SIGKILL)
        self._selector.close()
        for each in (self._listener, *self._clients.values()):
            each.close()


def _main() -> None:
    """Import the program, serve, and run the program in each child."""
    importlib.import_module(MODULE)
    del sys.modules[MODULE]  # it runs anew in each child
    assert threading.active_count() == 1, "a thread does not outlive a fork"
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise copy every page
    start = _Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if start is None:
        return
    os.environ.clear()  # noqa: TID251 (as `execve` does)
    os.environ.update(start.environment)  # noqa: TID251 (the same)
    os.chdir(start.folder)
    sys.path[0] = start.folder
    sys.argv = ["-m", *start.arguments]
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
