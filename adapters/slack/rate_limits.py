"""Slack's published rate limits as budgets of the core.

Slack counts each method per workspace and app: https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType

from typing_extensions import override

from adapters.shared.cache import LRUCache
from adapters.slack.options import SlackOptions
from bot.callbacks import no_op
from bot.errors import RateLimited
from bot.ports import RateLimitLog, Verb
from bot.rate_limits import (
    ANSWERED_SECONDS,
    AdaptiveLimit,
    Budget,
    LeakyBucket,
    ReadLimiter,
    RollingWindow,
)

# chat.update and chat.delete: tier 3, 50 in any minute.
TIER_3 = 50
MINUTE = 60.0
# chat.startStream and chat.stopStream: tier 2, 20 in any minute each; chat.appendStream: tier 4, 100.
STREAM_CALLS: Mapping[Verb, tuple[str, int]] = MappingProxyType(
    {
        Verb.START: ("chat.startStream", 20),
        Verb.APPEND: ("chat.appendStream", 100),
        Verb.STOP: ("chat.stopStream", 20),
    }
)
# The same as a leaky bucket: one each 1.2 s, with the burst of five of a conservative client.
LEAK_SECONDS = MINUTE / TIER_3
LEAK_BURST = 5
# chat.postMessage: one a second in a channel, plus a margin for clock drift.
POSTS = "chat.postMessage"
POST_SECONDS = 1.05
# Calls in any minute: tier 3 for conversations, tier 4 (100) for users.info, tier 2 (20) for usergroups.list. The
# margin covers clock drift and the reads of another process of ours in the same minute.
TIER_3_READS = 45
TIER_4_READS = 90
TIER_2_READS = 15
# Most writes in a workspace between two heartbeats of its owner. Its next owner counts all of them under each method,
# unless the owner stops in order. Slack's limits allow five a second, streams included. Counted for each of twenty live
# answers, they would take all 50 edits of a minute, and all stops of streams with six.
OWNED_WRITES = 8
# Channels with a remembered budget of posts. After 5,000 other channels the oldest one has long recovered.
CHANNELS = 5_000

# Pause of a method after a 429 without a time, in seconds.
PAUSE_SECONDS = 1.0

EditLimit = RollingWindow | LeakyBucket | AdaptiveLimit


def edit_limit(options: SlackOptions, on_spent: Callable[[], object] = no_op) -> EditLimit:
    """The budget of edits, by `options.edits`.

    Slack publishes "50+ per minute" for tier 3, tolerates "bursts", and reports no remaining count. Only a 429 shows
    whether Slack counts the last minute or a leaky bucket.
    """
    window = RollingWindow(TIER_3, MINUTE, on_spent=on_spent)
    leak = LeakyBucket(
        LEAK_SECONDS, burst=LEAK_BURST, paced=True, on_spent=on_spent if options.edits == "leak" else no_op
    )
    known: dict[str, EditLimit] = {"window": window, "leak": leak}
    return known.get(options.edits) or AdaptiveLimit(window, leak, options.edits_latch_seconds)


class PrivateLimiter(ReadLimiter):
    """A limit for writes beside the answers, first come, first served. `last` is the last limit of each write."""

    def __init__(self, rate: int, period: float, last: Budget | None, *, on_spent: Callable[[], object]) -> None:
        super().__init__(rate, period, on_spent=on_spent)
        self._last = () if last is None else (last,)

    @override
    async def acquire(self, *, reserve: int = 0, deadline: float = math.inf) -> bool:
        await _wait_for(self._last)
        if not await super().acquire(reserve=reserve, deadline=deadline):
            return False
        await _wait_for(self._last)
        for budget in self._last:
            budget.spend(asyncio.get_running_loop().time())
        return True


class Budgets:
    """Budgets of writes in one workspace. All replies share these objects."""

    def __init__(
        self,
        edits: Budget,
        streams: Mapping[Verb, Budget],
        *,
        ephemerals: ReadLimiter,
        pages: ReadLimiter,
        sessions: ReadLimiter,
        on_posted: Callable[[], object] = no_op,
        last: Budget | None = None,
    ) -> None:
        """Private messages, personal pages and the status of sessions are first come, first served.

        `on_posted` is called for each post. `last` is the last budget of each write.
        """
        self._last = () if last is None else (last,)
        self._on_posted = on_posted
        self._posts_begin_at = -math.inf
        self._edits = edits
        self._streams = streams
        self.ephemerals = ephemerals
        self.pages = pages
        self.sessions = sessions
        self._deletes = RollingWindow(TIER_3, MINUTE)
        self._posts: LRUCache[str, LeakyBucket] = LRUCache(CHANNELS)

    def posted_before(self, age: float) -> None:
        """An earlier owner posted `age` seconds ago in some channel: its posts and ours are `POST_SECONDS` apart too.

        Before the first use.
        """
        self._posts_begin_at = asyncio.get_running_loop().time() - age + POST_SECONDS

    def of(self, verb: Verb, channel: str) -> Sequence[Budget]:
        """All budgets of one write."""
        match verb:
            case Verb.EDIT:
                return (self._edits, *self._last)
            case Verb.DELETE:
                return (self._deletes, *self._last)
            case Verb.START | Verb.APPEND | Verb.STOP:
                return (self._streams[verb], *self._last)
        posts = self._posts.get(channel)
        if posts is None:
            posts = self._posts[channel] = LeakyBucket(POST_SECONDS, on_spent=self._on_posted)
            now = asyncio.get_running_loop().time()
            posts.hold(now, max(self._posts_begin_at - now, 0.0))
        return (posts, *self._last)


@asynccontextmanager
async def spending(
    limit: ReadLimiter, *, reserve: int = 0, pause: float = PAUSE_SECONDS, deadline: float = math.inf
) -> AsyncIterator[None]:
    """One call: wait for its permit; a 429 holds the limit for the time it names, or for `pause` seconds.

    Raises `RateLimited` if no permit comes before `deadline` (in the loop's seconds).
    """
    if not await limit.acquire(reserve=reserve, deadline=deadline):
        wait = limit.wait(asyncio.get_running_loop().time(), reserve)
        raise RateLimited(f"the budget allows no call for {wait:.0f} s", retry_after=wait)
    try:
        yield
    except RateLimited as failure:
        limit.hold(asyncio.get_running_loop().time(), failure.retry_after or pause)
        raise


@asynccontextmanager
async def spending_write(budgets: Sequence[Budget], *, is_patient: bool = True) -> AsyncIterator[None]:
    """One write beside those of the core, within the same budgets; `is_patient`: it waits for them.

    An impatient one waits only for those that name no time, as without a valid lease.
    """
    loop = asyncio.get_running_loop()
    await _wait_for(budgets, is_patient=is_patient)
    sent = loop.time()
    for budget in budgets:
        budget.spend(sent)
    try:
        yield
    except RateLimited as failure:
        for budget in budgets:
            budget.hold(loop.time(), failure.retry_after or PAUSE_SECONDS)
        raise
    finally:
        for budget in budgets:
            budget.record_response(loop.time(), sent=sent)


async def _wait_for(budgets: Sequence[Budget], *, is_patient: bool = True) -> None:
    """Wait until all budgets have a permit for a final write; if not `is_patient`, until each names a time for one."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    for budget in budgets:
        budget.watch(changed.set)
    try:
        while (wait := _wait_of(budgets, loop.time())) > 0 and (is_patient or math.isinf(wait)):
            changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(wait) else wait):
                    await changed.wait()
    finally:
        for budget in budgets:
            budget.unwatch(changed.set)


