"""What SQLite and the operating system say of a journal's file, as one line for the operator.

What belongs here: the translation, in one place. What does not: what is done about it (`adapters.journal.fallback`).
Codes: https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from bot.errors import ServiceError

DISK_FULL = "there is no room left on its disk: make some"
NOT_WRITABLE = (
    "it cannot be written: give the bot a folder that it may write to, or set JOURNAL_URL to a file in one "
    "(memory: for none)"
)
LOCKED = "another program keeps it locked: end what has it open (a backup, a shell)"
IO_ERROR = "its disk fails: look at the system's log"
CORRUPT = "it is corrupt"

# The primary result codes that have words of their own; every other is told by its name.
_WORDS: Mapping[int, str] = MappingProxyType(
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
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class JournalBroken(ServiceError):
    """The file cannot be used just now. The message is one line that names it and says what to do.

    `corrupt` tells that it never can be again.
    """

    def __init__(self, file: Path, what: str, *, corrupt: bool = False) -> None:
        super().__init__(f"{file}: {what}")
        self.corrupt = corrupt


@contextmanager
def translate_errors(file: Path) -> Iterator[None]:
    """Raise `JournalBroken` in the place of whatever `sqlite3` and the operating system raise."""
    try:
        yield
    except JournalBroken:
        raise
    except (sqlite3.Error, sqlite3.Warning) as error:
        what = describe(error)
        raise JournalBroken(file, what, corrupt=what == CORRUPT) from error
    except OSError as error:
        what = DISK_FULL if error.errno in _NO_ROOM else f"{NOT_WRITABLE} ({error.strerror or type(error).__name__})"
        raise JournalBroken(file, what) from error


def describe(error: sqlite3.Error | sqlite3.Warning) -> str:
    """What SQLite's error means for the operator."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    # An extended code has its primary one in its lowest byte. None: the module itself objects, which is a bug of ours.
    return _WORDS.get(code & 0xFF, f"it cannot be used ({name}: {error})")
