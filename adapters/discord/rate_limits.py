"""Discord's rate limits as budgets shared by all turns: per channel and route, and for the whole bot.

Discord does not publish a channel's limits ("should not be hard coded",
https://docs.discord.com/developers/topics/rate-limits). Bots observe 5 per 5 s for posts and for edits alike
(discord-net/Discord.Net#2375, discord-relay-chat/drc#17); budgets start there and follow the response headers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cached_property

from typing_extensions import override

from adapters.shared.cache import LRUCache, loop_time
from bot.errors import RateLimited
from bot.ports import Verb
from bot.rate_limits import Budget, FixedWindow, RollingWindow, WindowReport
from bot.rate_limits.base import RateLimitBase
from bot.rate_limits.shared_window import SharedWindow

# Writes per channel's window, and its length in seconds; source above.
CHANNEL_LIMIT = 5
CHANNEL_SECONDS = 5.0

# Requests of the whole bot in any second. Discord's global limit is 50
# (https://docs.discord.com/developers/topics/rate-limits); the margin covers discord.py's own calls (login, gateway).
GLOBAL_PER_SECOND = 45

# Reads in search of lost posts: one in a second for so many requests, from that margin. They run inside a write with a
# permit of its own; if they took permits from the same budget, such writes could wait for each other.
REQUESTS_PER_LOOKUP = 9

# Concurrent searches for lost posts. Each holds one of the bot's permits; most must stay free for live writes.
MAX_CONCURRENT_LOOKUPS = 10

# Channels with budgets; above this number, idle ones are forgotten, the least recently used first.
MAX_CHANNELS = 1_000

# A channel unused for this time has no open window: windows last 5 s, and longer holds belong to live replies. Seconds.
IDLE_SECONDS = 60.0

# Paths of messages: in a channel, and with an interaction's token.
_MESSAGES = frozenset({"/channels/{channel_id}/messages", "/webhooks/{webhook_id}/{webhook_token}"})
_ONE_MESSAGE = frozenset(
    {
        "/channels/{channel_id}/messages/{message_id}",
        "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
    }
)

# Paths of members and channels, read one at a time and rarely.
_DETAILS = frozenset({"/guilds/{guild_id}/members/{member_id}", "/channels/{channel_id}"})


class Window(FixedWindow):
    """A fixed window; after `merge_into` it stands for another one, for every holder."""

    def __init__(self, *, paced: bool) -> None:
        self._merged: FixedWindow | None = None
        self._live = 0
        super().__init__(CHANNEL_LIMIT, CHANNEL_SECONDS, paced=paced)

    def merge_into(self, other: FixedWindow) -> None:
        """Count as `other` from now on, together with the requests counted so far."""
        other.absorb(self)
        self._merged = other

    @property
    def live(self) -> int:
        """Live replies that use this window."""
        return self._live if self._merged is None else self._merged.live

    @live.setter
    def live(self, live: int) -> None:
        if self._merged is None:
            self._live = live
        else:
            self._merged.live = live

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        if self._merged is not None:
            return self._merged.ready_at(now, final=final, ahead=ahead)
        return super().ready_at(now, final=final, ahead=ahead)

    @override
    def should_open(self, now: float) -> bool:
        return super().should_open(now) if self._merged is None else self._merged.should_open(now)

    @override
    def spend(self, now: float) -> None:
        if self._merged is not None:
            self._merged.spend(now)
        else:
            super().spend(now)

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        if self._merged is not None:
            self._merged.record_response(now, sent=sent)
        else:
            super().record_response(now, sent=sent)

    @override
    def hold(self, now: float, seconds: float) -> None:
        if self._merged is not None:
            self._merged.hold(now, seconds)
        else:
            super().hold(now, seconds)

    @override
    def observe(self, now: float, report: WindowReport, *, sent: float | None = None) -> None:
        if self._merged is not None:
            self._merged.observe(now, report, sent=sent)
        else:
            super().observe(now, report, sent=sent)

    @override
    def report(self, now: float) -> WindowReport | None:
        return super().report(now) if self._merged is None else self._merged.report(now)


class HoldsOnly(RateLimitBase):
    """A limit known only from its 429s: it counts nothing, and waits when told to."""

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        return max(now, self._not_before)

    @override
    def spend(self, now: float) -> None:
        return

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        return


class ChannelBudgets:
    """One channel's windows. The less used ones are created on first use, since a thousand channels may be live."""

    def __init__(self) -> None:
        self.edit = Window(paced=True)
        self.post = Window(paced=False)
        self.used_at = 0.0
        self._by_bucket: dict[str, Window] = {}  # a handful

    @cached_property
    def delete(self) -> Window:
        """For deleting our messages."""
        return Window(paced=False)

    @cached_property
    def list(self) -> Window:
        """For reading lists of messages."""
        return Window(paced=False)

    @cached_property
    def get(self) -> Window:
        """For reading single messages."""
        return Window(paced=False)

    @cached_property
    def threads(self) -> Window:
        """For starting threads."""
        return Window(paced=False)

    @cached_property
    def follow_ups(self) -> HoldsOnly:
        """For all follow-ups of interactions in the channel; a limit without headers (discord-api-docs#3763)."""
        return HoldsOnly()

    @cached_property
    def lookup_lock(self) -> asyncio.Lock:
        """Held while searching for lost posts, so that one read serves all recovered turns of the channel."""
        return asyncio.Lock()

    def of(self, verb: Verb) -> Window:
        """The window of a write."""
        return self.delete if verb is Verb.DELETE else self.edit if verb is Verb.EDIT else self.post

    def set_bucket(self, bucket: str, window: Window) -> None:
        """Record the bucket (``X-RateLimit-Bucket``) named in a response to a request counted in `window`.

        Windows with the same bucket are merged, into the edits' window if it is one of them, because that one is paced.
        """
        known = self._by_bucket.setdefault(bucket, window)
        if known is window:
            return
        target, merged = (window, known) if window is self.edit else (known, window)
        self._by_bucket[bucket] = target
        merged.merge_into(target)
        for name, held in list(vars(self).items()):
            if held is merged:
                setattr(self, name, target)

    def hold_all(self, now: float, seconds: float) -> None:
        """Spend nothing for `seconds`: another process may have used the windows up."""
        for window in (self.edit, self.post, self.delete, self.list, self.get):
            window.hold(now, seconds)

    @property
    def _created(self) -> Mapping[str, Window]:
        return {name: window for name, window in vars(self).items() if isinstance(window, Window)}

    def is_idle(self, now: float) -> bool:
        """Whether no reply uses it and no window can be open."""
        return not any(window.live for window in self._created.values()) and now - self.used_at > IDLE_SECONDS

    def reports(self, now: float) -> Mapping[str, WindowReport]:
        """The open windows, by name."""
        reports = {name: window.report(now) for name, window in self._created.items()}
        return {name: report for name, report in reports.items() if report is not None}

    def assume(self, now: float, reports: Mapping[str, WindowReport]) -> None:
        """Another process left these windows open."""
        for name, report in reports.items():
            if isinstance(window := getattr(self, name, None), Window):
                window.observe(now, report)


