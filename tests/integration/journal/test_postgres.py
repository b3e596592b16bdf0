"""The journal in PostgreSQL: the port's contract, several processes, outages and lost answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from adapters.journal.options import JournalOptions
from adapters.journal.postgres import PostgresJournal
from adapters.postgres import Engine
from bot.backoff import Backoff
from bot.conversation import Ending, TurnKey
from bot.errors import Failure, Permanent, ServiceError
from bot.journal import Journal
from bot.ownership.holder import LaneHolder
from bot.ownership.keeper import Keeper
from bot.turns.hooks import every_turn
from bot.turns.lost_turns import LostTurns
from bot.turns.queues import TurnQueues
from tests.contracts.journal import FIRST, OTHERS, DurableJournalContract
from tests.servers.faulty_link import FaultyLink, faulty_link
from tests.servers.postgres_pooler import pooler
from tests.support.members import member
from tests.support.postgres import PATIENT as PATIENT_ENGINE
from tests.support.postgres import engine, own_server, read_rows, run_script
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=30)

# Leases. Nobody is silent for so long without a fault, however busy the machine is. Seconds.
QUICK = 4.0
QUICK_ENGINE: Mapping[str, Any] = {"backoff": Backoff(0.01, 0.05)}
# Calls without a response are given up soon.
LOSSY_ENGINE: Mapping[str, Any] = {**QUICK_ENGINE, "call_seconds": 0.5, "connect_seconds": 0.5}
PATIENT = 60.0


def now() -> datetime:
    return datetime.now(UTC)


def key(number: int) -> TurnKey:
    return TurnKey("discord", "g", "c", str(number))


@asynccontextmanager
async def process(
    url: str, lease_seconds: float = PATIENT, options: JournalOptions | None = None, **engine_options: Any
) -> AsyncIterator[PostgresJournal]:
    """One process with the journal."""
    async with engine(url, **engine_options) as opened, opened_journal(opened, lease_seconds, options) as (journal, _):
        yield journal


@asynccontextmanager
async def opened_journal(
    opened: Engine,
    lease_seconds: float = PATIENT,
    options: JournalOptions | None = None,
    platforms: Mapping[str, LaneHolder] = MappingProxyType({}),
) -> AsyncIterator[tuple[PostgresJournal, Keeper]]:
    """A process's journal and its keeper, with platforms by name."""
    async with (
        member(opened, lease_seconds) as (keeper, work),
        PostgresJournal(
            opened, now, lambda: keeper.process, options, may_run=work.may_run, work_seconds=0.05
        ) as journal,
    ):
        work.attach(LostTurns({}, TurnQueues()), platforms, journal)
        await journal.wait_until_ready()
        await until(lambda: keeper.is_valid)
        yield journal, keeper


async def taken(journal: Journal, platform: str = "discord", least: int = 1) -> list[TurnKey]:
    """The turns that a process takes over, as soon as there are any."""
    found: list[TurnKey] = []
    while len(found) < least:
        found += [record.key for record in await journal.unfinished(platform)]
        await asyncio.sleep(0.01)
    return found


class TestPostgresJournal(DurableJournalContract):
    """The contract, in PostgreSQL."""

    url: str

    @pytest.fixture(autouse=True)
    def place(self, database: str) -> None:
        self.url = database

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Journal]:
        async with process(self.url) as journal:
            yield journal


class TestBehindAPooler(DurableJournalContract):
    """The contract, through a pooler that changes the session between transactions."""

    url: str

    @pytest.fixture(autouse=True)
    def place(self, database: str) -> None:
        self.url = database

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Journal]:
        async with pooler(self.url) as (url, _), process(url) as journal:
            yield journal


# -------------------------------------------------------------------------------------------------- shared commits


