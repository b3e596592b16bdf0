"""Turns and platforms by lane: what begins and ends here as lanes come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from typing_extensions import override

from bot.conversation import TurnKey
from bot.ownership.holder import LaneHolder, LaneUser
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.turns.lost_turns import LostTurns


class LaneJournal(Protocol):
    """The journal's memory of this process's turns."""

    def lane_won(self) -> None:
        """Turns of this process may be continued by it, since a lane came back."""
        ...

    def lane_lost(self, concerns: Callable[[TurnKey], bool]) -> None:
        """These turns are another process's: what is known of them here counts no more."""
        ...


class LaneWork(LaneUser):
    """The turns, the platforms and the journal, as the keeper uses them. Attach them before it runs."""

    def __init__(self, holds: Callable[[Lane], bool]) -> None:
        """`holds` tells whether a lane is in this process's hands."""
        self._holds = holds
        self._turns: LostTurns | None = None
        self._platforms: Mapping[str, LaneHolder] = {}
        self._journal: LaneJournal | None = None

    def attach(self, turns: LostTurns, platforms: Mapping[str, LaneHolder], journal: LaneJournal | None = None) -> None:
        """Tell these of the lanes; platforms by name."""
        self._turns, self._platforms, self._journal = turns, platforms, journal

    def lane_of(self, key: TurnKey) -> Lane | None:
        """The lane of a turn; None if its platform has none."""
        platform = self._platforms.get(key.platform)
        return platform.lane_of(key) if platform is not None else None

    def may_run(self, key: TurnKey) -> bool:
        """Whether a turn may begin here: its lane is in our hands, or it has none."""
        lane = self.lane_of(key)
        return lane is None or self._holds(lane)

    @override
    def lane_won(self, lane: Lane, session: str) -> None:
        if self._journal is not None:
            self._journal.lane_won()
        if (platform := self._platforms.get(lane.platform)) is not None:
            platform.lane_won(lane, session)

    @override
    def lane_closed(self, lane: Lane) -> None:
        if (platform := self._platforms.get(lane.platform)) is not None:
            platform.lane_closed(lane)

    @override
    def lane_lost(self, lane: Lane) -> None:
        def concerns(key: TurnKey) -> bool:
            return self.lane_of(key) == lane

        if self._turns is not None:
            self._turns.abandon(concerns)
        if self._journal is not None:
            self._journal.lane_lost(concerns)
        # Last, since the lanes of turns may have other names then: Discord's contain the number of shards.
        if (platform := self._platforms.get(lane.platform)) is not None:
            platform.lane_lost(lane)

    @override
    def live_answers(self) -> Mapping[Lane, int]:
        answers: Counter[Lane] = Counter()
        for (platform, workspace), number in self._turns.left().items() if self._turns is not None else ():
            if (lane := self.lane_of(TurnKey(platform, workspace, "", ""))) is not None:
                answers[lane] += number
        return answers

    @override
    async def handle(self, event: RoutedEvent) -> None:
        await self._platforms[event.lane.platform].handle_routed(event)
