"""Start, drain and stop: runs the platforms and the turns until a signal.

`serve` owns all long-lived tasks in one TaskGroup: `TurnManager.run`, `Keeper.run`, and each platform's `run`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.errors import Failure
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import Platform
from bot.turns.manager import TurnManager

if TYPE_CHECKING:
    from bot.ownership.keeper import Keeper

log = logging.getLogger(__name__)

# New objects until the youngest generation is collected, its collections until the middle one is, and that one's until
# the oldest is. A collection blocks the loop for a microsecond per object: some 20 ms with 1,500 answers live, since
# objects freed meanwhile count as fewer new ones. Their half million objects are traversed hardly ever: with Python's
# defaults (700, 10, 10) that takes 10 s in each minute, up to 0.4 s at a time.
GC_THRESHOLDS = (500, 4, 2_000)


async def serve(
    turns: TurnManager,
    platforms: Sequence[Platform],
    *,
    drain_seconds: float,
    interactions: Interactions = NO_INTERACTIONS,
    keeper: Keeper | None = None,
) -> bool:
    """Run the platforms until a signal, or until all of them have failed; then finish the live turns.

    Returns false if all platforms failed. Clients are closed last, since unfinished writes need them. `keeper` keeps
    the lanes shared with other processes: idle ones are released at the signal, busy ones as their turns end.
    """
    stop = asyncio.Event()
    main_task = asyncio.current_task()
    assert main_task is not None
    _Signals(stop, main_task.cancel).install()
    async with AsyncExitStack() as closing, asyncio.TaskGroup() as group:
        for platform in platforms:
            closing.push_async_callback(platform.close)
        tasks = [group.create_task(turns.run(), name="turns")]
        await turns.started.wait()
        if keeper is not None:
            tasks.append(group.create_task(keeper.run(), name="keeper"))
        running = [
            group.create_task(_run_platform(platform, turns, interactions), name=platform.name)
            for platform in platforms
        ]
        ended = group.create_task(_set_when_all_end(running, stop), name="ended")
        await stop.wait()
        all_failed = all(task.done() for task in running)
        log.info("stopping", extra={"drain_seconds": drain_seconds})
        await _stop(turns, platforms, drain_seconds, keeper)
        for task in (*tasks, *running, ended):
            task.cancel()
    return not all_failed


async def _stop(turns: TurnManager, platforms: Sequence[Platform], drain_seconds: float, keeper: Keeper | None) -> None:
    """Accept nothing more, finish the turns, and give the lanes up, each after the record of its last turn."""
    async with asyncio.TaskGroup() as releasing:
        if keeper is not None:
            releasing.create_task(keeper.release_all(drain_seconds + turns.config.limits.mark_seconds))
        async with asyncio.TaskGroup() as stopping:  # each platform may first hand over pending look-ups
            for platform in platforms:
                stopping.create_task(platform.stop_accepting())
        await turns.drain(drain_seconds)
    if keeper is not None:
        await keeper.leave()


def tune_gc() -> None:
    """Exclude all objects alive now from garbage collection, and collect the others less often.

    Only cyclic garbage is affected: it is freed a little later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


@dataclass(slots=True)
class _Signals:
    """The first SIGTERM or SIGINT sets `stop`; a SIGINT after it calls `cancel`.

    A repeated SIGTERM changes nothing: Heroku may send several (https://devcenter.heroku.com/articles/dyno-shutdown-behavior),
    and a supervisor with no patience left sends SIGKILL.
    """

    stop: asyncio.Event
    cancel: Callable[[], object]

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # Windows has no such handlers; Ctrl-C ends the process at once there
                loop.add_signal_handler(number, self._received, number)

    def _received(self, number: signal.Signals) -> None:
        if self.stop.is_set() and number == signal.SIGINT:
            self.cancel()
        self.stop.set()


async def _run_platform(platform: Platform, turns: TurnManager, interactions: Interactions) -> None:
    """Run one platform until cancelled. Its failure (a wrong token, a bug) must not stop the other platforms."""
    try:
        await platform.run(turns, interactions)
    except Failure as failure:
        log.error("platform stopped", extra={"platform": platform.name, "failure": str(failure)})  # noqa: TRY400 (expected; its trace tells nothing)
    except Exception:
        log.exception("platform failed", extra={"platform": platform.name})


async def _set_when_all_end(running: Iterable[asyncio.Task[None]], stop: asyncio.Event) -> None:
    await asyncio.wait(running)
    stop.set()
