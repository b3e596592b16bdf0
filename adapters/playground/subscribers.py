"""Open pages as subscribers, each with a bounded queue of events.

Sockets (`adapters.playground.routes`) and the content of events (`adapters.playground.protocol`) do not belong here.
"""

from __future__ import annotations

import asyncio

# Open pages at once. A socket costs some tens of kilobytes; the limit protects the process's file descriptors from a
# runaway script.
MAX_SUBSCRIBERS = 64

# Queued events of one slow page: half a minute of everything three channels can do. Beyond, the page is disconnected;
# it reconnects and receives the whole state.
MAX_QUEUED_EVENTS = 512


class TooManySubscribers(Exception):
    """The number of open pages is at its limit."""


class Subscriber:
    """One open page's events, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_QUEUED_EVENTS + 1)  # one extra slot for the end
        self.lagging = False

    def send(self, event: str) -> None:
        """Queue an event; with a full queue, end the subscription instead."""
        if self.lagging:
            return
        if self._queue.qsize() < MAX_QUEUED_EVENTS:
            self._queue.put_nowait(event)
        else:
            self.lagging = True
            while not self._queue.empty():  # the page receives the whole state when it reconnects
                self._queue.get_nowait()
            self.end()

    def end(self) -> None:
        """End the subscription after the queued events, so that the page shows the last write before a shutdown."""
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def next_event(self) -> str | None:
        """The next event; None at the end."""
        return await self._queue.get()


class Subscribers:
    """All open pages, at most `limit`."""

    def __init__(self, limit: int = MAX_SUBSCRIBERS) -> None:
        self._limit = limit
        self._subscribers: set[Subscriber] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    def subscribe(self) -> Subscriber:
        """Add a page. Raises `TooManySubscribers`, also after `close`."""
        if self._closed or len(self._subscribers) >= self._limit:
            raise TooManySubscribers
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        self._empty.clear()
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a page."""
        self._subscribers.discard(subscriber)
        if not self._subscribers:
            self._empty.set()

    def publish(self, event: str) -> None:
        """Send an event to every page."""
        for subscriber in self._subscribers:
            subscriber.send(event)

    def close(self) -> None:
        """End every subscription, and accept no more."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end()

    async def wait_empty(self) -> None:
        """Wait until no page is open."""
        await self._empty.wait()
