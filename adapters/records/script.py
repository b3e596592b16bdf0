"""Scripts: the statements of one operation of the store, as a generator for any engine.

A script yields a step and receives its result. An engine runs all steps in one transaction if asked to. Statements
suit SQLite and PostgreSQL alike: parameters are ``$1``, ``$2``, and the reserved word ``"user"`` has quotes. The table
``records.votes`` has the engine's own name: another schema, or none.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bot.records import Subject

T = TypeVar("T")

# Begins the name of a table in a statement.
TABLES = "records."


@dataclass(frozen=True, slots=True)
class Select:
    """Reads rows."""

    sql: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Changes rows; the result is their number."""

    sql: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """Makes scripts with the same name run one after another, until the end of their transactions."""

    name: str


Step = Select | Change | Lock
Script = Generator[Step, Any, T]


class Row(Protocol):
    """A row, by position or by the name of a column."""

    def __getitem__(self, key: Any, /) -> Any: ...  # noqa: ANN401 (a position, a slice or a name; any column's value)

    def __iter__(self) -> Iterator[Any]: ...

    def keys(self) -> Any:  # noqa: ANN401 (the drivers' own collections)
        """The names of the columns."""
        ...


class ScriptEngine(Protocol):
    """Runs scripts on a database. Raises `bot.records.RecordsUnavailable`."""

    @property
    def degraded(self) -> bool:
        """Whether the last operation failed."""
        ...

    async def run(self, script: Script[T]) -> T:
        """Run a script, each step on its own."""
        ...

    async def transact(self, script: Script[T]) -> T:
        """Run a script in one transaction."""
        ...


def select(sql: str, *values: object) -> Script[Sequence[Row]]:
    """The rows of a statement."""
    rows: Sequence[Row] = yield Select(sql, values)
    return rows


def change(sql: str, *values: object) -> Script[int]:
    """The number of rows changed by a statement."""
    count: int = yield Change(sql, values)
    return count


def lock(name: str) -> Script[None]:
    """Wait for other scripts with this lock."""
    yield Lock(name)


def lock_subject(subject: Subject) -> Script[None]:
    """Wait for other scripts about a person or a channel."""
    return lock(f"{subject.kind.value} {subject.platform}/{subject.workspace}/{subject.id}")
