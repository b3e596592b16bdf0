"""What a process keeps for each of its lanes: the last limit of writes, and the calls that count still."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import override

from bot.ownership.lanes import Grant, Lane
from bot.ownership.ports import TakenLane
from bot.ownership.write_history import LaneLimit, WriteHistory, WriteReport, allowance_for
from bot.ports import RateLimitLog


class LaneCallLog(RateLimitLog):
    """The calls of one lane, by whichever process."""

    def __init__(self) -> None:
        self.history = WriteHistory()

    @override
    def record_call(self, limit: str) -> None:
        self.history.record(limit, asyncio.get_running_loop().time())

    @override
    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        ages = self.history.ages(limit, asyncio.get_running_loop().time())
        return [age for age in ages if age < seconds]


class LaneRecords:
    """The limits and call logs of all lanes ever owned. A lane's objects stay the same when it comes back."""

    def __init__(self, write_seconds: float) -> None:
        self._write_seconds = write_seconds
        self._limits: dict[Lane, LaneLimit] = {}
        self._logs: dict[Lane, LaneCallLog] = {}

    def limit(self, lane: Lane) -> LaneLimit:
        """The last limit of each write in the lane; closed unless the lane is ours."""
        return self._limits.setdefault(lane, LaneLimit())

    def log(self, lane: Lane) -> LaneCallLog:
        """The lane's calls."""
        return self._logs.setdefault(lane, LaneCallLog())

    def won(self, taken: TakenLane, now: float) -> None:
        """The lane is ours from now on, with the calls of its earlier owners."""
        lane = taken.grant.lane
        self.limit(lane).begin()
        history = self.log(lane).history = WriteHistory()
        if taken.writes is not None:
            history.remember(now, taken.writes, self._write_seconds)

    def lost(self, lane: Lane) -> None:
        """Nothing more is written in the lane."""
        self.limit(lane).close()

    def final_report(self, lane: Lane, now: float) -> WriteReport:
        """The report of a lane given up: no write follows."""
        return self.log(lane).history.report(now, 0)

    def reports(self, grants: Iterable[Grant], live: Mapping[Lane, int], now: float) -> dict[Grant, WriteReport]:
        """The reports of a heartbeat; `live` are the live answers of each lane. A quiet lane's stored one stands."""
        reports: dict[Grant, WriteReport] = {}
        for grant in grants:
            report = self.log(grant.lane).history.report(now, allowance_for(live.get(grant.lane, 0)))
            if report.calls or self.limit(grant.lane).differs_from(report.allowance):
                reports[grant] = report
        return reports

    def promise(self, number: int, reports: Mapping[Grant, WriteReport]) -> None:
        """The heartbeat with these reports is sent."""
        for grant, report in reports.items():
            self.limit(grant.lane).promise(number, report.allowance)

    def stored(self, number: int, reported: Iterable[Grant]) -> None:
        """The heartbeat with these reports was good."""
        for grant in reported:
            self.limit(grant.lane).stored(number)

    def renew(self, grants: Iterable[Grant], until: float) -> None:
        """The lease is good until then: so long, writes may be sent."""
        for grant in grants:
            self.limit(grant.lane).renew(until)
