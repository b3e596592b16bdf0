"""An app distributed outside Slack's Marketplace reads history once a minute: no answer waits for a read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.slack import SlackPlatform
from bot.conversation import TurnKey
from bot.errors import NotFound, OutcomeUnknown, RateLimited
from bot.ports import Body, Channel
from tests.integration.slack.test_answers import bot
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.fakes import FakeJournal, ScriptedModel, answer_of, words
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, soon
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

# Real seconds for what must not wait for a read: the next one comes after a minute.
SOON = 20.0
SHORT = words(10, rate=60.0)
LONG = words(120, rate=60.0)
KEY = "k" * 20 + "1"


def limited(**attributes: object) -> SlackDouble:
    """Slack for a limited app, with a user Ann."""
    double = SlackDouble()
    double.limit_history()
    double.post_seconds = 0.0
    double.world.user("Ann")
    for name, value in attributes.items():
        setattr(double, name, value)
    return double


def reads(double: SlackDouble) -> int:
    return len(double.transcript.of(path=r"conversations\.(replies|history)"))


def provoked(double: SlackDouble) -> list[str]:
    return [method for method, _ in double.limited]


def talk(double: SlackDouble, channel: str, count: int) -> str:
    """A thread of `count` messages from before the bot ran."""
    root = double.say(channel, "m0", author="U0001", quiet=True)
    for number in range(1, count):
        double.say(channel, f"m{number}", author="U0001", thread=root, quiet=True)
    return root


NOTICE = "could not read the earlier messages"


async def whole(double: SlackDouble, places: Sequence[tuple[str, str]], script: Sequence[object]) -> None:
    """Wait until each thread has one whole answer, though no read comes."""
    expected = answer_of(script).split()  # type: ignore[arg-type]
    async with asyncio.timeout(SOON):
        await double.until(lambda: all([a.split()[:10] for a in double.answers(*p)] == [expected[:10]] for p in places))
        await double.until(lambda: all(len(double.answers(*p)[0].split()) >= len(expected) for p in places))


async def test_twenty_questions_at_once() -> None:
    """Twenty questions in threads of people are all answered at once; one read helps one of them, one is refused."""
    double = limited()
    async with double.running(), bot(double, ScriptedModel(SHORT)):
        channels = [double.world.channel() for _ in range(20)]
        places = [(channel, talk(double, channel, 3)) for channel in channels]
        for channel, root in places:
            double.say(channel, "<@UBOT> sum up", author="U0001", thread=root)
        await whole(double, places, SHORT)
        assert reads(double) == 2
        assert provoked(double) == ["conversations.replies"]
        await soon(double, lambda: sum(NOTICE in double.answers(*place)[0] for place in places) == 19)
    assert sum(NOTICE in double.answers(*place)[0] for place in places) == 19


async def test_a_large_page_tells_it_without_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """A page of exactly fifteen messages of more shows a limited app: no 429 is provoked, and one line says it."""
    double = limited()
    async with double.running(), bot(double, ScriptedModel(SHORT)):
        channels = [double.world.channel() for _ in range(10)]
        places = [(channel, talk(double, channel, 40)) for channel in channels]
        for channel, root in places:
            double.say(channel, "<@UBOT> sum up", author="U0001", thread=root)
        await whole(double, places, SHORT)
    assert reads(double) == 1
    assert provoked(double) == []
    assert len([each for each in caplog.records if "once a minute" in each.getMessage()]) == 1


async def test_an_ordinary_app_reads_all() -> None:
    """With tier 3, twenty questions at once have their histories, and nothing is provoked."""
    double = limited(tiers=SlackDouble().tiers, page_limit=1_000)
    async with double.running(), connected(double) as (_, inbox):
        channels = [double.world.channel() for _ in range(20)]
        for channel in channels:
            double.say(channel, "<@UBOT> sum up", author="U0001", thread=talk(double, channel, 3))
        turns = await inbox.wait_for(20)
        async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
            histories = [group.create_task(channel.history(10)) for _, channel in turns]
        assert [[m.text for m in each.result().messages] for each in histories] == [["m0", "m1", "m2"]] * 20
    assert provoked(double) == []


async def test_a_long_thread_has_its_start_and_what_events_told() -> None:
    """Of a long thread, the model gets the first page and all messages since the mention, and knows about the gap."""
    double = limited()
    async with double.running(), connected(double) as (_, inbox):
        channel = double.world.channel()
        root = talk(double, channel, 60)
        double.say(channel, "<@UBOT> first", author="U0001", thread=root)
        _, first = await inbox.turn(1)
        history = await first.history(100)
        assert [m.text for m in history.messages] == [f"m{number}" for number in range(16)]
        assert history.truncated
        assert not history.unread
        double.say(channel, "<@UBOT> second", author="U0001", thread=root)
        _, second = await inbox.turn(2)
        history = await second.history(100)
        assert [m.text for m in history.messages] == [*(f"m{number}" for number in range(16)), "first"]
        assert history.truncated
        assert not history.unread
    assert reads(double) == 1


async def test_direct_messages_are_read_once() -> None:
    """The newest fifteen direct messages come from one read; from then on events tell the rest."""
    double = limited()
    async with double.running(), connected(double) as (_, inbox):
        dm = double.world.channel("im")
        for number in range(40):
            double.say(dm, f"m{number}", author="U0001", quiet=True)
        double.say(dm, "one", author="U0001")
        _, channel = await inbox.turn(1)
        assert [m.text for m in (await channel.history(100)).messages] == [f"m{number}" for number in range(26, 40)]
        for number in range(2, 6):
            double.say(dm, f"q{number}", author="U0001")
            _, channel = await inbox.turn(number)
            history = await channel.history(100)
            assert [m.text for m in history.messages][:2] == ["m26", "m27"]
            assert len(history.messages) == 13 + number
    assert reads(double) == 1


@pytest.mark.parametrize("kind", ["channel", "im"])
async def test_a_restart_in_the_middle(kind: str) -> None:
    """After a kill amid twenty answers, each is completed in its own message, without waiting for reads."""
    double, journal = limited(), FakeJournal(durable=True)
    async with double.running():
        channels = [double.world.channel(kind) for _ in range(20)]
        async with bot(double, ScriptedModel(LONG), journal):
            roots = [double.say(channel, "<@UBOT> tell", author="U0001") for channel in channels]
            async with asyncio.timeout(SOON):
                await double.until(lambda: all(double.answers(channel) for channel in channels))
                await double.settled()
        places = [(c, root if kind == "channel" else "") for c, root in zip(channels, roots, strict=True)]
        async with bot(double, ScriptedModel(SHORT), FakeJournal(of=journal)):
            await whole(double, places, SHORT)
    assert len(provoked(double)) <= 2  # at most one for each process
    assert reads(double) <= 4


async def test_a_follow_up_after_a_restart_needs_no_read() -> None:
    """The journal tells that a thread began with a question to the bot, so its follow-ups are answered at once."""
    double, inbox = limited(), RecordingInbox()
    async with double.running(), connected(double, inbox):
        channel = double.world.channel()
        roots = [talk(double, channel, 2) for _ in range(10)]
        inbox.answered = {TurnKey("slack", "T1", channel, root) for root in roots}
        for root in roots:
            double.say(channel, "and why?", author="U0001", thread=root)
        async with asyncio.timeout(SOON):
            await inbox.turn(10)
    assert reads(double) == 0


async def test_lookups_of_foreign_threads_leave_room_for_answers() -> None:
    """Messages in threads of others wait in the background, and a mention meanwhile is answered at once."""
    double = limited()
    async with double.running(), bot(double, ScriptedModel(SHORT)):
        channel = double.world.channel()
        for _ in range(5):
            double.say(channel, "me too", author="U0001", thread=talk(double, channel, 2))
        async with asyncio.timeout(SOON):
            await double.until(lambda: reads(double) >= 2)
        root = double.say(channel, "<@UBOT> tell", author="U0001")
        thread = talk(double, channel, 2)
        double.say(channel, "<@UBOT> tell", author="U0001", thread=thread)
        await whole(double, [(channel, root), (channel, thread)], SHORT)
    assert reads(double) == 2


@dataclass(frozen=True, slots=True)
class Scene:
    """The server, the platform, a channel with Ann's question, and what it brought to the core."""

    double: SlackDouble
    platform: SlackPlatform
    inbox: RecordingInbox
    channel: str
    question: str

    @property
    def answer(self) -> Channel:
        """The channel of the answer to Ann's question."""
        return self.inbox.turns[-1][1]

    async def again(self, ts: str = "") -> str:
        """The question's text, opened for another answer."""
        key = TurnKey("slack", "T1", self.channel, ts or self.question)
        return (await self.platform.open_question(key, ["1.1"])).turn.question.text


