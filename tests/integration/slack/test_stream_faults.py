"""Every fault at every call of a native stream: the channel, followed as its port says, still shows the text once.

`write` is the smallest follower of the port: it repeats what was certainly not applied, looks a lost start up, and
after a lost append or stop closes the stream and gives the whole text by an edit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from bot.errors import OutcomeUnknown, Retryable, StreamEnded, StreamOpen, StreamRefused
from bot.ports import Body, Channel, Controls
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import labels_of
from tests.servers.slack_streams import APPEND, START, STOP
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected

pytestmark = pytest.mark.sockets(virtual=True)

PIECES = ("The first words of an answer, ", "then some more of them, ", "and more, ", "and the last.")
WHOLE = "".join(PIECES)
FINAL = Controls.RETRY | Controls.FEEDBACK
BUTTONS = ["Try again", "Good answer", "Bad answer"]

FAULTS: dict[Kind, dict[str, Any]] = {
    Kind.RESET_BEFORE: {},
    Kind.RESET_AFTER: {},
    Kind.STATUS: {"status": 503},
    Kind.STATUS_AFTER: {"status": 500},
    Kind.STALL_BEFORE: {"seconds": 30.0},
    Kind.STALL_AFTER: {"seconds": 30.0},
    Kind.GARBLED: {},
    Kind.LATE: {"seconds": 5.0},
    Kind.DELAY: {"seconds": 5.0},
}
CALLS = [(START, 1), *((APPEND, nth) for nth in range(1, len(PIECES) - 1)), (STOP, 1)]


@dataclass
class Place:
    """One person's direct messages with the bot."""

    double: SlackDouble
    inbox: RecordingInbox
    user: str

    async def ask(self) -> tuple[str, Channel]:
        """A question in the agent view: its ts, and the channel of the answer."""
        root = self.double.ask_agent(self.user, "tell")
        _, channel = await self.inbox.turn(len(self.inbox.turns) + 1)
        return root, channel

    def shown(self, root: str) -> list[str]:
        return self.double.answers(self.double.direct_with(self.user), root)

    def buttons(self, root: str) -> list[str]:
        thread = self.double.world.thread(self.double.direct_with(self.user), root)
        return labels_of(thread[-1]["blocks"])


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    double = SlackDouble()
    user = double.world.user("Ann")
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        yield Place(double, inbox, user)


async def write(channel: Channel, pieces: Sequence[str], key: str) -> None:
    """Write a text as a stream, with whatever it takes."""
    body = Body("".join(pieces), controls=FINAL)
    message = await start(channel, pieces[0], key)
    try:
        for piece in pieces[1:-1]:
            await repeated(partial(channel.append, message, piece))
        await repeated(partial(channel.stop, message, pieces[-1], body))
    except (OutcomeUnknown, StreamEnded):
        await correct(channel, message, body)


async def start(channel: Channel, text: str, key: str) -> str:
    """Start a stream; a start with an unknown outcome is looked up, and made again if it is not there."""
    for number in range(3):
        try:
            return str(await repeated(partial(channel.start, Body(text), f"{key}{number}")))
        except OutcomeUnknown:
            if (found := await channel.find(f"{key}{number}")) is not None:
                return found
    raise AssertionError("no start succeeds")


async def correct(channel: Channel, message: str, body: Body) -> None:
    """Close a stream of an unknown state, and give the whole text by an edit."""
    for _ in range(3):
        try:
            await repeated(partial(channel.edit, message, body))
        except StreamOpen:
            try:
                await channel.stop(message, "", body)
            except (OutcomeUnknown, StreamEnded):
                continue
        except OutcomeUnknown:
            continue
        else:
            return
    raise AssertionError("no edit succeeds")


async def repeated(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again what was certainly not applied, as the pacer does."""
    for _ in range(5):
        try:
            return await call()
        except OutcomeUnknown:
            raise
        except Retryable:
            await asyncio.sleep(2.0)
    raise AssertionError("nothing succeeds")


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name.lower())
async def test_every_fault_at_every_call_of_a_stream(kind: Kind) -> None:
    """The text is exact and once, with its buttons; no stream stays open, and no limit is met."""
    async with place() as at:
        for number, (method, nth) in enumerate(CALLS):
            at.double.faults.clear()
            at.double.faults.add("POST", method, kind, nth=nth, **FAULTS[kind])
            root, channel = await at.ask()
            await write(channel, PIECES, f"key{number}-")
            assert at.shown(root) == [WHOLE], (method, nth)
            assert at.buttons(root) == BUTTONS, (method, nth)
            assert len(at.double.faults.fired) == number + 1
        assert at.double.streams.spinners == []
        assert at.double.limited == []


@pytest.mark.parametrize("method", [START, APPEND, STOP])
@pytest.mark.parametrize("error", ["ratelimited", "rate_limited"])
async def test_a_limit_in_the_body_is_waited_for(method: str, error: str) -> None:
    """With status 200 and either spelling, the call is repeated later."""
    async with place() as at:
        body = b'{"ok": false, "error": "%s"}' % error.encode()
        at.double.faults.add("POST", method, Kind.STATUS, status=200, body=body)
        root, channel = await at.ask()
        await write(channel, PIECES, "key")
        assert at.shown(root) == [WHOLE]
        assert len(at.double.faults.fired) == 1


async def test_a_start_applied_twice_is_continued_in_a_third_message() -> None:
    """Of two messages that may be the lost start neither is edited, and both streams are closed."""
    async with place() as at:
        at.double.faults.add("POST", START, Kind.RESET_AFTER, copies=2)
        root, channel = await at.ask()
        await write(channel, PIECES, "key")
        assert [text.strip() for text in at.shown(root)] == [PIECES[0].strip(), PIECES[0].strip(), WHOLE]
        await at.double.until(lambda: at.double.streams.spinners == [])


async def test_a_refused_start_leaves_nothing_behind() -> None:
    """The channel offers no stream afterwards, and takes the same answer by a post and an edit."""
    async with place() as at:
        at.double.streams.refuse("channel_type_not_supported", "im")
        root, channel = await at.ask()
        with pytest.raises(StreamRefused):
            await channel.start(Body(PIECES[0]), "key0")
        assert channel.caps.stream is None
        message = await channel.post(Body(PIECES[0]), "key0")
        await channel.edit(message, Body(WHOLE, controls=FINAL))
        assert at.shown(root) == [WHOLE]
