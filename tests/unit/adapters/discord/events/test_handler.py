"""Events handled with the cache alone, without a connection."""

from __future__ import annotations

import asyncio

from adapters.discord.events.handler import EventHandler
from adapters.discord.events.interactions import ComponentPressed, Interaction, InteractionToken
from adapters.discord.events.message import ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessageDeleted
from adapters.discord.options import DiscordOptions
from adapters.discord.state import BotState
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.conversation import Author, TurnKey
from bot.interactions.ports import NO_INTERACTIONS
from tests.support.inbox import RecordingInbox


async def test_the_cached_message_names_the_guild_of_an_event() -> None:
    """A press or a deletion without a guild, in a channel missing in guild data, has the guild of its message."""
    state = BotState(DiscordOptions(token="t"), Attachments(AttachmentLimits(), hosts=frozenset()))
    state.cache.add(DiscordMessage("3", "7", "1", guild="5"))
    handler, inbox = EventHandler(state), RecordingInbox()
    here = ChannelInfo("7", ChannelKind.CHANNEL)
    pressed = Interaction(InteractionToken("9", "1", "token"), Author("2", "Ada"), here, message="3")
    async with asyncio.TaskGroup() as group:
        handler.open(inbox, NO_INTERACTIONS, group)
        handler.handle(ComponentPressed(pressed, "stop:2"))
        handler.handle(MessageDeleted("7", "3"))

    assert inbox.stopped == [TurnKey("discord", "5", "7", "3"), TurnKey("discord", "5", "7", "2")]
    assert inbox.deleted == [TurnKey("discord", "5", "7", "3")]
