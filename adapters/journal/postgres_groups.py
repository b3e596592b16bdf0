"""The journal's three frequent operations: those that come at the same time share a statement, and so a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from adapters.journal import postgres_statements as sql
from adapters.journal.group_commit import GroupCommit
from adapters.journal.postgres_values import encode_event, key_arrays, key_columns, plain
from adapters.postgres import Priority, Row
from bot.conversation import Ending, TurnKey

# A statement and its values. Raises as `adapters.postgres.Engine.fetch`.
Ask = Callable[..., Awaitable[Sequence[Row]]]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A turn to accept, in this process's lanes alone."""

    key: TurnKey
    event: str
    messages: Sequence[str] = ()
    is_doubtful: bool = False  # an earlier acceptance may have reached the database

    @property
    def is_plain(self) -> bool:
        """Whether it may share a statement."""
        return not self.messages and not self.is_doubtful


@dataclass(frozen=True, slots=True)
class Accepted:
    """Whether this process may accept the turn, and whether that is new."""

    is_ours: bool
    is_new: bool


@dataclass(frozen=True, slots=True)
class Posted:
    """A message of an answer, and its place there if known."""

    key: TurnKey
    message: str
    place: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a turn."""

    key: TurnKey
    ending: Ending


class GroupedOperations:
    """Accepts, messages and ends. One that comes alone has a statement of its own, as ever."""

    def __init__(self, ask: Ask, owner: Callable[[], str], seconds: float) -> None:
        """`owner` tells the name of this process; `seconds` is the longest wait for a connection."""
        self._ask = ask
        self._owner = owner
        self._accepts = GroupCommit(self._accept_all, seconds)
        self._posts = GroupCommit(self._add_messages, seconds)
        self._ends = GroupCommit(self._end_all, seconds)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup) -> None:
        """Work until `stop`."""
        self._tasks = [group.create_task(each.run()) for each in (self._accepts, self._posts, self._ends)]

    def stop(self) -> None:
        """Take nothing more; a commit on its way has an unknown outcome."""
        for each in (self._accepts, self._posts, self._ends):
            each.close()
        for task in self._tasks:
            task.cancel()

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """Accept a turn."""
        if acceptance.is_plain:
            return await self._accepts.submit(acceptance)
        return await self._accept(acceptance)

    async def add_message(self, posted: Posted) -> None:
        """Note a message of an answer."""
        await self._posts.submit(posted)

    async def end(self, ended: Ended) -> None:
        """End a turn."""
        await self._ends.submit(ended)

    async def _accept(self, each: Acceptance) -> Accepted:
        messages = [plain(message) for message in each.messages]
        values = (encode_event(each.event), self._owner(), messages, each.is_doubtful)
        (row,) = await self._ask(sql.ACCEPT, *key_columns(each.key), *values, priority=Priority.FIRST)
        return Accepted(row["is_ours"], row["is_new"])

    async def _accept_all(self, group: Sequence[Acceptance]) -> Sequence[Accepted]:
        if len(group) == 1:
            return [await self._accept(group[0])]
        keys, events = key_arrays(each.key for each in group), [encode_event(each.event) for each in group]
        rows = await self._ask(sql.ACCEPT_ALL, *keys, events, self._owner(), priority=Priority.FIRST)
        return [Accepted(row["is_ours"], row["is_new"]) for row in rows]

    async def _add_messages(self, group: Sequence[Posted]) -> Sequence[None]:
        if len(group) == 1:
            (each,) = group
            await self._ask(sql.ADD_MESSAGE, *key_columns(each.key), plain(each.message), each.place, self._owner())
        else:
            keys = key_arrays(each.key for each in group)
            messages, places = [plain(each.message) for each in group], [each.place for each in group]
            await self._ask(sql.ADD_MESSAGES, *keys, messages, places, self._owner())
        return [None] * len(group)

    async def _end_all(self, group: Sequence[Ended]) -> Sequence[None]:
        endings = [each.ending.value for each in group]
        keep = [each.ending is Ending.INTERRUPTED for each in group]
        if len(group) == 1:
            await self._ask(sql.END, *key_columns(group[0].key), endings[0], keep[0], self._owner())
        else:
            await self._ask(sql.END_ALL, *key_arrays(each.key for each in group), endings, keep, self._owner())
        return [None] * len(group)
