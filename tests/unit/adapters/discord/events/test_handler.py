"""Events handled with the cache alone, without a connection."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.events.handler import EventHandler
from adapters.discord.events.interactions import ComponentPressed, Interaction, InteractionToken
from adapters.discord.events.message import ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessageDeleted
from adapters.discord.options import DiscordOptions, ThreadOptions
from adapters.discord.state import BotState
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.conversation import Author, TurnKey
from bot.errors import ServiceError
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


async def test_failed_work_beside_the_queue_does_not_end_the_platform(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a failure nor an unforeseen error reaches the group of tasks, where it would end all others."""

    async def fail(error: Exception) -> None:
        raise error

    handler = EventHandler(BotState(DiscordOptions(token="t"), Attachments(AttachmentLimits(), hosts=frozenset())))
    async with asyncio.TaskGroup() as group:
        handler.open(RecordingInbox(), NO_INTERACTIONS, group)
        handler.spawn(fail(ServiceError("the client is not logged in")))
        handler.spawn(fail(KeyError("unforeseen")))

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


async def test_a_deletion_without_a_login() -> None:
    """A deletion found by recovery is told, also between two logins, when no channel is known."""
    options = DiscordOptions(token="t", threads=ThreadOptions(auto_thread=True))
    handler = EventHandler(BotState(options, Attachments(AttachmentLimits(), hosts=frozenset())))
    inbox = RecordingInbox()
    async with asyncio.TaskGroup() as group:
        handler.open(inbox, NO_INTERACTIONS, group)
        handler.handle(MessageDeleted("7", "3", "5"))

    assert inbox.deleted == [TurnKey("discord", "5", "7", "3")]
