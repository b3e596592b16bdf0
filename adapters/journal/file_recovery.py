"""Opens the journal's file, and recovers it after it was removed, replaced, cut or corrupted.

SQL (`adapters.journal.sql`) and a file that cannot be used at all (`adapters.journal.fallback`) do not belong here.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from adapters.journal.errors import JournalBroken, translate_errors
from adapters.journal.file_state import files_lock, move_aside, sibling
from adapters.journal.process_lock import ProcessLock
from adapters.journal.sql import REBUILT_SUFFIX, Connect, Damage, Store, rebuild

log = logging.getLogger(__name__)

T = TypeVar("T")

# Attempts on a corrupt file, each after reopening it, before it is moved aside.
CORRUPT_TRIALS = 2


class RecoverableFile:
    """A journal's file, opened on demand and reopened after damage.

    `restore` runs after each opening: it writes the turns that the file lacks. `on_recovery` receives the time of
    `run` when damage was found.
    """

    def __init__(
        self,
        file: Path,
        wall_clock: Callable[[], datetime],
        connect: Connect,
        *,
        restore: Callable[[Store], None],
        on_recovery: Callable[[float], None],
    ) -> None:
        self._file = file
        self._wall_clock = wall_clock
        self._connect = connect
        self._restore = restore
        self._on_recovery = on_recovery
        self._lock: ProcessLock | None = None
        self._store: Store | None = None
        self._was_open = False

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._store is not None

    @property
    def process_name(self) -> str:
        """The name under which this process owns turns; empty before the first opening."""
        return self._lock.name if self._lock is not None else ""

    def heartbeat(self) -> None:
        """Update this process's lock file, if there is one."""
        if self._lock is not None:
            with suppress(OSError):  # a full disk: the lock is still held
                self._lock.heartbeat()

    def run(self, action: Callable[[Store], T], now: float) -> T:
        """Run an action on the open file; `now` is the event loop's time.

        A corrupt file is reopened once, because another process may have started a new one, and then moved aside.
        Raises `JournalBroken`; the file is closed then.
        """
        for trial in itertools.count():
            try:
                with translate_errors(self._file):
                    if trial == CORRUPT_TRIALS:
                        self._move_aside()
                    store = self._undamaged(now)
                    result = action(store)
                    store.record_states()
                    return result
            except JournalBroken as broken:
                self._close_store()  # the next opening has none of this connection's problems
                if trial == CORRUPT_TRIALS or not broken.corrupt:
                    raise
        raise AssertionError("unreachable: the last trial raises")

    def close(self) -> None:
        """Close the file, and remove this process's lock file."""
        self._close_store()
        if self._lock is not None:
            self._lock.release()

    def _undamaged(self, now: float) -> Store:
        """The open file, recovered first if it was removed, replaced or cut."""
        if self._store is not None and (damage := self._store.detect_damage()) is not None:
            log.error("journal %s: %s, so the live turns are written again", self._file, damage.value)
            self._on_recovery(now)
            self._recover(self._store, damage)
        if self._store is None:
            self._store = self._open()
        return self._store

    def _recover(self, store: Store, damage: Damage) -> None:
        """Close the store, and leave its files in a state that SQLite can open."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files_lock(self._file):
            damage = store.detect_damage() or damage  # another process may have recovered the file in the meantime
            match damage:
                case Damage.REPLACED:
                    store.files.remove_logs()
                case Damage.TRUNCATED:
                    move_aside(self._file, self._corrupt_name())
            self._store = None
            store.close()
            if damage is Damage.LOG_REPLACED:
                rebuild(self._file, self._connect)

    def _open(self) -> Store:
        if self._was_open:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = ProcessLock(self._file)
        with files_lock(self._file):
            sibling(self._file, REBUILT_SUFFIX).unlink(missing_ok=True)  # left by a process killed during `rebuild`
            store = Store(self._file, self._lock.name, self._connect)
        self._was_open = True
        try:
            self._restore(store)
            store.checkpoint()  # erases the ended texts of a killed process from the log
        except BaseException:
            store.close()
            raise
        return store

    def _close_store(self) -> None:
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
        """Rename the corrupt file, for an operator to inspect; the next opening creates a new one."""
        name = self._corrupt_name()
        with files_lock(self._file):
            move_aside(self._file, name)
        log.error(
            "journal %s: it is corrupt, so it was moved to %s and a new one was created. Turns of earlier processes in "
            "it stay unfinished",
            self._file,
            name,
        )

    def _corrupt_name(self) -> str:
        return f"{self._file.name}.corrupt-{self._wall_clock():%Y%m%d-%H%M%S}"
