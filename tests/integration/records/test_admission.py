"""Questions under quotas, from their acceptance to the ledger, with the whole core and a real store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.completion import CompletionPolicy
from bot.conversation import Author, Ending, Finish, FinishReason, Message, Role, Text, Turn, TurnKey, Usage
from bot.errors import ServiceError
from bot.interactions.values import Place
from bot.ledger import CounterKey, UsageFilter
from bot.metering import counted
from bot.pricing import CostSource
from bot.records import UsageFigures, person
from bot.turns.config import TurnLimits
from bot.turns.hooks import ModelCall
from bot.usage import LedgerUsage
from tests.support.core import CoreHarness, running_core
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, words
from tests.support.metering import NOON, Metered, metered

USED = Usage(30, 20, 10, 5, "gpt-6-2026", Decimal("0.002"))
SHORT: list[Step] = [Text("Forty-two."), USED, Finish(FinishReason.STOP)]
COUNTER = CounterKey("user", "memory/U1", "2026-11-28")
NO_ANSWER = CompletionPolicy(attempts=1, outage_seconds=0.0)


def question(number: int, user: str = "U1", channel: str = "C") -> Turn:
    """A question of five characters in a conversation of its own."""
    author = Author(user, user)
    message = Message(Role.USER, (Text("hello"),), name=user, id=str(number))
    return Turn(TurnKey("memory", "W", channel, str(number)), f"c{number}", author, message, (channel,))


def fast() -> FakeChannel:
    """A channel without a limit to speak of."""
    return FakeChannel(Server(limit=1_000, period=1.0))


async def ask(core: CoreHarness, *turns: Turn) -> list[FakeChannel]:
    """Ask all questions at once, and wait for the ends; returns their channels."""
    channels = [fast() for _ in turns]
    for each, channel in zip(turns, channels, strict=True):
        await core.turns.receive(each.key, "event")
        core.turns.accept(each, channel)
    await core.idle()
    return channels


def answered(channels: list[FakeChannel]) -> int:
    return sum("Forty-two" in channel.text for channel in channels)


def notices(channels: list[FakeChannel]) -> list[str]:
    return [channel.text for channel in channels if channel.text and "Forty-two" not in channel.text]


async def used(at: Metered) -> int:
    """Questions counted by the ledger."""
    (row,) = await at.records.totals(UsageFilter())
    return row.questions


async def test_a_workspaces_limit_is_exact() -> None:
    """Of 200 simultaneous questions of 50 people, exactly 100 are answered, and each refused person is told once."""
    async with (
        metered({"workspace.day.questions": 100}) as at,
        running_core(ScriptedModel(SHORT), hooks=at.hooks) as core,
    ):
        channels = await ask(core, *(question(number, f"U{number % 50}") for number in range(200)))
        assert answered(channels) == await used(at) == 100
        assert len(notices(channels)) == len({f"U{number % 50}" for number in range(100, 200)})
        sentence = "Everyone here together has reached the limit of 100 questions a day"
        assert all(each.startswith(sentence) for each in notices(channels))
        assert core.recorder.refusals == ["quota"] * 100


async def test_one_person_in_ten_channels() -> None:
    """A person's limit holds over all channels at once, and the notice comes once."""
    async with metered({"user.day.questions": 4}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        channels = await ask(core, *(question(number, channel=f"C{number}") for number in range(10)))
        assert answered(channels) == 4
        assert notices(channels) == [
            "You have reached your limit of 4 questions a day. You can ask again from 2026-11-29 00:00 UTC."
        ]


async def test_threads_belong_to_their_channel() -> None:
    """A new thread is no way around a channel's limit."""
    async with metered({"channel.day.questions": 2}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        threads = [replace(question(number, channel=f"thread {number}"), parent="C1") for number in range(3)]
        assert answered(await ask(core, *threads, question(9, channel="C2"))) == 3
        place = Place("memory", "W", "thread 7", parent="C1")
        usage = LedgerUsage(at.records, at.quotas, lambda: at.now)
        (limit,) = await usage.limits(person("memory", "U1"), place, Author("U1", "Dana"))
        assert (limit.scope, limit.used) == ("channel", Decimal(2))


async def test_a_refused_question_leaves_the_journal() -> None:
    """No later process answers it; the notice itself is an ended turn."""
    async with metered({"user.day.questions": 1}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        await ask(core, *(question(number) for number in range(3)))
        assert sorted(key.message for key in core.journal.entries) == ["0", "1"]
        assert set(core.journal.ends.values()) == {Ending.DONE}


async def test_the_next_day_has_its_own_limit() -> None:
    """At midnight in the operator's time zone, everybody may ask again; a month's limit goes on."""
    limits = {"user.day.questions": 1, "workspace.month.questions": 3}
    async with metered(limits) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        results = []
        for day in range(5):  # 28 November to 2 December
            at.now += timedelta(days=1) if day else timedelta()
            results.append([answered(await ask(core, question(10 * day + each))) for each in range(2)])
        assert results == [[1, 0], [1, 0], [1, 0], [1, 0], [1, 0]]
        at.now -= timedelta(days=2)  # 30 November: three questions of the month are used
        assert answered(await ask(core, question(99, "U2"))) == 0


async def test_an_answer_over_midnight_belongs_to_the_day_of_its_question() -> None:
    """Its tokens count where its question does, and a refund after a month's end leaves the new month alone."""
    async with metered({"user.day.questions": 1}) as at:
        at.now = NOON.replace(day=30, hour=23, minute=59)
        await at.meter.admit(question(1))
        await at.meter.admit(question(2, "U2"))
        at.now += timedelta(minutes=2)
        await at.meter.admit(question(3, "U2"))
        await at.meter.settle(question(1), [ModelCall("m", USED, 0, 0)], has_text=True)
        await at.meter.settle(question(2, "U2"), (), has_text=False)
        periods = ("2026-11-30", "2026-11", "2026-12-01", "2026-12")
        keys = [CounterKey("workspace", "memory/W", period) for period in periods]
        states = await at.records.counters(keys)
        assert [(states[key].questions, states[key].tokens) for key in keys] == [(1, 50), (1, 50), (1, 0), (1, 0)]


async def test_a_failure_before_any_text_is_refunded() -> None:
    """A person whose question found no model may ask it again."""
    model = ScriptedModel([ServiceError("500")], SHORT, whole=[ServiceError("500")])
    async with (
        metered({"user.day.questions": 1}) as at,
        running_core(model, hooks=at.hooks, completion=NO_ANSWER) as core,
    ):
        (failed,) = await ask(core, question(1))
        assert "No answer could be had" in failed.text
        assert await used(at) == 0
        (channel,) = await ask(core, question(2))
        assert answered([channel]) == await used(at) == 1


async def test_a_partial_answer_counts() -> None:
    """Its reader got something, and its tokens are estimated."""
    model = ScriptedModel([*words(40, finish=None), ServiceError("cut")])
    async with (
        metered({"user.day.questions": 1}) as at,
        running_core(model, hooks=at.hooks, completion=NO_ANSWER) as core,
    ):
        await ask(core, question(1))
        assert await used(at) == 1
        assert [entry.estimated for entry in at.spent.entries] == [True, True]  # the stream, and the fallback call
        assert at.spent.entries[0].output_tokens > 60


async def test_an_empty_question_is_free() -> None:
    """The bot's own words cost nothing."""
    async with metered({"user.day.questions": 1}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        empty = replace(question(1), question=Message(Role.USER, (Text(""),), id="1"))
        await ask(core, empty)
        assert await used(at) == 0


async def test_a_question_cancelled_before_its_turn_is_refunded() -> None:
    """Its author deleted it while it waited for a slot."""
    one_slot = TurnLimits(live=1)
    async with (
        metered({"user.day.questions": 2}) as at,
        running_core(ScriptedModel([5.0, *SHORT]), hooks=at.hooks, limits=one_slot) as core,
    ):
        for number in (1, 2):
            core.turns.accept(question(number), fast())
        await asyncio.sleep(1)
        assert await used(at) == 2
        core.turns.message_deleted(question(2).key)
        await core.idle()
        assert await used(at) == 1


@pytest.mark.parametrize(("text", "waiting"), [("stop", 9), ("hello", 0)], ids=["stop", "busy"])
async def test_a_command_s_question_without_an_answer_is_refunded(text: str, waiting: int) -> None:
    """It is counted before it is accepted, so that a refusal is private; a stop and a full queue answer nothing."""
    async with (
        metered({"user.day.questions": 2}) as at,
        running_core(ScriptedModel(words(400)), hooks=at.hooks, limits=TurnLimits(waiting=waiting)) as core,
    ):
        core.turns.accept(question(1), fast())
        await asyncio.sleep(2)
        message = Message(Role.USER, (Text(text),), id="2")
        asked = replace(question(2), conversation=question(1).conversation, question=message)
        assert (await core.turns.admit(asked)).admitted
        assert await used(at) == 2
        core.turns.accept(asked, fast())
        await core.idle()
        assert await used(at) == 1


async def test_a_repair_after_a_crash_is_not_counted_again() -> None:
    """The next process completes the answer, under a limit that is used up."""
    journal, channel = FakeJournal(durable=True), fast()
    async with metered({"user.day.questions": 1}) as at:
        async with running_core(ScriptedModel(words(400)), journal, hooks=at.hooks) as core:
            await core.turns.receive(question(1).key, "event")
            core.turns.accept(question(1), channel)
            await asyncio.sleep(2)  # then it is killed
        async with running_core(ScriptedModel(SHORT), FakeJournal(of=journal), hooks=at.hooks) as core:
            assert [each.key for each in await core.turns.unfinished_turns("memory")] == [question(1).key]
            core.turns.accept(question(1), channel)
            await core.idle()
            assert (answered([channel]), await used(at)) == (1, 1)
            (refused,) = await ask(core, question(2))
            assert answered([refused]) == 0


async def test_an_interrupted_answer_keeps_its_question() -> None:
    """Shutdown records the calls so far; the next process ends the reservation."""
    journal = FakeJournal(durable=True)
    async with metered({"user.day.questions": 1}) as at:
        async with running_core(ScriptedModel(words(400)), journal, hooks=at.hooks) as core:
            await core.turns.receive(question(1).key, "event")
            core.turns.accept(question(1), fast())
            await asyncio.sleep(2)
            await core.turns.drain(0.0)
        assert (len(at.spent.entries), await used(at)) == (1, 1)
        async with running_core(ScriptedModel(SHORT), FakeJournal(of=journal), hooks=at.hooks) as core:
            await core.turns.unfinished_turns("memory")
            core.turns.accept(question(1), fast())
            await core.idle()
        assert (len(at.spent.entries), await used(at)) == (2, 1)


async def test_the_ledger_has_the_servers_figures() -> None:
    """The row names the model of the response, and the server's own cost takes precedence."""
    async with metered({}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        await ask(core, question(1))
        (entry,) = await at.records.entries(UsageFilter())
        assert (entry.model, entry.input_tokens, entry.cached_tokens) == ("gpt-6-2026", 30, 10)
        assert (entry.output_tokens, entry.reasoning_tokens, entry.estimated) == (20, 5, False)
        assert (entry.cost, entry.cost_source, entry.turn) == (
            Decimal("0.002"),
            CostSource.SERVER,
            question(1).key.digest,
        )


async def test_figures_for_chat() -> None:
    """A person reads today's and this month's sums, and the limits with their use."""
    async with metered({"user.day.questions": 4}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        await ask(core, question(1), question(2))
        at.now += timedelta(days=1)
        await ask(core, question(3), question(4, "U2"))
        usage = LedgerUsage(at.records, at.quotas, lambda: at.now)
        period = await usage.usage(person("memory", "U1"))
        assert period.today == UsageFigures(1, 30, 10, 20, Decimal("0.002"))
        assert period.month == UsageFigures(3, 90, 30, 60, Decimal("0.006"))
        assert (await usage.total("memory", "W")).month.questions == 4
        (limit,) = await usage.limits(person("memory", "U1"), Place("memory", "W", "C"), Author("U1", "Dana"))
        assert (limit.scope, limit.unit, limit.period) == ("user", "questions", "day")
        assert (limit.used, limit.limit) == (Decimal(1), Decimal(4))


async def test_a_change_at_run_time_applies_to_the_next_question() -> None:
    """The audit log shows who changed what; a malformed change is refused; an empty one restores the configuration."""
    async with metered({"user.day.questions": 1}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        assert await at.quotas.change("user.day.questions", "2", by="operator")
        assert not await at.quotas.change("user.day.questions", "many", by="operator")
        assert not await at.quotas.change("moon.day.questions", "2", by="operator")
        assert answered(await ask(core, *(question(each) for each in range(3)))) == 2
        assert await at.quotas.change("user.day.questions", "", by="operator")
        details = [(entry.actor, entry.action, entry.detail) for entry in await at.records.audit()]
        assert details == [
            ("operator", "quota", '{"name": "user.day.questions", "old": "2", "new": null}'),
            ("operator", "quota", '{"name": "user.day.questions", "old": "1", "new": "2"}'),
        ]
        assert answered(await ask(core, question(9))) == 0


async def test_an_id_that_no_store_takes_stops_nobody() -> None:
    """Half a surrogate pair in an id is a bug of the platform; the question is answered, and the log has a trace."""
    async with metered({"user.day.questions": 1}) as at, running_core(ScriptedModel(SHORT), hooks=at.hooks) as core:
        channels = [fast(), fast()]
        core.turns.accept(question(1, user="U\ud800"), channels[0])
        core.turns.accept(question(2), channels[1])
        await core.idle()
        assert answered(channels) == 2


# ----------------------------------------------------------------------------------------------------------- properties


@settings(max_examples=40)  # each opens a store
@given(
    limit=st.integers(0, 400),
    prompts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 200), st.booleans()), max_size=30),
    is_guess=st.booleans(),
)
def test_spent_and_reserved_never_exceed_the_limit(
    limit: int, prompts: list[tuple[int, int, bool]], *, is_guess: bool
) -> None:
    """At each acceptance, if answers keep to their limits; with refusals, refunds and questions still running."""

    async def check() -> None:
        answer = None if is_guess else 50
        limits = {"user.day.tokens": limit} if limit else {}
        async with metered(limits, answer_tokens=lambda _: answer) as at:
            for number, (characters, output, ends) in enumerate(prompts):
                asked = question(number)
                asked = replace(asked, question=Message(Role.USER, (Text("x" * characters),), id=str(number)))
                decision = await at.meter.admit(asked)
                counters = await at.records.counters([COUNTER])
                for state in counters.values():
                    assert not limit or state.tokens + state.reserved_tokens <= limit or not decision.admitted
                if decision.admitted and ends:
                    prompt = -(-characters // 4)
                    usage = Usage(min(prompt, limit or prompt), 0 if is_guess else min(output, 50))
                    await at.meter.settle(asked, [ModelCall("m", usage, 0, 0)], has_text=bool(output % 2))

    asyncio.run(check())


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        (ModelCall("m", None, 401, 39), (101, 10, 0)),
        (ModelCall("m", None, 400, 40, 80), (100, 30, 20)),
        (ModelCall("m", None, 400, 0), (0, 0, 0)),
        (ModelCall("m", Usage(-5, 10**30, 2**70, -1), 0, 0), (0, 1_000_000_000, 0)),
    ],
)
def test_tokens_of_a_call(call: ModelCall, tokens: tuple[int, int, int]) -> None:
    """Four characters are a token; a call without any output failed; a server's nonsense is bounded."""
    usage = counted(call)
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == tokens
