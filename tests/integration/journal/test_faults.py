"""Faults of the journal's file: one clear log line, answers continue, and nothing is lost."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.journal import JournalBroken, JournalOptions, SqliteJournal
from adapters.journal.errors import CORRUPT, DISK_FULL, IO_ERROR, LOCKED, NOT_WRITABLE, describe, translate_errors
from adapters.journal.fallback import JournalFallback
from adapters.journal.live_turns import LiveTurns
from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation
from adapters.journal.sql import MAX_CRASHES, Connect, connect
from bot.conversation import Ending, TurnKey
from tests.servers.openai import OpenAIDouble
from tests.support.process import bot

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
RETRY = JournalOptions().retry_seconds


def key(number: int, platform: str = "slack") -> TurnKey:
    return TurnKey(platform, "T", "C", str(number))


def accept(number: int, at: datetime = BEGINNING) -> Accept:
    return Accept(key(number), f"question {number}", at.timestamp())


@contextmanager
def fallback(
    file: Path,
    connect: Connect = connect,
    *,
    clock: Callable[[], datetime] = lambda: BEGINNING,
    options: JournalOptions | None = None,
) -> Iterator[JournalFallback]:
    it = JournalFallback(file, options or JournalOptions(), clock, connect)
    try:
        yield it
    finally:
        it.close()


def found(file: Path, platform: str = "slack") -> list[str]:
    """The unfinished turns of the next process."""
    with fallback(file) as it:
        return [record.key.message for record in it.claim(platform, 0.0)]


def one_line(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    assert record.exc_info is None
    line = record.getMessage()
    assert "\n" not in line
    return line


# ----------------------------------------------------------------------------------------------------- files that break


@dataclass
class Disk:
    """A disk with a limit in pages of the file (None for no limit). `opened` counts openings."""

    pages: int | None = None
    broken: bool = False
    opened: int = 0

    def connect(self, file: Path) -> sqlite3.Connection:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        connection = connect(file)
        if self.pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self.pages}")
        self.opened += 1
        return connection


def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Memory stands in; once there is space, all missed turns are written, and the next process finds them."""
    file, disk = tmp_path / "turns.db", Disk(pages=20)
    with fallback(file, disk.connect) as it:
        number = next(number for number in range(1, 10_000) if not it.write([accept(number)], 0.0) or it.degraded)
        line = one_line(caplog)
        assert str(file) in line
        assert DISK_FULL in line
        assert it.write([accept(number), accept(1), accept(number + 1)], now=1.0) == [False, False, True]
        assert it.write([End(key(1), Ending.DONE), AddMessage(key(2), "m1")], now=1.0) == [True, True]
        assert it.claim("slack", now=1.0) == []
        disk.pages = None
        assert it.write([accept(0)], now=RETRY - 0.1) == [True]
        assert it.write([accept(number), accept(number + 2)], now=RETRY + 1.0) == [False, True]
        assert not it.degraded
    assert not caplog.records
    assert sorted(map(int, found(file))) == [0, *range(2, number + 3)]


def test_a_read_only_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Turns continue in memory, and repeated events are recognised there."""
    file = tmp_path / "turns.db"
    with fallback(file) as it:
        it.write([accept(1)], now=0.0)

    def read_only(file: Path) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)

    with fallback(file, read_only) as it:
        assert it.write([accept(2)], now=0.0) == [True]
        assert it.write([accept(2)], now=0.0) == [False]
        assert it.degraded
        line = one_line(caplog)
        assert str(file) in line
        assert NOT_WRITABLE in line
    assert found(file) == ["1"]


@pytest.mark.parametrize("name", ["/proc/turns.db", "nowhere/turns.db", "."])
def test_a_path_without_a_possible_file(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing, invalid or read-only folder causes one log line, and answers continue."""
    file = tmp_path / name
    with fallback(file) as it:
        assert it.write([accept(1), accept(1)], now=0.0) == [True, False]
        assert it.degraded
    line = one_line(caplog)
    assert str(file) in line
    assert NOT_WRITABLE in line


