"""Pages of a channel's messages over REST: one request each, within the budgets."""

from __future__ import annotations

from adapters.discord.errors import map_errors
from adapters.discord.events.message import DiscordMessage
from adapters.discord.events.parse import parse_page
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from bot.rate_limits import RollingWindow

# Most messages per read (https://docs.discord.com/developers/resources/message#get-channel-messages).
PAGE_SIZE = 100


async def read_before(
    state: BotState, channel: str, before: int, *, guild: str, limit: int = PAGE_SIZE
) -> list[DiscordMessage]:
    """The newest `limit` messages before an id, in any order. Raises a `Failure`."""
    budgets = state.budgets
    async with spending(budgets.channel(channel).list, budgets.global_limit):
        with map_errors("reading a list of messages"):
            rows = await state.client.http.logs_from(int(channel), limit, before=before)
            page = parse_page(rows, state.client, guild=guild)
    return [one for one in page if int(one.id) < before]


async def read_after(
    state: BotState, channel: str, after: int, *, guild: str, limit: RollingWindow
) -> list[DiscordMessage]:
    """The next `PAGE_SIZE` messages after an id, oldest first, within the bot's budget `limit`. Raises a `Failure`."""
    async with spending(state.budgets.channel(channel).list, limit):
        with map_errors("reading the next messages"):
            rows = await state.client.http.logs_from(int(channel), PAGE_SIZE, after=after)
            page = parse_page(rows, state.client, guild=guild)
    return sorted((one for one in page if int(one.id) > after), key=lambda one: int(one.id))
