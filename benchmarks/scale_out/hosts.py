"""Machines on one virtual clock. Nothing of a paused machine's process runs until it resumes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVarTuple, Unpack

from typing_extensions import override

from tests.support.clock import VirtualLoop

Ts = TypeVarTuple("Ts")


@dataclass(slots=True)
class Host:
    """One machine."""

    is_paused: bool = False
    delayed: list[_Guarded] = field(default_factory=list)

    def pause(self) -> None:
        """Stop the process, as SIGSTOP does."""
        self.is_paused = True

    def resume(self) -> None:
        """Let it go on. What came due meanwhile happens now, in its order."""
        self.is_paused = False
        delayed, self.delayed = self.delayed, []
        for each in delayed:
            each.repeat()

    def create_task(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run this on the machine, with all that it starts."""
        context = copy_context()
        context.run(_HOST.set, self)
        return group.create_task(work, context=context)


_HOST: ContextVar[Host | None] = ContextVar("host", default=None)


@dataclass(slots=True)
class _Guarded:
    """A callback of a machine's process, with its arguments."""

    host: Host
    callback: Callable[..., object]
    arguments: tuple[Any, ...]
    context: Context
    handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self.host.is_paused:
            self.host.delayed.append(self)
        else:
            self.callback(*self.arguments)

    def repeat(self) -> None:
        """Call it after all; whoever scheduled it may still cancel it."""
        asyncio.get_running_loop().call_soon(self._call_late, context=self.context)

    def _call_late(self) -> None:
        if self.handle is None or not self.handle.cancelled():
            self.callback(*self.arguments)


class HostLoop(VirtualLoop):
    """A virtual clock for several machines."""

    @override
    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        guarded = _guard(callback, args, context)
        if guarded is None:
            return super().call_soon(callback, *args, context=context)
        guarded.handle = super().call_soon(guarded, context=context)
        return guarded.handle

    @override
    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        guarded = _guard(callback, args, context)
        if guarded is None:
            return super().call_at(when, callback, *args, context=context)
        handle = super().call_at(when, guarded, context=context)
        guarded.handle = handle
        return handle


def _guard(callback: Callable[..., object], arguments: tuple[Any, ...], context: Context | None) -> _Guarded | None:
    """The callback of a machine's process; None outside of all machines."""
    host = _HOST.get() if context is None else context.get(_HOST)
    if host is None:
        return None
    return _Guarded(host, callback, arguments, copy_context() if context is None else context)
