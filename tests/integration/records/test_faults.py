"""Faults of the records' file: answers go on, one line tells the operator, and nothing of others is overwritten."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.journal.errors import CORRUPT, DISK_FULL, LOCKED
from adapters.records import RecordsOptions
from adapters.records.ledger import read
from adapters.records.retention import ROWS_AT_ONCE, purge
from adapters.records.sqlite import SqliteRecords, quotas
from adapters.records.sqlite.database import RETRY_SECONDS, connect, perform, prepare
from adapters.records.sqlite.schema import SCHEMA_VERSION
from bot.conversation import Usage
from bot.interactions.values import Vote
from bot.ledger import UsageFilter
from bot.quota_book import QUOTAS_KEY, QuotaBook
from bot.records import AuditEntry, RecordsUnavailable, person
from bot.turns.hooks import ModelCall
from tests.contracts.records import COUNTER, DANA, NOON, NOW, entry, key, reservation, vote
from tests.support.fakes import turn
from tests.support.metering import metered
from tests.support.waiting import until

pytestmark = pytest.mark.sockets  # threads, so in real time


@dataclass
class Disk:
    """A disk with a limit in pages of the file, or one without any file at all."""

    pages: int | None = None
    broken: bool = False
    wait: Callable[[], object] = lambda: None

    def connect(self, file: Path | None) -> sqlite3.Connection:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        self.wait()
        connection = connect(file)
        connection.execute("PRAGMA busy_timeout = 50")
        if self.pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return connection


def one_line(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    assert record.exc_info is None
    assert "\n" not in record.getMessage()
    return record.getMessage()


async def fill(records: SqliteRecords) -> None:
    for number in range(10_000):
        await records.put(f"key {number}", "x" * 4_000)


async def recovered(records: SqliteRecords) -> None:
    """Wait until the store may try again, and does."""
    deadline = asyncio.get_running_loop().time() + RETRY_SECONDS
    await until(lambda: asyncio.get_running_loop().time() > deadline)
    await records.put("probe", "1")


async def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Votes are refused with an error, one line names the file, and all works again once there is space."""
    disk = Disk(pages=60)
    async with SqliteRecords(tmp_path / "records.db", lambda: NOON, connect=disk.connect) as records:
        with pytest.raises(RecordsUnavailable):
            await fill(records)
        with pytest.raises(RecordsUnavailable):
            await records.record_vote(vote(1, Vote.UP))
        assert records.degraded
        line = one_line(caplog)
        assert DISK_FULL in line
        assert str(tmp_path / "records.db") in line
        disk.pages = None
        await recovered(records)
        assert not records.degraded


async def test_a_nearly_full_disk_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Small writes still fit and large ones do not: the store breaks again and again, and one line a minute says so."""
    disk = Disk(pages=60)
    with caplog.at_level(logging.INFO):
        async with SqliteRecords(tmp_path / "records.db", lambda: NOON, connect=disk.connect) as records:
            with pytest.raises(RecordsUnavailable):
                await fill(records)
            for _ in range(2):
                await recovered(records)
                assert not records.degraded
                with pytest.raises(RecordsUnavailable):
                    await records.put("large", "x" * 400_000)
                assert records.degraded
    assert DISK_FULL in one_line(caplog)
    assert sum("work again" in record.getMessage() for record in caplog.records) <= 1


async def test_without_a_working_disk_everything_is_admitted(tmp_path: Path) -> None:
    """Quotas fail open: a broken disk must not stop answers."""
    file = tmp_path / "none" / "records.db"
    async with metered({"user.day.questions": 1}, file=file) as at:
        for number in range(3):
            assert (await at.meter.admit(turn(str(number)))).admitted
            await at.meter.settle(turn(str(number)), (), has_text=True)
        assert at.records.degraded


async def test_a_locked_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A backup's lock makes one operation fail after a short wait; then the store works on."""
    file, disk = tmp_path / "records.db", Disk()
    async with SqliteRecords(file, lambda: NOON, connect=disk.connect) as records:
        await records.put("probe", "1")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(RecordsUnavailable):
                await records.reserve(reservation(1))
            assert LOCKED in one_line(caplog)
            other.execute("ROLLBACK")
        await recovered(records)
        assert await records.reserve(reservation(1)) is None


async def test_a_hanging_disk(tmp_path: Path) -> None:
    """A question waits for a short time, later ones not at all; once the disk answers, the store works again."""
    free = threading.Event()
    disk = Disk(wait=free.wait)
    async with SqliteRecords(tmp_path / "r.db", lambda: NOON, connect=disk.connect, response_seconds=2.0) as records:
        with pytest.raises(RecordsUnavailable):
            await records.reserve(reservation(1))
        assert records.degraded
        free.set()
        await until(lambda: not records.degraded)
        await records.reserve(reservation(1))
        assert (await records.counters([COUNTER]))[COUNTER].questions == 1


