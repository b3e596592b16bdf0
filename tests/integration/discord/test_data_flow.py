"""The way of a mention through our files, from the gateway to the core."""

from __future__ import annotations

import pytest

from tests.support.data_flow import MAX_FILES, EnteredFiles, StoppingInbox
from tests.support.discord import Bot, bot_at_work

pytestmark = pytest.mark.sockets


async def test_a_mention_passes_few_files() -> None:
    """A mention enters at most eight files between the socket and the core, and none for content or threads."""
    entered = EnteredFiles("discord")

    def prepare(bot: Bot) -> None:
        bot.inbox = StoppingInbox(entered)

    async with bot_at_work(prepare=prepare) as bot:
        await bot.settled()
        with entered.until_the_core():
            bot.ask("what is up?")
            await bot.inbox.wait_for(1)
    between = entered.names - {"connection", "shard"}  # they wait for the gateway's next event
    assert {"gateway", "parse", "handler", "mentions", "codec"} <= between
    assert len(between) <= MAX_FILES, " ".join(sorted(between))
