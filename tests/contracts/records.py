"""The contract of the store of records, for every port it implements: a test file subclasses `RecordsContract`.

A store shared with other processes passes `DurableRecordsContract` too.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from typing_extensions import override

from adapters.records import RecordsOptions
from bot.conversation import TurnKey
from bot.interactions.values import Vote
from bot.ledger import CounterKey, GroupBy, LedgerEntry, Limit, Reservation, Unit, UsageFilter
from bot.pricing import CostSource
from bot.quota_book import QUOTAS_KEY, QuotaBook
from bot.record_store import RecordStore
from bot.records import AuditEntry, Subject, SubjectKind, VoteRecord, person
from tests.support.waiting import becomes

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
NOW = NOON.timestamp()
DANA, ELI = person("slack", "U1"), person("slack", "U2")
CHANNEL = Subject(SubjectKind.CHANNEL, "slack", "T1", "C1")
COUNTER = CounterKey("user", "slack/U1", "2026-11-28")


def key(number: int, generation: int = 0) -> TurnKey:
    return TurnKey("slack", "T1", "C1", str(number), generation)


def reservation(number: int, *limits: tuple[Unit, int | str], user: str = "U1", at: float = NOW) -> Reservation:
    """A question of 10 + 90 tokens for 0.10 dollars, with limits of one counter."""
    counter = replace(COUNTER, owner=f"slack/{user}")
    return Reservation(
        key(number),
        user,
        at,
        prompt_tokens=10,
        answer_tokens=90,
        answer_is_guess=False,
        money=Decimal("0.10"),
        expires_at=at + 100,
        counters=(counter,),
        limits=tuple(Limit(counter, unit, Decimal(amount)) for unit, amount in limits),
    )


def entry(number: int, **changes: object) -> LedgerEntry:
    call = LedgerEntry(NOW, "slack", "T1", "C1", "U1", key(number).digest, "gpt-6", 100, 40, 20, 5)
    return replace(replace(call, cost=Decimal("0.05"), cost_source=CostSource.SERVER), **changes)  # type: ignore[arg-type]  # by name


def vote(number: int, opinion: Vote, user: str = "U1", at: float = NOW) -> VoteRecord:
    return VoteRecord("slack", "T1", "C1", f"m{number}", user, opinion, at, key(number).digest)


class RecordsContract(ABC):
    """The tests of the store; a subclass opens it, with a clock at `NOON`."""

    @abstractmethod
    def records(self) -> AbstractAsyncContextManager[RecordStore]:
        """Open an empty store, and close it afterwards."""

    # ------------------------------------------------------------------------------------------------------- settings

    async def test_settings_are_kept_by_subject(self) -> None:
        """A person's and a channel's settings are separate, and an unset one is gone."""
        async with self.records() as records:
            await records.write(DANA, {"model": "fast", "persona": "pirate"}, by=DANA)
            await records.write(CHANNEL, {"model": "large"}, by=ELI)
            await records.write(DANA, {"persona": None}, by=DANA)
            found = await records.read([DANA, ELI, CHANNEL])
            assert found == {DANA: {"model": "fast"}, CHANNEL: {"model": "large"}}

    async def test_the_audit_log_shows_who_changed_what(self) -> None:
        """Each real change adds one entry, with the old and the new value."""
        async with self.records() as records:
            await records.write(CHANNEL, {"model": "fast"}, by=DANA)
            await records.write(CHANNEL, {"model": "fast"}, by=ELI)
            await records.write(CHANNEL, {"model": None}, by=ELI)
            newest, oldest = await records.audit()
            assert (oldest.actor, oldest.subject, oldest.at) == ("U1", "channel:C1", NOW)
            assert oldest.detail == '{"name": "model", "old": null, "new": "fast"}'
            assert (newest.actor, newest.detail) == ("U2", '{"name": "model", "old": "fast", "new": null}')

    async def test_half_a_surrogate_pair_is_no_error(self) -> None:
        """Platforms send them, and SQLite takes UTF-8 only."""
        async with self.records() as records:
            await records.write(DANA, {"persona": "a\ud83d"}, by=DANA)
            assert await records.read([DANA]) == {DANA: {"persona": "a?"}}

    async def test_the_newest_reset_counts(self) -> None:
        """Each conversation has one marker."""
        async with self.records() as records:
            await records.reset("slack", "t1", "100", by=DANA)
            await records.reset("slack", "t1", "200", by=DANA)
            assert await records.reset_position("slack", "t1") == "200"
            assert await records.reset_position("slack", "t2") == ""

    async def test_a_first_contact_happens_once(self) -> None:
        """Of several simultaneous contacts, exactly one is the first."""
        async with self.records() as records:
            firsts = await asyncio.gather(*(records.first_contact(DANA) for _ in range(5)))
            assert sorted(firsts) == [False] * 4 + [True]
            assert await records.first_contact(ELI)

    async def test_values_of_the_program(self) -> None:
        """A value is replaced, and an empty one is deleted."""
        async with self.records() as records:
            assert await records.get("commands") == ""
            await records.put("commands", "1")
            await records.put("commands", "2")
            assert await records.get("commands") == "2"
            await records.put("commands", "")
            assert await records.get("commands") == ""

    async def test_a_value_is_replaced_as_its_reader_saw_it(self) -> None:
        """Whoever read an older value changes nothing, and the audit log has no entry of theirs."""
        async with self.records() as records:
            first, second = (AuditEntry(NOW, "", "", "operator", "quota", detail=detail) for detail in "12")
            assert await records.replace("quotas", "1", expected="", audit=first)
            assert not await records.replace("quotas", "2", expected="", audit=second)
            assert await records.get("quotas") == "1"
            assert await records.audit() == [first]

    # --------------------------------------------------------------------------------------------------------- quotas

    @pytest.mark.parametrize(
        ("unit", "amount", "admitted"),
        [(Unit.QUESTIONS, 4, 4), (Unit.TOKENS, 399, 3), (Unit.TOKENS, 400, 4), (Unit.MONEY, "0.35", 3)],
    )
    async def test_a_limit_holds_at_its_edge(self, unit: Unit, amount: int | str, admitted: int) -> None:
        """Of fifty simultaneous questions, exactly as many are admitted as the limit has room for."""
        async with self.records() as records:
            wanted = [reservation(number, (unit, amount)) for number in range(50)]
            refusals = await asyncio.gather(*map(records.reserve, wanted))
            assert refusals.count(None) == admitted
            assert sum(each is not None and each.notify for each in refusals) == 1

    async def test_a_refused_person_is_told_once_an_hour(self) -> None:
        """Later refusals within the hour are silent, also under another limit; others are told on their own."""
        async with self.records() as records:
            told = [
                await records.reserve(reservation(number, (Unit.QUESTIONS, 0), user=user, at=NOW + seconds))
                for number, (user, seconds) in enumerate([("U1", 0), ("U1", 3_599), ("U2", 10), ("U1", 3_600)])
            ]
            assert [each and each.notify for each in told] == [True, False, True, True]

    async def test_a_repair_is_not_counted_again(self) -> None:
        """A turn admitted by an earlier process is admitted beyond the limit, and counts once."""
        async with self.records() as records:
            for _ in range(3):
                assert await records.reserve(reservation(1, (Unit.QUESTIONS, 1), (Unit.TOKENS, 100))) is None
            state = (await records.counters([COUNTER]))[COUNTER]
            assert (state.questions, state.reserved_tokens, state.reserved_money) == (1, 100, Decimal("0.1"))
            await records.settle(key(1), [entry(1)], refund=False, ended=True)
            assert await records.reserve(reservation(1, (Unit.QUESTIONS, 1))) is None
            assert (await records.counters([COUNTER]))[COUNTER].questions == 1

    async def test_a_settled_question_spends_what_it_used(self) -> None:
        """The reservation makes room for the real tokens and cost."""
        async with self.records() as records:
            await records.reserve(reservation(1))
            await records.settle(key(1), [entry(1), entry(1)], refund=False, ended=True)
            state = (await records.counters([COUNTER]))[COUNTER]
            assert (state.questions, state.tokens, state.money) == (1, 240, Decimal("0.10"))
            assert (state.reserved_tokens, state.reserved_money) == (0, Decimal(0))

    async def test_a_repeated_settlement_counts_once(self) -> None:
        """The first attempt may have succeeded without a response, for a forgotten person too; or failed."""
        async with self.records() as records:
            for number in (1, 2):
                await records.reserve(reservation(number))
            await records.settle(key(1), [entry(1)], refund=False, ended=True)
            await records.settle(key(1), [entry(1)], refund=False, ended=True, repeated=True)
            await records.settle(key(2), [entry(2, at=NOW + 1)], refund=False, ended=True, repeated=True)
            await records.erase(DANA)
            await records.settle(key(1), [entry(1)], refund=False, ended=True, repeated=True)
            assert len(await records.entries(UsageFilter())) == 2
            state = (await records.counters([COUNTER]))[COUNTER]
            assert (state.questions, state.tokens, state.money) == (2, 240, Decimal("0.10"))

    async def test_a_refunded_question_does_not_count(self) -> None:
        """Its tokens stay spent; asked again it counts; a refund after its end changes nothing."""
        async with self.records() as records:
            await records.reserve(reservation(1))
            await records.settle(key(1), [entry(1)], refund=True, ended=True)
            state = (await records.counters([COUNTER]))[COUNTER]
            assert (state.questions, state.tokens) == (0, 120)
            await records.reserve(reservation(1))
            await records.settle(key(1), [], refund=False, ended=True)
            await records.settle(key(1), [], refund=True, ended=True)
            assert (await records.counters([COUNTER]))[COUNTER].questions == 1

    async def test_an_interrupted_turn_keeps_its_room(self) -> None:
        """Another process continues it: the reservation stays until the end."""
        async with self.records() as records:
            await records.reserve(reservation(1))
            await records.settle(key(1), [entry(1)], refund=True, ended=False)
            state = (await records.counters([COUNTER]))[COUNTER]
            assert (state.questions, state.tokens, state.reserved_tokens) == (1, 120, 100)

    async def test_the_room_of_a_dead_process_expires(self) -> None:
        """A reservation without an end blocks nobody for ever; its question stays counted."""
        async with self.records() as records:
            limits = ((Unit.TOKENS, 150),)
            assert await records.reserve(reservation(1, *limits)) is None
            assert await records.reserve(reservation(2, *limits, at=NOW + 100)) is not None
            assert await records.reserve(reservation(3, *limits, at=NOW + 101)) is None
            assert (await records.counters([COUNTER]))[COUNTER].questions == 2

    async def test_a_guessed_answer_takes_what_is_left(self) -> None:
        """Without a known limit of the answer, a question fits while a token is left for its answer."""
        async with self.records() as records:
            wanted = [
                replace(reservation(number, (Unit.TOKENS, 150)), answer_is_guess=True, prompt_tokens=prompt)
                for number, prompt in enumerate([10, 49, 50, 1])
            ]
            refusals = [await records.reserve(each) for each in wanted]
            assert [each is None for each in refusals] == [True, True, False, False]
            assert (await records.counters([COUNTER]))[COUNTER].reserved_tokens == 150

    async def test_without_a_price_a_spent_limit_is_reached(self) -> None:
        """A question with an unknown price needs a limit that is not spent yet."""
        async with self.records() as records:
            free = [replace(reservation(number, (Unit.MONEY, "0.05")), money=Decimal(0)) for number in range(2)]
            assert await records.reserve(free[0]) is None
            await records.settle(key(0), [entry(0)], refund=False, ended=True)
            assert await records.reserve(free[1]) is not None

    # --------------------------------------------------------------------------------------------------------- ledger

    async def test_the_ledger_returns_what_it_got(self) -> None:
        """Every column survives, an unknown cost too; the newest comes first."""
        async with self.records() as records:
            calls = [entry(1, at=NOW + 1), entry(2, cost=None, estimated=True, cost_source=CostSource.UNKNOWN)]
            await records.settle(key(1), calls, refund=False, ended=True)
            assert await records.entries(UsageFilter()) == calls
            assert await records.entries(UsageFilter(since=NOW + 1)) == calls[:1]
            assert await records.entries(UsageFilter(user="U9")) == []

    async def test_calls_belong_to_whoever_was_admitted(self) -> None:
        """Somebody else may ask a question again, and pays for it."""
        async with self.records() as records:
            await records.reserve(reservation(1, user="U2"))
            await records.settle(key(1), [entry(1, user="U1")], refund=False, ended=True)
            assert [each.user for each in await records.entries(UsageFilter())] == ["U2"]

    async def test_sums_by_group(self) -> None:
        """Questions, tokens and cost are summed by user, the most expensive first; refunded questions do not count."""
        async with self.records() as records:
            for number, user in enumerate(["U1", "U2", "U2", "U3"]):
                await records.reserve(reservation(number, user=user))
                calls = [entry(number, user=user, cost=None)] if user == "U3" else [entry(number, user=user)]
                await records.settle(key(number), calls, refund=user == "U3", ended=True)
            rows = await records.totals(UsageFilter(), GroupBy.USER)
            assert [(row.key, row.questions, row.calls, row.cost, row.unpriced) for row in rows] == [
                ("U2", 2, 2, Decimal("0.1"), 0),
                ("U1", 1, 1, Decimal("0.05"), 0),
                ("U3", 0, 1, Decimal(0), 1),
            ]
            (everything,) = await records.totals(UsageFilter(platform="slack"))
            assert (everything.questions, everything.input_tokens, everything.cached_tokens) == (3, 400, 160)
            (nothing,) = await records.totals(UsageFilter(platform="discord"))
            assert (nothing.questions, nothing.calls, nothing.cost) == (0, 0, Decimal(0))
            (by_model,) = await records.totals(UsageFilter(), GroupBy.MODEL)
            assert (by_model.key, by_model.output_tokens, by_model.reasoning_tokens) == ("gpt-6", 80, 20)

    # ------------------------------------------------------------------------------------------------------- feedback

    async def test_the_last_vote_counts(self) -> None:
        """One vote for each person and answer; a reason belongs to a thumbs down only."""
        async with self.records() as records:
            await records.record_vote(vote(1, Vote.DOWN))
            assert await records.add_reason(key(1).digest, "U1", "wrong\ud800")
            await records.record_vote(vote(1, Vote.DOWN, at=NOW + 1))
            await records.record_vote(vote(1, Vote.UP, user="U2", at=NOW + 2))
            assert [(each.user, each.vote, each.reason) for each in await records.votes()] == [
                ("U2", Vote.UP, ""),
                ("U1", Vote.DOWN, "wrong?"),
            ]
            await records.record_vote(vote(1, Vote.UP, at=NOW + 3))
            assert not await records.add_reason(key(1).digest, "U1", "late")
            assert [(each.user, each.vote, each.reason) for each in await records.votes(since=NOW + 3)] == [
                ("U1", Vote.UP, "")
            ]

    async def test_a_vote_shows_the_kept_answer(self) -> None:
        """The text is stored on its own, and may come before or after the vote."""
        async with self.records() as records:
            await records.reserve(reservation(1))
            await records.record_vote(vote(1, Vote.UP))
            await records.keep_answer(key(1).digest, "Forty-two", NOW)
            assert [each.answer for each in await records.votes()] == ["Forty-two"]
            await records.keep_answer(key(1).digest, "Forty-three", NOW + 1)
            await records.keep_answer(key(1).digest, "Forty-two", NOW)  # repeated late
            assert [each.answer for each in await records.votes()] == ["Forty-three"]

    # -------------------------------------------------------------------------------------------------------- privacy

    async def test_an_export_holds_all_rows_about_a_person(self) -> None:
        """Rows of every table, and no row of others."""
        async with self.records() as records:
            await self.fill(records, "U1")
            await self.fill(records, "U2")
            rows = await records.rows_of(DANA)
            assert {table: len(found) for table, found in rows.items()} == {
                "preferences": 1,
                "resets": 1,
                "first_contact": 1,
                "questions": 1,
                "usage": 1,
                "votes": 1,
                "answers": 1,
                "audit": 2,
            }
            assert "U2" not in str(rows)
            assert await records.questions_of(DANA) == [key(1)]

    async def test_an_answer_that_ends_after_the_erasure_names_nobody(self) -> None:
        """Its calls are counted without a person, and its text is not kept."""
        async with self.records() as records:
            await records.reserve(reservation(1))
            await records.erase(DANA)
            await records.settle(key(1), [entry(1)], refund=False, ended=True)
            await records.keep_answer(key(1).digest, "An answer", NOW)
            assert not any((await records.rows_of(DANA)).values())
            (call,) = await records.entries(UsageFilter())
            assert (call.user, call.channel, call.turn, call.input_tokens) == ("", "", "", 100)
            assert (await records.counters([COUNTER]))[COUNTER].tokens == 120

    async def test_an_erased_person_is_gone(self) -> None:
        """No row names them, a random id stands in the audit log, sums and counters stay, and others keep theirs."""
        async with self.records() as records:
            await self.fill(records, "U1")
            await self.fill(records, "U2")
            before = await records.totals(UsageFilter(platform="slack"))
            assert not await records.erasures(0)
            random_id = await records.erase(DANA)
            (erasure,) = await records.erasures(0)
            assert not await records.erasures(erasure)
            assert not any((await records.rows_of(DANA)).values())
            assert all((await records.rows_of(ELI)).values())
            assert await records.forgotten([key(number).digest for number in range(700)]) == [key(1).digest]
            assert random_id in {each.actor for each in await records.audit()}
            assert await records.totals(UsageFilter(platform="slack")) == before
            assert (await records.counters([COUNTER]))[COUNTER].questions == 1
            refused = await records.reserve(reservation(9, (Unit.QUESTIONS, 1)))
            assert refused is not None

    async def fill(self, records: RecordStore, user: str) -> None:
        """One row of each kind about a person."""
        number, subject = int(user[1:]), person("slack", user)
        await records.write(subject, {"model": "fast"}, by=subject)
        await records.reset("slack", f"t{number}", "100", by=subject)
        await records.first_contact(subject)
        await records.reserve(reservation(number, user=user))
        await records.settle(key(number), [entry(number, user=user)], refund=False, ended=True)
        await records.record_vote(vote(number, Vote.UP, user=user))
        await records.keep_answer(key(number).digest, "An answer", NOW)
        await records.append(AuditEntry(NOW, "slack", "T1", user, "export"))


class DurableRecordsContract(RecordsContract):
    """The tests of a store that several processes open, at once or one after the other."""

    @override
    def records(self) -> AbstractAsyncContextManager[RecordStore]:
        return self.opened(NOON)

    @abstractmethod
    def opened(self, now: datetime, options: RecordsOptions | None = None) -> AbstractAsyncContextManager[RecordStore]:
        """Open the same store once more, with a clock at `now`."""

    async def test_two_processes_share_a_limit(self) -> None:
        """Together they admit exactly the limit, and tell the person once."""
        async with self.records() as one, self.records() as other:
            numbers = range(50)
            wanted = [(one, other)[number % 2].reserve(reservation(number, (Unit.QUESTIONS, 25))) for number in numbers]
            refusals = await asyncio.gather(*wanted)
            assert refusals.count(None) == 25
            assert sum(each is not None and each.notify for each in refusals) == 1
            assert (await one.counters([COUNTER]))[COUNTER].questions == 25

    async def test_two_processes_share_settings(self) -> None:
        """A setting, a reset and an erasure made by one are seen by the other at once."""
        async with self.records() as one, self.records() as other:
            await one.write(DANA, {"model": "fast"}, by=DANA)
            await one.reset("slack", "t1", "100", by=DANA)
            assert await other.read([DANA]) == {DANA: {"model": "fast"}}
            assert await other.reset_position("slack", "t1") == "100"
            assert await one.first_contact(DANA)
            assert not await other.first_contact(DANA)
            await other.erase(DANA)
            assert await one.read([DANA]) == {}

    async def test_two_processes_change_different_quotas(self) -> None:
        """No change is lost, and each has its audit entry."""
        async with self.records() as one, self.records() as other:
            books = [QuotaBook({}, records, lambda: NOON) for records in (one, other)]
            names = [f"{scope}.{period}.questions" for scope in ("user", "channel") for period in ("day", "month")]
            changes = [books[number % 2].change(name, "5", by="operator") for number, name in enumerate(names)]
            assert await asyncio.gather(*changes) == [True] * 4
            assert json.loads(await one.get(QUOTAS_KEY)) == dict.fromkeys(names, "5")
            assert sorted(each.subject for each in await other.audit()) == sorted(names)

    async def test_records_survive_their_process(self) -> None:
        """A later process reads counters, settings and votes."""
        async with self.records() as records:
            assert records.durable
            await self.fill(records, "U1")
        async with self.records() as records:
            assert (await records.counters([COUNTER]))[COUNTER].questions == 1
            assert await records.read([DANA]) == {DANA: {"model": "fast"}}
            assert [each.answer for each in await records.votes()] == ["An answer"]

    async def test_old_rows_are_deleted(self) -> None:
        """Each kind after its own days; counters once their period has ended; the rest stays."""
        options = RecordsOptions(usage_days=10, feedback_days=20, audit_days=30)
        async with self.opened(NOON) as records:
            await records.reserve(reservation(1))
            await records.settle(key(1), [entry(1)], refund=False, ended=True)
            await records.record_vote(vote(1, Vote.UP))
            await records.write(DANA, {"model": "fast"}, by=DANA)
        for days, expected in (
            (0, (1, 1, 1, 1, 1)),
            (9, (0, 1, 1, 1, 1)),
            (11, (0, 0, 1, 1, 1)),
            (21, (0, 0, 0, 1, 1)),
            (31, (0, 0, 0, 0, 1)),
        ):
            async with self.opened(NOON + timedelta(days=days), options) as records:
                await records.put("probe", "1")  # the purge follows the first operation
                await becomes(lambda records=records: left(records), expected)  # type: ignore[misc]  # bound at once

    async def test_no_answer_outlives_its_question(self) -> None:
        """Its author is named there alone, and "forget me" could not find its text any more."""
        async with self.opened(NOON) as records:
            for number in (1, 2):
                await records.record_vote(vote(number, Vote.UP))
            await records.reserve(reservation(1))
            for number in (1, 2):
                await records.keep_answer(key(number).digest, "An answer", NOW)
            assert [each.answer for each in await records.votes()] == ["An answer", ""]
        options = RecordsOptions(usage_days=10, feedback_days=20)
        async with self.opened(NOON + timedelta(days=11), options) as records:
            await records.put("probe", "1")  # the purge follows the first operation
            await becomes(lambda: texts(records), ["", ""])


async def left(records: RecordStore) -> tuple[int, int, int, int, int]:
    """The numbers of counted questions, calls, votes, audit entries and people with settings."""
    counter = (await records.counters([COUNTER]))[COUNTER].questions
    rows = [await records.entries(UsageFilter()), await records.votes(), await records.audit()]
    calls, votes, audit = map(len, rows)
    return counter, calls, votes, audit, len(await records.read([DANA]))


async def texts(records: RecordStore) -> list[str]:
    """The kept answers of the votes."""
    return [each.answer for each in await records.votes()]
