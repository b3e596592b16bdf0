"""Dead processes: a rule over observed heartbeats, by this process's own clock.

Lock files do not belong here (`adapters.journal.process_lock`).

A missing lock file proves nothing, because anything may remove it. A stopped heartbeat proves nothing either, because a
process may be suspended. An owner is dead if its lock is free, its heartbeat has not changed for two intervals, and the
machine knows no running process of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from adapters.journal.process_lock import LockState, ProcessId

# The owner of released turns.
NO_OWNER = ""


@dataclass(frozen=True, slots=True)
class _Observation:
    """A heartbeat, the time of its first observation in seconds, and the number of observations since."""

    heartbeat: bytes | None
    since: float
    times: int


class LivenessMonitor:
    """Watches owners. `interval` is the time between two heartbeats in seconds; `inspect` reads a lock file."""

    def __init__(
        self,
        interval: float,
        inspect: Callable[[str], LockState],
        *,
        is_running: Callable[[str], bool] | None = None,
    ) -> None:
        self._interval = interval
        self._inspect = inspect
        self._is_running = is_running or _is_running
        self._observations: dict[str, _Observation] = {}

    def observe(self, owners: Iterable[str], now: float) -> None:
        """Observe these owners, and forget all others. `now` is the event loop's time."""
        self._observations = {owner: self._observe_one(owner, now) for owner in owners}

    def is_dead(self, owner: str, now: float) -> bool:
        """Whether the owner's turns are free; False until it was observed for two intervals."""
        if owner == NO_OWNER:
            return True
        observation = self._observations[owner] = self._observe_one(owner, now)
        if observation.times < 2 or now - observation.since < 2 * self._interval:
            return False
        return not self._inspect(owner).held and not self._is_running(owner)

    def _observe_one(self, owner: str, now: float) -> _Observation:
        heartbeat, last = self._inspect(owner).heartbeat, self._observations.get(owner)
        if last is None or (heartbeat is not None and heartbeat != last.heartbeat):
            return _Observation(heartbeat, now, 1)
        # A removed lock file shows no heartbeat: the last observed one stands.
        return _Observation(last.heartbeat, last.since, last.times + 1)


def _is_running(owner: str) -> bool:
    process = ProcessId.parse(owner)
    return process is not None and process.is_running
