"""Hands the events of the inbox to the lanes of this process, each lane's in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Protocol

from bot.errors import Retryable, cause_of
from bot.ownership.lanes import Lane
from bot.ownership.ports import InboxEvent, Ownership, RoutedEvent
from bot.ownership.telemetry import OwnershipRecorder

log = logging.getLogger(__name__)

# Events read from the inbox at once. Each is journalled in some milliseconds.
EVENTS_AT_ONCE = 50


class EventUser(Protocol):
    """Whoever handles events."""

    async def handle(self, event: RoutedEvent) -> None:
        """Journal an event from the inbox, as if it had just arrived here. A repeated one is recognised.

        Raises `Retryable` if it cannot be journalled now.
        """
        ...


class InboxReader:
    """Reads the inbox of one process. Lanes do not wait for each other's events."""

    def __init__(
        self,
        ownership: Ownership,
        user: EventUser,
        recorder: OwnershipRecorder,
        call_limit: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """`call_limit` limits the time of a call of the engine."""
        self._ownership = ownership
        self._user = user
        self._recorder = recorder
        self._call_limit = call_limit

    async def read(self, process: str, owns: Callable[[Lane], bool]) -> None:
        """Handle all events for lanes that the process owns.

        One that cannot be journalled now stays, with all after it in its lane. Raises `Retryable`.
        """
        waiting: set[Lane] = set()
        while True:
            async with self._call_limit():
                found = await self._ownership.events(process, EVENTS_AT_ONCE, waiting)
            done: list[int] = []
            async with asyncio.TaskGroup() as group:
                for lane, events in _by_lane(found):
                    group.create_task(self._handle_lane(lane, events, owns, done, waiting))
            if done:
                async with self._call_limit():
                    await self._ownership.handled(done)
            if len(found) < EVENTS_AT_ONCE:
                return

    async def _handle_lane(
        self,
        lane: Lane,
        events: Sequence[InboxEvent],
        owns: Callable[[Lane], bool],
        done: list[int],
        waiting: set[Lane],
    ) -> None:
        """Handle one lane's events. Adds the numbers to `done`, and the lane to `waiting` if some of them stay."""
        for each in events:
            if not owns(lane):
                waiting.add(lane)
                return
            try:
                await self._user.handle(each.event)
            except Retryable as failure:
                log.warning("events wait in the inbox", extra={"lane": str(lane), "failure": cause_of(failure)})
                waiting.add(lane)
                return
            except Exception:
                log.exception("an event of the inbox is unreadable", extra={"lane": str(lane)})
            self._recorder.event_handled(lane.platform)
            done.append(each.number)


def _by_lane(found: Iterable[InboxEvent]) -> Sequence[tuple[Lane, Sequence[InboxEvent]]]:
    events = sorted(found, key=lambda each: (each.event.lane, each.number))
    return [(lane, list(each)) for lane, each in groupby(events, key=lambda each: each.event.lane)]
