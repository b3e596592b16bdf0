"""Operations that share commits, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from adapters.journal.group_commit import GroupCommit
from bot.errors import ConnectFailed, Failure, OutcomeUnknown, ServiceError

COMMIT_SECONDS, WAIT_SECONDS = 0.01, 1.0


class Database:
    """Commits groups; refuses those with `poison`, and fails as told."""

    def __init__(self) -> None:
        self.groups: list[Sequence[str]] = []
        self.seconds = COMMIT_SECONDS
        self.failure: Failure | None = None

    async def write(self, items: Sequence[str]) -> Sequence[str]:
        self.groups.append(items)
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        if "poison" in items:
            raise ServiceError("refused")
        return [f"{item} done" for item in items]


@asynccontextmanager
async def committing(most: int = 200, at_once: int = 1) -> AsyncIterator[tuple[Database, GroupCommit[str, str]]]:
    database = Database()
    commits = GroupCommit(database.write, WAIT_SECONDS, most)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(commits.run()) for _ in range(at_once)]
        yield database, commits
        for task in running:
            task.cancel()


async def submit_all(commits: GroupCommit[str, str], *items: str) -> list[str | BaseException]:
    return await asyncio.gather(*(commits.submit(item) for item in items), return_exceptions=True)


async def test_an_operation_alone_is_written_at_once() -> None:
    """It waits for no company."""
    async with committing() as (database, commits):
        began = asyncio.get_running_loop().time()
        assert await commits.submit("a") == "a done"
        assert asyncio.get_running_loop().time() - began == pytest.approx(COMMIT_SECONDS)
        assert database.groups == [["a"]]


async def test_operations_that_come_during_a_commit_share_the_next() -> None:
    """In their order, and each gets its own result."""
    async with committing() as (database, commits), asyncio.TaskGroup() as group:
        first = group.create_task(commits.submit("a"))
        await asyncio.sleep(COMMIT_SECONDS / 2)
        assert await submit_all(commits, "b", "c", "d") == ["b done", "c done", "d done"]
        assert await first == "a done"
        assert database.groups == [["a"], ["b", "c", "d"]]


async def test_a_group_has_a_limit() -> None:
    """The rest goes into the next one."""
    async with committing(most=2) as (database, commits):
        await submit_all(commits, "a", "b", "c")
        assert database.groups == [["a", "b"], ["c"]]


async def test_several_groups_may_be_on_their_way() -> None:
    """Each has its own connection."""
    async with committing(at_once=2) as (database, commits), asyncio.TaskGroup() as group:
        began = asyncio.get_running_loop().time()
        group.create_task(commits.submit("a"))
        await asyncio.sleep(COMMIT_SECONDS / 2)
        await commits.submit("b")
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.5 * COMMIT_SECONDS)
        assert database.groups == [["a"], ["b"]]


async def test_a_refused_operation_fails_alone() -> None:
    """The others of its group are written one by one."""
    async with committing() as (database, commits):
        found = await submit_all(commits, "a", "poison", "b")
        assert found[0::2] == ["a done", "b done"]
        assert isinstance(found[1], ServiceError)
        assert database.groups == [["a", "poison", "b"], ["a"], ["poison"], ["b"]]


async def test_the_repetition_of_a_refused_group_ends_in_time() -> None:
    """Where each operation is refused after a long wait for a lock, the last ones are not asked again."""
    async with committing() as (database, commits):
        database.seconds, database.failure = 0.6 * WAIT_SECONDS, ServiceError("a lock is held for too long")
        found = await submit_all(commits, "a", "b", "c")
        assert all(isinstance(each, ServiceError) for each in found)
        assert database.groups == [["a", "b", "c"], ["a"]]


@pytest.mark.parametrize("failure", [ConnectFailed("away"), OutcomeUnknown("lost")], ids=["away", "unknown"])
async def test_a_failure_of_the_database_is_one_of_the_whole_group(failure: Failure) -> None:
    """Nothing is asked again: the database is away, or may have done it. The next group is a new attempt."""
    async with committing() as (database, commits):
        database.failure = failure
        assert await submit_all(commits, "a", "b") == [failure, failure]
        database.failure = None
        assert await commits.submit("c") == "c done"
        assert database.groups == [["a", "b"], ["c"]]


async def test_a_cancelled_operation_is_not_written() -> None:
    """Nobody waits for its result."""
    async with committing() as (database, commits), asyncio.TaskGroup() as group:
        group.create_task(commits.submit("a"))
        await asyncio.sleep(COMMIT_SECONDS / 2)
        cancelled = group.create_task(commits.submit("b"))
        await asyncio.sleep(COMMIT_SECONDS / 4)
        cancelled.cancel()
        assert await commits.submit("c") == "c done"
        assert database.groups == [["a"], ["c"]]


async def test_an_operation_cancelled_during_its_commit_hurts_no_other() -> None:
    """Those in its group get their results."""
    async with committing() as (_, commits), asyncio.TaskGroup() as group:
        cancelled, other = (group.create_task(commits.submit(item)) for item in "ab")
        await asyncio.sleep(COMMIT_SECONDS / 2)
        cancelled.cancel()
        assert await other == "b done"


async def test_who_waits_too_long_is_told_that_nothing_was_asked() -> None:
    """A commit that hangs holds the next ones up no longer than that."""
    async with committing() as (database, commits), asyncio.TaskGroup() as group:
        database.seconds = 2 * WAIT_SECONDS
        group.create_task(commits.submit("a"))
        await asyncio.sleep(COMMIT_SECONDS)
        with pytest.raises(ConnectFailed, match="within 1 s"):
            await commits.submit("b")
        assert database.groups == [["a"]]


async def test_the_end_leaves_the_outcome_open() -> None:
    """The commit may have reached the database."""
    commits = GroupCommit(Database().write, WAIT_SECONDS)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(commits.run())
        waiting = group.create_task(submit_all(commits, "a"))
        await asyncio.sleep(COMMIT_SECONDS / 2)
        running.cancel()
        assert [type(each) for each in await waiting] == [OutcomeUnknown]


async def test_a_closed_one_takes_nothing_more() -> None:
    """Whoever waits is told that nothing was asked; a commit on its way goes on."""
    async with committing() as (database, commits), asyncio.TaskGroup() as group:
        first = group.create_task(commits.submit("a"))
        await asyncio.sleep(COMMIT_SECONDS / 2)
        waiting = group.create_task(submit_all(commits, "b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        commits.close()
        assert [type(each) for each in await waiting] == [ConnectFailed]
        with pytest.raises(ConnectFailed):
            await commits.submit("c")
        assert await first == "a done"
        assert database.groups == [["a"]]


async def test_a_bug_reaches_whoever_waits() -> None:
    """The next group goes on."""

    async def write(items: Sequence[str]) -> Sequence[str]:
        if items == ["a"]:
            raise KeyError("a bug")
        return items

    commits = GroupCommit(write, WAIT_SECONDS)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(commits.run())
        with pytest.raises(KeyError):
            await commits.submit("a")
        assert await commits.submit("b") == "b"
        running.cancel()
