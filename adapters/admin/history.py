"""Figures of the last hours, per minute, for the charts of the operator's page.

A bounded memory: a day of minutes takes about 1,440 small objects. Nothing survives a restart; Prometheus keeps more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from typing_extensions import override

from bot.conversation import Ending
from bot.telemetry import Recorder, TurnRecord

# Minutes kept: a day.
MINUTES = 1_440

# Values kept of each figure in one minute, the newest; beyond, a median changes little.
SAMPLES = 200

_FAILED = frozenset({Ending.FAILED, Ending.INTERRUPTED, Ending.ABANDONED, Ending.GONE})


@dataclass(slots=True)
class Minute:
    """The figures of one minute. Delays in seconds; `at` is the minute's number since 1970."""

    at: int
    first_text: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    character_delay: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    settle: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    turns: int = 0
    failed: int = 0
    rate_limited: int = 0
    failed_attempts: int = 0


class History(Recorder):
    """Records the figures of turns by the minute."""

    def __init__(self, wall_clock: Callable[[], datetime]) -> None:
        self._wall_clock = wall_clock
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)

    def minutes(self, count: int) -> Sequence[Minute]:
        """The minutes with events among the last `count`, oldest first."""
        oldest = self._now() - count
        return tuple(minute for minute in self._minutes if minute.at > oldest)

    @override
    def accepted(self, platform: str) -> None:
        return None

    @override
    def refused(self, platform: str, why: str) -> None:
        return None

    @override
    def wrote(self, platform: str, verb: str, outcome: str) -> None:
        if outcome == "limited":
            self._current().rate_limited += 1

    @override
    def attempt_failed(self, kind: str) -> None:
        self._current().failed_attempts += 1

    @override
    def ended(self, record: TurnRecord) -> None:
        minute = self._current()
        minute.turns += 1
        minute.failed += record.ending in _FAILED
        for values, value in (
            (minute.first_text, record.first_visible),
            (minute.character_delay, record.character_delay),
            (minute.settle, record.settle),
        ):
            if value is not None:
                values.append(value)

    def _current(self) -> Minute:
        now = self._now()
        if not self._minutes or self._minutes[-1].at < now:
            self._minutes.append(Minute(now))
        return self._minutes[-1]

    def _now(self) -> int:
        return int(self._wall_clock().timestamp() // 60)