@pytest.mark.parametrize(
    "garbage", [b"not a database at all, and long enough to be read as one" * 50, b"SQLite format 3\0"]
)
def test_a_corrupt_file(garbage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A corrupt file is moved aside unchanged, and a new one is created."""
    file = tmp_path / "turns.db"
    file.write_bytes(garbage)
    with fallback(file) as it:
        assert it.write([accept(1)], now=0.0) == [True]
        assert not it.degraded
    assert "turns.db.corrupt-20260101-000000" in one_line(caplog)
    assert (tmp_path / "turns.db.corrupt-20260101-000000").read_bytes() == garbage
    assert found(file) == ["1"]


def test_a_file_damaged_while_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Later turns are in a new file, and the old one is kept."""
    file = tmp_path / "turns.db"
    with fallback(file) as it:
        it.write([accept(number) for number in range(500)], now=0.0)
    pages = file.read_bytes()

    def forgetful(file: Path) -> sqlite3.Connection:
        connection = connect(file)
        connection.execute("PRAGMA cache_size = 1")  # rereads every page
        return connection

    with fallback(file, forgetful) as it:
        it.write([Drop(key(9_999))], now=0.0)
        with file.open("r+b") as damaged:
            damaged.seek(4096)
            damaged.write(b"\xff" * (len(pages) - 4096))
        it.write([accept(number) for number in range(1_000, 1_500)], now=1.0)
        it.write([End(key(1_000), Ending.DONE)], now=1.0 + RETRY)
        assert not it.degraded
    assert "corrupt" in one_line(caplog)
    assert len(found(file)) == 499
    assert len([path for path in tmp_path.iterdir() if ".corrupt-" in path.name]) >= 1


@pytest.mark.parametrize("how", ["removed", "another in its place", "overwritten"])
def test_a_file_replaced_while_open(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Live turns are written into the new file with their messages; ended ones are not."""
    file = tmp_path / "turns.db"
    with fallback(file) as it:
        it.write([accept(1), accept(2), accept(3), AddMessage(key(2), "m")], now=0.0)
        it.write([End(key(3), Ending.DONE)], now=1.0)
        match how:
            case "removed":
                file.unlink()
            case "another in its place":
                with fallback(tmp_path / "other.db") as other:
                    other.write([Drop(key(9))], now=0.0)
                (tmp_path / "other.db").rename(file)
            case "overwritten":
                file.write_bytes(b"a log sent to the wrong place\n" * 100)
        assert it.write([accept(2), accept(4)], now=2.0) == [False, True]
        it.write([End(key(1), Ending.DONE)], now=3.0)
        assert not it.degraded
    assert found(file) == ["2", "4"]
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == 1


@pytest.mark.parametrize("ours", [True, False])
def test_a_file_of_another_program(tmp_path: Path, caplog: pytest.LogCaptureFixture, *, ours: bool) -> None:
    """A database of another program or a later version stays unchanged."""
    file = tmp_path / "turns.db"
    if ours:
        with fallback(file) as it:
            it.write([], now=0.0)
    with closing(sqlite3.connect(file)) as other:
        other.executescript("PRAGMA user_version = 2" if ours else "CREATE TABLE prices (price)")
    before = file.read_bytes()
    with fallback(file) as it:
        assert it.write([accept(1)], now=0.0) == [True]
        assert it.degraded
    assert ("later version" if ours else "another program") in one_line(caplog)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_a_locked_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A locked file is abandoned after a bounded wait, and used again after a pause."""
    file, disk = tmp_path / "turns.db", Disk()
    with fallback(file, disk.connect) as it, closing(sqlite3.connect(file, isolation_level=None)) as other:
        it.write([accept(1)], now=0.0)
        other.execute("BEGIN IMMEDIATE")
        assert it.write([accept(2)], now=1.0) == [True]
        opened = disk.opened
        assert it.write([accept(3), accept(2)], now=2.0) == [True, False]
        assert disk.opened == opened
        assert LOCKED in one_line(caplog)
        other.execute("ROLLBACK")
        it.write([accept(4)], now=1.0 + RETRY)
        assert not it.degraded
    assert found(file) == ["1", "2", "3", "4"]


def test_missed_turns_are_written_at_the_end(tmp_path: Path) -> None:
    """A process that ends while its file is left alone tries it once more."""
    file, disk = tmp_path / "turns.db", Disk(pages=1)
    with fallback(file, disk.connect) as it:
        it.write([accept(1), accept(2)], now=0.0)
        it.write([End(key(1), Ending.DONE)], now=0.0)
        assert it.degraded
        disk.pages = None
    assert found(file) == ["2"]


def test_memory_for_a_broken_file_is_bounded() -> None:
    """A file broken for days fills no memory, and no text of an ended turn is held."""
    turns = LiveTurns(live=50, ended=100)
    for number in range(1_000):
        turns.apply(accept(number))
        turns.apply(End(key(number), Ending.DONE))
        turns.apply(Drop(key(-number)))
        assert not any(turn.event for turn in turns.ended)
    for number in range(1_000, 2_000):
        turns.apply(accept(number))
    assert (len(turns.live), len(turns.ended), len(turns.dropped)) == (50, 100, 100)
    assert [turn.key for turn in turns.live][-1] == key(1_999)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=5_000), st.booleans())
