"""State shared by all turns of one shard: client, caches, budgets, and features the server has refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import discord

from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind
from adapters.discord.gateway import DiscordClient
from adapters.discord.history.cache import MessageCache
from adapters.discord.messages.components import components
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import BotLimits, Budgets
from adapters.discord.sessions import SessionProgress
from adapters.shared.attachments import Attachments
from adapters.shared.cache import LRUCache, TTLCache, expiring, loop_time
from adapters.shared.context_labels import label, one_line
from bot.callbacks import no_op
from bot.errors import ServiceError
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import Controls
from bot.rate_limits import Budget

# The typing indicator lasts about 10 s (https://docs.discord.com/developers/resources/channel#trigger-typing-indicator);
# it is renewed a little earlier. Seconds.
TYPING_SECONDS = 8.0

# After a failed upload (missing permission), time without further attempts in the channel; an operator may grant the
# permission meanwhile. Seconds.
WITHOUT_FILES_SECONDS = 600.0

# After a refused button, time without such buttons: a proxy or another server may never take them, and Discord itself
# always does. Seconds.
WITHOUT_CONTROLS_SECONDS = 600.0

# Channels with a remembered upload failure or typing indicator. Each forgotten one costs one request too many.
MAX_CHANNELS = 1_000

# Guilds arrive within seconds after READY; recovery waits this long for the names in one. Seconds, and between checks.
GUILD_SECONDS = 5.0
_GUILD_STEP = 0.05


class Typing:
    """When to send the next typing indicator in each channel. All turns of a channel share one."""

    def __init__(self) -> None:
        self._not_before: LRUCache[str, float] = LRUCache(MAX_CHANNELS)

    def due(self, channel: str, now: float) -> bool:
        """Whether to send the indicator now; if so, it counts as sent."""
        if now < self._not_before.get(channel, 0.0):
            return False
        self.hold(channel, now + TYPING_SECONDS)
        return True

    def hold(self, channel: str, until: float) -> None:
        """Send no indicator in this channel before `until`."""
        self._not_before[channel] = until

    def __len__(self) -> int:
        return len(self._not_before)


class BotState:
    """Shared state; `current` is the newest client, logged in or not."""

    def __init__(
        self,
        options: DiscordOptions,
        attachments: Attachments,
        *,
        cache: MessageCache | None = None,
        limits: BotLimits | None = None,
        last_limit: Budget | None = None,
        progress: SessionProgress | None = None,
    ) -> None:
        """`cache` and `limits` are the whole bot's. `last_limit` is the shard's, of each write in its channels."""
        self.options = options
        self.attachments = attachments
        self.cache = cache or MessageCache()
        self.budgets = Budgets(limits)
        self.last_limits: tuple[Budget, ...] = () if last_limit is None else (last_limit,)
        self.progress = progress  # None: nobody goes on with the session
        self.typing = Typing()
        self.current: DiscordClient | None = None
        self.expects_guilds = True  # not in a session of another process, which has received them
        self.request_guild: Callable[[str], object] = no_op  # reads it
        self.interactions: Interactions = NO_INTERACTIONS
        self._without_files: TTLCache[str, bool] = expiring(MAX_CHANNELS, WITHOUT_FILES_SECONDS)
        self._refused_until: dict[Controls, float] = {}  # the event loop's time, by control

    @property
    def client(self) -> DiscordClient:
        """The logged-in client. Raises `ServiceError` if there is none."""
        if self.current is None or self.current.is_closed() or self.current.user is None:
            raise ServiceError("the Discord client is not logged in")
        return self.current

    def components(self, controls: Controls, question: str) -> list[dict[str, Any]]:
        """The components of a message with `controls`; `question` is a `messages.components.question_name`."""
        return components(controls, question, self.interactions.models, self.options.strings)

    @property
    def bot_id(self) -> str:
        """The bot's user id; empty before the first login."""
        return self.identity("").id

    def identity(self, guild: str) -> BotIdentity:
        """The bot's id and managed roles in a guild."""
        return self.current.identity(guild) if self.current is not None else BotIdentity("")

    def accepts_files(self, channel: str) -> bool:
        """Whether to upload files in a channel."""
        return channel not in self._without_files

    def disable_files(self, channel: str) -> None:
        """Uploads failed in this channel; skip them for `WITHOUT_FILES_SECONDS`."""
        self._without_files[channel] = True

    @property
    def refused_controls(self) -> Controls:
        """The controls to leave out for now, because the server rejected messages with them."""
        refused = Controls.NONE
        for control, until in self._refused_until.items():
            if loop_time() < until:
                refused |= control
        return refused

    def refuse_controls(self, refused: Controls) -> None:
        """The server rejected a message with these; leave them out for `WITHOUT_CONTROLS_SECONDS`."""
        until = loop_time() + WITHOUT_CONTROLS_SECONDS
        self._refused_until |= dict.fromkeys(refused, until)

    def owns_thread(self, thread: str) -> bool:
        """Whether the bot created a thread, as far as known."""
        known = self._thread(thread)
        return known is not None and str(known.owner_id) == self.bot_id

    def parent_of(self, thread: str) -> str:
        """The channel of a thread; empty for any other channel, and if unknown."""
        known = self._thread(thread)
        return str(known.parent_id) if known is not None else ""

    def _thread(self, thread: str) -> discord.Thread | None:
        """A thread in the guild data. Events are handled without a login, too, so its lack raises nothing."""
        known = self.current.get_channel(int(thread)) if self.current is not None else None
        return known if isinstance(known, discord.Thread) else None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """The time of one read; after it, raises `TimeoutError`. It begins once this process may send requests at all.

        After an outage of the engine nobody may for some seconds, and a read would give up before.
        """
        await self.budgets.bot.wait_for_share(self.options.sharing.share_seconds)
        async with asyncio.timeout(self.options.read_seconds):
            yield

    async def wait_for_guild(self, guild: str) -> None:
        """Wait until a guild's data has arrived, for at most `GUILD_SECONDS`."""
        if not self.expects_guilds and guild and not self.knows_guild(guild):
            self.request_guild(guild)
        deadline = loop_time() + GUILD_SECONDS
        while guild and not self.knows_guild(guild) and loop_time() < deadline:
            await asyncio.sleep(_GUILD_STEP)

    def knows_guild(self, guild: str) -> bool:
        """Whether a guild's data has arrived."""
        known = self.current.get_guild(int(guild)) if self.current is not None else None
        return known is not None and not known.unavailable

    def thread_title(self, channel: ChannelInfo, question: str) -> str:
        """Labels for a thread's title and a forum post's tags; empty for other channels, and a question's own thread.

        Such a thread is named after its `question`.
        """
        known = self.client.get_channel(int(channel.id))
        if channel.kind is not ChannelKind.THREAD or not isinstance(known, discord.Thread):
            return ""
        if not isinstance(known.parent, discord.ForumChannel):
            return label("thread", known.name) if channel.id != question else ""
        tags = ", ".join(tag.name for tag in known.applied_tags)
        post = label(f"post in the forum #{one_line(known.parent.name)}", known.name)
        return f"{post}\n{label('tags', tags)}" if tags else post

    def has_lost_channel(self, channel: ChannelInfo, guild: str) -> bool:
        """Whether a channel no longer exists. Guild data omits archived threads, so their parent counts."""
        known = self.client.get_guild(int(guild)) if guild else None
        if known is None or known.unavailable or not known.channels:
            return False
        listed = channel.parent if channel.kind is ChannelKind.THREAD else channel.id
        return bool(listed) and known.get_channel(int(listed)) is None