@pytest.mark.parametrize("kind", ["another program's", "corrupt", "later"])
async def test_a_file_that_is_not_ours(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It stays unchanged, and the line says why."""
    file = tmp_path / "records.db"
    if kind == "corrupt":
        file.write_bytes(b"not a database at all, and longer than a header of one is, by some bytes at least" * 9)
    else:
        async with SqliteRecords(file, lambda: NOON):
            pass
        pragma = "application_id = 1" if kind == "another program's" else f"user_version = {SCHEMA_VERSION + 1}"
        with closing(sqlite3.connect(file)) as other:
            other.execute(f"PRAGMA {pragma}")
    before = file.read_bytes()
    async with SqliteRecords(file, lambda: NOON) as records:
        with pytest.raises(RecordsUnavailable):
            await records.put("probe", "1")
        assert records.degraded
    words = {"another program's": "belongs to another program", "corrupt": CORRUPT, "later": "made by a later version"}
    assert words[kind] in one_line(caplog)
    assert file.read_bytes() == before


async def test_a_removed_file_is_replaced(tmp_path: Path) -> None:
    """Whoever deletes the records starts anew; writing into a removed file would lose everything later."""
    file = tmp_path / "records.db"
    async with SqliteRecords(file, lambda: NOON) as records:
        await records.put("probe", "1")
        empty(tmp_path)
        await records.put("probe", "2")
        assert file.exists()
        assert await records.get("probe") == "2"


async def test_only_this_user_reads_the_file(tmp_path: Path) -> None:
    """Reasons and settings are people's words."""
    file = tmp_path / "records.db"
    async with SqliteRecords(file, lambda: NOON) as records:
        await records.put("probe", "1")
        assert modes(tmp_path) == {0o600}


# ------------------------------------------------------------------------------------------------ audit and retention


async def test_the_audit_log_is_append_only(tmp_path: Path) -> None:
    """Not even a shell changes or deletes an entry without removing the triggers first."""
    file = tmp_path / "records.db"
    async with SqliteRecords(file, lambda: NOON) as records:
        await records.append(AuditEntry(NOW, "slack", "T1", "U1", "export", "user:U1", "detail"))
        with closing(sqlite3.connect(file)) as shell:
            for statement in (
                "DELETE FROM audit",
                "UPDATE audit SET action = 'other'",
                "UPDATE audit SET actor = 'U2'",
                "UPDATE audit SET detail = ''",
                "UPDATE audit SET at = 0",
            ):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    shell.execute(statement)
        await records.erase(DANA)
        erased, kept = await records.audit()
        assert (erased.action, erased.actor) == ("forget", kept.actor)
        assert kept.actor.startswith("forgotten-")
        assert kept.subject == f"user:{kept.actor}"
        assert (kept.at, kept.action, kept.detail) == (NOW, "export", "")


async def test_a_quota_changes_only_with_its_audit_entry(tmp_path: Path) -> None:
    """The operator reads that nothing changed, and that is true."""
    file = tmp_path / "records.db"
    async with SqliteRecords(file, lambda: NOON) as records:
        book = QuotaBook({}, records, lambda: NOON)
        assert await book.change("user.day.questions", "5", by="operator")
        assert [each.action for each in await records.audit()] == ["quota"]
        with closing(sqlite3.connect(file)) as shell:
            shell.execute("CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'broken'); END")
            with pytest.raises(RecordsUnavailable):
                await book.change("user.day.questions", "9", by="operator")
            ((stored,),) = shell.execute("SELECT value FROM key_values WHERE key = ?", (QUOTAS_KEY,))
        assert json.loads(stored) == {"user.day.questions": "5"}


def test_many_old_rows_take_several_purges() -> None:
    """Each deletes a limited number, so that no question waits for long, and tells of the rest."""
    with closing(connect(None)) as connection:
        prepare(connection, None)
        calls = [entry(1)] * (ROWS_AT_ONCE + 1)
        quotas.settle(connection, key(1), calls, refund=False, ended=True, repeated=False)
        later = NOON + timedelta(days=11)
        left = [perform(connection, purge(RecordsOptions(usage_days=10), later)) for _ in range(2)]
        assert left == [True, False]
        assert not perform(connection, read(UsageFilter(), 1))


async def test_an_erased_person_leaves_no_trace_on_the_disk(tmp_path: Path) -> None:
    """The id is in no byte of the file or its log, even in freed pages."""
    name = "U0DANA4711"
    dana = person("slack", name)
    async with SqliteRecords(tmp_path / "records.db", lambda: NOON) as records:
        for number in range(50):
            await records.reserve(reservation(number, user=name))
            await records.settle(key(number), [entry(number, user=name)], refund=False, ended=True)
            await records.record_vote(vote(number, Vote.DOWN, user=name))
        await records.write(dana, {"persona": f"I am {name}"}, by=dana)
        await records.first_contact(dana)
        assert holds(tmp_path, name)
        await records.erase(dana)
        assert not holds(tmp_path, name)
        await records.settle(key(1), [entry(1, user=name)], refund=False, ended=True)  # by an answer that ends later
        await records.keep_answer(key(1).digest, "An answer", NOW)
        assert not holds(tmp_path, name)
        assert not any((await records.rows_of(dana)).values())


def empty(folder: Path) -> None:
    for each in folder.iterdir():
        each.unlink()


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def holds(folder: Path, text: str) -> bool:
    return any(text.encode() in each.read_bytes() for each in folder.iterdir())


async def test_figures_of_an_outage_are_counted_later(tmp_path: Path) -> None:
    """A turn that ends while the disk is broken is in the ledger once the disk works."""
    folder = tmp_path / "later"
    async with metered({}, file=folder / "records.db") as at:
        await at.meter.settle(turn("1"), [ModelCall("m", Usage(10, 5), 0, 0)], has_text=True)
        assert at.records.degraded
        folder.mkdir()
    async with SqliteRecords(folder / "records.db", lambda: NOON) as records:
        assert [each.tokens for each in await records.entries(UsageFilter())] == [15]