@asynccontextmanager
async def used_up() -> AsyncIterator[Scene]:
    """A connected limited app without permits."""
    double = limited()
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        for number, kind in enumerate(("channel", "im")):
            place = double.world.channel(kind)
            thread = talk(double, place, 40)
            double.say(place, "<@UBOT> hello", author="U0001", thread=thread if kind == "channel" else "")
            await (await inbox.turn(number + 1))[1].history(5)
        channel = double.world.channel()
        question = double.say(channel, "<@UBOT> why?", author="U0001")
        await inbox.turn(3)
        assert reads(double) == 2
        yield Scene(double, platform, inbox, channel, question)
        assert reads(double) == 2
    assert provoked(double) == []


async def test_trying_again_needs_no_read() -> None:
    """The question comes from events, with its last edit; a deleted one is gone, an earlier one is unread."""
    async with used_up() as on:
        assert await on.again() == "why?"
        on.double.revise(on.channel, on.question, "<@UBOT> how?")
        await on.double.settled()
        assert await on.again() == "how?"
        on.double.remove(on.channel, on.question)
        await on.inbox.until(lambda: bool(on.inbox.deleted))
        with pytest.raises(NotFound):
            await on.again()
        old = on.double.say(on.channel, "<@UBOT> old", author="U0001", quiet=True)
        with pytest.raises(RateLimited):
            await on.again(old)
        on.double.revise(on.channel, old, "<@UBOT> new")
        await on.double.settled()
        assert await on.again(old) == "new"


