"""The journal's file with memory as its fallback.

Recovery of a damaged file (`adapters.journal.file_recovery`), recurring work (`adapters.journal.maintenance`) and
threads (`adapters.journal.sqlite`) do not belong here: all of this runs in one thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from adapters.journal.errors import JournalBroken
from adapters.journal.file_recovery import RecoverableFile
from adapters.journal.live_turns import LiveTurns
from adapters.journal.maintenance import Maintenance
from adapters.journal.operations import Accept, Drop, Operation
from adapters.journal.options import JournalOptions
from adapters.journal.sql import Connect, Store, connect
from bot.conversation import TurnKey
from bot.journal import Answered
from bot.ports import UnfinishedTurn

log = logging.getLogger(__name__)

T = TypeVar("T")


class JournalFallback:
    """A journal's file, and this process's turns in memory for as long as the file is broken. Only bugs raise.

    Parameters named `now` are the event loop's time; `wall_clock` gives the age of turns across processes. Tests pass
    their own `connect`.
    """

    def __init__(
        self, file: Path, options: JournalOptions, wall_clock: Callable[[], datetime], connect: Connect = connect
    ) -> None:
        self._path = file.absolute()  # the working folder may be removed
        self._options = options
        self._wall_clock = wall_clock
        self._file = RecoverableFile(
            self._path, wall_clock, connect, restore=self._restore, on_recovery=self._start_recovering
        )
        self._maintenance = Maintenance(self._path, options, wall_clock)
        self._turns = LiveTurns(live=options.max_live_turns, ended=options.max_ended_turns)
        # Operations on other processes' turns, missing in the broken file.
        self._missed: deque[Operation] = deque(maxlen=options.max_live_turns)
        self._retry_at = 0.0
        self._healthy_at = 0.0
        # Other threads read both. `recovering` lasts from a recovery until a later heartbeat finds the file healthy.
        self.degraded = False
        self.recovering = False

    @property
    def next_heartbeat_at(self) -> float | None:
        """The event loop's time of the next heartbeat; None before the first."""
        return self._maintenance.next_heartbeat_at

    def write(self, operations: Sequence[Operation], now: float) -> list[bool]:
        """Write all operations in one transaction; returns for each whether it changed anything.

        False for an `Accept` means a known turn.
        """
        is_fresh = self._fresh(operations)
        fresh = [operation for operation, fresh in zip(operations, is_fresh, strict=True) if fresh]
        changed = self._with_store(lambda store: store.apply(fresh), now)
        if changed is None:
            changed = [True] * len(fresh)  # held in memory until the file can be used
            foreign = (each for each in fresh if each.key not in self._turns and not isinstance(each, Accept))
            self._missed.extend(foreign)
        for operation, has_changed in zip(fresh, changed, strict=True):
            if has_changed or not isinstance(operation, Accept):
                self._turns.apply(operation)
        results = iter(changed)
        return [next(results) if fresh else False for fresh in is_fresh]

    def claim(self, platform: str, now: float) -> list[UnfinishedTurn]:
        """Take over the unfinished turns of dead processes; empty while the file is broken."""
        dead: set[str] = set()

        def is_dead(owner: str) -> bool:
            if found := self._maintenance.is_dead(owner, now):
                dead.add(owner)
            return found

        at = self._wall_clock().timestamp()
        claimed = self._with_store(lambda store: store.claim(platform, at, is_dead), now) or []
        self._turns.add_claimed(claimed, at)
        for owner in dead if claimed else ():
            self._maintenance.remove_lock_file(owner)
        return claimed

    def newest_answer(self, question: TurnKey, now: float) -> Answered | None:
        """The newest answer to a question in the file; while the file is broken, of this process alone."""
        stored = self._with_store(lambda store: store.newest_answer(question), now)
        return stored or self._turns.newest_answer(question)

    def rows(self, keys: Sequence[TurnKey], now: float) -> list[dict[str, object]]:
        """What the file holds about these turns; empty while it is broken."""
        return self._with_store(lambda store: store.rows(keys), now) or []

    def record_calls(self, calls: Sequence[tuple[str, float]], now: float) -> None:
        """Store rate-limited calls: the limit's name, and seconds since 1970. Discarded while the file is broken."""
        self._with_store(lambda store: store.record_calls(calls), now)

    def recent_calls(self, limit: str, seconds: float, now: float) -> list[float]:
        """The ages, in seconds, of all processes' calls under a rate limit within the last `seconds`."""
        at = self._wall_clock().timestamp()
        calls = self._with_store(lambda store: store.recent_calls(limit, at - seconds), now) or []
        return [max(at - call, 0.0) for call in calls]

    def maintain(self, now: float) -> None:
        """Run the heartbeat and the purge if they are due."""
        if self._maintenance.start_heartbeat(now):
            self._with_store(lambda store: self._heartbeat(store, now), now)
            self._file.heartbeat()
            if not self.degraded and now >= self._healthy_at:
                self.recovering = False
        if self._file.is_open and self._maintenance.start_purge(now):
            self._with_store(lambda store: self._maintenance.purge(store, now), now)

    def close(self) -> None:
        """Write the turns in memory if possible, release the unfinished ones to other processes, and close the file."""
        self._retry_at = 0.0
        if self._file.is_open or len(self._turns) or self._turns.dropped or self._missed:
            self._with_store(Store.release, 0.0)
        self._file.close()

    def _fresh(self, operations: Sequence[Operation]) -> list[bool]:
        """For each operation whether it needs the file, from this process's own knowledge."""
        fresh: list[bool] = []
        known: dict[TurnKey, bool] = {}
        for operation in operations:
            is_known = known.get(operation.key, operation.key in self._turns)
            fresh.append(not (isinstance(operation, Accept) and is_known))
            if isinstance(operation, Accept | Drop):
                known[operation.key] = isinstance(operation, Accept)
        return fresh

    def _heartbeat(self, store: Store, now: float) -> None:
        def restore_lost(store: Store) -> None:
            if store.is_missing(self._turns):
                log.warning("journal %s: it has lost turns, so they are written again", self._path)
                store.restore(self._turns)
                self._start_recovering(now)

        self._maintenance.heartbeat(store, self._file.process_name, restore_lost, now)

    def _with_store(self, action: Callable[[Store], T], now: float) -> T | None:
        """The result of an action on the file; None if the file is broken, or was within `retry_seconds`."""
        if now < self._retry_at:
            return None
        try:
            result = self._file.run(action, now)
        except JournalBroken as broken:
            self._start_degraded(broken, now)
            return None
        if self.degraded:
            log.info("the journal works again", extra={"file": str(self._path)})
            self.degraded = False
        return result

    def _restore(self, store: Store) -> None:
        """Write the missing operations and turns into a newly opened file."""
        if self._missed:  # first: they are older than any turn accepted since under the same key
            store.apply(self._missed)
            self._missed.clear()
        if len(self._turns) or self._turns.dropped:
            store.restore(self._turns)

    def _start_recovering(self, now: float) -> None:
        self.recovering = True
        self._healthy_at = now + self._options.heartbeat_seconds

    def _start_degraded(self, broken: JournalBroken, now: float) -> None:
        self._retry_at = now + self._options.retry_seconds
        if not self.degraded:
            log.error("journal %s. Answers continue, but unfinished ones are lost with this process", broken)
        self.degraded = True
