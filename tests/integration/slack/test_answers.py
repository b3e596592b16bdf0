"""The whole path on Slack: a question over the socket, a model, and the final messages."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from typing_extensions import override

from adapters.journal import MemoryJournal
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.conversation import Ending, TurnKey
from bot.journal import Journal
from bot.turns.manager import TurnManager
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.clock import BUSY
from tests.support.core import make_turns
from tests.support.fakes import FakeJournal, ScriptedModel, answer_of, words
from tests.support.inbox import PATIENCE
from tests.support.slack import options_of, reachable, sole_platform
from tests.support.waiting import until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

ANSWER = words(100, rate=60.0)


@asynccontextmanager
async def bot(double: SlackDouble, model: ScriptedModel, journal: Journal | None = None) -> AsyncIterator[TurnManager]:
    """The program without its settings: Slack, the core and a scripted model. Leaving the context is a kill -9."""
    turns = make_turns(model, journal or MemoryJournal(), wall_clock=lambda: datetime.now(UTC))
    attachments = Attachments(AttachmentLimits(), hosts=frozenset())
    platform = sole_platform(options_of(double), attachments)
    try:
        async with reachable(double, platform), asyncio.TaskGroup() as group:
            tasks = [group.create_task(turns.run()), group.create_task(platform.run(turns))]
            await turns.started.wait()
            yield turns
            for task in tasks:
                task.cancel()
    finally:
        await platform.close()
        await attachments.close()


async def finished(double: SlackDouble, channel: str, count: int) -> list[str]:
    """The answers, once `count` of them are whole."""
    whole = answer_of(ANSWER).split()
    async with asyncio.timeout(PATIENCE):
        await double.until(lambda: sum(a.split() == whole for a in double.answers(channel)) == count)
    return double.answers(channel)


@pytest.mark.quick
async def test_answers_grow_and_arrive_whole() -> None:
    """Three questions at once in one channel: each answer grows in its thread, ends whole, and provokes no 429."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        roots = [double.say(channel, "<@UBOT> tell", author=ann) for _ in range(3)]
        answers = await finished(double, channel, 3)
        assert len(answers) == 3
        assert all(len(double.answers(channel, root)) == 1 for root in roots)
    assert double.limited == []
    assert double.refused == []
    first = [w.text for w in double.writes if w.ts == double.writes[0].ts]
    assert len(first) >= 3
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(first))


async def test_a_lost_post_is_not_repeated() -> None:
    """A post with a lost answer is found by its key, and its message grows."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("POST", "chat.postMessage", Kind.RESET_AFTER)
    double.faults.add("POST", "chat.update", Kind.STATUS, status=503, nth=2)
    double.faults.add("POST", "chat.update", Kind.RESET_AFTER, nth=4)
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        double.say(channel, "<@UBOT> tell", author=ann)
        assert len(await finished(double, channel, 1)) == 1
    assert double.limited == []


@pytest.mark.transports("socket")
async def test_slack_is_away_for_a_moment() -> None:
    """After a pause without writes and connection, the live answer is completed, and waiting questions are answered."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        double.say(channel, "<@UBOT> tell", author=ann)
        await double.transcript.wait_for(path="chat.update")
        double.faults.add("POST", "chat.update", Kind.RESET_BEFORE, times=3)
        double.faults.add("POST", "apps.connections.open", Kind.RESET_BEFORE, times=2)
        double.sockets.refused = 1
        double.sockets.abort()
        double.say(channel, "<@UBOT> tell me too", author=ann)
        assert len(await finished(double, channel, 2)) == 2
        await double.settled()
        for envelope in list(double.deliveries.envelopes):
            await double.redeliver(envelope)
        await double.settled()
        assert len(double.answers(channel)) == 2
    assert double.limited == []


@pytest.mark.parametrize("kind", ["channel", "im"])
@pytest.mark.parametrize("when", ["before it is looked into", "while its post is lost", "in the middle"])
async def test_an_answer_goes_on_after_a_kill(kind: str, when: str) -> None:
    """After a kill at any time and a restart, the unfinished message is completed, and no other exists."""
    double, journal = SlackDouble(), FakeJournal(durable=True)
    double.post_seconds = 0.0
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    if when == "before it is looked into":
        double.faults.add("GET", "users.info", Kind.STALL_BEFORE)
    if when == "while its post is lost":
        double.faults.add("POST", "chat.postMessage", Kind.STALL_AFTER)
    async with double.running():
        async with bot(double, ScriptedModel(ANSWER), journal):
            double.say(place, "<@UBOT> tell", author=ann)
            async with asyncio.timeout(PATIENCE):
                if when == "before it is looked into":
                    await double.transcript.wait_for(path="users.info")
                elif when == "while its post is lost":
                    await double.until(lambda: bool(double.answers(place)))
                else:
                    await double.transcript.wait_for(path="chat.update")
                await double.settled()
        double.faults.clear()
        await double.redeliver(double.deliveries.envelopes[0])  # it may be that Slack does
        async with bot(double, ScriptedModel(ANSWER), FakeJournal(of=journal)):
            assert len(await finished(double, place, 1)) == 1
            await double.settled()
    assert double.limited == []
    assert double.refused == []


