"""Conversion between the journal's values and rows of PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict

from adapters.journal.sql import MAX_CRASHES
from adapters.postgres import Row
from bot.conversation import TurnKey
from bot.ports import UnfinishedTurn

KeyArrays = tuple[list[str], list[str], list[str], list[str], list[int]]


def plain(text: str) -> str:
    """A text PostgreSQL can hold: no NUL, no half of a surrogate pair. No platform's id has either."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def encode_event(event: str) -> bytes:
    """Text as UTF-8. Platforms may send half a surrogate pair, which plain UTF-8 does not allow."""
    return event.encode("utf-8", "surrogatepass")


def decode_event(event: bytes | None) -> str:
    """The text of an event; empty after the end of its turn."""
    return (event or b"").decode("utf-8", "surrogatepass")


def key_columns(key: TurnKey) -> tuple[str, str, str, str, int]:
    """A key as columns."""
    return plain(key.platform), plain(key.workspace), plain(key.channel), plain(key.message), key.generation


def key_arrays(keys: Iterable[TurnKey]) -> KeyArrays:
    """Keys as one array for each column."""
    columns = [key_columns(key) for key in keys]
    return (
        [each[0] for each in columns],
        [each[1] for each in columns],
        [each[2] for each in columns],
        [each[3] for each in columns],
        [each[4] for each in columns],
    )


def key_of(row: Row) -> TurnKey:
    """The key of a row."""
    return TurnKey(row["platform"], row["workspace"], row["channel"], row["message"], row["generation"])


def to_unfinished(row: Row) -> UnfinishedTurn:
    """A claimed turn. One that was live in too many crashes counts as too old to continue."""
    age = math.inf if row["crashes"] >= MAX_CRASHES else max(row["age"], 0.0)
    return UnfinishedTurn(key_of(row), decode_event(row["event"]), tuple(row["messages"]), age)


def to_json(row: Row) -> dict[str, object]:
    """A row as JSON values, for the person it is about."""
    values = {"received_at": row["received_at"], "ending": row["ending"], "event": decode_event(row["event"])}
    return asdict(key_of(row)) | values | {"answer": list(row["messages"])}
