"""How much earlier than a response tells a next write may be sent, from the round trips of the last minute.

A window closes at the time of a response plus its ``reset_after``. That is known one way late, and our next write
arrives one way late again: together a round trip, however its two ways share it. Derived in
``docs/adr/0012-round-trips.md``. Times are the event loop's, in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Round trips count for this long, and at most twice as long. Seconds.
REMEMBERED_SECONDS = 60.0

# Share of the shortest round trip by which a write is sent early. The rest is for a trip shorter than any measured.
EARLY_SHARE = 0.8

# Share of the trips' spread by which a write is sent less early: both ways may be short by themselves.
SPREAD_SHARE = 0.5

# Fewer round trips tell nothing of their spread.
LEAST_TRIPS = 3


@dataclass(slots=True)
class _Minute:
    """What was measured in a minute; the ways there and back of one window's writes are known up to a constant."""

    since: float = -math.inf
    trips: int = 0
    shortest: float = math.inf  # trip, or way there and other way back
    longest: float = 0.0  # trip
    spread: float = 0.0  # of the ways there and of those back


@dataclass(slots=True)
class _Ends:
    """When a window closes, in reports without the way there (`first` to `last`), and without the way back."""

    first_sent: float = math.inf
    last_sent: float = -math.inf
    first_received: float = math.inf
    last_received: float = -math.inf


class RoundTrips:
    """The round trips of one resource's writes."""

    def __init__(self) -> None:
        self._minute, self._before = _Minute(), _Minute()
        self._ends = _Ends()
        self._lead = 0.0  # as of the last record: it is asked for ten times as often as it changes

    def begin_window(self) -> None:
        """Later reports are of another window."""
        self._ends = _Ends()

    def record(self, now: float, *, sent: float) -> None:
        """The response to a request sent then arrived."""
        minute = self._minute_at(now)
        minute.trips += 1
        minute.shortest = min(minute.shortest, now - sent)
        minute.longest = max(minute.longest, now - sent)
        self._lead = self._measured_lead()

    def record_report(self, now: float, *, sent: float, reset_after: float) -> None:
        """The same, and the window closes so long after the response was written."""
        self.record(now, sent=sent)
        minute, ends = self._minute, self._ends
        ends.first_sent = min(ends.first_sent, sent + reset_after)
        ends.last_sent = max(ends.last_sent, sent + reset_after)
        ends.first_received = min(ends.first_received, now + reset_after)
        ends.last_received = max(ends.last_received, now + reset_after)
        minute.shortest = min(minute.shortest, ends.first_received - ends.last_sent)
        minute.spread = max(minute.spread, ends.last_sent - ends.first_sent + ends.last_received - ends.first_received)
        self._lead = self._measured_lead()

    def lead(self, now: float) -> float:
        """How long before its response tells a next write may be sent; 0 if unknown."""
        return self._lead if now < self._minute.since + 2 * REMEMBERED_SECONDS else 0.0

    def _measured_lead(self) -> float:
        minutes = (self._minute, self._before)
        if sum(minute.trips for minute in minutes) < LEAST_TRIPS:
            return 0.0
        shortest = min(minute.shortest for minute in minutes)
        longest = max(minute.longest for minute in minutes)
        spread = max(longest - shortest, *(minute.spread for minute in minutes))
        return max(EARLY_SHARE * shortest - SPREAD_SHARE * spread, 0.0)

    @property
    def spread_there(self) -> float:
        """By how much the ways to the server differ in this window."""
        return max(self._ends.last_sent - self._ends.first_sent, 0.0)

    def _minute_at(self, now: float) -> _Minute:
        if now >= self._minute.since + REMEMBERED_SECONDS:
            is_recent = now < self._minute.since + 2 * REMEMBERED_SECONDS
            self._before, self._minute = self._minute if is_recent else _Minute(), _Minute(now)
        return self._minute
