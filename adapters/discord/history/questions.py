"""Read a question again, for another answer to it, with all that its first event told.

The journal keeps no text. Over REST a message comes without its author's roles and its guild
(https://docs.discord.com/developers/resources/message#message-object); access lists need the roles.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from adapters.discord.errors import map_errors
from adapters.discord.events.interactions import channel_info_of
from adapters.discord.events.message import GUEST, ChannelInfo
from adapters.discord.events.parse import MessagePosted, parse_posted
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from adapters.shared.json_fields import as_object, string_at
from bot.conversation import TurnKey
from bot.errors import NotFound, OutcomeUnknown

log = logging.getLogger(__name__)


async def read_question(state: BotState, key: TurnKey) -> MessagePosted:
    """The message of `key`, as if it had just been posted.

    Raises `NotFound` if it no longer exists, other failures if it cannot be read within the options' `read_seconds`.
    """
    budgets, client = state.budgets, state.client
    try:
        async with state.reading():
            await state.wait_for_guild(key.workspace)
            channel = await channel_of(state, key)
            async with spending(budgets.channel(key.channel).get, budgets.global_limit):
                with map_errors("reading a question again"):
                    data = as_object(await client.http.get_message(int(key.channel), int(key.message)))
            member = await member_of(state, key, string_at(data, "author", "id")) if "member" not in data else {}
            with map_errors("reading a question again"):
                whole = {**data, "guild_id": key.workspace, **member}
                return parse_posted(whole, client, channel=channel, guild=key.workspace)
    except TimeoutError as error:
        raise OutcomeUnknown("reading a question again: timeout") from error


async def channel_of(state: BotState, key: TurnKey) -> ChannelInfo:
    """The question's channel; an archived thread is missing in guild data, and read."""
    client, budgets = state.client, state.budgets
    if not key.workspace or client.get_channel(int(key.channel)) is not None:
        return client.channel_info(key.channel, key.workspace)
    async with spending(budgets.details, budgets.global_limit):
        with map_errors("reading a channel"):
            data = as_object(await client.http.get_channel(int(key.channel)))
    return channel_info_of(client.channel_info(key.channel, key.workspace), data)


async def member_of(state: BotState, key: TurnKey, author: str) -> Mapping[str, Any]:
    """The author's membership, as in an event: from the cached message, or read. Empty in a DM, and after leaving."""
    budgets = state.budgets
    if not key.workspace or not author:
        return {}
    cached = state.cache.get(key.channel, key.message)
    if cached is not None and cached.roles:
        flags = GUEST if cached.guest else 0
        return {"member": {"nick": cached.name, "roles": sorted(cached.roles), "flags": flags}}
    try:
        async with spending(budgets.details, budgets.global_limit):
            with map_errors("reading a member"):
                return {"member": as_object(await state.client.http.get_member(int(key.workspace), int(author)))}
    except NotFound:
        return {}
