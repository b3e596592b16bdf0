"""A mapping that forgets what was used least recently. Nothing of Slack's is known here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `limit` entries; reading or writing one makes it the newest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, which counts as a use; None if there is none."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> V | None:
        """Set a value; where there are too many then, forget the oldest and return its value."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        return self.drop_oldest() if len(self._entries) > self._limit else None

    def drop_oldest(self) -> V | None:
        """Forget the entry used least recently and return its value."""
        return self._entries.popitem(last=False)[1] if self._entries else None

    def pop(self, key: K) -> V | None:
        """Forget one entry and return its value, if it was there."""
        return self._entries.pop(key, None)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> Iterator[V]:
        """All values, the least recently used first."""
        return iter(tuple(self._entries.values()))