def test_any_bytes_are_a_journal_or_are_kept(content: bytes, prefixed: bool) -> None:
    """The bot starts with any content in the file, and deletes none of it."""
    content = b"SQLite format 3\0" + content if prefixed else content
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "turns.db"
        file.write_bytes(content)
        with fallback(file) as it:
            assert it.write([accept(1)], now=0.0) == [True]
            kept = [path.read_bytes() for path in Path(folder).iterdir() if "owner" not in path.name]
            # SQLite treats a single byte as an empty file, because some systems write one (os_unix.c, unixFileSize).
            assert len(content) <= 1 or content in kept


# ----------------------------------------------------------------------------------------------------------------- time


def test_old_turns_are_purged_in_batches(tmp_path: Path) -> None:
    """Ended turns are purged after the configured days, unfinished ones after their repair time too."""
    file, today = tmp_path / "turns.db", BEGINNING
    options = JournalOptions(days=2, repair_seconds=5 * 86_400, purge_batch=10)
    with fallback(file, clock=lambda: today, options=options) as it:
        it.write([accept(number) for number in range(30)], now=0.0)
        it.write([End(key(number), Ending.DONE) for number in range(25)], now=0.0)
        it.write([AddMessage(key(0), "m1"), End(key(29), Ending.INTERRUPTED)], now=0.0)

        def kept() -> int:
            with closing(sqlite3.connect(file)) as other:
                assert other.execute("SELECT count(*) FROM answers").fetchone()[0] <= 1
                return int(other.execute("SELECT count(*) FROM turns").fetchone()[0])

        it.maintain(now=0.0)
        assert kept() == 30
        today = BEGINNING + timedelta(days=3)
        it.maintain(now=30.0)
        assert kept() == 30
        for now, left in [(60.0, 20), (60.5, 20), (61.0, 10), (62.0, 5), (63.0, 5)]:
            it.maintain(now)
            assert kept() == left
        today = BEGINNING + timedelta(days=6)
        it.maintain(now=200.0)
        assert kept() == 0


def test_a_turn_is_never_of_the_future(tmp_path: Path) -> None:
    """Ages are not negative after the clock was set back."""
    file = tmp_path / "turns.db"
    with fallback(file) as it:
        it.write([accept(1, BEGINNING + timedelta(days=1)), accept(2, BEGINNING - timedelta(days=1))], now=0.0)
    with fallback(file) as it:
        assert [record.age for record in it.claim("slack", 0.0)] == [0.0, 86_400.0]


def test_a_turn_of_many_crashes_is_abandoned(tmp_path: Path) -> None:
    """A turn of many crashes counts as too old to continue; SIGTERM is no crash."""
    file, ages = tmp_path / "turns.db", []
    with fallback(file) as it:
        it.write([accept(1), accept(2)], now=0.0)
    for _ in range(MAX_CRASHES + 1):
        with fallback(file) as it:
            ages.append([record.age for record in it.claim("slack", 0.0)])
            it.write([End(key(2), Ending.INTERRUPTED)], now=0.0)
    assert ages == [[0.0, 0.0]] * MAX_CRASHES + [[math.inf, 0.0]]


# ------------------------------------------------------------------------------------------------------------ the words


def sqlite_errors() -> list[type[Exception]]:
    return [
        value
        for name, value in vars(sqlite3).items()
        if isinstance(value, type) and issubclass(value, Exception) and name[0].isupper()
    ]


@pytest.mark.parametrize("kind", sqlite_errors())
def test_every_error_of_sqlite_is_translated(kind: type[Exception]) -> None:
    """No exception of the library leaves its adapter."""
    with pytest.raises(JournalBroken, match=r"^turns\.db: ") as caught, translate_errors(Path("turns.db")):
        raise kind("whatever")
    assert caught.value.__cause__ is not None


