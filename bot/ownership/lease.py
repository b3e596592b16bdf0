"""A process's lease: the time in which it may write, by its own clock.

A process sends heartbeats to the engine. Each good one lets it write for `write_seconds` from its *sending*. The engine
counts from its arrival, which is later, and waits longer (`lease_seconds`) before it declares the process dead. So the
old owner of a lane has stopped before a new one begins, without a common clock: only the rates of clocks must agree, to
within a factor of 1 / 0.6.

Two rules cover the engine's own failures:

- Grace period: after its start and after an outage, a process declares nobody dead for a whole lease. Without it, the
  first one back after an outage would declare all others dead. It takes free lanes only if another process was past its
  own grace period at the same engine: a lane may be free by commits that a stand-by lacks.
- Another engine (`epoch`): a stand-by server may lack the last commits, such as our own death or a lane just taken by
  another process. Others believe in these for `write_seconds` at most. A process whose lease had lapsed waits longer
  than that before it writes again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

# Of the lease: the interval of heartbeats; the time allowed to each; how long writes go on after a good one.
_HEARTBEAT_SHARE = 0.2
_TIMEOUT_SHARE = 0.3  # one lost heartbeat and its repetition fit into the time of writes
_WRITE_SHARE = 0.6

# A failed heartbeat is repeated after this share: an engine that comes back should find nobody late.
_RETRY_SHARE = 0.05

# Good heartbeats sent so far apart are no unbroken series. In an outage no longer than that, every other process is
# heard again before it counts as dead: 0.45 + 0.2 + 0.3 is less than a lease.
_UNBROKEN_SHARE = 0.45

# Wait of a lapsed process at another engine: `_WRITE_SHARE`, and a third more for clocks of different rates.
_RESUME_SHARE = 0.8

# Clocks of engine and process drift by less than this between two heartbeats; more is a jump.
_CLOCK_RATE = 0.2
_CLOCK_SHARE = 0.1  # of the lease


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """All times of a lease, in seconds."""

    lease_seconds: float = 5.0

    @property
    def heartbeat_seconds(self) -> float:
        """From the sending of a heartbeat to that of the next."""
        return self.lease_seconds * _HEARTBEAT_SHARE

    @property
    def timeout_seconds(self) -> float:
        """The longest wait for the response to a heartbeat, or to another call of the engine."""
        return self.lease_seconds * _TIMEOUT_SHARE

    @property
    def retry_seconds(self) -> float:
        """From a failure to the next heartbeat."""
        return self.lease_seconds * _RETRY_SHARE

    @property
    def write_seconds(self) -> float:
        """How long writes go on after the sending of a good heartbeat."""
        return self.lease_seconds * _WRITE_SHARE

    @property
    def unbroken_seconds(self) -> float:
        """The longest time between two heartbeats of an unbroken series."""
        return self.lease_seconds * _UNBROKEN_SHARE

    @property
    def resume_seconds(self) -> float:
        """How long a lapsed process waits at another engine before it writes."""
        return self.lease_seconds * _RESUME_SHARE


@dataclass(frozen=True, slots=True)
class EngineTime:
    """The engine's clock in a response, in seconds of its own, and its epoch: the name of one run of one server."""

    epoch: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Confirmation:
    """A good heartbeat: when it was sent and its response received, and the engine's time between the two."""

    sent: float
    received: float
    engine: EngineTime

    def is_followed_steadily(self, by: _Confirmation, times: LeaseTimes) -> bool:
        """Whether the engine's clock went on as ours did, within the time both heartbeats took."""
        elapsed = by.engine.seconds - self.engine.seconds
        tolerance = times.lease_seconds * _CLOCK_SHARE
        least = (by.sent - self.received) * (1 - _CLOCK_RATE) - tolerance
        most = (by.received - self.sent) * (1 + _CLOCK_RATE) + tolerance
        return least <= elapsed <= most


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of one process id; a fenced process goes on with a new id and a new lease."""

    times: LeaseTimes = field(default_factory=LeaseTimes)
    last: _Confirmation | None = None  # the newest good heartbeat
    grace_until: float = math.inf
    settled_at: str = ""  # the epoch at which another process was past its grace period
    resumes_at: float = -math.inf
    is_fenced: bool = False  # the engine has declared this process dead, for good

    @property
    def valid_until(self) -> float:
        """When the lease lapses without another good heartbeat; in the past if it has."""
        if self.is_fenced or self.last is None:
            return -math.inf
        return self.last.sent + self.times.write_seconds

    def is_valid(self, now: float) -> bool:
        """Whether this process may write."""
        return self.resumes_at <= now < self.valid_until

    def may_reap(self, now: float) -> bool:
        """Whether it may declare others dead: the grace period is over."""
        return self.is_valid(now) and now >= self.grace_until

    def may_take(self, now: float) -> bool:
        """Whether it may take free lanes: its own grace period is over, or another's was at the same engine."""
        is_settled = self.last is not None and self.settled_at == self.last.engine.epoch
        return self.may_reap(now) or (self.is_valid(now) and is_settled)

    def confirmed(self, sent: float, now: float, engine: EngineTime, *, is_settled: bool = False) -> Lease:
        """The response to a good heartbeat sent then came. One that comes too late, or out of order, tells nothing.

        `is_settled`: it tells of another process past its grace period at this engine.
        """
        if self.is_fenced or now >= sent + self.times.write_seconds or (self.last and sent <= self.last.sent):
            return self
        good = _Confirmation(sent, now, engine)
        settled_at = engine.epoch if is_settled else self.settled_at
        if self.last is None:
            return replace(self, last=good, grace_until=now + self.times.lease_seconds, settled_at=settled_at)
        is_same = self.last.engine.epoch == engine.epoch
        is_unbroken = (
            is_same
            and sent - self.last.sent <= self.times.unbroken_seconds
            and self.last.is_followed_steadily(good, self.times)
        )
        return replace(
            self,
            last=good,
            settled_at=settled_at,
            grace_until=self.grace_until if is_unbroken else now + self.times.lease_seconds,
            resumes_at=self.resumes_at if is_same or self.is_valid(now) else now + self.times.resume_seconds,
        )

    def fenced(self) -> Lease:
        """The engine refused a heartbeat: others may own the lanes already."""
        return replace(self, is_fenced=True)
