"""The journal's files on the disk: identities, states, and the lock for changing them.

SQL (`adapters.journal.sql`) and the decision to recover (`adapters.journal.file_recovery`) do not belong here.

Nothing here opens the database file. POSIX drops all of a process's locks on a file when the process closes any of its
descriptors, SQLite's locks among them (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.journal.errors import LOCKED, JournalBroken
from adapters.journal.file_locks import is_same_file, try_lock

# The suffixes of SQLite's log and its index in WAL mode (https://www.sqlite.org/tempfiles.html).
LOG_SUFFIXES = ("-wal", "-shm")

# How long to wait for the lock. Opening or closing takes milliseconds; a longer wait means that a process was stopped
# in the middle of it.
FILES_LOCK_SECONDS = 1.0
FILES_LOCK_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class FileId:
    """Device and inode: the identity of a file, independent of its name."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class FileState:
    """Size in bytes and modification time in nanoseconds; a foreign write changes them."""

    size: int
    modified: int


def sibling(file: Path, suffix: str) -> Path:
    """The file's path with `suffix` added."""
    return file.with_name(file.name + suffix)


def identify(file: Path) -> FileId | None:
    """The identity of the file at this path; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


def state_of(file: Path) -> FileState:
    """Size and modification time; zeros if there is no file."""
    try:
        found = file.stat()
    except OSError:
        return FileState(0, 0)
    return FileState(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """The identities of the journal's three files, recorded right after opening."""

    file: Path
    ids: tuple[FileId | None, ...]

    @classmethod
    def of(cls, file: Path) -> OpenFiles:
        """The files as they are now."""
        return cls(file, tuple(identify(path) for path in _paths(file)))

    def states(self) -> tuple[FileState, FileState]:
        """The states of the database and of its log."""
        return state_of(self.file), state_of(sibling(self.file, LOG_SUFFIXES[0]))

    @property
    def replaced(self) -> bool:
        """Whether the database file was removed or replaced."""
        return identify(self.file) != self.ids[0]

    @property
    def log_replaced(self) -> bool:
        """Whether the log or its index was removed or replaced. SQLite does neither while a connection is open."""
        return any(identify(path) != known for path, known in zip(_paths(self.file)[1:], self.ids[1:], strict=True))

    def remove_logs(self) -> None:
        """Remove the log and its index if they are still these: their database no longer exists."""
        for path, known in zip(_paths(self.file)[1:], self.ids[1:], strict=True):
            if known is not None and identify(path) == known:
                path.unlink(missing_ok=True)


def create(file: Path) -> None:
    """Create an empty database file, readable by this user alone, unless there is one.

    A log without a database is left from an earlier one. SQLite would apply it to the new database, so remove it.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        for suffix in LOG_SUFFIXES:
            sibling(file, suffix).unlink(missing_ok=True)


def move_aside(file: Path, name: str) -> None:
    """Rename a damaged database, or remove an empty one. Its log is useless without it, and is removed."""
    with suppress(FileNotFoundError):
        if state_of(file).size:
            file.rename(file.with_name(name))
        else:
            file.unlink()
    for suffix in LOG_SUFFIXES:
        sibling(file, suffix).unlink(missing_ok=True)


@contextmanager
def files_lock(file: Path) -> Iterator[None]:
    """Hold the lock for opening, closing and replacing the journal's files.

    Without it, one process could remove the log of a file just created by another. The lock file exists only while the
    lock is held. Raises `JournalBroken` after `FILES_LOCK_SECONDS`.
    """
    path, descriptor = sibling(file, "-lock"), None
    for _ in range(round(FILES_LOCK_SECONDS / FILES_LOCK_POLL_SECONDS)):
        if (descriptor := _acquire(path)) is not None:
            break
        time.sleep(FILES_LOCK_POLL_SECONDS)
    else:
        raise JournalBroken(file, LOCKED)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the release, or it could be another process's lock file
        os.close(descriptor)


def _acquire(path: Path) -> int | None:
    """A descriptor holding the lock of the file at this path; None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if try_lock(descriptor) and is_same_file(path, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _paths(file: Path) -> tuple[Path, ...]:
    return (file, *(sibling(file, suffix) for suffix in LOG_SUFFIXES))
