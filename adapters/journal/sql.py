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
from adapters.journal.file_state import LOG_SUFFIXES, OpenFiles, create, sibling
from adapters.journal.live_turns import LiveTurns, TurnState
from adapters.journal.liveness import NO_OWNER
from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation, UpdateEvent
from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn

# How long a statement waits for another process that writes. That takes milliseconds; what holds the file for longer is
# somebody's shell or backup, and Slack wants its acknowledgement within 3 s of sending an event.
BUSY_SECONDS = 1.0

# Whose file it is, so that nobody else's is ever written to: "Tick" (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x5469636B
SCHEMA_VERSION = 1  # of the tables below

# Added without a new version: an older process does not know the table, and lets it be.
CREATE_SPENT = "CREATE TABLE IF NOT EXISTS spent (budget TEXT NOT NULL, at REAL NOT NULL)"

# Calls that are remembered for a rate limit. The longest window is a minute. Seconds.
SPENT_SECONDS = 120.0

# Spaces before each event, in bytes: one page. SQLite keeps at most that much of a row in the table's tree, and moves
# it between pages without erasing the old place. The rest is in overflow pages, which `secure_delete` erases once they
# are free (https://www.sqlite.org/fileformat.html#b_tree_pages). Another version reads JSON, and skips spaces.
EVENT_PADDING = b" " * 4096

# A checkpoint waits for other processes' transactions, and this process's next write waits for it. Milliseconds.
CHECKPOINT_BUSY_MILLISECONDS = 100

# What a copy of the file is called until it takes its place.
REBUILT_SUFFIX = "-rebuilt"

# Ended turns that are looked up when the file is checked: the newest are lost first.
CHECKED_ENDED = 50

# A turn that was lost with this many processes, one after the other, may be what ends them. It is given once more, but
# as one too old to be gone on with, so that its reader is told and the bot lives.
MAX_CRASHES = 10

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

INSERT_TURN = """
INSERT INTO turns (platform, workspace, channel, message, event, owner, received_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
UPDATE_EVENT = """
UPDATE turns SET event = ?
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ? AND event IS NOT NULL
"""
DELETE = "DELETE FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?"
INSERT_ANSWER = """
INSERT INTO answers (turn, message)
SELECT id, ? FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
ON CONFLICT DO NOTHING
"""
SET_ENDING = """
UPDATE turns SET ending = ?, event = CASE WHEN ? THEN event END
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
"""
SELECT_UNFINISHED = """
SELECT id, workspace, channel, message, event, ending, owner, received_at, crashes FROM turns
WHERE event IS NOT NULL AND platform = ? AND owner != ? ORDER BY id
"""
CLAIM = "UPDATE turns SET owner = ?, crashes = crashes + (ending IS NULL), ending = NULL WHERE id = ?"
SELECT_ANSWERS = "SELECT message FROM answers WHERE turn = ? ORDER BY rowid"
PURGE = """
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
SELECT_IS_UNFINISHED = (
    "SELECT event IS NOT NULL FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?"
)
SELECT_OWNERS = "SELECT DISTINCT owner FROM turns WHERE event IS NOT NULL AND owner != ?"
RELEASE = "UPDATE turns SET owner = ? WHERE event IS NOT NULL AND owner = ?"

Row = tuple[int, str, str, str, bytes, str | None, str, float, int]  # what UNFINISHED selects
Connect = Callable[[Path], sqlite3.Connection]


def connect(file: Path) -> sqlite3.Connection:
    """Open the file, created for this user alone if there is none: it holds what people wrote."""
    create(file)
    return sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)


