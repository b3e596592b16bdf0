"""Guild data after a session was resumed from another process: Discord sends it in new sessions only.

Without it, threads look like channels and roles have no names. So messages wait until their guild is read over REST,
once. Guilds with messages to the bot are read first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discord.http import Route

from adapters.discord.errors import map_errors
from adapters.discord.rate_limits import Window, spending
from adapters.discord.sessions import Release, SessionProgress
from adapters.discord.state import BotState
from adapters.shared.cache import TTLCache, expiring
from adapters.shared.json_fields import list_field, string_at
from bot.errors import Failure

log = logging.getLogger(__name__)

# Timeout for reading one guild. Its messages are then handled without names. Seconds.
READ_SECONDS = 5.0

# After a failure, time without another attempt for a guild. Seconds. And remembered guilds.
FAILED_SECONDS = 60.0
MAX_FAILED = 1_000

# Guilds with waiting messages. With more, a message that does not mention the bot is handled at once.
MAX_WAITING = 200


@dataclass(frozen=True, slots=True)
class _Deferred:
    """A message that waits; `release` is called once it is handled."""

    name: str
    data: Mapping[str, Any]
    sequence: int
    release: Release


class GuildLoader:
    """Reads the guilds of one shard."""

    def __init__(self, state: BotState, progress: SessionProgress) -> None:
        self._state = state
        self._progress = progress
        self._waiting: OrderedDict[str, list[_Deferred]] = OrderedDict()  # by guild
        self._failed: TTLCache[str, bool] = expiring(MAX_FAILED, FAILED_SECONDS)
        self._changed = asyncio.Event()

    def request(self, guild: str) -> None:
        """Read a guild next."""
        self._waiting.setdefault(guild, [])
        self._waiting.move_to_end(guild, last=False)
        self._changed.set()

    def defers(self, name: str, data: Mapping[str, Any]) -> bool:
        """Whether an event waits for its guild; it is handled then."""
        guild = string_at(data, "guild_id")
        if self._state.expects_guilds or name != "MESSAGE_CREATE" or not guild.isdecimal():
            return False
        if guild not in self._waiting and (guild in self._failed or self._state.knows_guild(guild)):
            return False
        is_urgent = self._may_address_us(data)
        if len(self._waiting) >= MAX_WAITING and guild not in self._waiting and not is_urgent:
            return False
        deferred = _Deferred(name, data, self._progress.current, self._progress.hold())
        self._waiting.setdefault(guild, []).append(deferred)
        if is_urgent:
            self._waiting.move_to_end(guild, last=False)
        self._changed.set()
        return True

    async def run(self) -> None:
        """Read guilds until cancelled, one after the other."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                guild = next(iter(self._waiting))
                try:
                    async with asyncio.timeout(READ_SECONDS):
                        self._state.client.add_guild(await self._read(guild))
                except (Failure, TimeoutError, KeyError, TypeError, ValueError, AttributeError) as error:
                    self._failed[guild] = True
                    log.warning("a server cannot be read: its names are unknown for a while", exc_info=error)
                for each in self._waiting.pop(guild):
                    self._progress.again(each.sequence)
                    self._state.client.handle_event(each.name, each.data)
                    each.release()

    async def _read(self, guild: str) -> dict[str, Any]:
        """The data that a new session brings in GUILD_CREATE."""
        about = await self._get("/guilds/{guild_id}", guild)
        channels = await self._get("/guilds/{guild_id}/channels", guild)
        active = await self._get("/guilds/{guild_id}/threads/active", guild)
        return {**about, "channels": channels, "threads": active["threads"], "members": [], "unavailable": False}

    async def _get(self, path: str, guild: str) -> Any:  # noqa: ANN401 (JSON of any shape)
        async with spending(Window(paced=False), self._state.budgets.global_limit):
            with map_errors("reading a server"):
                return await self._state.client.http.request(Route("GET", path, guild_id=int(guild)))

    def _may_address_us(self, data: Mapping[str, Any]) -> bool:
        bot_id = self._state.bot_id
        mentions = [string_at(user, "id") for user in list_field(data, "mentions")]
        return bot_id in mentions or bool(list_field(data, "mention_roles"))
