"""Figures of a process among others, for operators: its lease, its lanes, and their common accounts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    from bot.ownership.membership import Membership

log = logging.getLogger(__name__)


class LaneChange(Enum):
    """A change of a lane of this process."""

    WON = "won"
    LOST = "lost"  # without our doing: another process may own it
    RELEASED = "released"  # given up by us


class Rotation(Enum):
    """How the rotation of a workspace's token ended."""

    DONE = "done"
    FAILED = "failed"  # to be repeated: the platform or the engine is away
    REFUSED = "refused"  # for good: the app must be installed again


@dataclass(frozen=True, slots=True)
class OwnershipStatus:
    """The lease and lanes of one process. Keys are platforms.

    `lease_age` is the time since the sending of the last good heartbeat, in seconds; None before the first. Writes stop
    at the age `write_seconds`. `unowned` counts lanes without any owner, by the last good heartbeat; it is empty while
    the lease is not valid, since the count would be old. `different_settings` names the tables of settings with other
    values in another process.
    """

    process: str
    is_valid: bool
    lease_age: float | None
    write_seconds: float
    is_engine_away: bool = False
    owned: Mapping[str, int] = field(default_factory=dict)
    unowned: Mapping[str, int] = field(default_factory=dict)
    different_settings: frozenset[str] = frozenset()


def status_of(member: Membership, platforms: Sequence[str], now: float, *, is_engine_away: bool) -> OwnershipStatus:
    """The status of a member that serves these platforms."""
    lease, owned = member.lease, Counter(grant.lane.platform for grant in member.lanes)
    is_valid = lease.is_valid(now)
    return OwnershipStatus(
        member.process,
        is_valid,
        None if lease.last is None else now - lease.last.sent,
        lease.times.write_seconds,
        is_engine_away,
        {platform: owned[platform] for platform in platforms},
        {platform: counts.free for platform, counts in member.counts.items()} if is_valid else {},
        member.different_settings,
    )


def tell_settings(different: frozenset[str]) -> None:
    """Log the tables of settings with other values in another process, from now on."""
    if different:
        log.warning("another process has different settings", extra={"tables": ", ".join(sorted(different))})
    else:
        log.info("all processes have the same settings")


class OwnershipRecorder(Protocol):
    """Takes figures of ownership. Never raises, never waits."""

    def heartbeat_answered(self, seconds: float) -> None:
        """A heartbeat was answered, so long after its sending; a refusal is an answer too."""
        ...

    def heartbeat_failed(self) -> None:
        """A heartbeat has no answer in time, or no engine."""
        ...

    def lane_changed(self, platform: str, change: LaneChange) -> None:
        """A lane was won, lost or released."""
        ...

    def event_routed(self, platform: str) -> None:
        """An event went into another process's inbox."""
        ...

    def event_handled(self, platform: str) -> None:
        """An event came out of our inbox, and is done with."""
        ...


class SharedAccountRecorder(Protocol):
    """Takes figures of the account that all processes share on a platform. Never raises, never waits."""

    def token_rotated(self, rotation: Rotation) -> None:
        """A rotation of a workspace's token ended."""
        ...

    def identifies_left(self, count: int) -> None:
        """So many new sessions Discord allows the bot still, until its daily reset."""
        ...


class NoOwnershipRecorder(OwnershipRecorder, SharedAccountRecorder):
    """Records nothing."""

    @override
    def heartbeat_answered(self, seconds: float) -> None:
        pass

    @override
    def heartbeat_failed(self) -> None:
        pass

    @override
    def lane_changed(self, platform: str, change: LaneChange) -> None:
        pass

    @override
    def event_routed(self, platform: str) -> None:
        pass

    @override
    def event_handled(self, platform: str) -> None:
        pass

    @override
    def token_rotated(self, rotation: Rotation) -> None:
        pass

    @override
    def identifies_left(self, count: int) -> None:
        pass
