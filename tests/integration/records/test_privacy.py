"""Export and erasure of one person's data, over the records and the journal."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from adapters.journal import JournalBroken, MemoryJournal, SqliteJournal
from adapters.records.sqlite import SqliteRecords
from bot.conversation import Ending, Finish, FinishReason, Text, TurnKey
from bot.forgotten_people import ForgottenPeople
from bot.privacy import Answers, JournalRows, StoredPersonalData
from bot.records import RecordsUnavailable, Retention, person
from tests.contracts.records import NOON
from tests.support.core import CoreHarness, running_core
from tests.support.fakes import FakeChannel, ScriptedModel, turn, words
from tests.support.metering import Metered, metered
from tests.support.waiting import until

DANA = person("memory", "U1")
KEPT = (Retention("journal", 7), Retention("ledger", 400))


class Stops(Answers):
    """Remembers whose answers were stopped."""

    def __init__(self) -> None:
        self.stopped: list[tuple[str, str]] = []

    @override
    async def stop_person(self, platform: str, person: str) -> int:
        self.stopped.append((platform, person))
        return 1


class BrokenJournal(MemoryJournal):
    """Fails at every row."""

    @override
    async def drop(self, key: TurnKey) -> None:
        raise JournalBroken(Path("turns.db"), "its disk is full")


def data_of(at: Metered, journal: JournalRows, answers: Answers | None = None) -> StoredPersonalData:
    return StoredPersonalData(at.records, journal, answers or Stops(), retentions=KEPT, wall_clock=lambda: at.now)


@asynccontextmanager
async def asked(journal: MemoryJournal) -> AsyncIterator[Metered]:
    """Two people with an ended question each, and Dana with an unfinished one."""
    async with metered({}) as at:
        for message, user in (("1", "U1"), ("2", "U2"), ("3", "U1")):
            each = turn(message)
            each = replace(each, author=replace(each.author, id=user))
            await journal.accept(each.key, f"question of {user}")
            await at.meter.admit(each)
            if message != "3":
                await journal.posted(each.key, f"m{message}")
                await journal.ended(each.key, Ending.DONE)
                await at.meter.settle(each, (), has_text=True)
        yield at


async def test_an_export_is_a_document_of_everything() -> None:
    """Rows of the records and of the journal, with the text of an unfinished question; the audit log mentions it."""
    journal = MemoryJournal()
    async with asked(journal) as at:
        document = json.loads(await data_of(at, journal).export(DANA))
        assert (document["platform"], document["user"]) == ("memory", "U1")
        assert sorted(row["message"] for row in document["questions"]) == ["1", "3"]
        rows = {row["message"]: (row["event"], row["answer"], row["ending"]) for row in document["journal"]}
        assert rows == {"1": ("", ["m1"], "done"), "3": ("question of U1", [], None)}
        assert [entry["action"] for entry in document["audit"]] == ["export"]
        assert "U2" not in json.dumps(document)


async def test_erasure_reaches_records_and_journal() -> None:
    """Answers are stopped first; other people's rows stay; a random id did it in the audit log."""
    journal, answers = MemoryJournal(), Stops()
    async with asked(journal) as at:
        data = data_of(at, journal, answers)
        await data.forget(DANA)
        assert answers.stopped == [("memory", "U1")]
        assert [journal.turn(turn(message).key) is None for message in "123"] == [True, False, True]
        assert not any((await at.records.rows_of(DANA)).values())
        assert len((await at.records.rows_of(person("memory", "U2")))["questions"]) == 1
        (entry,) = await at.records.audit()
        assert (entry.action, entry.actor.startswith("forgotten-")) == ("forget", True)
        await data.forget(DANA)  # a second press of the button
        assert json.loads(await data.export(person("memory", "U2")))["questions"]


async def test_a_limit_is_not_reset() -> None:
    """Anonymous counters outlive the erasure."""
    async with metered({"user.day.questions": 1}) as at:
        await at.meter.admit(turn("1"))
        await data_of(at, MemoryJournal()).forget(DANA)
        assert not (await at.meter.admit(turn("2"))).admitted


async def test_a_broken_journal_is_said() -> None:
    """The person learns that their data are still there, and may try again."""
    journal = BrokenJournal()
    async with asked(journal) as at:
        with pytest.raises(RecordsUnavailable):
            await data_of(at, journal).forget(DANA)
        assert any((await at.records.rows_of(DANA)).values())


async def test_a_running_answer_ends_without_a_trace() -> None:
    """The rows that it writes after the erasure name nobody."""
    async with (
        metered({}) as at,
        running_core(ScriptedModel([*words(400), Text("end"), Finish(FinishReason.STOP)]), hooks=at.hooks) as core,
    ):
        core.turns.accept(turn("1"), FakeChannel())
        await asyncio.sleep(2)
        await data_of(at, MemoryJournal(), core.turns).forget(DANA)
        await core.idle()
        assert [record.ending for record in core.recorder.records] == [Ending.STOPPED]
        assert len(at.spent.entries) == 1
        assert not any((await at.records.rows_of(DANA)).values())


