"""Read the question of a command again, from the quote above our answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.discord.errors import map_errors
from adapters.discord.events.codec import StoredCommand
from adapters.discord.events.commands import ChannelAccess, CommandUsed
from adapters.discord.events.interactions import Interaction, InteractionToken, parse_person
from adapters.discord.events.message import COMMAND_ANSWERS
from adapters.discord.events.parse import command_user, parse_known
from adapters.discord.history.questions import channel_of, member_of
from adapters.discord.interactions.command_questions import ASK, Progress, open_command
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from adapters.shared.json_fields import as_object, string_at
from bot.conversation import TurnKey
from bot.errors import NotFound, OutcomeUnknown
from bot.interactions.quotes import split_quote
from bot.ports import OpenedQuestion


async def read_quoted_question(state: BotState, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
    """The question above `messages`, our present answer, for another one in their place.

    Raises `NotFound` if there is no such quote, other failures if it cannot be read within the options' `read_seconds`.
    """
    if not messages:
        raise NotFound("nothing shows the question of this command")
    try:
        async with state.reading():
            return await _read(state, key, messages)
    except TimeoutError as error:
        raise OutcomeUnknown("reading the question of a command again: timeout") from error


async def _read(state: BotState, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
    budgets, client = state.budgets, state.client
    channel = await channel_of(state, key)
    async with spending(budgets.channel(key.channel).get, budgets.global_limit):
        with map_errors("reading the question of a command again"):
            data = as_object(await client.http.get_message(int(key.channel), int(messages[0])))
            shown = parse_known(data, client, guild=key.workspace)
    user = command_user(data)
    quoted = split_quote(shown.text) if shown.author == state.bot_id and shown.kind in COMMAND_ANSWERS else None
    if quoted is None or not user:
        raise NotFound("the answer to a command does not show its question")
    person = {"user": user, **await _membership(state, key, user)}
    interaction = Interaction(InteractionToken(key.message, "0", ""), parse_person(person), channel, key.workspace)
    used = CommandUsed(interaction, 1, ASK, ChannelAccess(sees=True, reads=True, posts=True))
    progress = Progress(replaces=tuple(messages), generation=key.generation)
    return open_command(state, StoredCommand(used, quoted.question), progress)


async def _membership(state: BotState, key: TurnKey, user: Mapping[str, Any]) -> Mapping[str, Any]:
    """The asker's membership with the user in it, as in an interaction; empty in a DM."""
    found = as_object((await member_of(state, key, string_at(user, "id"))).get("member"))
    return {"member": {**found, "user": user}} if found else {}
