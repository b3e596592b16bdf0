"""The slack-bolt app: events are journalled before Bolt responds, and interactive payloads are acknowledged in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.conversation import TurnKey
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.slack import connected

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

# Slack shows users a warning for an interactive payload without an acknowledgement within three seconds.
ACKNOWLEDGEMENT_SECONDS = 3.0


class BrokenJournal(RecordingInbox):
    """An inbox with a journal that fails as often as told, and records the acknowledgements before each write."""

    def __init__(self, double: SlackDouble, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures
        self.acknowledged_before: list[bool] = []
        self._double = double

    async def receive(self, key: TurnKey, event: str) -> bool:
        self.acknowledged_before.append(any(envelope.acked for envelope in self._double.deliveries.envelopes))
        if self.failures:
            self.failures -= 1
            self._changed.set()
            raise OSError("the disk is full")
        return await super().receive(key, event)


def press(user: str, channel: str, ts: str, action: str = "tickertape_stop") -> dict[str, Any]:
    """The payload of a pressed button."""
    return {
        "type": "block_actions",
        "team": {"id": "T1"},
        "user": {"id": user},
        "channel": {"id": channel},
        "message": {"ts": ts},
        "actions": [{"type": "button", "action_id": action, "block_id": "b"}],
    }


async def test_an_event_is_in_the_journal_before_bolt_responds() -> None:
    """The journal has the message at the time of its acknowledgement, and not the other way round."""
    double = SlackDouble()
    inbox = BrokenJournal(double)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(dm, "hello", author=ann)
        async with asyncio.timeout(PATIENCE):
            await double.until(lambda: any(envelope.acked for envelope in double.deliveries.envelopes))
        assert [key.channel for key, _ in inbox.received] == [dm]
        assert inbox.acknowledged_before == [False]


async def test_a_failing_journal_makes_slack_deliver_again() -> None:
    """A failed write answers 503, so Slack gets no acknowledgement; the redelivered event becomes one turn."""
    double = SlackDouble()
    inbox = BrokenJournal(double, failures=1)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(dm, "hello", author=ann)
        await inbox.until(lambda: not inbox.failures)
        assert not double.deliveries.envelopes[0].acked
        await double.redeliver_unacknowledged()
        await inbox.turn(1)
        async with asyncio.timeout(PATIENCE):
            await double.until(lambda: double.deliveries.envelopes[0].acked)
        assert inbox.questions == ["hello"]


async def test_authorization_costs_no_call() -> None:
    """Bolt's authorization uses the identity from the start: auth.test is called once, whatever arrives."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        for number in range(3):
            double.say(dm, f"question {number}", author=ann)
        await inbox.turn(3)
        await double.deliveries.deliver_payload("interactive", press(ann, dm, "1.1"))
        await inbox.until(lambda: len(inbox.stopped) == 1)
        assert len(double.transcript.of(path="auth.test")) == 1


async def test_a_stop_button_stops_its_answer() -> None:
    """A pressed stop button is acknowledged in time, and reaches the core with its message and its user."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        envelope = await double.deliveries.deliver_payload("interactive", press(ann, channel, "5.1"))
        async with asyncio.timeout(ACKNOWLEDGEMENT_SECONDS):
            await double.until(lambda: envelope.acked)
        await inbox.until(lambda: inbox.stopped == [TurnKey("slack", "T1", channel, "5.1")])


async def test_interactive_payloads_are_acknowledged_while_the_journal_is_slow() -> None:
    """A slow journal delays events only: a button is acknowledged within three seconds."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    written = asyncio.Event()

    class SlowJournal(RecordingInbox):
        async def receive(self, key: TurnKey, event: str) -> bool:
            await written.wait()
            return await super().receive(key, event)

    async with double.running(), connected(double, SlowJournal()) as (_, inbox):
        double.say(dm, "hello", author=ann)
        envelope = await double.deliveries.deliver_payload("interactive", press(ann, dm, "5.1"))
        async with asyncio.timeout(ACKNOWLEDGEMENT_SECONDS):
            await double.until(lambda: envelope.acked)
        assert not any(each.acked for each in double.deliveries.envelopes if each.kind == "events_api")
        written.set()
        await inbox.turn(1)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("interactive", press("U1", "C1", "5.1", action="other")),
        ("interactive", {"type": "shortcut", "callback_id": "other", "user": {"id": "U1"}, "team": {"id": "T1"}}),
        (
            "interactive",
            {"type": "view_submission", "view": {"type": "modal", "callback_id": "other"}, "user": {"id": "U1"}},
        ),
        ("slash_commands", {"command": "/other", "user_id": "U1", "team_id": "T1", "text": ""}),
    ],
)
async def test_payloads_without_a_listener_are_acknowledged(kind: str, payload: dict[str, Any]) -> None:
    """An unknown button, shortcut, view or command shows users no warning, and does nothing."""
    double = SlackDouble()
    async with double.running(), connected(double) as (_, inbox):
        envelope = await double.deliveries.deliver_payload(kind, payload)
        async with asyncio.timeout(ACKNOWLEDGEMENT_SECONDS):
            await double.until(lambda: envelope.acked)
        assert inbox.stopped == []
