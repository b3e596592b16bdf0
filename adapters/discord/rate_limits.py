"""What Discord counts, and the objects that count it: shared by all turns, the channel's first, then the bot's.

What belongs here: the numbers, which request spends what, and how an answer's headers are read. What does not: the
arithmetic (`bot.rate_limits`), and who waits for it.

Discord refuses to publish the limits of a channel ("should not be hard coded",
https://docs.discord.com/developers/topics/rate-limits); 5 in 5 s is what bots observe for posts and for edits alike
(discord-net/Discord.Net#2375, discord-relay-chat/drc#17), so we start from that and follow the headers.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property

from bot.errors import RateLimited
from bot.ports import Verb
from bot.rate_limits import Budget, FixedWindow, RollingWindow, WindowReport

# Writes and seconds of a channel's window, see above.
CHANNEL_LIMIT = 5
CHANNEL_SECONDS = 5.0

# Requests in any second of the whole bot: 50 are allowed (https://docs.discord.com/developers/topics/rate-limits, the
# global rate limit); the margin is for what the library asks by itself (logging in, the gateway's address).
EVERYTHING_PER_SECOND = 45

# Reads of those that look for a message of ours, in any second: what `EVERYTHING_PER_SECOND` leaves of the 50. They are
# made inside of a write that has its permit already; if they waited for the same budget, as many as it has permits
# would wait for each other.
LOOKUPS_PER_SECOND = 5

# How many may look at once: each holds a permit of the bot's meanwhile, and most are to be left to those who write.
MAX_CONCURRENT_LOOKUPS = 10

# Channels whose windows are kept; beyond that the ones that rest longest are forgotten.
CHANNELS = 1_000

# A channel whose last use is this long ago has no open window: Discord's are 5 s, and the server's longer holds are
# kept by whoever was held. Seconds.
RESTED_SECONDS = 60.0


class Window(FixedWindow):
    """A window that may turn out to be the same as another one: then it stands for that, for all who hold it."""

    def __init__(self, *, paced: bool) -> None:
        self._same: FixedWindow | None = None
        self._live = 0
        super().__init__(CHANNEL_LIMIT, CHANNEL_SECONDS, paced=paced)

    def merge_into(self, other: FixedWindow) -> None:
        """From now on this is `other`, which counts what this one did."""
        other.absorb(self)
        self._same = other

    @property
    def live(self) -> int:
        """See `bot.rate_limits.Budget`."""
        return self._live if self._same is None else self._same.live

    @live.setter
    def live(self, live: int) -> None:
        if self._same is None:
            self._live = live
        else:
            self._same.live = live

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """See `bot.rate_limits.Budget`."""
        if self._same is not None:
            return self._same.ready_at(now, final=final, ahead=ahead)
        return super().ready_at(now, final=final, ahead=ahead)

    def spend(self, now: float) -> None:
        """See `bot.rate_limits.Budget`."""
        if self._same is not None:
            self._same.spend(now)
        else:
            super().spend(now)

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """See `bot.rate_limits.Budget`."""
        if self._same is not None:
            self._same.record_response(now, sent=sent)
        else:
            super().record_response(now, sent=sent)

    def hold(self, now: float, seconds: float) -> None:
        """See `bot.rate_limits.Budget`."""
        if self._same is not None:
            self._same.hold(now, seconds)
        else:
            super().hold(now, seconds)

    def observe(self, now: float, report: WindowReport, *, sent: float | None = None) -> None:
        """See `bot.rate_limits.FixedWindow`."""
        if self._same is not None:
            self._same.observe(now, report, sent=sent)
        else:
            super().observe(now, report, sent=sent)


class ChannelBudgets:
    """The windows of one channel. Reads have their own: one for lists of messages, one for single ones.

    A thousand channels may be live, and most of them are only posted in and edited: the rest is made when it is needed.
    """

    def __init__(self) -> None:
        self.edit = Window(paced=True)
        self.post = Window(paced=False)
        self.used_at = 0.0
        self._named: dict[str, Window] = {}  # by bucket; a handful

    @cached_property
    def delete(self) -> Window:
        """For messages of ours."""
        return Window(paced=False)

    @cached_property
    def list(self) -> Window:
        """For lists of messages."""
        return Window(paced=False)

    @cached_property
    def get(self) -> Window:
        """For single messages."""
        return Window(paced=False)

    @cached_property
    def lookup_lock(self) -> asyncio.Lock:
        """Held by whoever looks for what was left over here: what one reads need not be read by the next."""
        return asyncio.Lock()

    def of(self, verb: Verb) -> Window:
        """What a write spends."""
        return self.delete if verb is Verb.DELETE else self.edit if verb is Verb.EDIT else self.post

    def set_bucket(self, bucket: str, window: Window) -> None:
        """An answer to what spent `window` named the bucket that Discord counted it in (``X-RateLimit-Bucket``).

        Two kinds of request that are counted together become one window, for all who hold either; which is the edits'
        where they are of it, since that one is paced.
        """
        known = self._named.setdefault(bucket, window)
        if known is window:
            return
        kept, given_up = (window, known) if window is self.edit else (known, window)
        self._named[bucket] = kept
        given_up.merge_into(kept)
        for kind, held in list(vars(self).items()):
            if held is given_up:
                setattr(self, kind, kept)

    def wait_until(self, until: float, now: float) -> None:
        """Spend nothing before `until` (the loop's seconds): another process may have used the windows up."""
        for window in (self.edit, self.post, self.delete, self.list, self.get):
            if until > now:
                window.hold(now, until - now)

    def is_idle(self, now: float) -> bool:
        """Whether nobody uses it and nothing of it is open any more."""
        made = [window for window in vars(self).values() if isinstance(window, FixedWindow)]
        return not any(window.live for window in made) and now - self.used_at > RESTED_SECONDS


class Budgets:
    """All budgets of one bot."""

    def __init__(self) -> None:
        self.everything = RollingWindow(EVERYTHING_PER_SECOND, 1.0, paced=False)
        self.lookups = RollingWindow(LOOKUPS_PER_SECOND, 1.0, paced=False)
        self.active_lookups = 0  # those that look just now
        self._channels: OrderedDict[str, ChannelBudgets] = OrderedDict()

    def channel(self, channel: str) -> ChannelBudgets:
        """The channel's budgets: the same ones for everybody who asks, as long as they are in use."""
        now = asyncio.get_running_loop().time()
        budgets = self._channels.setdefault(channel, ChannelBudgets())
        budgets.used_at = now
        self._channels.move_to_end(channel)
        while len(self._channels) > CHANNELS and next(iter(self._channels.values())).is_idle(now):
            self._channels.popitem(last=False)
        return budgets

    def window(self, method: str, path: str, channel: str) -> Window | None:
        """What a request spends beside `everything`; `path` is discord.py's template of it."""
        one = path == "/channels/{channel_id}/messages/{message_id}"
        budgets = self.channel(channel) if one or path == "/channels/{channel_id}/messages" else None
        if budgets is None:
            return None
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
    """What an answer's headers say of its window, or None where they do not say it all."""
    try:
        limit, remaining = int(headers["X-RateLimit-Limit"]), int(headers["X-RateLimit-Remaining"])
        reset_after = float(headers["X-RateLimit-Reset-After"])
    except (KeyError, ValueError):
        return None
    if not math.isfinite(reset_after) or reset_after < 0 or not 0 <= remaining <= limit:
        return None
    return WindowReport(limit, remaining, reset_after)


@asynccontextmanager
async def spending(window: FixedWindow, everything: RollingWindow) -> AsyncIterator[None]:
    """One read: wait for leave, spend, and settle at the end; a 429 holds what it was meant for."""
    budgets: Sequence[Budget] = (window, everything)
    loop = asyncio.get_running_loop()
    while (ready_at := max(budget.ready_at(loop.time(), final=True) for budget in budgets)) > loop.time():
        await asyncio.sleep(ready_at - loop.time())
    sent = loop.time()
    for budget in budgets:
        budget.spend(sent)
    try:
        yield
    except RateLimited as limited:
        held = everything if limited.is_global else window
        held.hold(loop.time(), limited.retry_after or CHANNEL_SECONDS)
        raise
    finally:
        for budget in budgets:
            budget.record_response(loop.time(), sent=sent)