def _wait_of(budgets: Sequence[Budget], now: float) -> float:
    return max((each.ready_at(now, final=True) for each in budgets), default=now) - now


class RememberedLimits:
    """Makes the limits of one workspace and records their calls for its next owner.

    A workspace won anew gets new limits: its call log has the calls of all owners within the last minute, ours too.
    """

    def __init__(self, team: str, spending: RateLimitLog | None, last: Budget | None = None) -> None:
        """`last` is the last limit of each write."""
        self._team = team
        self._spending = spending
        self._last = last
        self._limits: dict[str, EditLimit | ReadLimiter] = {}

    def reads(self, method: str, rate: int) -> ReadLimiter:
        """At most `rate` calls of a method in any minute."""
        self._limits[method] = limit = ReadLimiter(rate, MINUTE, on_spent=self._recorder(method))
        return limit

    def private(self, method: str, rate: int) -> ReadLimiter:
        """The same for writes beside the answers."""
        limit = PrivateLimiter(rate, MINUTE, self._last, on_spent=self._recorder(method))
        self._limits[method] = limit
        return limit

    def edits(self, options: SlackOptions) -> EditLimit:
        """The edits of all messages."""
        self._limits["chat.update"] = limit = edit_limit(options, self._recorder("chat.update"))
        return limit

    def streams(self) -> Mapping[Verb, RollingWindow]:
        """The calls of native streams. A reply gives up its start at once, so starts are not paced."""
        limits = {
            verb: RollingWindow(rate, MINUTE, paced=verb is not Verb.START, on_spent=self._recorder(method))
            for verb, (method, rate) in STREAM_CALLS.items()
        }
        self._limits |= {STREAM_CALLS[verb][0]: limit for verb, limit in limits.items()}
        return limits

    def on_posted(self) -> Callable[[], object]:
        """Call this at each post in a workspace with owners; elsewhere a restart takes longer than `POST_SECONDS`."""
        return no_op if self._last is None else self._recorder(POSTS)

    async def age_of_last_post(self) -> float:
        """Seconds since the last post of any owner may have been sent; infinite if there was none."""
        if self._spending is None or self._last is None:
            return math.inf
        return min(await self._spending.recent_calls(self._name(POSTS), POST_SECONDS), default=math.inf)

    async def recall(self) -> None:
        """Count the calls of earlier processes within the last minute."""
        if self._spending is None:
            return
        for method, limit in self._limits.items():
            ages = await self._spending.recent_calls(self._name(method), MINUTE + ANSWERED_SECONDS)
            limit.remember(asyncio.get_running_loop().time(), ages)

    def _recorder(self, method: str) -> Callable[[], object]:
        return no_op if self._spending is None else partial(self._spending.record_call, self._name(method))

    def _name(self, method: str) -> str:
        return f"slack/{self._team}/{method}"
