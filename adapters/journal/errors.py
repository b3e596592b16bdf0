"""Errors of SQLite and the operating system, translated into one line for the operator.

The reaction to an error does not belong here (`adapters.journal.fallback`). Codes: https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from bot.errors import ServiceError

DISK_FULL = "its disk is full: free some space"
NOT_WRITABLE = (
    "it cannot be written: give the bot a writable folder, or set JOURNAL_URL to a file in one (memory: for no file)"
)
LOCKED = "another program keeps it locked: close that program (a backup, a shell)"
IO_ERROR = "its disk fails: check the system's log"
CORRUPT = "it is corrupt"

# Primary result codes with a remedy; all others are reported by name.
_MESSAGES: Mapping[int, str] = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: DISK_FULL,
        sqlite3.SQLITE_READONLY: NOT_WRITABLE,
        sqlite3.SQLITE_CANTOPEN: NOT_WRITABLE,
        sqlite3.SQLITE_PERM: NOT_WRITABLE,
        sqlite3.SQLITE_AUTH: NOT_WRITABLE,
        sqlite3.SQLITE_BUSY: LOCKED,
        sqlite3.SQLITE_LOCKED: LOCKED,
        sqlite3.SQLITE_PROTOCOL: LOCKED,
        sqlite3.SQLITE_IOERR: IO_ERROR,
        sqlite3.SQLITE_CORRUPT: CORRUPT,
        sqlite3.SQLITE_NOTADB: CORRUPT,
    }
)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class JournalBroken(ServiceError):
    """The file cannot be used. The message is one line with its name, the problem and a remedy.

    With `corrupt`, trying again cannot help.
    """

    def __init__(self, file: Path, problem: str, *, corrupt: bool = False) -> None:
        super().__init__(f"{file}: {problem}")
        self.corrupt = corrupt


@contextmanager
def translate_errors(file: Path) -> Iterator[None]:
    """Turn all errors of `sqlite3` and the operating system into `JournalBroken`."""
    try:
        yield
    except JournalBroken:
        raise
    except (sqlite3.Error, sqlite3.Warning) as error:
        problem = describe(error)
        raise JournalBroken(file, problem, corrupt=problem == CORRUPT) from error
    except OSError as error:
        detail = f"{NOT_WRITABLE} ({error.strerror or type(error).__name__})"
        raise JournalBroken(file, DISK_FULL if error.errno in _NO_SPACE else detail) from error


def describe(error: sqlite3.Error | sqlite3.Warning) -> str:
    """The problem behind an error of SQLite, with a remedy if there is one."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    # The lowest byte of an extended code is its primary code. Without a code, the module itself objects: a bug of ours.
    return _MESSAGES.get(code & 0xFF, f"it cannot be used ({name}: {error})")
