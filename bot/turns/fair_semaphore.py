"""Who may be answered now, when more ask than can be at once: a bounded number in all, for each person and each place.

What belongs here: the bounds and the order of those that wait. What does not: what is done in a slot
(`bot.turns.manager`).

The next slot goes to the person who holds the fewest, and among equals to who has waited longest: somebody who asks
twenty things at once is answered, one after the other, and keeps nobody waiting who asks one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Claim:
    person: str
    place: str
    free: asyncio.Future[None]


class FairSemaphore:
    """See the module. Of `total` slots, one person holds at most `per_user`, and one place `per_channel`."""

    def __init__(self, total: int, *, per_user: int, per_channel: int) -> None:
        self._total = total
        self._each_person = per_user
        self._each_place = per_channel
        self._taken = 0
        self._people: Counter[str] = Counter()  # slots held; none at zero
        self._places: Counter[str] = Counter()
        self._waiting: list[_Claim] = []  # in the order they came

    @asynccontextmanager
    async def acquire(self, person: str, place: str) -> AsyncIterator[None]:
        """Hold a slot, once there is one."""
        claim = _Claim(person, place, asyncio.get_running_loop().create_future())
        self._waiting.append(claim)
        self._give()
        try:
            await claim.free
        except asyncio.CancelledError:
            if claim in self._waiting:
                self._waiting.remove(claim)
            else:
                self._return(claim)
            raise
        try:
            yield
        finally:
            self._return(claim)

    def _give(self) -> None:
        """Give what is free to those who come first."""
        while self._taken < self._total:
            able = [claim for claim in self._waiting if self._may(claim) and not claim.free.done()]
            if not able:
                return
            claim = min(able, key=lambda claim: self._people[claim.person])  # the first of equals
            self._waiting.remove(claim)
            self._taken += 1
            self._people[claim.person] += 1
            self._places[claim.place] += 1
            claim.free.set_result(None)

    def _may(self, claim: _Claim) -> bool:
        return self._people[claim.person] < self._each_person and self._places[claim.place] < self._each_place

    def _return(self, claim: _Claim) -> None:
        self._taken -= 1
        for held, name in ((self._people, claim.person), (self._places, claim.place)):
            held[name] -= 1
            if not held[name]:
                del held[name]
        self._give()