class SharedRequests(SharedWindow):
    """This process's share of the bot's requests in a second, less a part for `lookups`."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.lookups = SharedWindow(1.0)

    @override
    def set_limit(self, limit: int) -> None:
        lookups = max(limit // REQUESTS_PER_LOOKUP, 1) if limit > 1 else 0
        self.lookups.set_limit(lookups)
        super().set_limit(limit - lookups)

    @override
    def spent(self, now: float) -> int:
        return super().spent(now) + self.lookups.spent(now)


class BotLimits:
    """The limits of a whole bot in this process, the same for all its shards."""

    def __init__(self, per_second: int = GLOBAL_PER_SECOND, shared: SharedRequests | None = None) -> None:
        """`shared` replaces `per_second` if other processes serve the same bot."""
        self.requests: RollingWindow = RollingWindow(per_second, 1.0, paced=False)
        self.lookups: RollingWindow = RollingWindow(max(per_second // REQUESTS_PER_LOOKUP, 1), 1.0, paced=False)
        if shared is not None:
            self.requests, self.lookups = shared, shared.lookups
        self.active_lookups = 0
        self._shared = shared

    async def wait_for_share(self, seconds: float) -> None:
        """Wait until this process may send requests, `seconds` at most."""
        if self._shared is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._shared.opened()


class Budgets:
    """All budgets of one shard."""

    def __init__(self, bot: BotLimits | None = None) -> None:
        self.bot = bot or BotLimits()
        self.global_limit = self.bot.requests
        self.lookups = self.bot.lookups
        self.details = Window(paced=False)  # reads of members and channels
        self._held_until = 0.0  # all windows: the loop's time
        # Unbounded for cachetools: only idle channels may be evicted.
        self._channels: LRUCache[str, ChannelBudgets] = LRUCache(math.inf)

    def channel(self, channel: str) -> ChannelBudgets:
        """The channel's budgets; the same object for every caller as long as it is in use."""
        now = loop_time()
        budgets = self._channels.get(channel)
        if budgets is None:
            budgets = self._channels[channel] = ChannelBudgets()
            if now < self._held_until:
                budgets.hold_all(now, self._held_until - now)
        budgets.used_at = now
        while len(self._channels) > MAX_CHANNELS:
            oldest, candidate = self._channels.popitem()
            if not candidate.is_idle(now):
                self._channels[oldest] = candidate
                break
        return budgets

    def __len__(self) -> int:
        return len(self._channels)

    def hold_all(self, now: float, seconds: float) -> None:
        """Spend nothing in any channel for `seconds`; before the first use of any."""
        self._held_until = now + seconds

    def reports(self, now: float) -> Mapping[str, Mapping[str, WindowReport]]:
        """The open windows of each channel."""
        reports = {channel: budgets.reports(now) for channel, budgets in self._channels.items() if channel.isdigit()}
        return {channel: windows for channel, windows in reports.items() if windows}

    def assume(self, now: float, reports: Mapping[str, Mapping[str, WindowReport]]) -> None:
        """Another process left these windows open."""
        for channel, windows in reports.items():
            self.channel(channel).assume(now, windows)

    def interaction(self, token: str) -> ChannelBudgets:
        """The windows of one interaction's token: follow-ups are its posts."""
        return self.channel(token)

    def window(self, method: str, path: str, channel: str) -> Window | None:
        """The window of a request, besides `global_limit`; None if it has none.

        `path` is discord.py's template, `channel` a channel's id or an interaction's token.
        """
        one = path in _ONE_MESSAGE
        if not one and path not in _MESSAGES:
            return self.details if method == "GET" and path in _DETAILS else None
        budgets = self.channel(channel)
        match method, one:
            case "POST", False:
                return budgets.post
            case "PATCH", True:
                return budgets.edit
            case "DELETE", True:
                return budgets.delete
            case "GET", _:
                return budgets.get if one else budgets.list
        return None


