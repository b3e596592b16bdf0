"""Keeps a journal's file, and goes on without it where it cannot be used.

What belongs here: what is done when the file breaks, moves or is cut (the live turns are written again from memory),
the heartbeat, and how long turns are kept. What does not: statements (`adapters.journal.sql`) and threads
(`adapters.journal.sqlite`): all of this runs in one.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from adapters.journal.errors import JournalBroken, translate_errors
from adapters.journal.file_state import files_lock, move_aside, sibling
from adapters.journal.live_turns import LiveTurns
from adapters.journal.liveness import LivenessMonitor
from adapters.journal.operations import Accept, Drop, Operation
from adapters.journal.process_lock import ProcessLock, inspect_lock, lock_file_owners, remove_lock_file
from adapters.journal.sql import REBUILT_SUFFIX, Connect, Damage, Store, connect, rebuild
from bot.conversation import TurnKey
from bot.ports import UnfinishedTurn

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often a file must be found corrupt, each time opened anew, before it is moved aside. Read by `JournalFallback`.
CORRUPT_TRIALS = 2

# A check of the whole file takes 0.4 s for 100,000 turns. Beside other processes, whose writes look like damage from
# outside, it takes at most this share of the time.
CHECK_SHARE = 1 / 500


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """How a journal is kept. Times in seconds, but for `days`."""

    # An ended turn is remembered this long, so that its event is known again. Platforms deliver again within minutes;
    # a week shows an operator what happened over the weekend.
    days: float = 7.0
    # An unfinished one is never forgotten before this, in which it may still be gone on with.
    repair_seconds: float = 86_400.0
    # A broken file is left alone for this long, so that few answers wait for it; a disk with room again is found soon.
    retry_seconds: float = 2.0
    # From one heartbeat to the next. A process counts as dead after two without one, so another takes over its turns
    # within seconds. With each, the file is checked, and ended texts are erased from its log.
    heartbeat_seconds: float = 2.0
    # Live turns that memory can write again; beyond, the oldest are forgotten. 10,000 are 5 hours at ten a minute, and
    # some megabytes.
    max_live_turns: int = 10_000
    # Ended turns that are known again while the file cannot be asked. Platforms deliver again within minutes, in which
    # few bots receive as many; about 300 bytes each.
    known: int = 2_000
    # How often old turns are looked for, and how many are forgotten at once: some milliseconds of work.
    purge_interval_seconds: float = 60.0
    purge_batch: int = 500


class JournalFallback:
    """A journal's file and what stands in for it. Every method returns, whatever the file does.

    `now` is the event loop's time, by which a broken file is left alone for a while; `wall_clock` says how old a turn
    is, to a process that was not there. `connect` opens the file; tests have another.
    """

    def __init__(
        self, file: Path, options: JournalOptions, wall_clock: Callable[[], datetime], connect: Connect = connect
    ) -> None:
        self._file = file.absolute()  # a working folder may be removed
        self._options = options
        self._wall_clock = wall_clock
        self._connect = connect
        self._owner: ProcessLock | None = None
        self._store: Store | None = None
        self._was_open = False
        self._liveness = LivenessMonitor(options.heartbeat_seconds, partial(inspect_lock, self._file))
        self._turns = LiveTurns(live=options.max_live_turns, ended=options.known)
        # Operations on turns that are not this process's, which the broken file has missed.
        self._missed: deque[Operation] = deque(maxlen=options.max_live_turns)
        self._retry_at = 0.0
        self._purge_at = 0.0
        self.next_heartbeat_at: float | None = (
            None  # the next heartbeat, by the event loop's time; None before the first
        )
        self._healthy_at = 0.0
        self._check_at = 0.0
        # Both are read by other threads. A recovered file is reported until the next heartbeat finds it sound.
        self.degraded = False
        self.recovering = False

    def write(self, operations: Sequence[Operation], now: float) -> list[bool]:
        """Write these, all at once; for each whether it was new, which is False of a turn that is known already."""
        fresh = list(self._fresh(operations))
        wanted = [operation for operation, is_fresh in zip(operations, fresh, strict=True) if is_fresh]
        done = self._with_store(lambda store: store.apply(wanted), now)
        if done is None:
            done = [True] * len(wanted)  # memory stands in, and is written once the file can be used
            foreign = (each for each in wanted if each.key not in self._turns and not isinstance(each, Accept))
            self._missed.extend(foreign)
        for operation, new in zip(wanted, done, strict=True):
            if new or not isinstance(operation, Accept):
                self._turns.apply(operation)
        results = iter(done)
        return [next(results) if is_fresh else False for is_fresh in fresh]

    def claim(self, platform: str, now: float) -> list[UnfinishedTurn]:
        """Take over the unfinished turns of dead processes; none while the file is broken."""
        dead: set[str] = set()

        def is_dead(owner: str) -> bool:
            if found := self._liveness.is_dead(owner, now):
                dead.add(owner)
            return found

        at = self._wall_clock().timestamp()
        records = self._with_store(lambda store: store.claim(platform, at, is_dead), now) or []
        self._turns.claim(records, at)
        for owner in dead if records else ():
            remove_lock_file(self._file, owner)
        return records

    def spend(self, calls: Sequence[tuple[str, float]], now: float) -> None:
        """Remember calls of rate limits, each with its time in seconds since 1970; not while the file is broken."""
        self._with_store(lambda store: store.spend(calls), now)

    def spent(self, budget: str, seconds: float, now: float) -> list[float]:
        """How many seconds ago each call of a rate limit was sent, by any process."""
        at = self._wall_clock().timestamp()
        found = self._with_store(lambda store: store.spent(budget, at - seconds), now) or []
        return [max(at - one, 0.0) for one in found]

    def maintain(self, now: float) -> None:
        """Beat, check the file, and forget old turns, each if it is time to."""
        if self.next_heartbeat_at is None or now >= self.next_heartbeat_at:
            self.next_heartbeat_at = now + self._options.heartbeat_seconds
            self._with_store(partial(self._maintain, now=now), now)
            if self._owner is not None:
                with suppress(OSError):  # a full disk: the lock is still held
                    self._owner.heartbeat()
            if not self.degraded and now >= self._healthy_at:
                self.recovering = False
        self._purge(now)

    def close(self) -> None:
        """Write what memory holds if possible, and let go of the file and of what is unfinished."""
        self._retry_at = 0.0
        if self._store is not None or len(self._turns) or self._turns.dropped or self._missed:
            self._with_store(Store.release, 0.0)
        self._shut()
        if self._owner is not None:
            self._owner.release()

    # ------------------------------------------------------------------------------------------------------- its rounds

    def _fresh(self, operations: Sequence[Operation]) -> list[bool]:
        """For each whether there is something to write, as far as this process knows by itself."""
        found: list[bool] = []
        seen: dict[TurnKey, bool] = {}
        for operation in operations:
            is_known = seen.get(operation.key, operation.key in self._turns)
            found.append(not (isinstance(operation, Accept) and is_known))
            if isinstance(operation, Accept | Drop):
                seen[operation.key] = isinstance(operation, Accept)
        return found

    def _maintain(self, store: Store, now: float) -> None:
        owners = store.owners()
        idle = set(lock_file_owners(self._file)) - owners - {self._owner.name if self._owner else ""}
        if now >= self._check_at or (store.changed_externally and not (owners or idle)):
            began = time.perf_counter()
            store.check_integrity()
            self._check_at = now + (time.perf_counter() - began) / CHECK_SHARE
        if store.is_missing(self._turns):
            log.warning("journal %s: it has lost turns, so they are written again", self._file)
            store.restore(self._turns)
            self._recovered(now)
        if store.log_size:
            store.checkpoint()
        self._liveness.observe(owners | idle, now)
        for owner in idle:
            if self._liveness.is_dead(owner, now):
                remove_lock_file(self._file, owner)

    def _purge(self, now: float) -> None:
        """Forget old turns, a few at a time."""
        if now < self._purge_at or self._store is None:
            return
        options, today = self._options, self._wall_clock()
        ended = (today - timedelta(days=options.days)).timestamp()
        unfinished = (today - timedelta(seconds=options.repair_seconds)).timestamp()
        forgotten = self._with_store(lambda store: store.purge_old(ended, unfinished, options.purge_batch), now)
        more = forgotten == options.purge_batch
        self._purge_at = now + (1.0 if more else options.purge_interval_seconds)

    # ---------------------------------------------------------------------------------------------------- what may fail

    def _with_store(self, action: Callable[[Store], T], now: float) -> T | None:
        """Do something with the file; None where it cannot be used, or is left alone because it could not be."""
        if now < self._retry_at:
            return None
        try:
            done = self._attempt(action, now)
        except JournalBroken as broken:
            self._break(broken, now)
            return None
        if self.degraded:
            log.info("the journal works again", extra={"file": str(self._file)})
            self.degraded = False
        return done

    def _attempt(self, action: Callable[[Store], T], now: float) -> T:
        """Do it; with a corrupt file once more, since another process may have begun a new one, then in a new one."""
        for trial in itertools.count():
            try:
                with translate_errors(self._file):
                    if trial == CORRUPT_TRIALS:
                        self._move_aside()
                    store = self._undamaged(now)
                    done = action(store)
                    store.record_states()
                    return done
            except JournalBroken as broken:
                self._shut()
                if trial == CORRUPT_TRIALS or not broken.corrupt:
                    raise
        raise AssertionError("unreachable: the last trial raises")

    def _undamaged(self, now: float) -> Store:
        """The open file; recovered first if somebody removed, replaced or cut it."""
        if self._store is not None and (damage := self._store.damage()) is not None:
            log.error("journal %s: %s, so the live turns are written again", self._file, damage.value)
            self._recovered(now)
            self._recover(self._store, damage)
        if self._store is None:
            self._store = self._opened()
        return self._store

    def _recovered(self, now: float) -> None:
        self.recovering = True
        self._healthy_at = now + self._options.heartbeat_seconds

    def _recover(self, store: Store, damage: Damage) -> None:
        """Leave damaged files in a state that can be opened; the store is closed."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files_lock(self._file):
            damage = store.damage() or damage  # another process may have recovered the file while this one waited
            match damage:
                case Damage.REPLACED:
                    store.files.remove_logs()
                case Damage.TRUNCATED:
                    move_aside(self._file, self._aside_name())
            self._store = None
            store.close()
            if damage is Damage.LOG_REPLACED:
                rebuild(self._file, self._connect)

    def _opened(self) -> Store:
        """Open the file, and write again what it lacks of this process's turns."""
        if self._was_open:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._owner is None:
            self._owner = ProcessLock(self._file)
        with files_lock(self._file):
            sibling(self._file, REBUILT_SUFFIX).unlink(missing_ok=True)  # a process was killed over it
            store = Store(self._file, self._owner.name, self._connect)
        self._was_open = True
        try:
            if self._missed:  # before: what was accepted later is not meant
                store.apply(self._missed)
                self._missed.clear()
            if len(self._turns) or self._turns.dropped:
                store.restore(self._turns)
            store.checkpoint()  # ended texts that a killed process left in the log
        except BaseException:
            store.close()
            raise
        return store

    def _break(self, broken: JournalBroken, now: float) -> None:
        self._shut()  # what is opened anew has none of the old one's troubles
        self._retry_at = now + self._options.retry_seconds
        if not self.degraded:
            line = "journal %s. Answers go on, but those that are live are lost with this process"
            log.error(line, broken)
        self.degraded = True

    def _shut(self) -> None:
        store, self._store = self._store, None
        if store is None:
            return
        with suppress(JournalBroken, OSError), files_lock(self._file):
            with translate_errors(self._file):
                store.close()
            return
        with suppress(JournalBroken), translate_errors(self._file):
            store.close()

    def _move_aside(self) -> None:
        """Begin a new file; the old one is kept for whoever can read something in it."""
        name = self._aside_name()
        with files_lock(self._file):
            move_aside(self._file, name)
        log.error(
            "journal %s: it is corrupt, so it was moved to %s and a new one begun. What earlier processes left "
            "unfinished in it stays so",
            self._file,
            name,
        )

    def _aside_name(self) -> str:
        return f"{self._file.name}.corrupt-{self._wall_clock():%Y%m%d-%H%M%S}"