def test_every_code_has_a_message() -> None:
    """Each result code of SQLite, also an extended one, has one line; the common ones have a remedy."""
    codes = {name: value for name, value in vars(sqlite3).items() if name.startswith("SQLITE_") and 0 < value < 2**16}
    said: dict[str, str] = {}
    for name, code in codes.items():
        error = sqlite3.OperationalError("detail")
        error.sqlite_errorcode, error.sqlite_errorname = code, name
        said[name] = describe(error)
        assert said[name]
        assert "\n" not in said[name]
    usual = {
        "FULL": DISK_FULL,
        "READONLY": NOT_WRITABLE,
        "CANTOPEN": NOT_WRITABLE,
        "BUSY": LOCKED,
        "BUSY_SNAPSHOT": LOCKED,
    }
    usual |= {
        "IOERR": IO_ERROR,
        "IOERR_FSYNC": IO_ERROR,
        "CORRUPT": CORRUPT,
        "NOTADB": CORRUPT,
        "READONLY_DBMOVED": NOT_WRITABLE,
    }
    assert {name: said[f"SQLITE_{name}"] for name in usual} == usual


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, DISK_FULL), (errno.EDQUOT, DISK_FULL), (errno.EROFS, NOT_WRITABLE), (errno.EACCES, "denied")],
)
def test_system_errors_have_a_message(number: int, words: str) -> None:
    """A file with a system error has its reason in the message."""
    with pytest.raises(JournalBroken) as caught, translate_errors(Path("turns.db")):
        raise OSError(number, "Permission denied")
    assert words in str(caught.value)
    assert not caught.value.corrupt


# ------------------------------------------------------------------------------------------------------ against a model

keys = st.integers(0, 5).map(key)
operations = st.one_of(
    st.builds(Accept, keys, st.text(), st.just(BEGINNING.timestamp())),
    st.builds(Drop, keys),
    st.builds(AddMessage, keys, st.sampled_from("abc")),
    st.builds(End, keys, st.sampled_from(Ending)),
)
steps = st.one_of(st.lists(operations, max_size=6), st.sampled_from(["restart", "take", "break", "mend"]))


@dataclass
class Known:
    """The expected state of a turn."""

    event: str
    messages: list[str] = field(default_factory=list)
    mine: bool = True
    over: bool = False


class Model:
    """The reference journal: a dict."""

    def __init__(self) -> None:
        self.turns: dict[TurnKey, Known] = {}

    def do(self, operation: Operation) -> bool:
        """Whether it adds an unknown turn."""
        turn = self.turns.get(operation.key)
        match operation:
            case Accept(event=event) if turn is None:
                self.turns[operation.key] = Known(event)
                return True
            case Drop():
                self.turns.pop(operation.key, None)
            case AddMessage(message=message) if turn and message not in turn.messages:
                turn.messages.append(message)
            case End(ending=ending) if turn:
                turn.over = turn.over or ending is not Ending.INTERRUPTED
        return False

    def claim(self) -> list[tuple[TurnKey, str, tuple[str, ...]]]:
        free = [(each, turn) for each, turn in self.turns.items() if not turn.mine and not turn.over]
        for _, turn in free:
            turn.mine = True
        return [(each, turn.event, tuple(turn.messages)) for each, turn in free]

    def restart(self) -> None:
        for turn in self.turns.values():
            turn.mine = False


def taken(it: JournalFallback, now: float) -> list[tuple[TurnKey, str, tuple[str, ...]]]:
    return [(record.key, record.event, record.messages) for record in it.claim("slack", now)]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@example([[accept(0)], "restart", "break", [Drop(key(0))]])
@example([[accept(0)], "restart", "break", [Drop(key(0)), Accept(key(0), "anew", BEGINNING.timestamp())]])
@example([[accept(0)], "restart", "break", [AddMessage(key(0), "a"), End(key(0), Ending.DONE)]])
@given(st.lists(steps, max_size=30))
def test_it_behaves_like_a_durable_dict(script: list[list[Operation] | str]) -> None:
    """Through restarts and temporary faults, its results equal those of a dict."""
    with tempfile.TemporaryDirectory() as folder:
        file, disk, model, now = Path(folder) / "turns.db", Disk(), Model(), 0.0
        it = JournalFallback(file, JournalOptions(), lambda: BEGINNING, disk.connect)
        for step in (*script, "mend", "restart", "take"):
            now += RETRY
            if isinstance(step, list):
                told, known = it.write(step, now), [model.do(operation) for operation in step]
                if not it.degraded:
                    accepts = [number for number, operation in enumerate(step) if isinstance(operation, Accept)]
                    assert [told[number] for number in accepts] == [known[number] for number in accepts]
            elif step == "take":
                found = taken(it, now)
                assert found == ([] if it.degraded else model.claim())
            elif step == "restart":
                disk.broken = False
                it.close()
                it = JournalFallback(file, JournalOptions(), lambda: BEGINNING, disk.connect)
                model.restart()
            else:
                disk.broken = step == "break"
        it.close()


