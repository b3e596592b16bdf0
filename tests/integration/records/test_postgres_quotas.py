"""Quotas in PostgreSQL: exact among many processes, and equal to SQLite's after any history."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.records.postgres import PostgresRecords
from adapters.records.sqlite import SqliteRecords
from bot.conversation import TurnKey
from bot.ledger import CounterKey, Limit, Reservation, Unit, UsageFilter
from bot.record_store import RecordStore
from bot.records import person
from tests.contracts.records import NOON, NOW, entry
from tests.support.postgres import empty_database, engine, require_postgres

pytestmark = pytest.mark.sockets(seconds=120)

PROCESSES = 8
LIMIT = 60

# Histories of the property test, each at a time and in a workspace of its own.
WORLDS, WORLD_SECONDS = count(), 1e6


@dataclass(frozen=True)
class Reserve:
    """One question, whose room expires after `seconds`."""

    number: int
    user: str
    after: float
    tokens: tuple[int, int]
    is_guess: bool
    money: str
    seconds: float
    limits: tuple[tuple[str, Unit, str], ...]


@dataclass(frozen=True)
class Settle:
    """The calls of a turn, or their repetition."""

    number: int
    calls: int
    cost: str | None
    refund: bool
    ended: bool
    repeated: bool


@dataclass(frozen=True)
class Erase:
    """A person is forgotten."""

    user: str


Step = Reserve | Settle | Erase
USERS, SCOPES = st.sampled_from(["U1", "U2"]), ("user", "workspace")
AMOUNTS = {Unit.QUESTIONS: ["1", "3", "2.5"], Unit.TOKENS: ["150", "300"], Unit.MONEY: ["0.05", "0.1", "0.15"]}
LIMITS = st.lists(
    st.sampled_from([(scope, unit, each) for scope in SCOPES for unit, amounts in AMOUNTS.items() for each in amounts]),
    max_size=3,
).map(tuple)
NUMBERS = st.integers(0, 5)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Reserve,
        NUMBERS,
        USERS,
        st.sampled_from([0.0, 50.0, 3_600.0]),
        st.sampled_from([(10, 90), (1, 0), (140, 20)]),
        st.booleans(),
        st.sampled_from(["0", "0.03", "0.0499999999999"]),
        st.sampled_from([40.0, 10_000.0]),
        LIMITS,
    ),
    st.builds(
        Settle,
        NUMBERS,
        st.integers(0, 2),
        st.sampled_from([None, "0.01", "0.0000000001"]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(Erase, USERS),
)


@pytest.fixture(scope="module")
def shared_database() -> str:
    """One database for all examples."""
    require_postgres()
    return empty_database()


@settings(max_examples=25)  # each step is a statement of a real database
@given(steps=st.lists(STEPS, max_size=20))
def test_both_stores_keep_the_same_figures(shared_database: str, steps: list[Step]) -> None:
    """After any history of questions, settlements, expired room and erasures, and with the same refusals."""

    async def check() -> None:
        world = next(WORLDS)
        workspace, start = f"W{world}", NOW + world * WORLD_SECONDS
        async with opened(shared_database) as ours, SqliteRecords(None, lambda: NOON) as other:
            now = start
            for step in steps:
                now += step.after if isinstance(step, Reserve) else 1.0
                results = [await apply(each, step, workspace, start, now) for each in (ours, other)]
                assert results[0] == results[1], step
            assert await figures(ours, workspace) == await figures(other, workspace)

    asyncio.run(check())


async def apply(records: RecordStore, step: Step, workspace: str, start: float, now: float) -> object:
    """Do one step; the result of a reservation."""
    match step:
        case Reserve():
            return await records.reserve(wanted(step, workspace, now))
        case Settle():
            cost = None if step.cost is None else Decimal(step.cost)
            key = question(step.number, workspace)
            at = start + step.number if step.repeated else now  # a repetition has the time of the first attempt
            place = {"platform": workspace, "workspace": workspace, "turn": key.digest}
            calls = [entry(step.number, at=at + each / 100, cost=cost, **place) for each in range(step.calls)]
            await records.settle(key, calls, refund=step.refund, ended=step.ended, repeated=step.repeated)
        case Erase():
            await records.erase(person(workspace, step.user))
    return None


def question(number: int, workspace: str) -> TurnKey:
    """A question in a world of its own: the workspace's name is the platform's too, so that examples never meet."""
    return TurnKey(workspace, workspace, "C1", str(number))


def counters(user: str, workspace: str) -> dict[str, CounterKey]:
    return {
        "user": CounterKey("user", f"{workspace}/{user}", "2026-11-28"),
        "workspace": CounterKey("workspace", workspace, "2026-11"),
    }


def wanted(step: Reserve, workspace: str, now: float) -> Reservation:
    owned = counters(step.user, workspace)
    return Reservation(
        question(step.number, workspace),
        step.user,
        now,
        prompt_tokens=step.tokens[0],
        answer_tokens=step.tokens[1],
        answer_is_guess=step.is_guess,
        money=Decimal(step.money),
        expires_at=now + step.seconds,
        counters=tuple(owned.values()),
        limits=tuple(Limit(owned[scope], unit, Decimal(amount)) for scope, unit, amount in step.limits),
    )


async def figures(records: RecordStore, workspace: str) -> tuple[Any, ...]:
    """Counters, calls and sums of one world."""
    keys = {key: None for user in ("U1", "U2") for key in counters(user, workspace).values()}
    chosen = UsageFilter(platform=workspace)
    states = await records.counters(list(keys))
    calls = sorted(await records.entries(chosen), key=str)
    return states, calls, await records.totals(chosen)


# ------------------------------------------------------------------------------------------------------- many processes


async def test_eight_processes_never_exceed_a_limit(database: str) -> None:
    """Questions, settlements and their repetitions at once; the counters add up, and nobody waits for ever."""
    async with several(database) as processes:
        refusals = await asyncio.gather(
            *(live(processes, number, random.Random(number)) for number in range(4 * LIMIT))
        )
        workspace = counters("U1", "T1")["workspace"]
        state = (await processes[0].counters([workspace]))[workspace]
        (totals,) = await processes[1].totals(UsageFilter(platform="T1"))
        assert refusals.count(True) > 0
        assert state.questions == totals.questions == LIMIT
        assert state.tokens == totals.input_tokens + totals.output_tokens
        assert (state.reserved_tokens, state.reserved_money) == (0, Decimal(0))


async def live(processes: Sequence[RecordStore], number: int, chance: random.Random) -> bool:
    """One question from its admission to its end, at several processes; whether it was refused."""
    reservation = wanted(simple(number, "0.01", 1e6, ("workspace", Unit.QUESTIONS, str(LIMIT))), "T1", NOW)
    # The same event may reach two processes.
    admitted = await asyncio.gather(*(each.reserve(reservation) for each in chance.sample(processes, 2)))
    if admitted[0] is not None:
        return admitted[1] is not None
    call = replace(entry(number, at=NOW + number), platform="T1", turn=question(number, "T1").digest)
    for repeated in (False, True):
        await chance.choice(processes).settle(reservation.key, [call], refund=False, ended=True, repeated=repeated)
    return False


def simple(number: int, money: str, seconds: float, *limits: tuple[str, Unit, str]) -> Reserve:
    """A question of one of five people."""
    return Reserve(number, f"U{number % 5}", 0.0, (10, 90), is_guess=False, money=money, seconds=seconds, limits=limits)


async def test_the_room_of_many_dead_processes_expires(database: str) -> None:
    """Everyone frees expired room at once, and no two wait for each other."""
    async with several(database) as processes:
        for start, seconds in ((0, 10.0), (200, 1e6)):
            now = NOW + start
            steps = [
                Reserve(
                    start + number,
                    f"U{number % 5}",
                    0.0,
                    (10, 90),
                    is_guess=False,
                    money="0",
                    seconds=seconds,
                    limits=(),
                )
                for number in range(100)
            ]
            refusals = await asyncio.gather(
                *(processes[step.number % PROCESSES].reserve(wanted(step, "T1", now)) for step in steps)
            )
            assert refusals == [None] * 100
        workspace = counters("U1", "T1")["workspace"]
        state = (await processes[0].counters([workspace]))[workspace]
        assert (state.questions, state.reserved_tokens) == (200, 100 * 100)
        assert not processes[0].degraded


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresRecords]:
    """A process of its own, with one connection."""
    async with engine(url, connections=1) as own, PostgresRecords(own, lambda: NOON) as records:
        yield records


@asynccontextmanager
async def several(url: str) -> AsyncIterator[list[PostgresRecords]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(url)) for _ in range(PROCESSES)]