@asynccontextmanager
async def one_of_several() -> AsyncIterator[tuple[Metered, CoreHarness]]:
    """A process that looks for people forgotten by others. Its answers take some seconds."""
    model = ScriptedModel([*words(400), Text("end"), Finish(FinishReason.STOP)])
    async with metered({}) as at, running_core(model, hooks=at.hooks) as core:
        personal = data_of(at, MemoryJournal(), core.turns)
        async with ForgottenPeople(at.records, personal, lambda: core.turns.queues.accepted, core.turns.live_turns):
            yield at, core


async def test_an_answer_stops_where_another_process_forgot_its_person() -> None:
    """It ends within a second or two, once; rows stored since the erasure go too, and others' answers go on."""
    async with one_of_several() as (at, core):
        core.turns.accept(turn("1"), FakeChannel())
        other = turn("2")
        other = replace(other, conversation="c2", author=replace(other.author, id="U2"))
        core.turns.accept(other, FakeChannel())
        await asyncio.sleep(2)
        await at.records.erase(DANA)  # by another process
        await at.meter.admit(turn("3"))  # counted after it
        await asyncio.sleep(2)
        assert [live.author.id for live in core.turns.live_turns()] == ["U2"]
        assert not any((await at.records.rows_of(DANA)).values())
        assert [each.action for each in await at.records.audit()] == ["forget", "forget"]
        await core.idle()
        assert [record.ending for record in core.recorder.records] == [Ending.STOPPED, Ending.DONE]


async def test_an_answer_taken_over_stops_where_its_person_was_forgotten_before() -> None:
    """No erasure follows the take-over, so each turn is looked up once; later ones of the person are answered."""
    async with one_of_several() as (at, core):
        await at.meter.admit(turn("1"))  # by another process
        await at.records.erase(DANA)
        await asyncio.sleep(2)
        core.turns.accept(turn("1"), FakeChannel())
        await core.idle()
        core.turns.accept(turn("2"), FakeChannel())
        await core.idle()
        assert [record.ending for record in core.recorder.records] == [Ending.STOPPED, Ending.DONE]


@pytest.mark.sockets  # a thread, so in real time
@pytest.mark.quick
async def test_a_slow_rewrite_fails_no_erasure(tmp_path: Path) -> None:
    """The rows are gone and the audit log tells of it, so the person is not told otherwise."""
    rewrite = threading.Event()

    class LargeFile(sqlite3.Connection):
        @override
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "VACUUM":
                rewrite.wait()
            return super().execute(sql, *values)

    def connect(file: Path | None) -> sqlite3.Connection:
        return sqlite3.connect(file or "", isolation_level=None, check_same_thread=False, factory=LargeFile)

    file = tmp_path / "records.db"
    async with SqliteRecords(file, lambda: NOON, connect=connect, response_seconds=2.0) as records:
        await records.write(DANA, {"model": "fast"}, by=DANA)
        await StoredPersonalData(records, MemoryJournal(), Stops(), retentions=KEPT, wall_clock=lambda: NOON).forget(
            DANA
        )
        assert records.degraded
        rewrite.set()
        await until(lambda: not records.degraded)
        assert [each.action for each in await records.audit()] == ["forget", "setting"]
        assert not any((await records.rows_of(DANA)).values())


async def test_the_kinds_and_their_days() -> None:
    """Chat lists what is stored, and for how long."""
    async with metered({}) as at:
        assert data_of(at, MemoryJournal()).retentions == KEPT


@pytest.mark.sockets  # a thread, so in real time
@pytest.mark.quick
async def test_the_journals_file_shows_and_drops_rows(tmp_path: Path) -> None:
    """Every generation of an answer is a row of its own, and unknown turns are none."""
    first, again = TurnKey("slack", "T1", "C1", "1"), TurnKey("slack", "T1", "C1", "1", 1)
    async with SqliteJournal(tmp_path / "turns.db", lambda: datetime.now(UTC)) as journal:
        for key in (first, again):
            await journal.accept(key, "a question")
            await journal.posted(key, "m1")
        await journal.ended(first, Ending.DONE)
        unknown = replace(first, message="2")
        rows = await journal.rows([first, again, unknown])
        assert [(row["generation"], row["event"], row["ending"], row["answer"]) for row in rows] == [
            (0, "", "done", ["m1"]),
            (1, "a question", None, ["m1"]),
        ]
        await journal.drop(first)
        assert len(await journal.rows([first, again])) == 1