async def test_operations_at_the_same_time_share_commits(database: str) -> None:
    """Each gets its own result, whether its turn is new or known, and rows are as one by one."""
    numbers = [number for number in range(41) if number != 7]
    async with process(database, **PATIENT_ENGINE) as journal, process(database, **PATIENT_ENGINE) as other:
        assert await other.accept(key(7), "text")
        before = await transactions(database)
        accepted = await asyncio.gather(*(journal.accept(key(number), f"text {number}") for number in range(41)))
        for letter in "mn":
            await asyncio.gather(*(journal.posted(key(number), f"{letter}{number}") for number in numbers))
        endings = {number: Ending.INTERRUPTED if number % 2 else Ending.DONE for number in numbers}
        await asyncio.gather(*(journal.ended(key(number), ending) for number, ending in endings.items()))
        assert await transactions(database) - before < 2 * len(numbers)  # of four for each
        assert [number for number, is_new in enumerate(accepted) if not is_new] == [7]
        rows = await journal.rows([key(number) for number in numbers])
        (of_other,) = await journal.rows([key(7)])
    assert [row["answer"] for row in rows] == [[f"m{number}", f"n{number}"] for number in numbers]
    assert [(row["ending"], row["event"]) for row in rows] == [
        ("interrupted", f"text {number}") if number % 2 else ("done", "") for number in numbers
    ]
    assert (of_other["ending"], of_other["event"], of_other["answer"]) == (None, "text", [])