def read_report(headers: Mapping[str, str]) -> WindowReport | None:
    """The window in a response's headers; None if they are missing or inconsistent."""
    try:
        limit, remaining = int(headers["X-RateLimit-Limit"]), int(headers["X-RateLimit-Remaining"])
        reset_after = float(headers["X-RateLimit-Reset-After"])
    except (KeyError, ValueError):
        return None
    if not math.isfinite(reset_after) or reset_after < 0 or not 0 <= remaining <= limit:
        return None
    return WindowReport(limit, remaining, reset_after)


@asynccontextmanager
async def spending(
    window: FixedWindow, global_limit: RollingWindow | None = None, *others: Budget
) -> AsyncIterator[None]:
    """One request: wait for its budgets, spend them, and record the response; a 429 holds the budget it names."""
    budgets: Sequence[Budget] = (window, *others) if global_limit is None else (window, global_limit, *others)
    while (ready_at := max(budget.ready_at(loop_time(), final=True) for budget in budgets)) > loop_time():
        await asyncio.sleep(ready_at - loop_time())
    sent = loop_time()
    for budget in budgets:
        budget.spend(sent)
    try:
        yield
    except RateLimited as limited:
        held = global_limit if limited.is_global and global_limit is not None else window
        held.hold(loop_time(), limited.retry_after or CHANNEL_SECONDS)
        raise
    finally:
        for budget in budgets:
            budget.record_response(loop_time(), sent=sent)
