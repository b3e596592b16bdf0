"""Limits repeated records of libraries, so that they do not fill a disk; counts records by origin in bounded memory.

Asyncio logs an error for each connection it cannot accept, and aiohttp a traceback for each malformed request. So any
client of our port could inflate the log. Our own records always pass: each belongs to a turn, and a reader may ask for
it by reference.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

# First parts of logger names; their records always pass.
OURS = frozenset({"adapters", "bot", "config", "tests"})

# In each interval, this many records of one origin pass. A few show whether they are the same; an operator looks about
# once a minute.
INTERVAL_SECONDS = 60.0
PASSING = 5

# In each interval, this many records of all origins pass: a client able to vary a message (a name in a traceback) makes
# any number of origins. A record with its traceback takes about 3 kB.
PASSING_OF_ALL = 60

# Origins counted separately in an interval; further ones count as one.
ORIGINS = 200

# Variable parts of messages from one origin: numbers and memory addresses. Text after the first line is ignored too.
_VARYING = re.compile(r"0x[0-9a-f]+|\d+")
TEMPLATE_CHARACTERS = 80

Origin = tuple[str, str, int, str, str]
OTHERS: Origin = ("", "", 0, "", "")


@dataclass(slots=True)
class _Count:
    """Counts of one origin in an interval. It keeps no record, whose traceback would keep its frames alive."""

    name: str
    level: int
    begins: str
    passed: int = 0
    left_out: int = 0


class RepeatCounter:
    """Counts records; its length is the number of origins in this interval.

    Not thread-safe: call it with the handler's lock held.

    Time is the records' time. A clock set back starts a new interval.
    """

    def __init__(self) -> None:
        self._began_at = float("-inf")
        self._counts: dict[Origin, _Count] = {}
        self._passed = 0

    def allows(self, record: logging.LogRecord) -> bool:
        """Count a record and return whether to log it."""
        if record.levelno < logging.WARNING or record.name.partition(".")[0] in OURS:
            return True
        origin = origin_of(record)
        if origin not in self._counts and len(self._counts) >= ORIGINS:
            origin = OTHERS
        count = self._counts.setdefault(origin, _Count(record.name, record.levelno, _beginning(record)))
        if count.passed >= PASSING or self._passed >= PASSING_OF_ALL:
            count.left_out += 1
            return False
        count.passed += 1
        self._passed += 1
        return True

    def __len__(self) -> int:
        return len(self._counts)

    def is_due(self, now: float) -> bool:
        """Whether the interval is over at `now`, a record's time; `start_interval` starts the next."""
        return not 0 <= now - self._began_at < INTERVAL_SECONDS

    def start_interval(self, now: float) -> list[logging.LogRecord]:
        """Start an interval; return one summary record for each origin with records left out in the last."""
        summaries = [_summary(count) for count in self._counts.values() if count.left_out]
        self._began_at, self._counts, self._passed = now, {}, 0
        return summaries


def origin_of(record: logging.LogRecord) -> Origin:
    """Return a record's logger, line of code, exception type and message template."""
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.pathname, record.lineno, kind, _VARYING.sub("#", _beginning(record))


def _beginning(record: logging.LogRecord) -> str:
    """Return the start of a record's template, without its arguments."""
    return str(record.msg).partition("\n")[0][:TEMPLATE_CHARACTERS]


def _summary(count: _Count) -> logging.LogRecord:
    """Return the record with the number left out."""
    message = f"left out {count.left_out} more lines like this one: {count.begins}"
    level = {"levelno": count.level, "levelname": logging.getLevelName(count.level)}
    return logging.makeLogRecord({"name": count.name, "msg": message, **level})