class FailingJournal(FakeJournal):
    """A journal failing at its `at`-th write."""

    def __init__(self, at: int) -> None:
        super().__init__(durable=True)
        self._left = at
        self.failed = False

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.failed = True
            raise OSError("the disk is full")

    @override
    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        self._count()
        return await super().accept(key, event, messages)

    @override
    async def update_event(self, key: TurnKey, event: str) -> None:
        self._count()
        await super().update_event(key, event)

    @override
    async def posted(self, key: TurnKey, message: str) -> None:
        self._count()
        await super().posted(key, message)

    @override
    async def ended(self, key: TurnKey, ending: Ending) -> None:
        self._count()
        await super().ended(key, ending)


@pytest.mark.transports("http")
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_failing_write_of_the_journal_costs_no_answer(at: int) -> None:
    """Whichever write fails, a question delivered twice at once is answered once, and no event is given up."""
    double = SlackDouble()
    double.requests.twice_each = 1
    ann, channel = double.world.user("Ann"), double.world.channel()
    answer = words(10, rate=60.0)
    journal = FailingJournal(at)
    async with double.running(), bot(double, ScriptedModel(answer), journal) as turns:
        double.requests.retry_seconds = (0.0, 0.1, 0.1)
        double.say(channel, "<@UBOT> tell", author=ann)
        async with asyncio.timeout(PATIENCE):
            await double.until(lambda: " ".join(double.answers(channel)).split() == answer_of(answer).split())
            await double.settled()
            await turns.idle()
        assert journal.failed
        assert len(double.answers(channel)) == 1
        assert double.requests.given_up == []


# Words a second of an answer of half a minute.
RATE = 30.0


@asynccontextmanager
async def answering(double: SlackDouble, kind: str = "channel") -> AsyncIterator[tuple[str, str, str, ScriptedModel]]:
    """A growing answer of half a minute: its channel, the ts of question and answer, and its model."""
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    model = ScriptedModel(words(1000, rate=RATE))
    async with double.running(), bot(double, model) as turns:
        ts = double.say(place, "<@UBOT> tell", author=ann)
        async with asyncio.timeout(PATIENCE):
            await double.transcript.wait_for(path="chat.update")
        yield place, ts, double.writes[0].ts, model
        async with asyncio.timeout(PATIENCE):
            await turns.idle()


async def closed(model: ScriptedModel) -> None:
    """Wait for the end of the model's stream, within the words of a second: of a few on a busy machine."""
    before = model.given
    await until(lambda: not model.open)
    assert model.given - before <= RATE * BUSY


@pytest.mark.parametrize("kind", ["channel", "im"])
async def test_the_word_stop(kind: str) -> None:
    """Alone in the thread, without a mention, or in a direct message: the answer ends, and the word gets none."""
    double = SlackDouble()
    async with answering(double, kind) as (place, ts, _, model):
        double.say(place, "Stop!", author="U0001", thread=ts if kind == "channel" else "")
        await closed(model)
        await double.until(lambda: "Stopped." in double.answers(place)[-1])
        await double.settled()
    assert len(double.answers(place)) == 1
    assert len(model.calls) == 1


@pytest.mark.parametrize("on", ["question", "answer"])
async def test_a_reaction_stops(on: str) -> None:
    """A stop sign on either ends the answer honestly, at once."""
    double = SlackDouble()
    async with answering(double) as (place, question, answer, model):
        double.react(place, question if on == "question" else answer, "octagonal_sign", author="U0001")
        await closed(model)
        await double.until(lambda: "Stopped." in double.answers(place)[-1])


@pytest.mark.parametrize("what", ["question", "answer"])
async def test_a_deletion_closes_the_stream(what: str) -> None:
    """A deleted question or answer ends the model's stream."""
    double = SlackDouble()
    async with answering(double) as (place, question, answer, model):
        double.remove(place, question if what == "question" else answer)
        await closed(model)
    assert len(double.answers(place)) == (what == "question")
