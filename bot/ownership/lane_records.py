"""What a process keeps for each of its lanes: the last limit of writes, the calls that count still, and the session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from weakref import WeakValueDictionary

from typing_extensions import override

from bot.ownership.lanes import Grant, Lane
from bot.ownership.ports import TakenLane
from bot.ownership.write_history import HISTORY_SECONDS, LaneLimit, WriteHistory, WriteReport, allowance_for
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


@dataclass(slots=True)
class _LaneRecord:
    """The objects of a lane that is ours, or was within the last minute. `sent`: sessions by their heartbeat."""

    limit: LaneLimit
    log: LaneCallLog
    session: str = ""
    stored: str = ""  # the session that the engine has
    sent: dict[int, str] = field(default_factory=dict)
    lost_at: float | None = None


class LaneRecords:
    """The limits and call logs of lanes. A lane's objects stay the same as long as somebody holds them."""

    def __init__(self, write_seconds: float, allowances: Mapping[str, int] = MappingProxyType({})) -> None:
        """`allowances` are the greatest ones by platform; without one, it grows with the live answers."""
        self._write_seconds = write_seconds
        self._allowances = allowances
        self._limits: WeakValueDictionary[Lane, LaneLimit] = WeakValueDictionary()
        self._logs: WeakValueDictionary[Lane, LaneCallLog] = WeakValueDictionary()
        self._records: dict[Lane, _LaneRecord] = {}

    def __len__(self) -> int:
        """The number of lanes kept."""
        return len(self._records)

    def limit(self, lane: Lane) -> LaneLimit:
        """The last limit of each write in the lane; closed unless the lane is ours."""
        return self._limits.setdefault(lane, LaneLimit())

    def log(self, lane: Lane) -> LaneCallLog:
        """The lane's calls."""
        return self._logs.setdefault(lane, LaneCallLog())

    def save_session(self, lane: Lane, session: str) -> None:
        """Keep a text for the next owner, if the lane is ours."""
        if (record := self._records.get(lane)) is not None:
            record.session = session

    def won(self, taken: TakenLane, now: float) -> None:
        """The lane is ours from now on, with the calls of its earlier owners."""
        lane = taken.grant.lane
        record = _LaneRecord(self.limit(lane), self.log(lane), taken.session, taken.session)
        self._records[lane] = record
        record.limit.begin()
        history = record.log.history = WriteHistory()
        if taken.writes is not None:
            history.remember(now, taken.writes, self._write_seconds)

    def lost(self, lane: Lane, now: float) -> None:
        """Nothing more is written in the lane."""
        if (record := self._records.get(lane)) is not None:
            record.limit.close()
            record.lost_at = now

    def final_report(self, lane: Lane, now: float) -> WriteReport:
        """The report of a lane given up: no write follows."""
        record = self._records.get(lane)
        return WriteReport() if record is None else replace(record.log.history.report(now, 0), session=record.session)

    def reports(self, grants: Iterable[Grant], live: Mapping[Lane, int], now: float) -> dict[Grant, WriteReport]:
        """The reports of a heartbeat; `live` are the live answers of each lane. A quiet lane's stored one stands."""
        self._forget(now)
        reports: dict[Grant, WriteReport] = {}
        for grant in grants:
            record = self._records[grant.lane]
            report = record.log.history.report(now, self._allowance(grant.lane, live.get(grant.lane, 0)))
            if report.calls or record.limit.differs_from(report.allowance) or record.session != record.stored:
                reports[grant] = replace(report, session=record.session)
        return reports

    def _allowance(self, lane: Lane, live: int) -> int:
        """The most writes in a lane with so many live answers until the next report."""
        allowance = allowance_for(live)
        return min(allowance, self._allowances.get(lane.platform, allowance))

    def promise(self, number: int, reports: Mapping[Grant, WriteReport]) -> None:
        """The heartbeat with these reports is sent."""
        for grant, report in reports.items():
            record = self._records[grant.lane]
            record.limit.promise(number, report.allowance)
            record.sent[number] = report.session

    def stored(self, number: int, reported: Iterable[Grant]) -> None:
        """The heartbeat with these reports was good."""
        for grant in reported:
            record = self._records[grant.lane]
            record.limit.stored(number)
            record.stored = record.sent.get(number, record.stored)
            record.sent = {later: session for later, session in record.sent.items() if later > number}

    def renew(self, grants: Iterable[Grant], until: float) -> None:
        """The lease is good until then: so long, writes may be sent."""
        for grant in grants:
            self._records[grant.lane].limit.renew(until)

    def _forget(self, now: float) -> None:
        """Forget lanes lost so long ago that no call of ours there counts."""
        for lane, record in list(self._records.items()):
            if record.lost_at is not None and record.lost_at + HISTORY_SECONDS < now:
                del self._records[lane]
