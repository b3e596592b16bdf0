"""Bounded caches on the event loop's clock.

`LRUCache` forgets the least recently used entry. `expiring` makes a cache whose entries also expire.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from cachetools import LRUCache, TTLCache

__all__ = ["LRUCache", "TTLCache", "expiring", "loop_time"]

K = TypeVar("K")
V = TypeVar("V")


def loop_time() -> float:
    """The running event loop's time, in seconds."""
    return asyncio.get_running_loop().time()


def expiring(limit: int, seconds: float) -> TTLCache[K, V]:
    """A cache of at most `limit` entries, each valid for `seconds` after it was set."""
    return TTLCache(limit, seconds, timer=loop_time)
