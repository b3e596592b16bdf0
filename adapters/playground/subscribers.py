"""Who is looking: the open pages, and the events that wait to be sent to each.

What belongs here: bounds on how many may look, and on how far one may lag behind. What does not: the sockets themselves
(`adapters.playground.routes`) and what the events say (`adapters.playground.protocol`).
"""

from __future__ import annotations

import asyncio

# Open pages at once. A page of one's own on one's own machine needs few; a socket costs some tens of kilobytes, so the
# bound only keeps a runaway script from taking the process's file descriptors. Read by `Audience.join`.
PAGES = 64

# Events that may wait for one slow page: half a minute of all that three channels can do. One that lags further is sent
# away, comes back and is given the whole state. Read by `Listener.tell`.
WAITING_EVENTS = 512


class Full(Exception):
    """There are as many open pages as may be."""


class Listener:
    """One open page's events, in order."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(WAITING_EVENTS + 1)  # and one place for the end
        self.lagging = False

    def tell(self, event: str) -> None:
        """Keep an event for the page; where too many wait, the page is given up."""
        if self.lagging:
            return
        if self._waiting.qsize() < WAITING_EVENTS:
            self._waiting.put_nowait(event)
        else:
            self.lagging = True
            while not self._waiting.empty():  # the page is given the whole state when it comes back
                self._waiting.get_nowait()
            self.end()

    def end(self) -> None:
        """No more events after those that wait: the last write before a shutdown is to be seen."""
        if not self._waiting.full():
            self._waiting.put_nowait(None)

    async def next(self) -> str | None:
        """The next event, or None when there will be no more."""
        return await self._waiting.get()


class Audience:
    """All open pages."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._closed = False

    def join(self) -> Listener:
        """One more page. Raises `Full`."""
        if self._closed or len(self._listeners) >= PAGES:
            raise Full
        listener = Listener()
        self._listeners.add(listener)
        self._nobody.clear()
        return listener

    def leave(self, listener: Listener) -> None:
        """A page was closed."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._nobody.set()

    def tell(self, event: str) -> None:
        """Tell every page."""
        for listener in self._listeners:
            listener.tell(event)

    def close(self) -> None:
        """Send everybody away."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

    async def wait_empty(self) -> None:
        """Until nobody looks."""
        await self._nobody.wait()
