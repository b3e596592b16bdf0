"""How many of a kind are done in one round of the event loop, so that the rest of the program gets its turn.

What belongs here: that bound, and the line of those who wait for the next round. What does not: how long anything
takes, or how many are under way, which nobody bounds but `bot.turns.manager`.

Making a request takes the SDK, httpx2 and aiohttp about a millisecond of processor time in one piece, taking in what a
stream has sent 50 us. Where a thousand questions come at once, or a thousand streams have something to be read because
the machine was busy elsewhere, all of them in a row would stop everything else for a second or for a twentieth; a few
in each round do not. Who comes while few do is let through at once.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Rounds:
    """See the module's docstring. `at_once` are let through in one round, in the order they come."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._left = at_once  # in this round
        self._line: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place in this round; false, and nothing is done, where none is left. Then `wait` for a later one."""
        if self._left == 0:
            return False
        if self._left == self._at_once:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._next, loop)
        self._left -= 1
        return True

    async def wait(self) -> None:
        """Take a place in a later round, behind those who wait already."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        await place

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._at_once
        while self._line and self._left:
            place = self._line.popleft()
            if not place.done():  # whoever stood there was cancelled
                place.set_result(None)
                self._left -= 1
        if self._left < self._at_once:
            loop.call_soon(self._next, loop)
