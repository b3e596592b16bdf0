"""Slack's channels keep the promises of the port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.ports import Channel, Verb
from tests.contracts.channel import PROMISES, Promise, name_of, play
from tests.contracts.streams import STREAM_PROMISES
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_streams import APPEND, START, STOP
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected

METHODS = {
    Verb.POST: "chat.postMessage",
    Verb.EDIT: "chat.update",
    Verb.DELETE: "chat.delete",
    Verb.START: START,
    Verb.APPEND: APPEND,
    Verb.STOP: STOP,
}


class SlackStage:
    """A question in a channel or in the agent view, and the thread of its answer."""

    skips: frozenset[str] = frozenset()

    def __init__(self, double: SlackDouble, place: str, inbox: RecordingInbox) -> None:
        self._double, self._place, self._inbox = double, place, inbox

    @property
    def channel(self) -> Channel:
        return self._inbox.turns[0][1]

    def another(self) -> Channel:
        return self._inbox.turns[1][1]

    def shown(self) -> list[str]:
        return self._double.answers(self._place)

    async def remove(self, message: str) -> None:
        self._double.remove(self._place, message)

    def limit(self, verb: Verb, seconds: float) -> None:
        headers = {"Retry-After": f"{seconds:.0f}"}
        body = b'{"ok": false, "error": "ratelimited"}'
        self._double.faults.add("POST", METHODS[verb], Kind.STATUS, status=429, headers=headers, body=body)

    def fail_once(self, verb: Verb) -> None:
        # A 500 leaves open whether a post was made; this error says that it was not.
        repeatable = verb in (Verb.EDIT, Verb.DELETE)
        body = b"<html>Server Error</html>" if repeatable else b'{"ok": false, "error": "team_added_to_org"}'
        status = 500 if repeatable else 200
        self._double.faults.add("POST", METHODS[verb], Kind.STATUS, status=status, body=body)

    def lose_response(self, verb: Verb) -> None:
        self._double.faults.add("POST", METHODS[verb], Kind.RESET_AFTER)

    def forbid(self) -> None:
        self._double.outside.add(self._place)


@asynccontextmanager
async def slack_stage(*, agent_view: bool = False) -> AsyncIterator[SlackStage]:
    """A fresh stage with two questions."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann = double.world.user("Ann")
    place = double.direct_with(ann) if agent_view else double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        for words in ("one", "two"):
            if agent_view:
                double.ask_agent(ann, words)
            else:
                double.say(place, f"<@UBOT> {words}", author=ann)
        await inbox.turn(2)
        yield SlackStage(double, place, inbox)


@pytest.mark.quick
@pytest.mark.sockets
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_contract(promise: Promise) -> None:
    """Each promise of the port, on a fresh stage."""
    async with slack_stage() as stage:
        await play(promise, stage)


@pytest.mark.sockets
@pytest.mark.parametrize("promise", [*PROMISES, *STREAM_PROMISES], ids=name_of)
async def test_contract_in_the_agent_view(promise: Promise) -> None:
    """Each promise of the port, native streams included, in a thread of direct messages."""
    async with slack_stage(agent_view=True) as stage:
        await play(promise, stage)
