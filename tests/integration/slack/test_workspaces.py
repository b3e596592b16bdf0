"""Many workspaces in one process, over real sockets: each has its own token, and its failures are its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from typing_extensions import override

from adapters.slack.events.codec import dump
from adapters.slack.options import SlackTimings
from bot.callbacks import no_op
from bot.conversation import TurnKey
from bot.errors import ServiceError
from bot.ownership.lanes import Lane
from bot.ports import UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import answer, connected, soon
from tests.support.slack_processes import MemoryTokens
from tests.support.waiting import until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

SOON = SlackTimings(token_retry=0.1, recovery_poll=0.1)


def two() -> tuple[SlackDouble, SlackDouble, MemoryTokens]:
    """A server with two workspaces, and their tokens."""
    double = SlackDouble()
    second = double.neighbour("T2", "xoxb-second")
    return double, second, MemoryTokens(double, second)


class LosingInbox(RecordingInbox):
    """The lane is lost as soon as a question is journalled: in its task's next step, or `at_once`."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self._at_once = at_once
        self.lose: Callable[[], object] = no_op

    @override
    async def receive(self, key: TurnKey, event: str) -> bool:
        await asyncio.sleep(0)
        is_new = await super().receive(key, event)
        if self._at_once:
            self.lose()
        else:
            asyncio.get_running_loop().call_soon(self.lose)
        return is_new


async def test_a_workspace_costs_nothing_before_its_first_event() -> None:
    """An installed workspace without events is not even asked for its bot's name."""
    double, second, tokens = two()
    bob, dm = second.world.user("Bob"), second.world.channel("im")
    async with double.running(), connected(double, tokens=tokens) as (_, inbox):
        second.say(dm, "hello", author=bob)
        turn, channel = await inbox.turn(1)
        await answer(channel, "Hi.")
        assert turn.key.workspace == "T2"
        assert second.answers(dm) == ["Hi."]
        assert [len(each.transcript.of(path="auth.test")) for each in (double, second)] == [0, 1]


async def test_a_refused_token_ends_its_workspace_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The refusal is reported once; the other workspace is answered, and a new token brings the first one back."""
    double, second, tokens = two()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    bob, his = second.world.user("Bob"), second.world.channel("im")
    tokens.by_team["T2"] = "xoxb-revoked"
    with caplog.at_level(logging.ERROR):
        async with double.running(), connected(double, tokens=tokens, timings=SOON) as (platform, inbox):
            second.say(his, "lost", author=bob)
            await until(lambda: "in workspace T2" in caplog.text, seconds=PATIENCE)
            double.say(dm, "hello", author=ann)
            await inbox.turn(1)
            await double.settled()
            assert platform.ready
            assert inbox.questions == ["hello"]
            tokens.by_team["T2"] = second.bot_token
            platform.token_changed("T2", second.bot_token)
            await soon(double, lambda: second.transcript.of(path="auth.test") != [])
            second.say(his, "found", author=bob)
            await until(lambda: "found" in inbox.questions, seconds=PATIENCE)
    assert len(caplog.records) == 1


async def test_a_rotated_token_is_used_from_the_next_call_on() -> None:
    """The old token of an open workspace may be revoked as soon as the platform knows the new one."""
    double, second, tokens = two()
    bob, dm = second.world.user("Bob"), second.world.channel("im")
    async with double.running(), connected(double, tokens=tokens) as (platform, inbox):
        second.say(dm, "hello", author=bob)
        _, channel = await inbox.turn(1)
        second.bot_token = tokens.by_team["T2"] = "xoxb-rotated"
        platform.token_changed("T2", "xoxb-rotated")
        await answer(channel, "Hi.")
        assert second.answers(dm) == ["Hi."]


async def test_events_of_a_deleted_workspace_are_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    """Without an installation nobody can answer; one log line a minute tells of it."""
    double, second, tokens = two()
    del tokens.by_team["T2"]
    bob, dm = second.world.user("Bob"), second.world.channel("im")
    async with double.running(), connected(double, tokens=tokens) as (_, inbox):
        for text in ("one", "two", "three"):
            second.say(dm, text, author=bob)
        await second.settled()
        assert inbox.received == []
        assert second.transcript.of() == []
    assert sum("other workspaces" in record.getMessage() for record in caplog.records) == 1


async def test_a_workspace_installed_elsewhere_is_found_by_its_first_event() -> None:
    """The app may be installed through another process while this one runs."""
    double, second, tokens = two()
    del tokens.by_team["T2"]
    bob, dm = second.world.user("Bob"), second.world.channel("im")
    async with double.running(), connected(double, tokens=tokens) as (_, inbox):
        tokens.by_team["T2"] = second.bot_token
        second.say(dm, "hello", author=bob)
        assert (await inbox.turn(1))[0].key.workspace == "T2"


async def test_an_uninstalled_workspace_is_given_up() -> None:
    """Its installation is forgotten and its channels call nothing; the other workspace goes on."""
    double, second, tokens = two()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    bob, his = second.world.user("Bob"), second.world.channel("im")
    async with double.running(), connected(double, tokens=tokens) as (_, inbox):
        second.say(his, "hello", author=bob)
        _, channel = await inbox.turn(1)
        second.event({"type": "app_uninstalled"})
        await until(lambda: tokens.was_removed == ["T2"], seconds=PATIENCE)
        await second.settled()
        calls = len(second.transcript.of())
        with pytest.raises(Exception, match="another process has this workspace"):
            await answer(channel, "Hi.")
        assert len(second.transcript.of()) == calls
        double.say(dm, "hello", author=ann)
        assert (await inbox.turn(2))[0].key.workspace == "T1"


async def test_a_mention_in_a_shared_channel_goes_to_the_bot_it_names() -> None:
    """Slack may name either workspace with the app; the mentioned bot's workspace answers."""
    double, second, tokens = two()
    bob, channel = second.world.user("Bob"), second.world.channel()
    text = f"<@{second.world.bot_user}> hello"
    message = second.world.put(channel, {"user": bob, "text": text})
    async with double.running(), connected(double, tokens=tokens) as (_, inbox):
        event = {**message, "type": "app_mention", "channel": channel, "event_ts": message["ts"]}
        double.event(event, is_ext_shared_channel=True)
        turn, _ = await inbox.turn(1)
        assert turn.key.workspace == "T2"


