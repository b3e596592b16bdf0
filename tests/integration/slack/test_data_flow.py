"""The way of a mention through our files, from Bolt to the core."""

from __future__ import annotations

import pytest

from tests.servers.slack import SlackDouble
from tests.support.data_flow import MAX_FILES, EnteredFiles, StoppingInbox
from tests.support.slack import connected

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

BEFORE_BOLT = {"socket_connection", "http_endpoint", "http_requests", "receiver", "payloads", "workspaces"}

BLOCKS = [{"type": "rich_text", "elements": []}]


async def test_a_mention_passes_few_files() -> None:
    """A mention by a known user enters at most eight files from Bolt to the core, and none for content."""
    double, entered = SlackDouble(), EnteredFiles("slack")
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, StoppingInbox(entered)) as (_, inbox):
        double.say(channel, "<@UBOT> first", author=ann, blocks=BLOCKS)
        await inbox.turn(1)
        await double.settled()
        with entered.until_the_core():
            double.say(channel, "<@UBOT> second", author=ann, blocks=BLOCKS)
            await inbox.turn(2)
    between = entered.names - BEFORE_BOLT
    assert {"bolt_app", "handler", "parse", "mentions", "codec"} <= between
    assert len(between) <= MAX_FILES, sorted(between)
