"""What those who work in lanes are told of them: the keeper's user, and each platform. By default one has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bot.conversation import TurnKey
from bot.ownership.inbox_reader import EventUser
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent


class LaneUser(EventUser, Protocol):
    """Whoever works in the lanes: the turns and the platforms."""

    def lane_won(self, lane: Lane, session: str) -> None:
        """A lane is ours: continue its unfinished turns. `session` is its earlier owner's text. Returns at once."""
        ...

    def lane_lost(self, lane: Lane) -> None:
        """Another process may own the lane, now or soon: end its turns here without another write. Returns at once."""
        ...

    def lane_closed(self, lane: Lane) -> None:
        """The lane is another process's once its live answers have ended: take no new questions in. Returns at once."""
        ...

    def live_answers(self) -> Mapping[Lane, int]:
        """The accepted turns of each lane with any."""
        ...


class LaneHolder(Protocol):
    """Works in the lanes of this process."""

    def lane_of(self, key: TurnKey) -> Lane | None:  # noqa: ARG002 (no lanes)
        """The lane of a turn, the unit of ownership between processes; None if the platform has no lanes.

        Turns of one workspace have the same lane.
        """
        return None

    def lane_won(self, lane: Lane, session: str = "") -> None:  # noqa: ARG002 (no lanes)
        """This process owns a lane from now on: bring its turns, the unfinished ones first. Returns at once.

        `session` is the text kept by its earlier owner, with `bot.ownership.access.Lanes.save_session`.
        """
        return

    def lane_closed(self, lane: Lane) -> None:  # noqa: ARG002 (no lanes)
        """The lane is another process's once its live answers have ended: take no new questions in. Returns at once."""
        return

    def lane_lost(self, lane: Lane) -> None:  # noqa: ARG002 (no lanes)
        """The lane is another process's, or soon: take nothing more in, and write nothing. Returns at once."""
        return

    async def handle_routed(self, event: RoutedEvent) -> None:  # noqa: ARG002 (no lanes)
        """Take in an event received by another process, as if it had arrived here; a repeated one is recognised.

        Raises `Retryable` if it cannot be journalled now: it is handed over again.
        """
        return
