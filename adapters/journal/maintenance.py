"""Recurring work on the journal's file: heartbeats, integrity checks, checkpoints, purges, watching other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from adapters.journal.liveness import LivenessMonitor
from adapters.journal.options import JournalOptions
from adapters.journal.process_lock import inspect_lock, lock_file_owners, remove_lock_file
from adapters.journal.sql import Store

# The most time spent on integrity checks beside other processes, whose writes look like foreign ones, as a share of
# all time. A check takes 0.4 s for 100,000 turns.
CHECK_SHARE = 1 / 500

# Seconds until the next purge after a full batch.
NEXT_BATCH_SECONDS = 1.0


class Maintenance:
    """The schedule of recurring work. `now` is the event loop's time; `wall_clock` gives the age of turns."""

    def __init__(self, file: Path, options: JournalOptions, wall_clock: Callable[[], datetime]) -> None:
        self._file = file
        self._options = options
        self._wall_clock = wall_clock
        self._liveness = LivenessMonitor(options.heartbeat_seconds, partial(inspect_lock, file))
        self.next_heartbeat_at: float | None = None  # None before the first
        self._check_at = 0.0
        self._purge_at = 0.0

    def is_dead(self, process_name: str, now: float) -> bool:
        """Whether another process is dead, so that its turns are free."""
        return self._liveness.is_dead(process_name, now)

    def remove_lock_file(self, process_name: str) -> None:
        """Remove the lock file of a dead process."""
        remove_lock_file(self._file, process_name)

    def start_heartbeat(self, now: float) -> bool:
        """Whether a heartbeat is due; if so, schedule the next one."""
        if self.next_heartbeat_at is not None and now < self.next_heartbeat_at:
            return False
        self.next_heartbeat_at = now + self._options.heartbeat_seconds
        return True

    def heartbeat(self, store: Store, process_name: str, restore_lost: Callable[[Store], None], now: float) -> None:
        """Check the file, restore lost turns, erase ended texts from the log, and watch the other processes."""
        owners = store.owners()
        idle = set(lock_file_owners(self._file)) - owners - {process_name}
        self._check_integrity(store, now, alone=not (owners or idle))
        restore_lost(store)
        if store.log_size:
            store.checkpoint()
        self._liveness.observe(owners | idle, now)
        for owner in idle:
            if self._liveness.is_dead(owner, now):
                self.remove_lock_file(owner)

    def start_purge(self, now: float) -> bool:
        """Whether a purge is due; if so, schedule the next one."""
        if now < self._purge_at:
            return False
        self._purge_at = now + self._options.purge_interval_seconds
        return True

    def purge(self, store: Store, now: float) -> None:
        """Delete a batch of old turns; a full batch is followed by another one soon."""
        options, today = self._options, self._wall_clock()
        ended_before = (today - timedelta(days=options.days)).timestamp()
        unfinished_before = (today - timedelta(seconds=options.repair_seconds)).timestamp()
        if store.purge_old(ended_before, unfinished_before, options.purge_batch) == options.purge_batch:
            self._purge_at = now + NEXT_BATCH_SECONDS

    def _check_integrity(self, store: Store, now: float, *, alone: bool) -> None:
        """Read the whole file from time to time, and after a foreign write while no other process runs."""
        if now >= self._check_at or (store.changed_externally and alone):
            started = time.perf_counter()
            store.check_integrity()
            self._check_at = now + (time.perf_counter() - started) / CHECK_SHARE