async def transactions(database: str) -> int:
    """A number that grows with each transaction."""
    (row,) = await read_rows(database, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS last")
    return int(row["last"])


# ---------------------------------------------------------------------------------------------------- several processes


@pytest.mark.quick
async def test_turns_of_a_live_process_are_not_claimed(database: str) -> None:
    """Of two processes beside each other, exactly one owns each turn; an interrupted turn is free at once."""
    async with process(database) as new:
        async with process(database) as old:
            for number in range(3):
                await old.accept(key(number), "text")
            assert not await new.unfinished("discord")
            assert not await new.accept(key(0), "text")
            await old.ended(key(1), Ending.DONE)
            await old.ended(key(2), Ending.INTERRUPTED)
            assert await taken(new) == [key(2)]
            assert not await old.unfinished("discord")
        assert await taken(new) == [key(0)]
        assert not await new.unfinished("discord")


async def test_one_event_at_many_processes_is_one_turn(database: str) -> None:
    """Exactly one of them answers."""
    async with process(database) as one, process(database) as two, process(database) as three:
        for number in range(20):
            found = await asyncio.gather(*(each.accept(key(number), "text") for each in (one, two, three)))
            assert found.count(True) == 1


async def test_each_turn_of_a_dead_process_goes_to_exactly_one(database: str) -> None:
    """Survivors that look at once share them, each turn once, with its crash counted."""
    async with (
        process(database, QUICK) as one,
        process(database, QUICK) as two,
        faulty_link(database) as (url, link),
        process(url, QUICK, **QUICK_ENGINE) as dying,
    ):
        for number in range(30):
            await dying.accept(key(number), "text")
        link.refuse()
        found: list[TurnKey] = []
        while len(found) < 30:
            answers = await asyncio.gather(*(each.unfinished("discord") for each in (one, two, one, two)))
            found += [record.key for records in answers for record in records]
            await asyncio.sleep(0.01)
        assert sorted(found, key=str) == sorted((key(number) for number in range(30)), key=str)
    crashes = await read_rows(database, "SELECT DISTINCT crashes FROM tickertape.turns")
    assert [row[0] for row in crashes] == [1]


async def test_looks_at_the_same_moment_share_the_free_turns(database: str) -> None:
    """A turn that another has taken since a look began is not taken again."""
    async with process(database) as one, process(database) as two:
        for first in range(0, 400, 20):
            async with process(database) as gone:
                for number in range(first, first + 20):
                    await gone.accept(key(number), "text")
            answers = await asyncio.gather(*(each.unfinished("discord") for each in (one, two, one, two)))
            found = sorted(int(record.key.message) for records in answers for record in records)
            assert found == list(range(first, first + 20))


async def test_a_process_that_was_cut_off_neither_accepts_nor_ends(database: str) -> None:
    """Its turns belong to another; back again, it starts over under a new name and keeps what nobody took."""
    async with (
        process(database, QUICK) as survivor,
        faulty_link(database) as (url, link),
        process(url, QUICK, **QUICK_ENGINE) as cut,
    ):
        await cut.accept(key(1), "text")
        await cut.accept(FIRST, "text")
        link.refuse()
        assert await taken(survivor) == [key(1)]
        await cut.ended(key(1), Ending.DONE)
        await cut.ended(FIRST, Ending.DONE)
        link.heal()
        await until(lambda: not cut.degraded)
        assert await _accepted(cut, key(2))
        assert not await cut.accept(key(1), "text")
        assert not await survivor.unfinished("slack")
        await survivor.posted(key(1), "m1")
    rows = await read_rows(database, "SELECT message, ending, event IS NULL FROM tickertape.turns ORDER BY id")
    assert [tuple(row) for row in rows] == [("1", None, False), (FIRST.message, "done", True), ("2", None, False)]


async def _accepted(journal: Journal, question: TurnKey) -> bool:
    """Accept as a platform does, with another delivery: the process may have no new name yet."""
    while True:
        with suppress(ServiceError):
            return await journal.accept(question, "text")


async def test_an_outage_of_the_database_kills_nobody(database: str) -> None:
    """After it, all processes seem silent; each gets the time to say otherwise."""
    lease_seconds = 4.0  # longer than a busy machine stands still
    async with (
        faulty_link(database) as (url, link),
        process(url, lease_seconds, **QUICK_ENGINE) as one,
        process(url, lease_seconds, **QUICK_ENGINE) as two,
    ):
        for number, journal in enumerate((one, two)):
            assert await journal.accept(key(number), "text")
        link.refuse()
        await until(lambda: one.away and two.away)
        await asyncio.to_thread(time.sleep, lease_seconds + 0.5)  # longer than a process may be silent
        link.heal()
        await until(lambda: not (one.degraded or two.degraded))
        for _ in range(20):
            assert not await one.unfinished("discord")
            assert not await two.unfinished("discord")
        assert await read_rows(database, "SELECT id FROM tickertape.processes WHERE dead") == []


# -------------------------------------------------------------------------------------------------------------- outages


async def test_a_question_the_database_did_not_take_is_refused(database: str) -> None:
    """Its event is not acknowledged, so it comes again, and is new then."""
    async with faulty_link(database) as (url, link), process(url, **QUICK_ENGINE) as journal:
        link.refuse()
        with pytest.raises(Failure):
            await journal.accept(key(1), "text")
        link.heal()
        await until(lambda: not journal.degraded)
        assert await journal.accept(key(1), "text")
        assert not await journal.accept(key(1), "text")


@pytest.mark.quick
async def test_operations_of_an_outage_are_made_up_for(database: str) -> None:
    """What was posted and ended meanwhile is in the database soon after; nothing raised."""
    async with faulty_link(database) as (url, link), process(url, **QUICK_ENGINE) as journal:
        for number in range(4):
            await journal.accept(key(number), "text")
        link.refuse()
        await journal.posted(key(0), "m1")
        await journal.posted(key(0), "m2")
        await journal.ended(key(0), Ending.DONE)
        await journal.update_event(key(1), "more text")
        await journal.posted(key(1), "m3")
        await journal.drop(key(2))
        await journal.ended(key(3), Ending.INTERRUPTED)
        link.heal()
        await until(lambda: not journal.degraded)
        rows = await read_rows(
            database,
            "SELECT message, event, ending, ARRAY(SELECT answers.message FROM tickertape.answers WHERE turn = turns.id "
            "ORDER BY place) FROM tickertape.turns ORDER BY id",
        )
        assert [tuple(row) for row in rows] == [
            ("0", None, "done", ["m1", "m2"]),
            ("1", b"more text", None, ["m3"]),
            ("3", b"text", "interrupted", []),
        ]


async def test_operations_on_forgotten_turns_are_made_up_for_too(database: str) -> None:
    """A message deleted during the outage is forgotten after it; a turn of another process stays."""
    options = JournalOptions(max_live_turns=1)
    async with (
        faulty_link(database) as (url, link),
        process(database) as other,
        process(url, options=options, **QUICK_ENGINE) as journal,
    ):
        await other.accept(key(1), "text")
        for number in (2, 3):
            await journal.accept(key(number), "text")
        link.refuse()
        await journal.drop(key(2))
        link.heal()
        await until(lambda: not journal.degraded)
        await journal.drop(key(1))
        rows = await read_rows(database, "SELECT message FROM tickertape.turns ORDER BY id")
        assert [row[0] for row in rows] == ["1", "3"]


async def test_commits_lost_in_a_failover_are_written_again(database: str) -> None:
    """The memory of the process is right: live turns and their messages, ended turns, and dropped ones."""
    async with faulty_link(database) as (url, link), process(url, **QUICK_ENGINE) as journal:
        for number in range(3):
            await journal.accept(key(number), "text", ("m0",))
        await journal.posted(key(0), "m1")
        await journal.ended(key(1), Ending.DONE)
        link.refuse()
        await until(lambda: journal.away)
        await run_script(database, "DELETE FROM tickertape.turns")
        link.heal()
        await until(lambda: not journal.degraded)
        rows = await read_rows(
            database,
            "SELECT message, event, ending, ARRAY(SELECT answers.message FROM tickertape.answers WHERE turn = turns.id "
            "ORDER BY place) FROM tickertape.turns ORDER BY message",
        )
        assert [tuple(row) for row in rows] == [
            ("0", b"text", None, ["m0", "m1"]),
            ("1", None, "done", ["m0"]),
            ("2", b"text", None, ["m0"]),
        ]
        assert not await journal.accept(key(1), "text")
        assert not await journal.unfinished("discord")


async def _accept_with_a_lost_answer(journal: PostgresJournal, link: FaultyLink, database: str) -> TurnKey:
    """Accept a turn whose response is lost. Before a statement's first use, the response of its preparation is lost."""
    for number in range(100):
        link.deaf = True
        with pytest.raises(Failure):
            await journal.accept(key(number), "text")
        link.heal()
        link.close_all()
        await until(lambda: not journal.degraded)
        if await read_rows(database, "SELECT 1 FROM tickertape.turns WHERE message = $1", str(number)):
            return key(number)
        await journal.accept(key(-number - 1), "text")
    raise AssertionError("no statement arrived")


async def test_a_question_taken_with_a_lost_answer_is_answered_once(database: str) -> None:
    """It is in the database, though its event was not acknowledged. Coming again, it is new here, known elsewhere."""
    async with (
        faulty_link(database) as (url, link),
        process(database) as other,
        process(url, **LOSSY_ENGINE) as journal,
    ):
        turn = await _accept_with_a_lost_answer(journal, link, database)
        assert not await other.accept(turn, "text")
        assert await journal.accept(turn, "text")
        assert not await journal.accept(turn, "text")
        assert not await journal.unfinished("discord")


@pytest.mark.quick
async def test_a_question_that_came_again_elsewhere_is_found_by_its_owner(database: str) -> None:
    """The other process has called it known; so its owner, who never began it, finds it in the database, once."""
    async with (
        faulty_link(database) as (url, link),
        process(database) as other,
        process(url, **LOSSY_ENGINE) as journal,
    ):
        turn = await _accept_with_a_lost_answer(journal, link, database)
        assert not await other.accept(turn, "text")
        assert await taken(journal) == [turn]
        assert not await journal.unfinished("discord")
        assert not await journal.accept(turn, "text")
        assert not await other.unfinished("discord")


async def test_turns_taken_over_with_a_lost_answer_are_found_again(database: str) -> None:
    """They belong to this process already, which does not know; the next look returns them."""
    async with process(database) as gone:
        for number in range(3):
            await gone.accept(key(number), "text")
    async with faulty_link(database) as (url, link), process(url, **LOSSY_ENGINE) as journal:
        link.deaf = True
        assert not await journal.unfinished("discord")
        link.heal()
        link.close_all()
        await until(lambda: not journal.degraded)
        assert await taken(journal, least=3) == [key(number) for number in range(3)]
        assert not await journal.unfinished("discord")


Step = Callable[[Journal], Awaitable[object]]

# One life of a journal, and what the database holds after it.
STEPS: tuple[Step, ...] = (
    lambda journal: journal.accept(key(0), "text"),
    lambda journal: journal.posted(key(0), "m1"),
    lambda journal: journal.accept(key(1), "text", ("m9", "m8")),
    lambda journal: journal.update_event(key(1), "more text"),
    lambda journal: journal.posted(key(0), "m2"),
    lambda journal: journal.ended(key(0), Ending.DONE),
    lambda journal: journal.accept(key(2), "text"),
    lambda journal: journal.drop(key(2)),
    lambda journal: journal.accept(key(3), "text"),
    lambda journal: journal.ended(key(3), Ending.INTERRUPTED),
    lambda journal: journal.accept(key(4), "text"),
)
LEFT = {
    ("0", None, "done", ("m1", "m2")),
    ("1", b"more text", None, ("m9", "m8")),
    ("3", b"text", "interrupted", ()),
    ("4", b"text", None, ()),
}


@pytest.mark.parametrize("fault", ["refuse", "swallow", "deaf"])
@pytest.mark.parametrize("at", range(len(STEPS)))
async def test_a_fault_at_any_operation_changes_nothing_in_the_end(fault: str, at: int, database: str) -> None:
    """The network refuses, swallows or loses answers at one operation; afterwards the database is as without it."""
    async with faulty_link(database) as (url, link), process(url, **LOSSY_ENGINE) as journal:
        await _prepare_statements(journal)
        for number, step in enumerate(STEPS):
            if number == at:
                {"refuse": link.refuse, "swallow": link.swallow, "deaf": link.become_deaf}[fault]()
            is_taken = await _is_taken(step, journal)
            link.heal()
            while not is_taken:  # delivered again, and new
                await until(lambda: not journal.degraded)
                is_taken = await _is_taken(step, journal)
        await until(lambda: not journal.degraded)
        assert not await journal.unfinished("discord")
        rows = await read_rows(
            database,
            "SELECT message, event, ending, ARRAY(SELECT answers.message FROM tickertape.answers WHERE turn = turns.id "
            "ORDER BY place) FROM tickertape.turns WHERE channel = 'c'",
        )
        assert {(*tuple(row)[:3], tuple(row[3])) for row in rows} == LEFT


async def _is_taken(step: Step, journal: Journal) -> bool:
    try:
        assert await step(journal) is not False
    except Failure:
        return False
    return True


async def _prepare_statements(journal: Journal) -> None:
    """Use every statement once: a fault then hits the statement itself, not its preparation."""
    other = TurnKey("discord", "g", "elsewhere", "1")
    while not await _is_taken(lambda each: each.accept(other, "text"), journal):
        await asyncio.sleep(0.01)
    await journal.posted(other, "m")
    await journal.update_event(other, "text")
    await journal.ended(other, Ending.DONE)
    await journal.drop(other)


async def test_it_waits_for_a_database_that_is_away_at_the_start() -> None:
    """The start is not refused; once the database is there, the journal is."""
    with own_server() as server:
        server.stop()
        async with (
            engine(server.url, **QUICK_ENGINE) as opened,
            PostgresJournal(opened, now, lambda: "me", may_run=every_turn, work_seconds=0.05) as journal,
        ):
            await until(lambda: opened.away)
            assert journal.away
            server.start()
            with pytest.raises(Permanent, match="tickertape migrate"):  # it is there, but without tables
                await journal.wait_until_ready()


async def test_a_database_without_tables_is_refused(bare_database: str) -> None:
    """One line names the command."""
    async with (
        engine(bare_database) as opened,
        PostgresJournal(opened, now, lambda: "me", may_run=every_turn) as journal,
    ):
        with pytest.raises(Permanent, match="run `tickertape migrate`"):
            await journal.wait_until_ready()


# ---------------------------------------------------------------------------------------------- retention, rows, calls


async def test_old_turns_are_deleted(database: str) -> None:
    """Ended ones after `days`, unfinished ones once they are too old to continue as well; dead processes, old calls."""
    options = JournalOptions(days=7, repair_seconds=86_400 * 10, purge_interval_seconds=0.05, purge_batch=2)
    async with process(database) as journal:
        for number in range(9):
            await journal.accept(key(number), "text")
        for number in range(7):
            await journal.ended(key(number), Ending.DONE)
    await run_script(
        database,
        "UPDATE tickertape.turns SET received_at = now() - interval '8 days' WHERE message NOT IN ('0', '8')",
        "UPDATE tickertape.turns SET received_at = now() - interval '11 days' WHERE message = '8'",
        "INSERT INTO tickertape.calls VALUES ('chat.update', now() - interval '1 hour'), ('chat.update', now())",
        "INSERT INTO tickertape.processes VALUES ('old', now(), now() - interval '2 days', true)",
    )
    async with process(database, options=options):
        async with asyncio.timeout(10):
            while len(found := await read_rows(database, "SELECT message FROM tickertape.turns ORDER BY id")) > 2:
                await asyncio.sleep(0.01)
    assert [row[0] for row in found] == ["0", "7"]
    assert len(await read_rows(database, "SELECT * FROM tickertape.calls")) == 1
    assert await read_rows(database, "SELECT * FROM tickertape.processes") == []


async def test_no_text_stays_in_the_row_of_an_ended_turn(database: str) -> None:
    """The question's text is there while it may be needed, and no longer."""
    async with process(database) as journal:
        await journal.accept(key(1), "a very private question")
        await journal.ended(key(1), Ending.DONE)
        (row,) = await journal.rows([key(1)])
        assert row["event"] == ""
    assert "private" not in str(await read_rows(database, "SELECT * FROM tickertape.turns"))


async def test_rows_are_what_is_stored_about_turns(database: str) -> None:
    """Unknown turns are left out; each row has the fields of the file's."""
    async with process(database) as journal:
        await journal.accept(FIRST, "text")
        await journal.posted(FIRST, "m1")
        await journal.accept(OTHERS[0], "text")
        await journal.ended(OTHERS[0], Ending.FAILED)
        one, two = await journal.rows([OTHERS[0], key(5), FIRST])
        assert (one["platform"], one["ending"], one["event"], one["answer"]) == ("discord", "failed", "", [])
        assert (two["message"], two["generation"], two["event"], two["answer"]) == (FIRST.message, 0, "text", ["m1"])
        assert abs(now().timestamp() - float(str(two["received_at"]))) < 60


async def test_calls_under_a_rate_limit_are_known_to_all(database: str) -> None:
    """Each call counts once, with its age, for the process itself and for others."""
    async with process(database) as one, process(database) as two:
        for _ in range(3):
            one.record_call("chat.update")
        one.record_call("chat.postMessage")
        assert len(await one.recent_calls("chat.update", 60)) == 3
        async with asyncio.timeout(10):
            while len(ages := await two.recent_calls("chat.update", 60)) < 3:
                await asyncio.sleep(0.01)
        assert all(0 <= age < 10 for age in ages)
        assert not await two.recent_calls("chat.update", 0)


async def test_odd_texts_do_no_harm(database: str) -> None:
    """PostgreSQL's text has no NUL and no half of a surrogate pair."""
    odd = TurnKey("discord", "g\0", "c\udc80", "1\0")
    async with process(database) as journal:
        assert await journal.accept(odd, "text\0\udc80", ("m\0",))
        await journal.posted(odd, "\udc80")
        await journal.ended(odd, Ending.DONE)
        assert not await journal.accept(odd, "text")
        assert not journal.degraded
