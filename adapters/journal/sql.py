"""The journal's file as a store: every SQL statement, on one connection, in the thread that opened it.

Threads, unusable files (`adapters.journal.fallback`) and wording for operators (`adapters.journal.errors`) do not
belong here. Raises `sqlite3.Error`, `OSError`, and `JournalBroken` for a file of another program or version.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path

from adapters.journal import statements as sql
from adapters.journal.errors import CORRUPT, JournalBroken
from adapters.journal.file_state import LOG_SUFFIXES, OpenFiles, create, sibling
from adapters.journal.live_turns import LiveTurns, TurnState
from adapters.journal.liveness import NO_OWNER
from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation, UpdateEvent
from bot.conversation import Ending, TurnKey
from bot.journal import Answered
from bot.ports import UnfinishedTurn

# How long a statement waits for another process's write, which takes milliseconds. A longer lock is a shell or a
# backup, and Slack wants its acknowledgement within 3 s of sending an event.
BUSY_SECONDS = 1.0

# Retention of rate-limited calls, in seconds. The longest window is a minute.
CALL_RETENTION_SECONDS = 120.0

# Spaces before each event, in bytes: one page. SQLite keeps at most that much of a row in the table's tree, and moves
# it between pages without erasing the old place. The rest is in overflow pages, erased by `secure_delete` once they
# are free (https://www.sqlite.org/fileformat.html#b_tree_pages). Other versions read JSON, and skip spaces.
EVENT_PADDING = b" " * 4096

# A checkpoint waits for other processes' transactions, and this process's next write waits for it. Milliseconds.
CHECKPOINT_BUSY_MILLISECONDS = 100

# The suffix of a rebuilt copy until it replaces the file.
REBUILT_SUFFIX = "-rebuilt"

# Ended turns looked up by a check for lost turns: the newest are lost first.
CHECKED_ENDED = 50

# Separates a question's id from the generation of its answer in a row's key; generation 0 has neither, as in rows of
# earlier versions. No platform's message id contains it. The second character is the next one in order.
GENERATION_MARK = "~"
_AFTER_GENERATIONS = "\x7f"

# A turn that was live in so many crashes, one after the other, may be their cause. It is claimed once more, but as too
# old to continue: its reader gets a notice, and the bot survives.
MAX_CRASHES = 10

Row = tuple[int, str, str, str, bytes, str | None, str, float, int]  # of `SELECT_UNFINISHED`
Connect = Callable[[Path], sqlite3.Connection]


def connect(file: Path) -> sqlite3.Connection:
    """Open the file; a new one is readable by this user alone, because it contains people's messages."""
    create(file)
    return sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)


class Damage(Enum):
    """Damage to the files of an open journal."""

    REPLACED = "it was removed or replaced"
    LOG_REPLACED = "its log was removed or replaced"
    TRUNCATED = "it was cut short"


