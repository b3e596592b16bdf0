"""Keeps a journal's file, and goes on without it where it cannot be used.

What belongs here: what is done when the file breaks (memory in its place, a line in the log, another try later, what
was missed written then), and how long turns are kept. What does not: statements (`adapters.journal.store`) and threads
(`adapters.journal.sqlite`): all of this runs in one.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from adapters.journal.errors import JournalBroken, translated
from adapters.journal.owner import Owner, is_gone
from adapters.journal.owner import tidy as tidy_owners
from adapters.journal.store import Accept, Connect, Drop, Ended, Keep, Operation, Store, connect
from bot.conversation import Ending, TurnKey
from bot.ports import Record

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often a file must be found corrupt, each time opened anew, before it is moved aside. Read by `Keeper`.
CORRUPT_TRIALS = 2


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """How a journal is kept. Times in seconds, but for `days`."""

    # An ended turn is remembered this long, so that its event is known again. Platforms deliver again within minutes;
    # a week shows an operator what happened over the weekend.
    days: float = 7.0
    # An unfinished one is never forgotten before this, in which it may still be gone on with.
    repair_seconds: float = 86_400.0
    # A broken file is left alone for this long, so that few answers wait for it; a disk with room again is found soon.
    retry_seconds: float = 5.0
    # Operations that wait for a broken file, and live turns; beyond, the oldest are forgotten. 10,000 are 5 hours at
    # ten a minute, and some megabytes.
    remembered: int = 10_000
    # Turns that are known again while the file cannot be asked. Platforms deliver again within minutes, in which few
    # bots receive as many; about 300 bytes each.
    known: int = 2_000
    # How often old turns are looked for, and how many are forgotten at once: some milliseconds of work.
    tidy_seconds: float = 60.0
    tidy_turns: int = 500


class Keeper:
    """A journal's file and what stands in for it. Every method returns, whatever the file does.

    `now` is the event loop's time, by which a broken file is left alone for a while; `wall_clock` says how old a turn
    is, to a process that was not there. `connect` opens the file; tests have another.
    """

    def __init__(
        self, file: Path, options: KeeperOptions, wall_clock: Callable[[], datetime], connect: Connect = connect
    ) -> None:
        self._file = file
        self._options = options
        self._wall_clock = wall_clock
        self._connect = connect
        self._owner: Owner | None = None
        self._store: Store | None = None
        self._known: OrderedDict[str, None] = OrderedDict()  # digests of turns that were accepted here
        self._unended: dict[TurnKey, list[Operation]] = {}  # what was written of turns that have not ended
        self._missed: deque[Operation] = deque(maxlen=options.remembered)  # not written yet: the file was broken
        self._retry_at = 0.0
        self._tidy_at = 0.0
        self.degraded = False  # read by other threads

    def write(self, operations: Sequence[Operation], now: float) -> list[bool]:
        """Write these, all at once; for each whether it was new, which is False of a turn that is known already."""
        new = [self._is_new(operation) for operation in operations]
        wanted = [operation for operation, fresh in zip(operations, new, strict=True) if fresh]
        missed = list(self._missed)
        done = self._with_store(lambda store: store.apply([*missed, *wanted])[len(missed) :], now)
        if done is None:
            self._missed = deque(_without_ended_texts([*missed, *wanted]), self._missed.maxlen)
            return new
        self._missed.clear()
        self._note([*missed, *wanted])
        results = iter(done)
        return [next(results) if fresh else False for fresh in new]

    def take(self, platform: str, now: float) -> list[Record]:
        """Take over the unfinished turns of processes that run no more; none while the file is broken."""
        if self._missed:
            self.write([], now)
        gone, at = partial(is_gone, self._file), self._wall_clock().timestamp()
        return self._with_store(lambda store: store.take(platform, at, gone), now) or []

    def tidy(self, now: float) -> None:
        """Forget old turns, a few at a time, if it is time to."""
        if now < self._tidy_at or self._store is None:
            return
        options, today = self._options, self._wall_clock()
        ended = (today - timedelta(days=options.days)).timestamp()
        unfinished = (today - timedelta(seconds=options.repair_seconds)).timestamp()
        forgotten = self._with_store(lambda store: store.tidy(ended, unfinished, options.tidy_turns), now)
        more = forgotten == options.tidy_turns
        self._tidy_at = now + (1.0 if more else options.tidy_seconds)

    def close(self) -> None:
        """Write what was missed, if that is possible now, and let go of the file and of what is unfinished."""
        self._retry_at = 0.0
        if self._missed:
            self.write([], 0.0)
        self._shut()
        if self._owner is not None:
            self._owner.release()

    # ---------------------------------------------------------------------------------------------------- what it knows

    def _is_new(self, operation: Operation) -> bool:
        """Whether there is something to write, as far as this process knows by itself."""
        digest = operation.key.digest
        if isinstance(operation, Drop):
            self._known.pop(digest, None)
        if not isinstance(operation, Accept):
            return True
        if digest in self._known:
            return False
        self._known[digest] = None
        if len(self._known) > self._options.known:
            self._known.popitem(last=False)
        return True

    def _note(self, operations: Sequence[Operation]) -> None:
        """Remember what a new file has to be told: only of turns that are live, so there are few."""
        for operation in operations:
            match operation:
                case Accept(key):
                    self._unended[key] = [operation]
                case Ended(key, ending) if ending is not Ending.INTERRUPTED:
                    self._unended.pop(key, None)
                case Drop(key):
                    self._unended.pop(key, None)
                case _ if operation.key in self._unended:
                    self._unended[operation.key].append(operation)
        while len(self._unended) > self._options.remembered:
            del self._unended[next(iter(self._unended))]

    # ---------------------------------------------------------------------------------------------------- what may fail

    def _with_store(self, action: Callable[[Store], T], now: float) -> T | None:
        """Do something with the file; None where it cannot be used, or is left alone because it could not be."""
        if now < self._retry_at:
            return None
        try:
            done = self._attempt(action)
        except JournalBroken as broken:
            self._break(broken, now)
            return None
        if self.degraded:
            log.info("the journal works again", extra={"file": str(self._file)})
        self.degraded = False
        return done

    def _attempt(self, action: Callable[[Store], T]) -> T:
        """Do it; with what is corrupt once more, since another process may have begun a new file, then in a new one."""
        for trial in itertools.count():
            try:
                with translated(self._file):
                    if trial == CORRUPT_TRIALS:
                        self._move_aside()
                    store = self._opened()
                    store.check()
                    return action(store)
            except JournalBroken as broken:
                self._shut()
                if trial == CORRUPT_TRIALS or not broken.corrupt:
                    raise
                if not self._file.exists():
                    log.error("journal %s, so a new one is begun", broken)  # noqa: TRY400 (one line says it)
        raise AssertionError("unreachable: the last trial raises")

    def _opened(self) -> Store:
        if self._owner is None:
            self._owner = Owner(self._file)
            tidy_owners(self._file)
        if self._store is None:
            self._store = Store(self._file, self._owner.name, self._connect)
            # It may be a new file, since somebody removed the old one or it was corrupt.
            self._store.apply([operation for operations in self._unended.values() for operation in operations])
        return self._store

    def _break(self, broken: JournalBroken, now: float) -> None:
        self._shut()  # what is opened anew has none of the old one's troubles
        self._retry_at = now + self._options.retry_seconds
        if not self.degraded:
            line = "journal %s. Answers go on, but those that are live are lost with this process"
            log.error(line, broken)
        self.degraded = True

    def _shut(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with suppress(JournalBroken), translated(self._file):
                store.close()

    def _move_aside(self) -> None:
        """Begin a new file; the old one, and the log beside it, are kept for whoever can read something in them."""
        suffix = f".corrupt-{self._wall_clock():%Y%m%d-%H%M%S}"
        for beside in ("-wal", "-shm", ""):  # the file itself last: what is left of a half-done move is tried again
            old = self._file.with_name(self._file.name + beside)
            if old.exists():
                old.rename(old.with_name(f"{self._file.name}{suffix}{beside}"))
        log.error(
            "journal %s: it is corrupt, so it was moved to %s and a new one begun. What earlier processes left "
            "unfinished in it stays so",
            self._file,
            f"{self._file.name}{suffix}",
        )


def _without_ended_texts(operations: Sequence[Operation]) -> Sequence[Operation]:
    """The same, with no question's text of a turn that has ended: none is kept longer than the turn needs."""
    ended: set[TurnKey] = set()
    kept: deque[Operation] = deque()
    for operation in reversed(operations):  # an end comes after what it ends
        if isinstance(operation, Ended) and operation.ending is not Ending.INTERRUPTED:
            ended.add(operation.key)
        if isinstance(operation, Accept) and operation.key in ended:
            kept.appendleft(replace(operation, event=""))
        elif not (isinstance(operation, Keep) and operation.key in ended):
            kept.appendleft(operation)
    return kept