async def test_an_unfinished_turn_waits_for_its_workspace() -> None:
    """A workspace that cannot be opened yet keeps the turns of earlier processes; another's are continued."""
    double, second, tokens = two()
    inbox = RecordingInbox()
    second.faults.add("POST", "auth.test", Kind.STATUS, status=503, times=3)
    for workspace in (second, double):
        ann, dm = workspace.world.user("Ann"), workspace.world.channel("im")
        ts = workspace.say(dm, "hello", author=ann, quiet=True)
        event = {"type": "message", "channel": dm, "channel_type": "im", "user": ann, "text": "hello", "ts": ts}
        inbox.unfinished.append(UnfinishedTurn(TurnKey("slack", workspace.world.team, dm, ts), dump(event)))
    async with double.running(), connected(double, inbox, tokens=tokens, timings=SOON):
        await inbox.turn(2)
        assert [turn.key.workspace for turn, _ in inbox.turns] == ["T1", "T2"]
        assert inbox.dismissed == []


@pytest.mark.parametrize("is_command", [False, True], ids=["message", "command"])
async def test_a_question_in_preparation_is_left_to_the_next_owner(*, is_command: bool) -> None:
    """Its look-ups fail once the workspace is another process's; for that one, the journal keeps the question."""
    double, inbox = SlackDouble(), LosingInbox(at_once=is_command)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox, RecordingInteractions()) as (platform, _):
        inbox.lose = lambda: platform.lane_lost(Lane("slack", "T1"))
        if is_command:
            await double.command(dm, "ask hello", author=ann)
        else:
            double.say(dm, "hello", author=ann)
        await inbox.until(lambda: inbox.received != [])
        await double.settled()
        assert inbox.turns == []
        assert inbox.dismissed == []


async def test_a_turn_of_a_workspace_without_the_app_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can ever answer it."""
    double, second, tokens = two()
    del tokens.by_team[second.world.team]
    inbox, key = RecordingInbox(), TurnKey("slack", "T2", "D1", "1.1")
    inbox.unfinished.append(UnfinishedTurn(key, "{}"))
    async with double.running(), connected(double, inbox, tokens=tokens, timings=SOON) as (platform, _):
        await inbox.until(lambda: inbox.dismissed == [key])
        with pytest.raises(ServiceError):
            await platform.open_question(key, [])
    assert "giving it up" in caplog.text