# ----------------------------------------------------------------------------------------------------------- the thread


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.sockets(seconds=20)
async def test_a_broken_file_breaks_no_promise_within_the_process(tmp_path: Path) -> None:
    """All promises of the port hold with a broken file, except for durability."""
    async with SqliteJournal(tmp_path / "no" / "turns.db", now) as journal:
        assert journal.degraded
        assert not journal.durable
        assert await journal.accept(key(1), "text")
        assert not await journal.accept(key(1), "text")
        await journal.posted(key(1), "m1")
        await journal.ended(key(1), Ending.DONE)
        assert not await journal.unfinished("slack")


@pytest.mark.sockets(seconds=20)
async def test_a_bug_reaches_its_caller_and_the_thread_continues(tmp_path: Path) -> None:
    """An unexpected error is raised to its caller, and later calls work."""

    def buggy() -> Connect:
        bugs = iter([RuntimeError("a bug")])

        def connect_with_bug(file: Path) -> sqlite3.Connection:
            for bug in bugs:
                raise bug
            return connect(file)

        return connect_with_bug

    with pytest.raises(RuntimeError, match="a bug"):
        async with SqliteJournal(tmp_path / "turns.db", now, connect=buggy()):
            raise AssertionError("unreachable")
    journal = SqliteJournal(tmp_path / "turns.db", now, connect=buggy())
    with pytest.raises(RuntimeError, match="a bug"):
        await journal.__aenter__()
    assert await journal.accept(key(1))
    await journal.__aexit__()


@pytest.mark.sockets(seconds=20)
async def test_a_hanging_disk_delays_no_answer(tmp_path: Path) -> None:
    """A write raises after a bounded time, and is written when the disk responds again."""
    hangs = threading.Event()

    def hanging(file: Path) -> sqlite3.Connection:
        hangs.wait()
        return connect(file)

    file = tmp_path / "turns.db"
    async with SqliteJournal(file, now, connect=hanging, response_seconds=2.0) as journal:
        with pytest.raises(JournalBroken, match="did not answer"):
            await journal.accept(key(1), "text")
        hangs.set()
        assert not await journal.accept(key(1), "text")
    assert found(file) == ["1"]


@pytest.mark.sockets(seconds=20)
async def test_a_response_does_not_wait_for_the_integrity_check(tmp_path: Path) -> None:
    """A heartbeat's check of a large file comes after the responses to queued requests."""
    checked = threading.Event()

    class Large(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "integrity_check" in sql:
                checked.wait()
            return super().execute(sql, *parameters)

    def large(file: Path) -> sqlite3.Connection:
        return sqlite3.connect(file, isolation_level=None, factory=Large)

    journal = SqliteJournal(tmp_path / "turns.db", now, connect=large, response_seconds=10.0)
    try:
        await journal.__aenter__()  # raises if it takes longer than that
    finally:
        checked.set()
        await journal.__aexit__()


@pytest.mark.sockets
async def test_the_bot_starts_degraded_without_a_file(tmp_path: Path) -> None:
    """One log line names the file, the page is served, and /readyz is 200 with "degraded"."""
    url = "sqlite:////proc/nowhere/turns.db"
    async with OpenAIDouble() as model:
        named = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m", "JOURNAL_URL": url}
        async with bot(named, folder=tmp_path) as running:
            where = (await running.says("open http://")).split()[2]
            async with aiohttp.ClientSession() as session, session.get(f"{where}/readyz") as answer:
                assert answer.status == 200
                assert (await answer.json())["journal"] == "degraded"
            assert await running.stop() == 0
    assert sum("/proc/nowhere/turns.db" in line and "lost with this process" in line for line in running.lines) == 1
    assert not any("Traceback" in line for line in running.lines)


@pytest.mark.sockets
async def test_the_journal_is_at_the_configured_path(tmp_path: Path) -> None:
    """After the end, the folder contains only the configured file, and the records beside it."""
    async with OpenAIDouble() as model:
        named = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m", "JOURNAL_URL": "sqlite:///turns.db"}
        async with bot(named, folder=tmp_path) as running:
            where = (await running.says("open http://")).split()[2]
            async with aiohttp.ClientSession() as session, session.get(f"{where}/readyz") as answer:
                assert (await answer.json())["journal"] == "ok"
            assert await running.stop() == 0
    names = await asyncio.to_thread(lambda: sorted(path.name for path in tmp_path.iterdir()))
    assert names == ["turns-records.db", "turns.db"]
