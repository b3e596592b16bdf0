"""What a platform is told of its lanes. By default it has none."""

from __future__ import annotations

from typing import Protocol

from bot.conversation import TurnKey
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent


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
