"""People forgotten by another process: their answers here stop too, and leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Protocol, Self

from bot.records import PersonalData, RecordsUnavailable, Subject, person
from bot.turns.live import LiveTurn

log = logging.getLogger(__name__)

# Time between two looks, one short statement each. Seconds.
LOOK_SECONDS = 1.0

# Erasures looked at again: their transactions may end in another order than that of their numbers.
LATE_ERASURES = 100


class ForgottenTurns(Protocol):
    """The questions whose people are forgotten. Each method raises `RecordsUnavailable`."""

    async def erasures(self, after: int) -> Collection[int]:
        """The numbers of erasures after this one."""
        ...

    async def forgotten(self, turns: Sequence[str]) -> Collection[str]:
        """Those of these digests."""
        ...


class ForgottenPeople:
    """Looks for accepted turns of forgotten people. An async context manager of the running loop.

    Each turn is looked up once, since this process may continue another's, and all of them after an erasure: thousands
    may wait.
    """

    def __init__(
        self,
        store: ForgottenTurns,
        personal: PersonalData,
        accepted: Callable[[], AbstractSet[str]],
        live_turns: Callable[[], Sequence[LiveTurn]],
    ) -> None:
        """`accepted` are the digests of the turns before their end."""
        self._store = store
        self._personal = personal
        self._accepted = accepted
        self._live_turns = live_turns
        self._erasures: frozenset[int] = frozenset()
        self._looked_up: frozenset[str] = frozenset()
        self._handled: set[str] = set()  # turns that end by now
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._look_until_cancelled(), name="forgotten people")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await self._group.__aexit__(None, None, None)

    async def _look_until_cancelled(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(RecordsUnavailable):  # the next look will do
                for each in await self._find():
                    # Once more: rows stored since the other process erased them.
                    await self._personal.forget(each)

    async def _find(self) -> Collection[Subject]:
        erasures = await self._new_erasures()
        accepted = frozenset(self._accepted())
        self._handled &= accepted
        unknown = accepted - (self._handled if erasures else self._looked_up)
        found = await self._store.forgotten(list(unknown)) if unknown else ()
        self._erasures |= erasures
        self._looked_up = accepted
        self._handled.update(found)
        live = {each.key.digest: each for each in self._live_turns()} if found else {}
        return {person(live[turn].key.platform, live[turn].author.id) for turn in found if turn in live}

    async def _new_erasures(self) -> frozenset[int]:
        """The erasures since the last look."""
        earlier = max(self._erasures, default=0) - LATE_ERASURES
        self._erasures = frozenset(each for each in self._erasures if each > earlier)
        return frozenset(await self._store.erasures(earlier)) - self._erasures