async def test_a_lost_post_is_found_by_its_event() -> None:
    """A post with a lost answer is found without a read, and not made twice."""
    async with used_up() as on:
        on.double.faults.add("POST", "chat.postMessage", Kind.RESET_AFTER)
        with pytest.raises(OutcomeUnknown):
            await on.answer.post(Body("one"), KEY)
        assert await on.answer.find(KEY) == on.double.shown(on.channel, on.question)[-1].ts
        assert on.double.answers(on.channel, on.question) == ["one"]


async def test_a_post_without_an_event_is_made_again() -> None:
    """Without any sign of the lost post, the look-up ends within seconds, so that the answer is posted."""
    async with used_up() as on, asyncio.timeout(SOON):
        assert await on.answer.find(KEY) is None


async def test_deleting_a_question_ends_its_answer() -> None:
    """Deleting a question ends its answer without a read."""
    double = limited()
    model = ScriptedModel(words(2_000, rate=30.0))
    async with double.running(), bot(double, model) as turns:
        channel = double.world.channel()
        question = double.say(channel, "<@UBOT> tell", author="U0001")
        async with asyncio.timeout(SOON):
            await double.transcript.wait_for(path="chat.update")
        double.remove(channel, question)
        await until(lambda: not model.open, seconds=SOON)
        async with asyncio.timeout(SOON):
            await turns.idle()
    (answer,) = double.answers(channel)
    assert answer.endswith("Stopped._")
    assert reads(double) == 0
