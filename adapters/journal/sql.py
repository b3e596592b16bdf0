"""The file: its tables, and every statement that is made in it.

What belongs here: SQL, on one connection, in the thread that opened it. What does not: threads, what goes on where the
file cannot be used (`adapters.journal.fallback`), and the words for it (`adapters.journal.errors`).

Raises `sqlite3.Error`, `OSError`, and `JournalBroken` for a file that is not ours.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from enum import Enum
from pathlib import Path

from adapters.journal.errors import CORRUPT, JournalBroken
from adapters.journal.file_state import BESIDE, OpenFiles, beside, create
from adapters.journal.live_turns import RememberedTurns, TurnState
from adapters.journal.liveness import NOBODY
from adapters.journal.operations import Accept, Drop, Ended, Keep, Operation, Posted
from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn

# How long a statement waits for another process that writes. That takes milliseconds; what holds the file for longer is
# somebody's shell or backup, and Slack wants its acknowledgement within 3 s of sending an event.
BUSY_SECONDS = 1.0

# Whose file it is, so that nobody else's is ever written to: "Tick" (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION = 0x5469636B
VERSION = 1  # of the tables below

# Added without a new version: an older process does not know the table, and lets it be.
ADDED = "CREATE TABLE IF NOT EXISTS spent (budget TEXT NOT NULL, at REAL NOT NULL)"

# Calls that are remembered for a rate limit. The longest window is a minute. Seconds.
SPENT_SECONDS = 120.0

# Spaces before each event, in bytes: one page. SQLite keeps at most that much of a row in the table's tree, and moves
# it between pages without erasing the old place. The rest is in overflow pages, which `secure_delete` erases once they
# are free (https://www.sqlite.org/fileformat.html#b_tree_pages). Another version reads JSON, and skips spaces.
PADDING = b" " * 4096

# A checkpoint waits for other processes' transactions, and this process's next write waits for it. Milliseconds.
SCRUB_BUSY_MILLISECONDS = 100

# What a copy of the file is called until it takes its place.
REBUILT = "-rebuilt"

# Ended turns that are looked up when the file is checked: the newest are lost first.
CHECKED_ENDED = 50

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


RESTORE = """
INSERT INTO turns (platform, workspace, channel, message, event, ending, owner, received_at, crashes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (platform, workspace, channel, message) DO UPDATE SET owner = excluded.owner, ending = NULL
WHERE turns.event IS NOT NULL AND turns.ending = 'interrupted' AND turns.owner != '' AND excluded.ending IS NULL
"""
RESTORE_EVENT = """
UPDATE turns SET event = ?
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ? AND event IS NOT NULL AND owner = ?
"""
RESTORE_ENDED = """
INSERT INTO turns (platform, workspace, channel, message, event, ending, owner, received_at)
VALUES (?, ?, ?, ?, NULL, ?, ?, ?)
ON CONFLICT (platform, workspace, channel, message) DO UPDATE SET ending = excluded.ending, event = NULL
WHERE turns.event IS NOT NULL
"""
STATE = "SELECT event IS NOT NULL FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?"
OWNERS = "SELECT DISTINCT owner FROM turns WHERE event IS NOT NULL AND owner != ?"
RELEASE = "UPDATE turns SET owner = ? WHERE event IS NOT NULL AND owner = ?"

Row = tuple[int, str, str, str, bytes, str | None, str, float, int]  # what UNFINISHED selects
Connect = Callable[[Path], sqlite3.Connection]


def connect(file: Path) -> sqlite3.Connection:
    """Open the file, created for this user alone if there is none: it holds what people wrote."""
    create(file)
    return sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)


class Damage(Enum):
    """What happened to the files of an open journal."""

    MOVED = "it was removed or replaced"
    LOGS_MOVED = "its log was removed or replaced"
    CUT = "it was cut short"


class Store:
    """A journal's file, open. `owner` is the name under which this process takes turns."""

    def __init__(self, file: Path, owner: str, connect: Connect = connect) -> None:
        self._file = file
        self._owner = owner
        self._connection = connect(file)
        try:
            self._prepare(file)
            self.files = OpenFiles.of(file)
            self._states = self._seen = self.files.states()
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
            self.check_integrity()
        # A reader never waits for a writer, and a commit is one write to the end of one file.
        run("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk, so that what was acknowledged survives also a loss of power. It costs one
        # flush for all that waits at the same time; NORMAL would survive only the end of the process.
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA cache_size = -500")  # KiB; what is read are the newest turns
        run("PRAGMA secure_delete = ON")  # a text that is cleared is overwritten, not only unlinked
        run("PRAGMA temp_store = MEMORY")  # no text in a temporary file
        with self._transaction():
            if not run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in SCHEMA.split(";"):
                    run(statement)
                run(f"PRAGMA application_id = {APPLICATION}")
                run(f"PRAGMA user_version = {VERSION}")
            run(ADDED)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)

    def close(self) -> None:
        """Close the file. The last process to do so moves the log into it, unless the file was moved meanwhile."""
        self._connection.close()

    def damage(self) -> Damage | None:
        """What has happened to the files since they were opened; four calls of ``stat``, some microseconds.

        SQLite goes on writing into a file that was removed, and does not look at the beginning of one that it has in
        its cache: all would seem well until the next start. Raises `sqlite3.Error` for a file that was overwritten.
        """
        if self.files.moved:
            return Damage.MOVED
        states = self.files.states()
        if states[0].size < self._seen[0].size:  # SQLite shrinks a file in VACUUM alone
            return Damage.CUT
        if self.files.logs_moved:
            return Damage.LOGS_MOVED
        self._seen = states
        if self.changed_by_others:
            self._read_anew()
        return None

    @property
    def changed_by_others(self) -> bool:
        """Whether another process, or another program, wrote to the files since this one last did."""
        return self._seen != self._states

    def wrote(self) -> None:
        """Remember the files' states: what comes after is not this process's doing."""
        self._states = self._seen = self.files.states()

    def check_integrity(self) -> None:
        """Read everything in the file once. Raises `JournalBroken` if some of it is damaged."""
        self._connection.execute("PRAGMA shrink_memory")
        if self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            raise JournalBroken(self._file, CORRUPT, corrupt=True)

    def _read_anew(self) -> None:
        """Read the file's first page again, not the cached one."""
        self._connection.execute("PRAGMA shrink_memory")
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def lacks(self, turns: RememberedTurns) -> bool:
        """Whether the file has lost some of these turns, as after its log was cut. Reads the file, not the cache."""
        self._read_anew()
        ended = turns.ended[-CHECKED_ENDED:]
        return any(self._is_unfinished(turn.key) is None for turn in turns.live) or any(
            self._is_unfinished(turn.key) for turn in ended
        )

    def _is_unfinished(self, key: TurnKey) -> bool | None:
        row = self._connection.execute(STATE, _named(key)).fetchone()
        return None if row is None else bool(row[0])

    def restore(self, turns: RememberedTurns) -> None:
        """Write again what the file has lost of these turns, in one transaction; what it has stays as it is."""
        with self._transaction():
            run = self._connection.execute
            for key in turns.dropped:
                run(DROP, _named(key))
            for turn in turns.ended:
                ending = turn.ending.value if turn.ending else None
                run(RESTORE_ENDED, (*_named(turn.key), ending, self._owner, turn.at))
            for turn in turns.live:
                self._restore(turn)

    def _restore(self, turn: TurnState) -> None:
        run, named = self._connection.execute, _named(turn.key)
        ending = turn.ending.value if turn.ending else None
        run(RESTORE, (*named, _packed(turn.event), ending, self._owner, turn.at, turn.crashes))
        run(RESTORE_EVENT, (_packed(turn.event), *named, self._owner))
        for message in turn.messages:
            run(POST, (message, *named))

    @property
    def log_size(self) -> int:
        """Bytes in the log: texts of ended turns may be among them."""
        try:
            return beside(self._file, BESIDE[0]).stat().st_size
        except OSError:
            return 0

    def scrub(self) -> bool:
        """Move the log into the file and empty it, so that no ended turn's text is left there.

        False if another process was reading or writing: try again later.
        """
        run = self._connection.execute
        run(f"PRAGMA busy_timeout = {SCRUB_BUSY_MILLISECONDS}")
        try:
            busy, _, _ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            run(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return not busy

    def apply(self, operations: Sequence[Operation]) -> list[bool]:
        """Do all of them, in order, or none. For each whether there was something to do: of `Accept`, if it is new."""
        with self._transaction():
            return [self._one(operation) for operation in operations]

    def _one(self, operation: Operation) -> bool:
        run, named = self._connection.execute, _named(operation.key)
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

    def owners(self) -> set[str]:
        """The other owners of unfinished turns."""
        return {owner for (owner,) in self._connection.execute(OWNERS, (self._owner,))} - {NOBODY}

    def take(self, platform: str, now: float, is_dead: Callable[[str], bool]) -> list[UnfinishedTurn]:
        """Take the platform's unfinished turns that are nobody's, the oldest first. `now` is in seconds since 1970.

        Nobody's are those of a dead owner, and those that a live one has interrupted: it will write no more.
        """
        if not (found := self._connection.execute(UNFINISHED, (platform, self._owner)).fetchall()):
            return []  # the usual case takes no lock
        dead = {owner for owner in {row[6] for row in found} if is_dead(owner)}
        if not any(_is_free(row, dead) for row in found):
            return []
        with self._transaction():
            found = self._connection.execute(UNFINISHED, (platform, self._owner)).fetchall()
            free = [row for row in found if _is_free(row, dead)]
            self._connection.executemany(TAKE, [(self._owner, row[0]) for row in free])
            return [self._record(platform, row, now) for row in free]

    def release(self) -> None:
        """Let go of this process's unfinished turns: any other may take them at once."""
        with self._transaction():
            self._connection.execute(RELEASE, (NOBODY, self._owner))

    def _record(self, platform: str, row: Row, now: float) -> UnfinishedTurn:
        turn, workspace, channel, message, event, _, _, received_at, crashes = row
        messages = tuple(answer for (answer,) in self._connection.execute(ANSWERS, (turn,)))
        key = TurnKey(platform, workspace, channel, message)
        age = math.inf if crashes >= MOST_CRASHES else max(now - received_at, 0.0)
        return UnfinishedTurn(key, _unpacked(event), messages, age)

    def spend(self, calls: Sequence[tuple[str, float]]) -> None:
        """Remember calls of rate limits, each with its time in seconds since 1970. A loss of power may lose them."""
        run = self._connection.execute
        run("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                self._connection.executemany("INSERT INTO spent (budget, at) VALUES (?, ?)", calls)
                run("DELETE FROM spent WHERE at < ?", (max(at for _, at in calls) - SPENT_SECONDS,))
        finally:
            run("PRAGMA synchronous = FULL")

    def spent(self, budget: str, since: float) -> list[float]:
        """When calls of a rate limit were sent since then, in seconds since 1970."""
        found = self._connection.execute("SELECT at FROM spent WHERE budget = ? AND at >= ?", (budget, since))
        return [at for (at,) in found]

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


def rebuild(file: Path, connect: Connect) -> None:
    """Copy the database into a new file of the same name, without logs, so that every process opens it anew.

    Call it behind the gate, with no connection of this process open. Raises `sqlite3.Error`, `OSError`.
    """
    new = beside(file, REBUILT)
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(new),))
    new.replace(file)
    for suffix in BESIDE:
        beside(file, suffix).unlink(missing_ok=True)


def _is_free(row: Row, dead: set[str]) -> bool:
    return row[6] in dead or row[5] == Ending.INTERRUPTED.value


def _named(key: TurnKey) -> tuple[str, str, str, str]:
    return key.platform, key.workspace, key.channel, key.message


def _packed(event: str) -> bytes:
    """Text as bytes, also the halves of characters that a platform may send and UTF-8 does not have."""
    return PADDING + event.encode("utf-8", "surrogatepass")


def _unpacked(event: bytes) -> str:
    return event.removeprefix(PADDING).decode("utf-8", "surrogatepass")