class Damage(Enum):
    """What happened to the files of an open journal."""

    REPLACED = "it was removed or replaced"
    LOG_REPLACED = "its log was removed or replaced"
    TRUNCATED = "it was cut short"


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
            if run("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise JournalBroken(file, "it is another program's: set JOURNAL_URL to another file")
            if run("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
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
                run(f"PRAGMA application_id = {APPLICATION_ID}")
                run(f"PRAGMA user_version = {SCHEMA_VERSION}")
            run(CREATE_SPENT)

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
        if self.files.replaced:
            return Damage.REPLACED
        states = self.files.states()
        if states[0].size < self._seen[0].size:  # SQLite shrinks a file in VACUUM alone
            return Damage.TRUNCATED
        if self.files.log_replaced:
            return Damage.LOG_REPLACED
        self._seen = states
        if self.changed_externally:
            self._reread_first_page()
        return None

    @property
    def changed_externally(self) -> bool:
        """Whether another process, or another program, wrote to the files since this one last did."""
        return self._seen != self._states

    def record_states(self) -> None:
        """Remember the files' states: what comes after is not this process's doing."""
        self._states = self._seen = self.files.states()

    def check_integrity(self) -> None:
        """Read everything in the file once. Raises `JournalBroken` if some of it is damaged."""
        self._connection.execute("PRAGMA shrink_memory")
        if self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            raise JournalBroken(self._file, CORRUPT, corrupt=True)

    def _reread_first_page(self) -> None:
        """Read the file's first page again, not the cached one."""
        self._connection.execute("PRAGMA shrink_memory")
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def is_missing(self, turns: LiveTurns) -> bool:
        """Whether the file has lost some of these turns, as after its log was cut. Reads the file, not the cache."""
        self._reread_first_page()
        ended = turns.ended[-CHECKED_ENDED:]
        return any(self._is_unfinished(turn.key) is None for turn in turns.live) or any(
            self._is_unfinished(turn.key) for turn in ended
        )

    def _is_unfinished(self, key: TurnKey) -> bool | None:
        row = self._connection.execute(SELECT_IS_UNFINISHED, _key_columns(key)).fetchone()
        return None if row is None else bool(row[0])

    def restore(self, turns: LiveTurns) -> None:
        """Write again what the file has lost of these turns, in one transaction; what it has stays as it is."""
        with self._transaction():
            run = self._connection.execute
            for key in turns.dropped:
                run(DELETE, _key_columns(key))
            for turn in turns.ended:
                ending = turn.ending.value if turn.ending else None
                run(RESTORE_ENDED, (*_key_columns(turn.key), ending, self._owner, turn.at))
            for turn in turns.live:
                self._restore(turn)

    def _restore(self, turn: TurnState) -> None:
        run, named = self._connection.execute, _key_columns(turn.key)
        ending = turn.ending.value if turn.ending else None
        run(RESTORE, (*named, _encode_event(turn.event), ending, self._owner, turn.at, turn.crashes))
        run(RESTORE_EVENT, (_encode_event(turn.event), *named, self._owner))
        for message in turn.messages:
            run(INSERT_ANSWER, (message, *named))

    @property
    def log_size(self) -> int:
        """Bytes in the log: texts of ended turns may be among them."""
        try:
            return sibling(self._file, LOG_SUFFIXES[0]).stat().st_size
        except OSError:
            return 0

    def checkpoint(self) -> bool:
        """Move the log into the file and empty it, so that no ended turn's text is left there.

        False if another process was reading or writing: try again later.
        """
        run = self._connection.execute
        run(f"PRAGMA busy_timeout = {CHECKPOINT_BUSY_MILLISECONDS}")
        try:
            busy, _, _ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            run(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return not busy

    def apply(self, operations: Sequence[Operation]) -> list[bool]:
        """Do all of them, in order, or none. For each whether there was something to do: of `Accept`, if it is new."""
        with self._transaction():
            return [self._apply_one(operation) for operation in operations]

    def _apply_one(self, operation: Operation) -> bool:
        run, named = self._connection.execute, _key_columns(operation.key)
        match operation:
            case Accept(event=event, at=at):
                return run(INSERT_TURN, (*named, _encode_event(event), self._owner, at)).rowcount > 0
            case UpdateEvent(event=event):
                return run(UPDATE_EVENT, (_encode_event(event), *named)).rowcount > 0
            case AddMessage(message=message):
                return run(INSERT_ANSWER, (message, *named)).rowcount > 0
            case End(ending=ending):
                return run(SET_ENDING, (ending.value, ending is Ending.INTERRUPTED, *named)).rowcount > 0
            case Drop():
                return run(DELETE, named).rowcount > 0

    def owners(self) -> set[str]:
        """The other owners of unfinished turns."""
        return {owner for (owner,) in self._connection.execute(SELECT_OWNERS, (self._owner,))} - {NO_OWNER}

    def claim(self, platform: str, now: float, is_dead: Callable[[str], bool]) -> list[UnfinishedTurn]:
        """Take the platform's unfinished turns that are nobody's, the oldest first. `now` is in seconds since 1970.

        Nobody's are those of a dead owner, and those that a live one has interrupted: it will write no more.
        """
        if not (found := self._connection.execute(SELECT_UNFINISHED, (platform, self._owner)).fetchall()):
            return []  # the usual case takes no lock
        dead = {owner for owner in {row[6] for row in found} if is_dead(owner)}
        if not any(_is_claimable(row, dead) for row in found):
            return []
        with self._transaction():
            found = self._connection.execute(SELECT_UNFINISHED, (platform, self._owner)).fetchall()
            free = [row for row in found if _is_claimable(row, dead)]
            self._connection.executemany(CLAIM, [(self._owner, row[0]) for row in free])
            return [self._to_unfinished_turn(platform, row, now) for row in free]

    def release(self) -> None:
        """Let go of this process's unfinished turns: any other may take them at once."""
        with self._transaction():
            self._connection.execute(RELEASE, (NO_OWNER, self._owner))

    def _to_unfinished_turn(self, platform: str, row: Row, now: float) -> UnfinishedTurn:
        turn, workspace, channel, message, event, _, _, received_at, crashes = row
        messages = tuple(answer for (answer,) in self._connection.execute(SELECT_ANSWERS, (turn,)))
        key = TurnKey(platform, workspace, channel, message)
        age = math.inf if crashes >= MAX_CRASHES else max(now - received_at, 0.0)
        return UnfinishedTurn(key, _decode_event(event), messages, age)

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

    def purge_old(self, ended_before: float, unfinished_before: float, limit: int) -> int:
        """Forget at most `limit` turns that were received before this, in seconds since 1970; returns how many."""
        with self._transaction():
            bounds = (ended_before, min(ended_before, unfinished_before), limit)
            return self._connection.execute(PURGE, bounds).rowcount


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
    new = sibling(file, REBUILT_SUFFIX)
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(new),))
    new.replace(file)
    for suffix in LOG_SUFFIXES:
        sibling(file, suffix).unlink(missing_ok=True)


def _is_claimable(row: Row, dead: set[str]) -> bool:
    return row[6] in dead or row[5] == Ending.INTERRUPTED.value


def _key_columns(key: TurnKey) -> tuple[str, str, str, str]:
    return key.platform, key.workspace, key.channel, key.message


def _encode_event(event: str) -> bytes:
    """Text as bytes, also the halves of characters that a platform may send and UTF-8 does not have."""
    return EVENT_PADDING + event.encode("utf-8", "surrogatepass")


def _decode_event(event: bytes) -> str:
    return event.removeprefix(EVENT_PADDING).decode("utf-8", "surrogatepass")
