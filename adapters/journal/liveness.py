"""Which owners are dead: a rule over what is seen of them, by this process's own clock.

What belongs here: how long each heartbeat has stood still, and the rule. What does not: lock files
(`adapters.journal.process_lock`).

A lock file that is missing proves nothing, since anybody may remove it. A heartbeat that stands still proves nothing
either, since a process may be suspended. An owner is dead if nobody holds its lock, its heartbeat has stood still for
two intervals, and the machine does not know a running process of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from adapters.journal.process_lock import LockState, ProcessId

# An owner of this name has let go of its turns: it ended.
NO_OWNER = ""


@dataclass(frozen=True, slots=True)
class _Observation:
    """A heartbeat, when it was seen for the first time (in seconds), and how often since."""

    heartbeat: bytes | None
    since: float
    times: int


class LivenessMonitor:
    """Watches owners. `interval` is the time between two heartbeats in seconds, `inspect` reads a lock file."""

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
        """Look at these owners, and forget all others. `now` is the event loop's time."""
        self._observations = {owner: self._observe_one(owner, now) for owner in owners}

    def is_dead(self, owner: str, now: float) -> bool:
        """Whether the owner's turns are free; False until it was watched for two intervals."""
        if owner == NO_OWNER:
            return True
        seen = self._observations[owner] = self._observe_one(owner, now)
        if seen.times < 2 or now - seen.since < 2 * self._interval:
            return False
        return not self._inspect(owner).held and not self._is_running(owner)

    def _observe_one(self, owner: str, now: float) -> _Observation:
        heartbeat, seen = self._inspect(owner).heartbeat, self._observations.get(owner)
        if seen is None or (heartbeat is not None and heartbeat != seen.heartbeat):
            return _Observation(heartbeat, now, 1)
        # A lock file that has just been removed shows no beat: the last one that was seen stands.
        return _Observation(seen.heartbeat, seen.since, seen.times + 1)


def _is_running(owner: str) -> bool:
    process = ProcessId.read(owner)
    return process is not None and process.is_running
