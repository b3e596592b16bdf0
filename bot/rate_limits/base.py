"""What a platform counts, and when the next write may spend it.

What belongs here: one class for each way of counting, with its arithmetic and its spacing. What does not: who writes
next (`bot.delivery.scheduler`), and the numbers of any platform (adapters build their budgets with them).

A budget is asked `ready_at(now, final=...)`, then told `spend(now)` when a write is sent and `record_response(now)`
when its answer, whatever it was, is there. A server counts a write at some instant between the two; each class takes
the one that is worse for us, so that latency and jitter never provoke a 429. `hold(now, seconds)` is the server's own
word and beats everything. `live` is how many replies are at work that may spend the budget, `reserved_finals` how
many of them show something and will need a write for their end: pacers keep both, spacing reads them.

How far apart. A reader of a text that arrives evenly for T seconds and is shown in K evenly spaced updates waits
T / 2K in the mean, and no other spacing of K does better. How long an answer will be is not known; let S(t) be the
share of answers that last longer than t. To spend K writes in all, at the rate r(t), at the least expected wait is to
minimize the integral of S/2r with that of r given: r goes with the square root of S. Answers are many short ones and a
long tail, S(t) falling like a power of t, so the interval between two writes of a reply grows about linearly with its
age: close together where most answers end and readers look, further apart the longer it gets. What the window has
spent already stretches it in the same way (the price of a permit rises), and what is left is rationed over the time
until permits come back, so that the last ones are not gone before the end. Replies that share a budget each keep to an
interval of their own, rather than all of them to a common gap: the updates of each are then even, which the sum asks
for, and no one waits a round because it came last. Where the window is short and fixed (Discord's 5 s), there is no
tail to save for: the window's permits are spread evenly over it. The numbers are from the simulations in
``benchmarks``, which also prints how far all this is from the bound.

All times are the event loop's, in seconds. Nothing here waits or asks for the time, but for `ReadLimiter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# A pause that a server orders is obeyed up to this; the bound only keeps a nonsensical header (days) from silencing a
# bot until somebody restarts it. Read by `RateLimitBase.hold`.
LONGEST_HOLD_SECONDS = 3600.0

# A window that is about to close is treated as open for this much longer, for clocks that do not tick alike.
# Read by `FixedWindow`.
EDGE_SECONDS = 0.02

# A call of an earlier process was counted at most so long after it was sent, unless it was lost. Seconds.
ANSWERED_SECONDS = 2.0


def no_op() -> None:
    """Nobody remembers what is spent."""


class Budget(Protocol):
    """Something that a platform counts. See the module's docstring for the order of calls."""

    live: int
    reserved_finals: int

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """The earliest time at which a write may be sent; `now` or earlier means at once. The same for all replies.

        A `final` write may have what is kept back from the others, and does not keep to their spacing. With so many
        others `ahead` of it, it is the time after theirs, as far as that can be told.
        """
        ...

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        """When a growing reply does best to write again, for its own later writes and the others'.

        `began` is when its text began, `wrote` when it was last written; what it says changes with what is spent.
        """
        ...

    def first_post_at(self, now: float) -> float:
        """From when on one more reply may show something, with a write left for the end of each that does.

        Showing the first words is a promise that the rest follows; a reply that shows nothing can do without this
        budget, as its whole answer goes up in one post.
        """
        ...

    def spend(self, now: float) -> None:
        """A write is being sent."""
        ...

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """The answer to a write that was spent at `sent` is there, or is given up."""
        ...

    def hold(self, now: float, seconds: float) -> None:
        """The server said: nothing more for this long."""
        ...


class RateLimitBase:
    """What all budgets share: who is at work, what is in flight, and the server's holds."""

    def __init__(self) -> None:
        self.live = 0
        self.reserved_finals = 0
        self._in_flight = 0
        self._not_before = 0.0

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. Without a rhythm of its own: whenever there is a permit."""
        return wrote

    def first_post_at(self, now: float) -> float:
        """See `Budget`. Permits are back before anybody would mind."""
        return now

    def hold(self, now: float, seconds: float) -> None:
        """Send nothing for `seconds`; a shorter hold never shortens a longer one."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))


@dataclass(frozen=True, slots=True)
class WindowReport:
    """What an answer said about a fixed window (Discord: ``X-RateLimit-Limit``, ``-Remaining``, ``-Reset-After``)."""

    limit: int
    remaining: int
    reset_after: float
