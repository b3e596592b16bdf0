"""discord.py's client for one shard: gateway events without its own waits or retries.

Code that relies on discord.py 2.7 internals or private behaviour belongs here, in `connection` or in `rest_api`, so
that an update is checked in three files. No attribute of one of its modules or classes is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import Any, Protocol

import discord
from discord.http import Route
from discord.state import ConnectionState
from typing_extensions import override

from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind
from adapters.discord.events.parse import EVENT_NAMES, PARSE_ERRORS, Event, parse_event
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import Budgets
from adapters.discord.rest_api import RestClient, trace_config
from adapters.discord.sessions import SessionProgress
from bot.callbacks import returns_false
from bot.errors import Failure

log = logging.getLogger(__name__)

# Guilds (names of channels and roles), messages in guilds and DMs, and message text.
INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)

# Default for writes. Each post states itself if it pings the asker.
NO_PINGS = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=True)


@dataclass(frozen=True, slots=True)
class ShardId:
    """One of `count` gateway connections of a bot: `number`, from 0."""

    number: int = 0
    count: int = 1

    @override
    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class ConnectionListener(Protocol):
    """Receives connection changes."""

    def on_connected(self, *, fresh: bool) -> None:
        """Events arrive. `fresh`: the session is new, and events sent in between are lost."""
        ...

    def on_disconnected(self) -> None:
        """The connection is lost; `listen` reconnects."""
        ...


class DiscordClient(discord.Client):
    """Parses message events for `handle` and looks names up in guild data (`parse.Directory`)."""

    def __init__(
        self,
        options: DiscordOptions,
        budgets: Budgets,
        *,
        handle: Callable[[Event], None],
        listener: ConnectionListener,
        progress: SessionProgress | None,
        shard: ShardId,
        wait_for_slot: Callable[[], Awaitable[None]],
    ) -> None:
        """`wait_for_slot` returns when a new session may begin."""
        self._options = options
        self._budgets = budgets
        self._handle = handle
        self._listener = listener
        self._wait_for_slot = wait_for_slot
        self._progress = progress
        self.defers: Callable[[str, Any], bool] = returns_false  # whether an event is handled later
        with _without_voice_warning():
            super().__init__(
                intents=INTENTS,
                allowed_mentions=NO_PINGS,
                max_messages=None,  # `history.cache` stores messages within its own limits
                member_cache_flags=discord.MemberCacheFlags.none(),
                chunk_guilds_at_startup=False,
                guild_ready_timeout=0.0,  # on_ready is unused
                http_trace=trace_config(),
                shard_id=shard.number,
                shard_count=shard.count,
            )

    @override
    def _get_state(self, **options: Any) -> ConnectionState[Any]:
        """Replace the HTTP client and the message parsers before any other object refers to them."""
        self.http: RestClient = RestClient(self._options, self._budgets, self.http)
        state = super()._get_state(**options)
        ours: dict[str, Callable[[Any], Any]] = {name: partial(self._on_event, name) for name in EVENT_NAMES}
        for name, parser in (*state.parsers.items(), *ours.items()):
            state.parsers[name] = _tolerant(name, parser)
        return state

    def _on_event(self, name: str, data: Any) -> None:  # noqa: ANN401 (JSON of any shape)
        if self._progress is not None:
            self._progress.arriving(self.ws.session_id, self.ws.sequence, str(self.ws.gateway))
        if not self.defers(name, data):
            self.handle_event(name, data)

    def handle_event(self, name: str, data: Any) -> None:  # noqa: ANN401 (JSON of any shape)
        """Parse and handle one event. A malformed one is only logged."""
        _tolerant(name, self._parse)((name, data))

    def _parse(self, event: tuple[str, Any]) -> None:
        for parsed in parse_event(*event, self):
            self._handle(parsed)

    def add_guild(self, data: Any) -> None:  # noqa: ANN401 (JSON of any shape)
        """Take a guild in, as if it came in GUILD_CREATE. Malformed data is only logged."""
        self._connection.parsers["GUILD_CREATE"](data)

    def received(self, session: str | None, sequence: int | None, gateway: str) -> None:
        """An event of a session is handled."""
        if self._progress is not None:
            self._progress.received(session, sequence, gateway)

    @override
    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        await self._wait_for_slot()

    @override
    async def setup_hook(self) -> None:
        """Ask a custom API for its gateway's address, unless that is set; without an answer, Discord's own is used.

        https://docs.discord.com/developers/events/gateway#get-gateway
        """
        if self._options.api_url and not self._options.gateway_url:
            try:
                answer = await self.http.request(Route("GET", "/gateway"))
                self.http.gateway_url = str(answer["url"])
            except (discord.HTTPException, Failure, *PARSE_ERRORS) as error:
                log.info("the API does not give the gateway's address: %r", error)

    @override
    async def application_info(self) -> discord.AppInfo:
        """The application's data, or a placeholder: discord.py's login asks for it but does not need it."""
        try:
            return await super().application_info()
        except (discord.HTTPException, Failure, *PARSE_ERRORS) as error:
            log.info("the application's data cannot be read: %r", error)
            data: Any = {"id": 0, "name": "", "description": "", "icon": None, "verify_key": ""}
            owner = {"id": 0, "username": "", "discriminator": "0", "avatar": None}
            data |= {"owner": owner, "bot_public": False, "bot_require_code_grant": False}
            return discord.AppInfo(self._connection, data)

    @override
    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Report connection changes at once. discord.py would start a task for each of its events."""
        if event == "connect":
            self._listener.on_connected(fresh=True)
        elif event == "resumed":
            self._listener.on_connected(fresh=False)
        elif event == "disconnect":
            self._listener.on_disconnected()

    # ------------------------------------------------------------------------------------------------------ directory

    @property
    def zone(self) -> tzinfo:
        """Time zone for timestamps in texts."""
        return self._options.zone

    def identity(self, guild: str) -> BotIdentity:
        """The bot's id, empty before the login, and its managed roles in a guild."""
        bot_id = str(self.user.id) if self.user is not None else ""
        known = self.get_guild(int(guild)) if guild else None
        roles = known.roles if known is not None else ()
        managed = (role for role in roles if role.tags is not None and str(role.tags.bot_id) == bot_id)
        return BotIdentity(bot_id, frozenset(str(role.id) for role in managed))

    def guild_of(self, channel: str) -> str:
        """The guild of a channel; empty for a DM or an unknown channel."""
        guild = getattr(self.get_channel(int(channel)), "guild", None)
        return str(guild.id) if guild is not None else ""

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        """A channel's kind, parent and category. An unknown channel without a guild is a DM."""
        known = self.get_channel(int(channel))
        if isinstance(known, discord.Thread):
            category = known.parent.category_id if known.parent is not None else None
            return ChannelInfo(channel, ChannelKind.THREAD, str(known.parent_id), str(category or ""))
        if isinstance(known, discord.abc.PrivateChannel) or (known is None and not guild):
            return ChannelInfo(channel, ChannelKind.DM)
        return ChannelInfo(channel, ChannelKind.CHANNEL, category=str(getattr(known, "category_id", None) or ""))

    def name_of(self, guild: str, sign: str, target: str) -> str:
        """The name of a role (sign ``@&``) or channel; empty if unknown."""
        if sign != "@&":
            return str(getattr(self.get_channel(int(target)), "name", ""))
        known = self.get_guild(int(guild)) if guild else None
        role = known.get_role(int(target)) if known is not None else None
        return role.name if role is not None else ""


def _tolerant(name: str, parser: Callable[[Any], Any]) -> Callable[[Any], None]:
    """`parser`, but skipping malformed events: an error would end the connection."""

    def parse(data: object) -> None:
        try:
            parser(data)
        except PARSE_ERRORS:
            log.warning("skipping a malformed event %s", name, exc_info=True)

    return parse


@contextmanager
def _without_voice_warning() -> Iterator[None]:
    """Suppress discord.py's warning about missing voice libraries."""
    logger = logging.getLogger("discord.client")

    def is_other(record: logging.LogRecord) -> bool:
        return "voice will NOT be supported" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
