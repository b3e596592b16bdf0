"""Failed writes of records: repeated in order, counted, and reported once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bot.records import RecordsUnavailable
from bot.records_backlog import MOST_WRITES, RETRY_SECONDS, RecordsBacklog


class Store:
    """Takes writes while it works."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.works = False
        self.attempts = 0

    async def write(self, number: int) -> None:
        self.attempts += 1
        if not self.works:
            raise RecordsUnavailable("the database is away")
        if number < 0:
            raise ValueError("a bug")
        self.written.append(number)


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_writes_are_repeated_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """One attempt each five seconds while the store is away, then all at once; two lines in the log."""
    store = Store()
    with caplog.at_level(logging.INFO):
        async with RecordsBacklog() as backlog:
            for number in range(3):
                backlog.add(lambda number=number: store.write(number))  # type: ignore[misc]  # bound at once
            await asyncio.sleep(10 * RETRY_SECONDS + 1)
            assert (store.attempts, len(backlog)) == (10, 3)
            store.works = True
            await asyncio.sleep(RETRY_SECONDS + 1)
            assert (store.written, len(backlog)) == ([0, 1, 2], 0)
    assert messages(caplog, logging.WARNING) == ["records are not written; this is repeated"]
    (line,) = [record for record in caplog.records if record.levelno == logging.INFO]
    assert line.__dict__["written"] == 3
    assert not messages(caplog, logging.ERROR)


async def test_a_write_that_never_succeeds_stops_no_other() -> None:
    """A bug is logged and dropped."""
    store = Store()
    store.works = True
    async with RecordsBacklog() as backlog:
        for number in (-1, 1):
            backlog.add(lambda number=number: store.write(number))  # type: ignore[misc]  # bound at once
        await asyncio.sleep(RETRY_SECONDS + 1)
        assert store.written == [1]


async def test_the_end_is_a_last_attempt() -> None:
    """A store that works again by then has everything."""
    store = Store()
    async with RecordsBacklog() as backlog:
        backlog.add(lambda: store.write(1))
        store.works = True
    assert store.written == [1]


async def test_what_is_lost_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """At the end, and the oldest of too many; a store that does not answer delays the end for seconds only."""
    store, loop = Store(), asyncio.get_running_loop()
    async with RecordsBacklog() as backlog:
        for _ in range(MOST_WRITES + 5):
            backlog.add(lambda: store.write(1))
        assert len(backlog) == MOST_WRITES
        backlog.add(lambda: asyncio.sleep(3_600))
        started = loop.time()
    assert loop.time() - started < 5
    assert messages(caplog, logging.ERROR) == [f"the records of {MOST_WRITES + 6} turns are lost"]
