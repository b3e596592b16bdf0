"""Sessions of the agent view: each begun one is ended, and an app without them answers as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.conversation import Turn
from bot.ports import Channel, UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.slack import connected, soon

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]


@asynccontextmanager
async def working(channel: Channel) -> AsyncIterator[None]:
    """Show activity meanwhile, and end the turn afterwards, as the core does."""
    async with asyncio.TaskGroup() as group:
        showing = group.create_task(channel.show_working())
        yield
        showing.cancel()
    await channel.turn_ended()


async def asked(double: SlackDouble, inbox: RecordingInbox, channel: str, *, thread: str = "") -> tuple[Turn, Channel]:
    number = len(inbox.turns) + 1
    double.say(channel, "<@UBOT> Why?", author=double.world.user("Ann"), thread=thread)
    return await inbox.turn(number)


async def test_a_session_is_processing_until_the_turn_ends() -> None:
    """In direct messages the question's own session, or its thread's, is processing and then active."""
    double = SlackDouble()
    dm = double.world.channel("im")
    root = double.say(dm, "Before", author=double.world.user("Bob"), quiet=True)
    async with double.running(), connected(double) as (_, inbox):
        turn, answers = await asked(double, inbox, dm)
        async with working(answers):
            await double.until(lambda: double.sessions == [(dm, turn.key.message, "processing")])
        assert double.sessions[1:] == [(dm, turn.key.message, "active")]
        await answers.turn_ended()
        assert len(double.sessions) == 2
        _, answers = await asked(double, inbox, dm, thread=root)
        async with working(answers):
            await double.until(lambda: len(double.sessions) == 3)
        assert double.sessions[2:] == [(dm, root, "processing"), (dm, root, "active")]


async def test_a_channel_has_no_session() -> None:
    """A thread in a channel is outside the agent view."""
    double = SlackDouble()
    channel = double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        _, answers = await asked(double, inbox, channel)
        async with working(answers):
            await double.until(lambda: bool(double.statuses))
        assert double.sessions == []


@pytest.mark.parametrize("error", ["not_authorized", "missing_scope", "feature_not_enabled"])
async def test_a_refusal_is_remembered(error: str) -> None:
    """An app without sessions is not asked again for the next answer."""
    double = SlackDouble()
    double.session_error = error
    dm = double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        _, answers = await asked(double, inbox, dm)
        async with working(answers):
            await double.until(lambda: bool(double.transcript.of(path="agents.sessions")))
        tried = len(double.transcript.of(path="agents.sessions"))  # the end too, if the refusal was not read yet
        _, answers = await asked(double, inbox, dm)
        async with working(answers):
            await asyncio.sleep(0)
        assert len(double.transcript.of(path="agents.sessions")) == tried <= 2
        assert double.sessions == []


async def test_an_app_without_the_event_shows_no_dead_button() -> None:
    """If the stop button would do nothing, it is removed at once and not shown again."""
    double = SlackDouble()
    double.session_warning = "missing_agent_session_stopped_event_subscription"
    dm = double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        for _ in range(2):
            _, answers = await asked(double, inbox, dm)
            async with working(answers):
                await soon(double, lambda: len(double.sessions) == 2)
        assert [status for _, _, status in double.sessions] == ["processing", "active"]


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESET_AFTER])
async def test_a_failed_end_is_repeated(kind: Kind) -> None:
    """After a failure of Slack, the end is sent once more."""
    double = SlackDouble()
    dm = double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        _, answers = await asked(double, inbox, dm)
        async with working(answers):
            await double.until(lambda: len(double.sessions) == 1)
            details = {"status": 503} if kind is Kind.STATUS else {}
            double.faults.add("POST", "agents.sessions.setStatus", kind, **details)
        assert double.faults.fired
        assert double.sessions[-1][2] == "active"


async def test_a_lost_answer_to_the_beginning_is_ended() -> None:
    """If it is unknown whether the session began, it is ended."""
    double = SlackDouble()
    dm = double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        double.faults.add("POST", "agents.sessions.setStatus", Kind.RESET_AFTER)
        _, answers = await asked(double, inbox, dm)
        async with working(answers):
            await double.until(lambda: len(double.sessions) == 1)
        assert double.faults.fired
        assert [status for _, _, status in double.sessions] == ["processing", "active"]


async def test_many_answers_provoke_no_limit() -> None:
    """Beyond the budget, sessions are not begun; each begun one is ended within it."""
    double = SlackDouble()
    dm = double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        for number in range(30):
            _, answers = await asked(double, inbox, dm)
            async with working(answers):
                await soon(double, lambda number=number: len(double.sessions) > 2 * min(number, 10))  # type: ignore[misc]  # bound now
        statuses = [status for _, _, status in double.sessions]
        assert statuses.count("processing") == statuses.count("active") <= 23
        assert double.limited == []


async def test_a_session_of_an_earlier_process_is_ended() -> None:
    """A resumed answer without budget for its beginning still ends the session that a killed process began."""
    double, inbox = SlackDouble(), RecordingInbox()
    dm, busy = double.world.channel("im"), double.world.channel("im")
    async with double.running():
        async with connected(double, inbox):
            _, answers = await asked(double, inbox, dm)
            async with asyncio.TaskGroup() as group:
                showing = group.create_task(answers.show_working())
                await double.until(lambda: len(double.sessions) == 1)
                showing.cancel()  # and no end, as after a kill
        second = RecordingInbox()
        second.unfinished = [UnfinishedTurn(key, event, ()) for key, event in inbox.received]
        async with connected(double, second):
            _, resumed = await second.turn(1)
            for number in range(12):  # beyond the budget
                _, other = await asked(double, second, busy)
                async with working(other):
                    await soon(double, lambda number=number: len(double.sessions) > 1 + 2 * min(number, 10))  # type: ignore[misc]  # bound now
            begun = len(double.sessions)
            async with working(resumed):
                await resumed.history(1)
            assert [(channel, status) for channel, _, status in double.sessions[begun:]] == [(dm, "active")]
