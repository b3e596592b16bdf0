"""Which of the processes that share a journal still run.

What belongs here: a lock file for each process, which the operating system lets go of however the process ends. What
does not: what is written in the journal.

Two processes share one while a new version is started before the old one has finished its answers: neither may take
what the other still works on. A process's number would not tell, since it is given again and differs between
containers; a lock is let go of by the kernel, also after ``kill -9`` (https://man7.org/linux/man-pages/man2/flock.2.html).
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Owner:
    """A process that works on turns of a journal, by a name that no other one ever has. Raises `OSError`."""

    def __init__(self, journal: Path) -> None:
        while True:
            self.name = secrets.token_hex(8)
            self._file = _file(journal, self.name)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if self._is_held():
                return
            os.close(self._descriptor)  # somebody who tidied took it for a dead one's

    def _is_held(self) -> bool:
        with suppress(OSError):
            _lock(self._descriptor)
            return self._file.stat().st_ino == os.fstat(self._descriptor).st_ino
        return False

    def release(self) -> None:
        """What this process has not finished is free to be taken."""
        os.close(self._descriptor)
        with suppress(OSError):
            self._file.unlink()


def is_gone(journal: Path, name: str) -> bool:
    """Whether the owner of this name runs no more. Where that cannot be found out, it is taken to run."""
    file = _file(journal, name)
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        _lock(descriptor)
        with suppress(OSError):
            file.unlink()  # while it is locked, so that it is nobody else's
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def tidy(journal: Path) -> None:
    """Remove the lock files of processes that run no more."""
    for file in journal.parent.glob(f"{journal.name}{_MARK}*"):
        is_gone(journal, file.name.rpartition(_MARK)[2])


def _file(journal: Path, name: str) -> Path:
    return journal.with_name(f"{journal.name}{_MARK}{name}")


_MARK = "-owner-"