class Store:
    """An open journal file. `owner` is the name under which this process owns turns."""

    def __init__(self, file: Path, owner: str, connect: Connect = connect) -> None:
        self._file = file
        self._owner = owner
        self._connection = connect(file)
        try:
            self._prepare(file)
            self.files = OpenFiles.of(file)
            # The states after this process's last write, and those last seen.
            self._own_states = self._seen_states = self.files.states()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, file: Path) -> None:
        run = self._connection.execute
        if run(sql.COUNT_TABLES).fetchone()[0]:
            if run("PRAGMA application_id").fetchone()[0] != sql.APPLICATION_ID:
                raise JournalBroken(file, "it belongs to another program: set JOURNAL_URL to another file")
            if run("PRAGMA user_version").fetchone()[0] != sql.SCHEMA_VERSION:
                raise JournalBroken(file, "it was made by a later version: set JOURNAL_URL to another file")
            self.check_integrity()
        # A reader never waits for a writer, and a commit is one write to the end of one file.
        run("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk, so acknowledged turns survive a power loss too. It costs one flush per batch of
        # writes; NORMAL would survive only the end of the process.
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA cache_size = -500")  # KiB; only the newest turns are read
        run("PRAGMA secure_delete = ON")  # overwrites cleared texts instead of unlinking them
        run("PRAGMA temp_store = MEMORY")  # no text in a temporary file
        with self._transaction():
            if not run(sql.COUNT_TABLES).fetchone()[0]:
                for statement in sql.SCHEMA.split(";"):
                    run(statement)
                run(f"PRAGMA application_id = {sql.APPLICATION_ID}")
                run(f"PRAGMA user_version = {sql.SCHEMA_VERSION}")
            run(sql.CREATE_SPENT)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)

    def close(self) -> None:
        """Close the file. The last process to close it moves the log into it, unless the file has moved."""
        self._connection.close()

    # --------------------------------------------------------------------------------------------------------- health

    def detect_damage(self) -> Damage | None:
        """Compare the files with those opened: four calls of ``stat``, some microseconds.

        SQLite keeps writing into a removed file, and does not reread a cached first page: without this check, nothing
        would fail until the next start. Raises `sqlite3.Error` for an overwritten file.
        """
        if self.files.replaced:
            return Damage.REPLACED
        states = self.files.states()
        if states[0].size < self._seen_states[0].size:  # SQLite shrinks a file in VACUUM alone
            return Damage.TRUNCATED
        if self.files.log_replaced:
            return Damage.LOG_REPLACED
        self._seen_states = states
        if self.changed_externally:
            self._reread_first_page()
        return None

    @property
    def changed_externally(self) -> bool:
        """Whether another process or program wrote to the files since this process's last write."""
        return self._seen_states != self._own_states

    def record_states(self) -> None:
        """Record the files' states after this process's own write."""
        self._own_states = self._seen_states = self.files.states()

    def check_integrity(self) -> None:
        """Read the whole file. Raises `JournalBroken` if any of it is damaged."""
        self._connection.execute("PRAGMA shrink_memory")
        if self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            raise JournalBroken(self._file, CORRUPT, corrupt=True)

    def _reread_first_page(self) -> None:
        """Read the file's first page from the disk instead of the cache."""
        self._connection.execute("PRAGMA shrink_memory")
        self._connection.execute(sql.COUNT_TABLES).fetchone()

    @property
    def log_size(self) -> int:
        """The size of the log in bytes; it may contain texts of ended turns."""
        try:
            return sibling(self._file, LOG_SUFFIXES[0]).stat().st_size
        except OSError:
            return 0

    def checkpoint(self) -> bool:
        """Move the log into the file and empty it, which erases the texts of ended turns.

        False if another process was reading or writing: try again later.
        """
        run = self._connection.execute
        run(f"PRAGMA busy_timeout = {CHECKPOINT_BUSY_MILLISECONDS}")
        try:
            busy, _, _ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            run(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return not busy

    # ------------------------------------------------------------------------------------------------------ restoring

    def is_missing(self, turns: LiveTurns) -> bool:
        """Whether the file has lost some of these turns, for example after a cut of its log. Bypasses the cache."""
        self._reread_first_page()
        ended = turns.ended[-CHECKED_ENDED:]
        return any(self._is_unfinished(turn.key) is None for turn in turns.live) or any(
            self._is_unfinished(turn.key) for turn in ended
        )

    def _is_unfinished(self, key: TurnKey) -> bool | None:
        row = self._connection.execute(sql.SELECT_IS_UNFINISHED, _key_columns(key)).fetchone()
        return None if row is None else bool(row[0])

    def restore(self, turns: LiveTurns) -> None:
        """Write the turns missing in the file, in one transaction; existing ones stay unchanged."""
        with self._transaction():
            run = self._connection.execute
            for key in turns.dropped:
                run(sql.DELETE, _key_columns(key))
            for turn in turns.ended:
                ending = turn.ending.value if turn.ending else None
                run(sql.RESTORE_ENDED, (*_key_columns(turn.key), ending, self._owner, turn.received_at))
            for turn in turns.live:
                self._restore_live(turn)

    def _restore_live(self, turn: TurnState) -> None:
        run, key = self._connection.execute, _key_columns(turn.key)
        ending = turn.ending.value if turn.ending else None
        event = _encode_event(turn.event)
        run(sql.RESTORE, (*key, event, ending, self._owner, turn.received_at, turn.crashes))
        run(sql.RESTORE_EVENT, (event, *key, self._owner))
        for message in turn.messages:
            run(sql.INSERT_ANSWER, (message, *key))

    # ---------------------------------------------------------------------------------------------------------- turns

    def apply(self, operations: Sequence[Operation]) -> list[bool]:
        """Apply all operations in order, or none; returns for each whether it changed a row.

        For `Accept` this means a new turn.
        """
        with self._transaction():
            return [self._apply_one(operation) for operation in operations]

    def _apply_one(self, operation: Operation) -> bool:
        run, key = self._connection.execute, _key_columns(operation.key)
        match operation:
            case Accept(event=event, received_at=received_at, messages=messages):
                values = (*key, _encode_event(event), self._owner, received_at)
                is_new = run(sql.INSERT_TURN, values).rowcount > 0
                if is_new and messages:
                    self._connection.executemany(sql.INSERT_ANSWER, [(message, *key) for message in messages])
                return is_new
            case UpdateEvent(event=event):
                return run(sql.UPDATE_EVENT, (_encode_event(event), *key)).rowcount > 0
            case AddMessage(message=message):
                return run(sql.INSERT_ANSWER, (message, *key)).rowcount > 0
            case End(ending=ending):
                return run(sql.SET_ENDING, (ending.value, ending is Ending.INTERRUPTED, *key)).rowcount > 0
            case Drop():
                return run(sql.DELETE, key).rowcount > 0

    def owners(self) -> set[str]:
        """The other processes with unfinished turns."""
        return {owner for (owner,) in self._connection.execute(sql.SELECT_OWNERS, (self._owner,))} - {NO_OWNER}

    def claim(self, platform: str, now: float, is_dead: Callable[[str], bool]) -> list[UnfinishedTurn]:
        """Claim the platform's free unfinished turns, the oldest first. `now` is in seconds since 1970.

        Free are the turns of a dead owner, and turns interrupted by a live one: it does not write to them again.
        """
        if not (rows := self._unfinished(platform)):
            return []  # the usual case takes no lock
        dead = {owner for owner in {row[6] for row in rows} if is_dead(owner)}
        if not any(_is_claimable(row, dead) for row in rows):
            return []
        with self._transaction():
            free = [row for row in self._unfinished(platform) if _is_claimable(row, dead)]
            self._connection.executemany(sql.CLAIM, [(self._owner, row[0]) for row in free])
            return [self._to_unfinished_turn(platform, row, now) for row in free]

    def _unfinished(self, platform: str) -> list[Row]:
        return self._connection.execute(sql.SELECT_UNFINISHED, (platform, self._owner)).fetchall()

    def _to_unfinished_turn(self, platform: str, row: Row, now: float) -> UnfinishedTurn:
        turn, workspace, channel, message, event, _, _, received_at, crashes = row
        messages = self._messages(turn)
        key = TurnKey(platform, workspace, channel, *_parse_message(message))
        age = math.inf if crashes >= MAX_CRASHES else max(now - received_at, 0.0)
        return UnfinishedTurn(key, _decode_event(event), messages, age)

    def newest_answer(self, question: TurnKey) -> Answered | None:
        """The newest answer to a question; see `bot.journal.Journal`."""
        platform, workspace, channel, message = _key_columns(question)
        bounds = (message, f"{message}{GENERATION_MARK}", f"{message}{_AFTER_GENERATIONS}")
        rows = self._connection.execute(sql.SELECT_GENERATIONS, (platform, workspace, channel, *bounds)).fetchall()
        answers = {_parse_message(stored)[1]: (turn, bool(has_ended)) for turn, stored, has_ended in rows}
        if not answers:
            return None
        newest = max(answers)
        turn, has_ended = answers[newest]
        return Answered(replace(question, generation=newest), self._messages(turn), has_ended)

    def rows(self, keys: Sequence[TurnKey]) -> list[dict[str, object]]:
        """What is stored about these turns, as JSON values."""
        found = []
        for key in keys:
            row = self._connection.execute(sql.SELECT_ROW, _key_columns(key)).fetchone()
            if row is not None:
                turn, received_at, ending, event = row
                text = "" if event is None else _decode_event(event)
                values = {"received_at": received_at, "ending": ending, "event": text}
                found.append(asdict(key) | values | {"answer": list(self._messages(turn))})
        return found

    def _messages(self, turn: int) -> tuple[str, ...]:
        return tuple(message for (message,) in self._connection.execute(sql.SELECT_ANSWERS, (turn,)))

    def release(self) -> None:
        """Release this process's unfinished turns: any other process may claim them at once."""
        with self._transaction():
            self._connection.execute(sql.RELEASE, (NO_OWNER, self._owner))

    def purge_old(self, ended_before: float, unfinished_before: float, limit: int) -> int:
        """Delete at most `limit` turns received before these times, in seconds since 1970; returns their number."""
        with self._transaction():
            bounds = (ended_before, min(ended_before, unfinished_before), limit)
            return self._connection.execute(sql.PURGE, bounds).rowcount

    # ---------------------------------------------------------------------------------------------- rate-limited calls

    def record_calls(self, calls: Sequence[tuple[str, float]]) -> None:
        """Store calls: the limit's name, and seconds since 1970. Not flushed, so a power loss may lose them."""
        run = self._connection.execute
        run("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                self._connection.executemany(sql.INSERT_CALL, calls)
                run(sql.DELETE_OLD_CALLS, (max(at for _, at in calls) - CALL_RETENTION_SECONDS,))
        finally:
            run("PRAGMA synchronous = FULL")

    def recent_calls(self, limit: str, since: float) -> list[float]:
        """The times of all processes' calls under a rate limit since then, in seconds since 1970."""
        return [at for (at,) in self._connection.execute(sql.SELECT_CALLS, (limit, since))]


class _Transaction:
    """All or nothing, with the write lock from the start, so that rows read in it stay valid."""

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
    """Copy the database into a new file of the same name, without logs, so that every process reopens it.

    Requires `files_lock`, and no open connection in this process. Raises `sqlite3.Error`, `OSError`.
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
    message = f"{key.message}{GENERATION_MARK}{key.generation}" if key.generation else key.message
    return key.platform, key.workspace, key.channel, message


def _parse_message(stored: str) -> tuple[str, int]:
    """The message's id and the generation in a row's key."""
    message, mark, generation = stored.partition(GENERATION_MARK)
    return (message, int(generation)) if mark and generation.isdecimal() else (stored, 0)


def _encode_event(event: str) -> bytes:
    """Text as padded UTF-8. Platforms may send half a surrogate pair, which plain UTF-8 does not allow."""
    return EVENT_PADDING + event.encode("utf-8", "surrogatepass")


def _decode_event(event: bytes) -> str:
    return event.removeprefix(EVENT_PADDING).decode("utf-8", "surrogatepass")
