"""The file: its tables, and every statement that is made in it.

What belongs here: SQL, on one connection, in the thread that opened it. What does not: threads, what goes on where the
file cannot be used (`adapters.journal.keeper`), and the words for it (`adapters.journal.errors`).

Raises `sqlite3.Error`, `OSError`, and `JournalBroken` for a file that is not ours.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.journal.errors import CORRUPT, JournalBroken
from bot.conversation import Ending, TurnKey
from bot.ports import Record

# How long a statement waits for another process that writes. That takes milliseconds; what holds the file for longer is
# somebody's shell or backup, and Slack wants its acknowledgement within 3 s of sending an event.
BUSY_SECONDS = 1.0

# Whose file it is, so that nobody else's is ever written to: "Tick" (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION = 0x5469636B
VERSION = 1  # of the tables below
MAGIC = b"SQLite format 3\0"  # how every such file begins (https://www.sqlite.org/fileformat.html#magic_header_string)

# A turn that was lost with this many processes, one after the other, may be what ends them. It is given once more, but
# as one too old to be gone on with, so that its reader is told and the bot lives.
MOST_CRASHES = 10

# `event` is the text of the question: there as long as the turn is unfinished, and not a moment longer.
SCHEMA = """
CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    workspace TEXT NOT NULL,
    channel TEXT NOT NULL,
    message TEXT NOT NULL,
    event BLOB,
    ending TEXT,
    owner TEXT NOT NULL,
    received_at REAL NOT NULL,
    crashes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (platform, workspace, channel, message)
);
CREATE INDEX turns_unfinished ON turns (platform) WHERE event IS NOT NULL;
CREATE INDEX turns_received ON turns (received_at);
CREATE TABLE answers (
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    message TEXT NOT NULL,
    UNIQUE (turn, message)
);
"""

INSERT = """
INSERT INTO turns (platform, workspace, channel, message, event, owner, received_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
KEEP = """
UPDATE turns SET event = ?
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ? AND event IS NOT NULL
"""
DROP = "DELETE FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?"
POST = """
INSERT INTO answers (turn, message)
SELECT id, ? FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
ON CONFLICT DO NOTHING
"""
END = """
UPDATE turns SET ending = ?, event = CASE WHEN ? THEN event END
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
"""
UNFINISHED = """
SELECT id, workspace, channel, message, event, ending, owner, received_at, crashes FROM turns
WHERE event IS NOT NULL AND platform = ? AND owner != ? ORDER BY id
"""
TAKE = "UPDATE turns SET owner = ?, crashes = crashes + (ending IS NULL), ending = NULL WHERE id = ?"
ANSWERS = "SELECT message FROM answers WHERE turn = ? ORDER BY rowid"
TIDY = """
DELETE FROM turns WHERE id IN (
    SELECT id FROM turns WHERE received_at < ? AND (event IS NULL OR received_at < ?) ORDER BY received_at LIMIT ?
)
"""


@dataclass(frozen=True, slots=True)
class Accept:
    """Write a turn down. `at` is when it was received, in seconds since 1970."""

    key: TurnKey
    event: str
    at: float


@dataclass(frozen=True, slots=True)
class Keep:
    """Of a turn that has not ended, this is the event from now on."""

    key: TurnKey
    event: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget a turn."""

    key: TurnKey


@dataclass(frozen=True, slots=True)
class Posted:
    """A message belongs to the turn's answer."""

    key: TurnKey
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will be written for a turn."""

    key: TurnKey
    ending: Ending


Operation = Accept | Keep | Drop | Posted | Ended
Row = tuple[int, str, str, str, bytes, str | None, str, float, int]  # what UNFINISHED selects
Connect = Callable[[Path], sqlite3.Connection]


def connect(file: Path) -> sqlite3.Connection:
    """Open the file, made for this user alone where there is none: it holds what people wrote."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    return sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)


class Store:
    """A journal's file, open. `owner` is the name under which this process takes turns."""

    def __init__(self, file: Path, owner: str, connect: Connect = connect) -> None:
        self._file = file
        self._owner = owner
        self._connection = connect(file)
        try:
            self._prepare(file)
            self._number = file.stat().st_ino
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, file: Path) -> None:
        run = self._connection.execute
        if run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            if run("PRAGMA application_id").fetchone()[0] != APPLICATION:
                raise JournalBroken(file, "it is another program's: set JOURNAL_URL to another file")
            if run("PRAGMA user_version").fetchone()[0] != VERSION:
                raise JournalBroken(file, "it was made by a later version: set JOURNAL_URL to another file")
            if run("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise JournalBroken(file, CORRUPT, corrupt=True)
        # A reader never waits for a writer, and a commit is one write to the end of one file.
        run("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk, so that what was acknowledged survives also a loss of power. It costs one
        # flush for all that waits at the same time; NORMAL would survive only the end of the process.
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA cache_size = -500")  # KiB; what is read are the newest turns
        run("PRAGMA secure_delete = ON")  # a text that is cleared is overwritten, not only unlinked
        with self._transaction():
            if not run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in SCHEMA.split(";"):
                    run(statement)
                run(f"PRAGMA application_id = {APPLICATION}")
                run(f"PRAGMA user_version = {VERSION}")

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)

    def close(self) -> None:
        """Close the file; what the log of the last minutes holds is moved into it."""
        self._connection.close()

    def check(self) -> None:
        """See whether the file is still where it was, and still a database; takes some microseconds.

        SQLite goes on writing into a file that was removed, and does not look at the beginning of one that it has in
        its cache: all would seem well until the next start.
        """
        if not self._file.exists() or self._file.stat().st_ino != self._number:
            raise JournalBroken(self._file, "it was removed", corrupt=True)
        with self._file.open("rb") as opened:
            if opened.read(len(MAGIC)) not in (MAGIC, b""):  # empty until the log is first moved into it
                raise JournalBroken(self._file, CORRUPT, corrupt=True)

    def apply(self, operations: Sequence[Operation]) -> list[bool]:
        """Do all of them, in order, or none. For each whether there was something to do: of `Accept`, if it is new."""
        with self._transaction():
            return [self._one(operation) for operation in operations]

    def _one(self, operation: Operation) -> bool:
        key, run = operation.key, self._connection.execute
        named = (key.platform, key.workspace, key.channel, key.message)
        match operation:
            case Accept(event=event, at=at):
                return run(INSERT, (*named, _packed(event), self._owner, at)).rowcount > 0
            case Keep(event=event):
                return run(KEEP, (_packed(event), *named)).rowcount > 0
            case Posted(message=message):
                return run(POST, (message, *named)).rowcount > 0
            case Ended(ending=ending):
                return run(END, (ending.value, ending is Ending.INTERRUPTED, *named)).rowcount > 0
            case Drop():
                return run(DROP, named).rowcount > 0

    def take(self, platform: str, now: float, is_gone: Callable[[str], bool]) -> list[Record]:
        """Take the platform's unfinished turns that are nobody's, the oldest first. `now` is in seconds since 1970.

        Nobody's are those whose owner `is_gone`, and those that a live one has interrupted: it will write no more.
        """
        if not (found := self._connection.execute(UNFINISHED, (platform, self._owner)).fetchall()):
            return []  # what nearly every look finds takes no lock
        with self._transaction():
            found = self._connection.execute(UNFINISHED, (platform, self._owner)).fetchall()
            gone = {owner: is_gone(owner) for owner in {row[6] for row in found}}
            free = [row for row in found if gone[row[6]] or row[5] == Ending.INTERRUPTED.value]
            self._connection.executemany(TAKE, [(self._owner, row[0]) for row in free])
            return [self._record(platform, row, now) for row in free]

    def _record(self, platform: str, row: Row, now: float) -> Record:
        turn, workspace, channel, message, event, _, _, received_at, crashes = row
        messages = tuple(answer for (answer,) in self._connection.execute(ANSWERS, (turn,)))
        key = TurnKey(platform, workspace, channel, message)
        age = math.inf if crashes >= MOST_CRASHES else max(now - received_at, 0.0)
        return Record(key, _unpacked(event), messages, age)

    def tidy(self, ended_before: float, unfinished_before: float, limit: int) -> int:
        """Forget at most `limit` turns that were received before this, in seconds since 1970; returns how many."""
        with self._transaction():
            bounds = (ended_before, min(ended_before, unfinished_before), limit)
            return self._connection.execute(TIDY, bounds).rowcount


class _Transaction:
    """All or nothing, with the right to write from the start, so that what was read in it stays true."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:  # a full disk has ended it already
            self._connection.execute("ROLLBACK")


def _packed(event: str) -> bytes:
    """Text as bytes, also the halves of characters that a platform may send and UTF-8 does not have."""
    return event.encode("utf-8", "surrogatepass")


def _unpacked(event: bytes) -> str:
    return event.decode("utf-8", "surrogatepass")
