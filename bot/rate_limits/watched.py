"""Watchers of a limit that may open earlier than it told, for a reason unknown to the pacer."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from bot.rate_limits.base import RateLimitBase


class WatchedLimit(RateLimitBase):
    """A limit that wakes its watchers."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers: dict[Callable[[], object], None] = {}

    def _wake(self) -> None:
        for changed in tuple(self._watchers):
            changed()

    @override
    def watch(self, changed: Callable[[], object]) -> None:
        self._watchers[changed] = None

    @override
    def unwatch(self, changed: Callable[[], object]) -> None:
        self._watchers.pop(changed, None)
