"""The platforms of the scenarios, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from typing_extensions import override

from benchmarks.latency.limits import Fixed, Leaky, Limit, Rolling
from benchmarks.latency.policies import Counter, FixedCounter, LeakCounter, RollingCounter
from bot.errors import RateLimited
from bot.ports import Verb
from bot.rate_limits import AdaptiveLimit, Budget, FixedWindow, LeakyBucket, RollingWindow
from tests.support.fakes import Server


@dataclass(frozen=True, slots=True)
class Platform:
    """The limits of a platform: as its double enforces them, as our budgets know them, and as the bound prices them.

    `message` is the most characters of a message. `posts` is shared by the replies of a channel; None: each reply has
    enough of its own. `prompt` replies at once can all show text at once, with an edit left for the end of each.
    """

    name: str
    message: int
    limit: Limit
    server: Callable[[], Server]
    edits: Callable[[], Budget]
    counter: Callable[[], Counter]
    prompt: int
    posts: Limit | None = None

    def limits(self, *, shared: bool = True) -> dict[Verb, Limit]:
        """The limits of the bound; of a lone reply, those of edits alone."""
        posts = {Verb.POST: self.posts} if shared and self.posts is not None else {}
        return {Verb.EDIT: self.limit, **posts}


DISCORD = Platform(
    "discord",
    2000,
    Fixed(5, 200),
    Server,
    lambda: FixedWindow(5, 5.0, paced=True),
    lambda: FixedCounter(5, 5.0),
    prompt=5,
    posts=Fixed(5, 200),
)
SLACK = Platform(
    "slack window",
    11_500,
    Rolling(50, 2400),
    lambda: Server(limit=50, period=60.0, rolling=True, counts_posts=False),
    lambda: RollingWindow(50, 60.0),
    lambda: RollingCounter(50, 60.0),
    prompt=50,
)


class _LeakServer(Server):
    """Counts edits as a leaky bucket: one each `interval`, and up to `burst` at once after a rest."""

    def __init__(self, interval: float, burst: int) -> None:
        super().__init__(counts_posts=False)
        self._interval, self._burst = interval, burst
        self._full_at = float("-inf")

    @override
    def count(self, verb: Verb, now: float) -> None:
        if verb is Verb.POST and not self.counts_posts:
            return
        full_at = max(self._full_at, now) + self._interval
        if full_at - now > self._burst * self._interval + 1e-6:
            self.limited += 1
            raise RateLimited("429", retry_after=full_at - now - self._burst * self._interval)
        self._full_at = full_at


SLACK_LEAK = Platform(
    "slack leak",
    11_500,
    Leaky(5, 48),
    lambda: _LeakServer(1.2, 5),
    lambda: LeakyBucket(1.2, burst=5, paced=True),
    lambda: LeakCounter(1.2, 5),
    prompt=5,
)

# Slack by default: taken for a window until a 429. Here it is a leak; other policies and the bound know that.
SLACK_AUTO = replace(
    SLACK_LEAK,
    name="slack auto",
    edits=lambda: AdaptiveLimit(RollingWindow(50, 60.0), LeakyBucket(1.2, burst=5, paced=True), leaky_seconds=600.0),
)
