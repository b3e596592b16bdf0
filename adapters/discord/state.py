"""The bot's presence in Discord: what all turns of one bot share.

What belongs here: the client of just now, who we are, what is remembered and counted, and the few look-ups in
discord.py's cache (names, places). What does not: reading over REST (`history`), writing (`channel`), events
(`platform`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import discord

from adapters.discord.client import DiscordClient
from adapters.discord.events.mentions import BotIdentity, ChannelInfo, ChannelKind
from adapters.discord.events.parse import DiscordMessage, parse_message
from adapters.discord.history.cache import MessageCache
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import Budgets
from adapters.shared.attachments import Attachments
from adapters.shared.context_labels import in_line, label
from bot.errors import ServiceError

# Typing shows for about 10 s (https://docs.discord.com/developers/resources/channel#trigger-typing-indicator); it is
# asked for again a little earlier. Seconds.
TYPING_SECONDS = 8.0

# Where files did not go up (no leave to attach), none is tried for so long: an operator may give leave meanwhile.
# Seconds. Channels of which that is remembered; beyond, all are forgotten, and some post fails once more.
WITHOUT_FILES_SECONDS = 600.0
_FILE_CHANNELS = 1_000

# How long a guild may take to be told of after READY, before we go on without what it would say. Discord sends all of
# them within seconds. Seconds, and how often it is looked.
GUILD_SECONDS = 5.0
_GUILD_STEP = 0.05

# Channels whose last typing is remembered. Beyond that all are forgotten, and some typing is sent too early.
_TYPING_CHANNELS = 1_000


@dataclass(slots=True)
class Typing:
    """When typing may be sent next in each channel: once for all its turns, since one indicator serves them all."""

    _not_before: dict[str, float] = field(default_factory=dict)

    def due(self, channel: str, now: float) -> bool:
        """Whether typing is to be sent now; if so, it is taken as sent."""
        if now < self._not_before.get(channel, 0.0):
            return False
        self.hold(channel, now + TYPING_SECONDS)
        return True

    def hold(self, channel: str, until: float) -> None:
        """No typing in this channel before `until` (a 429, or that one was sent)."""
        if len(self._not_before) >= _TYPING_CHANNELS:
            self._not_before.clear()
        self._not_before[channel] = until


class BotState:
    """See the module's docstring."""

    def __init__(self, options: DiscordOptions, attachments: Attachments) -> None:
        self.options = options
        self.attachments = attachments
        self.cache = MessageCache()
        self.budgets = Budgets()
        self.typing = Typing()
        self.current: DiscordClient | None = None
        self.controls_refused = False  # this server refuses messages with buttons
        self._no_files: dict[str, float] = {}  # until when, by channel

    @property
    def client(self) -> DiscordClient:
        """The client that is logged in. Raises `ServiceError` where there is none just now."""
        if self.current is None or self.current.is_closed() or self.current.user is None:
            raise ServiceError("the Discord client is not logged in")
        return self.current

    @property
    def name(self) -> str:
        """What `Channel.connection` says."""
        return f"discord:{self.identity('').id}"

    def identity(self, guild: str) -> BotIdentity:
        """Who we are in a guild."""
        client = self.current
        ours = str(client.user.id) if client is not None and client.user is not None else ""
        known = client.get_guild(int(guild)) if client is not None and guild else None
        roles = known.roles if known is not None else ()
        return BotIdentity(
            ours, frozenset(str(r.id) for r in roles if r.tags is not None and str(r.tags.bot_id) == ours)
        )

    def accepts_files(self, channel: str) -> bool:
        """Whether files go up in a channel, as far as is known."""
        return now() >= self._no_files.get(channel, 0.0)

    def disable_files(self, channel: str) -> None:
        """They did not: none is tried there for a while."""
        if len(self._no_files) >= _FILE_CHANNELS:
            self._no_files.clear()
        self._no_files[channel] = now() + WITHOUT_FILES_SECONDS

    def parse(self, data: Mapping[str, Any], *, guild: str = "") -> DiscordMessage:
        """A message's JSON as a value, its mentions resolved. Raises as `parse_message` does."""
        guild = str(data.get("guild_id") or guild or self.guild_of(str(data["channel_id"])))

        def name_of(sign: str, target: str) -> str:
            return self._role(guild, target) if sign == "@&" else self._channel(target)

        identity = self.identity(guild)
        return parse_message(
            data, bot_id=identity.id, name_of=name_of, guild=guild, roles=identity.roles, zone=self.options.zone
        )

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        """What kind of place a channel is, and what it lies in."""
        known = self.client.get_channel(int(channel))
        if isinstance(known, discord.Thread):
            category = known.parent.category_id if known.parent is not None else None
            return ChannelInfo(channel, ChannelKind.THREAD, str(known.parent_id), str(category or ""))
        if known is None and not guild:
            return ChannelInfo(channel, ChannelKind.DM)
        if isinstance(known, discord.abc.PrivateChannel):
            return ChannelInfo(channel, ChannelKind.DM)
        return ChannelInfo(channel, ChannelKind.CHANNEL, category=str(getattr(known, "category_id", None) or ""))

    def owns_thread(self, thread: str) -> bool:
        """Whether we made a thread."""
        known = self.client.get_channel(int(thread))
        return isinstance(known, discord.Thread) and str(known.owner_id) == self.identity("").id

    async def wait_for_guild(self, guild: str) -> None:
        """Wait until a guild is told of, names and places included, or should have been."""
        until = now() + GUILD_SECONDS
        while guild and not self._has(guild) and now() < until:
            await asyncio.sleep(_GUILD_STEP)

    def title(self, channel_info: ChannelInfo) -> str:
        """What stands above a thread, labelled: its title, and the tags of a forum's post. Empty elsewhere."""
        known = self.client.get_channel(int(channel_info.id))
        if channel_info.kind is not ChannelKind.THREAD or not isinstance(known, discord.Thread):
            return ""
        if not isinstance(known.parent, discord.ForumChannel):
            return label("thread", known.name)
        tags = ", ".join(tag.name for tag in known.applied_tags)
        post = label(f"post in the forum #{in_line(known.parent.name)}", known.name)
        return f"{post}\n{label('tags', tags)}" if tags else post

    def has_lost_channel(self, channel_info: ChannelInfo, guild: str) -> bool:
        """Whether a place is there no more, as far as its guild tells, which is silent on threads that rest."""
        known = self.client.get_guild(int(guild)) if guild else None
        if known is None or known.unavailable or not known.channels:
            return False
        at = channel_info.parent if channel_info.kind is ChannelKind.THREAD else channel_info.id
        return bool(at) and known.get_channel(int(at)) is None

    def _has(self, guild: str) -> bool:
        known = self.current.get_guild(int(guild)) if self.current is not None else None
        return known is not None and not known.unavailable

    def guild_of(self, channel: str) -> str:
        """The guild that a channel is in; empty for a DM, and where it is not known."""
        known = self.client.get_channel(int(channel))
        guild = getattr(known, "guild", None)
        return str(guild.id) if guild is not None else ""

    def _role(self, guild: str, role: str) -> str:
        known = self.client.get_guild(int(guild)) if guild else None
        found = known.get_role(int(role)) if known is not None else None
        return found.name if found is not None else ""

    def _channel(self, channel: str) -> str:
        return str(getattr(self.client.get_channel(int(channel)), "name", ""))


def now() -> float:
    """The event loop's time, in seconds."""
    return asyncio.get_running_loop().time()
