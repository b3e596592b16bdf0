"""Events that no platform should send, and text that no model should: the bot goes on, and shows nothing it may not.

With the real SDKs' clients over sockets, since it is they who read an event first. `make fuzz` tries for ten minutes.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.journal import MemoryJournal
from adapters.slack.messages.renderer import SlackMarkdown
from bot.conversation import Finish, FinishReason, Text
from bot.markdown import Renderer, utf16_units
from bot.ports import ChannelCapabilities, Verb
from tests.servers.slack import SlackDouble
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns, running
from tests.support.discord import bot_at_work
from tests.support.fakes import FakeChannel, ScriptedModel, Step, turn
from tests.support.slack import connected

Json = Any

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Json, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each value in a JSON value."""
    inner: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [at, *(path for key, each in inner for path in paths(each, (*at, key)))]


def changed(value: Json, path: tuple[str | int, ...], new: Json, *, drop: bool) -> Json:
    """A JSON value with another one somewhere in it, or without it."""
    if not path:
        return new
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return value


# For each of some events: which of its values is changed (modulo how many there are), into what, or taken away.
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), JUNK, st.booleans()), min_size=20, max_size=40)

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

DISCORD_EVENTS = ("MESSAGE_CREATE", "MESSAGE_CREATE", "MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "UNKNOWN")


def mutations(base: Json, changes: list[tuple[int, Json, bool]]) -> list[Json]:
    ways = [path for path in paths(base) if path]
    return [changed(base, ways[which % len(ways)], new, drop=drop) for which, new, drop in changes]


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(DISCORD_EVENTS)))
@FEW
@given(changes=CHANGES)
def test_discord_is_heard_after_any_event(kind: str, changes: list[tuple[int, Json, bool]]) -> None:
    """A question that follows them is brought."""

    async def hear() -> None:
        async with asyncio.timeout(30), bot_at_work() as bot:
            double = bot.double
            message = double.world.message(bot.general, bot.ada, f"{bot.me} hello")
            for event in mutations(double.world.event(message), changes):
                double.gateway.dispatch(kind, event)
            await bot.settled()

    asyncio.run(hear())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["app_mention", "message", "message_changed", "message_deleted", "reaction_added"])
@FEW
@given(changes=CHANGES)
def test_slack_is_heard_after_any_event(kind: str, changes: list[tuple[int, Json, bool]]) -> None:
    """A question that follows them is brought, and all are acknowledged."""

    async def hear() -> None:
        double = SlackDouble()
        ann, channel, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
        async with asyncio.timeout(30), double.running(), connected(double) as (_, inbox):
            for event in mutations(slack_event(double, kind, channel, ann), changes):
                double.event(event)
            double.say(dm, "heard?", author=ann)
            await inbox.until(lambda: "heard?" in inbox.questions)

    asyncio.run(hear())


def slack_event(double: SlackDouble, kind: str, channel: str, author: str) -> Json:
    said = {"type": "message", "user": author, "ts": "1700000001.000100", "text": f"<@{double.world.bot_user}> hello"}
    place = {"channel": channel, "channel_type": "channel", "event_ts": "1700000001.000100"}
    match kind:
        case "app_mention":
            return said | place | {"type": kind}
        case "message_changed" | "message_deleted":
            return {"type": "message", "subtype": kind, "previous_message": said, "message": said} | place
        case "reaction_added":
            item = {"type": "message", "channel": channel, "ts": said["ts"]}
            return {"type": kind, "user": author, "reaction": "octagonal_sign", "item": item, "event_ts": said["ts"]}
    return said | place | {"files": [{"id": "F1", "name": "a.txt", "size": 3, "url_private": "http://x/a"}]}


# ----------------------------------------------------------------------------------------------------------- the text

PIECES = st.sampled_from(
    ["<!channel>", "<@U123ABC>", "<", "!here", ">", "@everyone", "```", "`", "**", "\n\n", "\n", "| a |\n|---|\n", "> ",
     "- ", "#### ", "[^1]", "![x](", "http://a.example/", ")", " ", "word " * 9, "\N{FAMILY}", "e\u0301", "\u200b",
     "\u202e", "\x00", "\ud83d", "&lt;", "_", "-# ", "\u2063", "Stopped.", "x" * 300]
)  # fmt: skip
PING = re.compile(r"<(@[UWB][A-Z0-9]+|!(channel|here|everyone))[^<>\n]*>")


class TextChannel(FakeChannel):
    """A channel of some platform's way with text, and of short messages."""

    renderer: Renderer

    @property
    def caps(self) -> ChannelCapabilities:
        return ChannelCapabilities(self.limit, utf16_units, self.renderer)


@pytest.mark.slow
@pytest.mark.parametrize("renderer", [DiscordMarkdown(), SlackMarkdown()], ids=["discord", "slack"])
@settings(max_examples=40, deadline=None)
@given(
    chunks=st.lists(st.lists(PIECES | st.text(max_size=20), max_size=4).map("".join), max_size=40),
    times=st.lists(st.sampled_from([0.0, 0.01, 0.7, 5.0]), min_size=1, max_size=5),
)
def test_whatever_a_model_says_no_message_is_too_long_and_nobody_is_pinged(
    renderer: Renderer, chunks: list[str], times: list[float]
) -> None:
    """Nor is there more to read than was written, or an end that nobody reaches."""
    script: list[Step] = [
        step for chunk, seconds in zip(chunks, itertools.cycle(times), strict=False) for step in (Text(chunk), seconds)
    ]
    channel = TextChannel(limit=400)
    channel.renderer = renderer
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_answered([*script, Finish(FinishReason.STOP)], channel))
    assert not [wrote for wrote in channel.log if wrote.failure]
    assert all(0 < utf16_units(wrote.text) <= 400 for wrote in channel.log if wrote.verb is not Verb.DELETE)
    if isinstance(renderer, SlackMarkdown):
        assert not any(PING.search(wrote.text) for wrote in channel.log)
    assert len(channel.shown) <= 2 + sum(map(len, chunks)) // 20


async def _answered(script: list[Step], channel: FakeChannel) -> None:
    async with running(make_turns(ScriptedModel(script), MemoryJournal())) as turns:
        turns.accept(turn(), channel)
        await turns.idle()
