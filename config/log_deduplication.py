"""Which lines of libraries are too many: the same trouble, told again and again, fills a disk.

What belongs here: counting records by where they come from, in bounded memory. What does not: how a record becomes a
line (`config.log_setup`).

Asyncio logs an error for each connection that it cannot accept, and aiohttp one with a traceback for each malformed
request, so whoever can reach our port could decide how long the log is. Our own records always pass: each tells of one
turn, and its reader may ask for it.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

# Whose records always pass, by the first part of their logger's name.
OURS = frozenset({"adapters", "bot", "config", "tests"})

# For so many seconds the records of one origin are counted, and only so many of them pass. A few show whether they are
# the same, and a minute is how often somebody looks.
INTERVAL_SECONDS = 60.0
PASSING = 5

# So many records of all origins together pass in an interval: whoever can vary a message (a name in a traceback) makes
# any number of origins. A record with its traceback takes about 3 kB.
PASSING_OF_ALL = 60

# So many origins are told apart in an interval; further ones count as one.
ORIGINS = 200

# What differs between two messages of one origin: numbers, addresses in memory, and whatever follows the first line.
_VARYING = re.compile(r"0x[0-9a-f]+|\d+")
TEMPLATE_CHARACTERS = 80

Origin = tuple[str, str, int, str, str]
OTHERS: Origin = ("", "", 0, "", "")


@dataclass(slots=True)
class _Count:
    """What there was of one origin in an interval. No record: that would keep the frames of its traceback alive."""

    name: str
    level: int
    begins: str
    passed: int = 0
    left_out: int = 0


class RepeatCounter:
    """Counts records. Not safe for threads: a handler calls it with its lock held.

    Its time is that of the records. A clock that is set back begins another interval.
    """

    def __init__(self) -> None:
        self._began_at = float("-inf")
        self._counts: dict[Origin, _Count] = {}
        self._passed = 0

    def passes(self, record: logging.LogRecord) -> bool:
        """Count a record, and say whether it is to be logged."""
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

    def is_due(self, now: float) -> bool:
        """Whether the interval is over at `now` (a record's time); the next one then begins when `told` is called."""
        return not 0 <= now - self._began_at < INTERVAL_SECONDS

    def told(self, now: float) -> list[logging.LogRecord]:
        """Begin an interval, and return what the last one left out: one record for each origin, with their number."""
        told = [_summary(count) for count in self._counts.values() if count.left_out]
        self._began_at, self._counts, self._passed = now, {}, 0
        return told


def origin_of(record: logging.LogRecord) -> Origin:
    """Where a record comes from: its logger, its line of code, its exception's kind, and its message's template."""
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.pathname, record.lineno, kind, _VARYING.sub("#", _beginning(record))


def _beginning(record: logging.LogRecord) -> str:
    """How a record's template begins, without what was put into it."""
    return str(record.msg).partition("\n")[0][:TEMPLATE_CHARACTERS]


def _summary(count: _Count) -> logging.LogRecord:
    """The record that tells how many were left out."""
    message = f"left out {count.left_out} more lines like this one: {count.begins}"
    level = {"levelno": count.level, "levelname": logging.getLevelName(count.level)}
    return logging.makeLogRecord({"name": count.name, "msg": message, **level})
