"""People forgotten by another process: their answers here stop too, and leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol, Self

from bot.records import PersonalData, RecordsUnavailable, Subject, person
from bot.turns.live import LiveTurn

log = logging.getLogger(__name__)

# Time between two looks, while there are answers in progress: one statement each. Seconds.
LOOK_SECONDS = 1.0


class ForgottenTurns(Protocol):
    """The questions whose people are forgotten."""

    async def forgotten(self, turns: Sequence[str]) -> Collection[str]:
        """Those of these digests. Raises `RecordsUnavailable`."""
        ...


class ForgottenPeople:
    """Looks for answers in progress of forgotten people. An async context manager of the running loop."""

    def __init__(
        self, store: ForgottenTurns, personal: PersonalData, live_turns: Callable[[], Sequence[LiveTurn]]
    ) -> None:
        self._store = store
        self._personal = personal
        self._live_turns = live_turns
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
        live = {each.key.digest: each for each in self._live_turns()}
        self._handled &= live.keys()
        if not (unknown := [turn for turn in live if turn not in self._handled]):
            return ()
        found = await self._store.forgotten(unknown)
        self._handled.update(found)
        return {person(live[turn].key.platform, live[turn].author.id) for turn in found}
