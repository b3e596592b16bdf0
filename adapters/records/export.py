"""Usage and feedback for the command line: what is read, and as which lines it is printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from adapters.records.values import from_units

# A spreadsheet takes a cell with one of these at its beginning for a formula
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")

USAGE_FIELDS = (
    "at",
    "platform",
    "workspace",
    "channel",
    "user",
    "turn",
    "model",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "cost_source",
    "estimated",
)
FEEDBACK_FIELDS = ("platform", "workspace", "channel", "message", "user", "vote", "reason", "at")

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Page:
    """A statement for rows after others: its parameters are the last row's `key`, until (exclusive), a limit."""

    sql: str
    key: tuple[str, ...]
    start: tuple[object, ...]  # the rest of the key before the first row

    def first(self, since: float) -> tuple[object, ...]:
        """The key before all rows at or after `since`."""
        return (since, *self.start)


PAGES: Mapping[str, Page] = MappingProxyType(
    {
        "usage": Page(
            """
            SELECT at, platform, workspace, channel, "user", turn, model, input_tokens, cached_tokens, output_tokens,
                reasoning_tokens, cost AS cost_usd, cost_source, estimated, id
            FROM records.calls WHERE (at, id) > ($1, $2) AND at < $3 ORDER BY at, id LIMIT $4
            """,
            ("at", "id"),
            (-1,),
        ),
        "feedback": Page(
            """
            SELECT votes.platform, votes.workspace, votes.channel, votes.message, votes."user", votes.vote,
                votes.reason, votes.at AS at, coalesce(answers.text, '') AS answer, votes.turn
            FROM records.votes AS votes LEFT JOIN records.answers AS answers ON answers.turn = votes.turn
            WHERE (votes.at, votes.turn, votes."user") > ($1, $2, $3) AND votes.at < $4
            ORDER BY votes.at, votes.turn, votes."user" LIMIT $5
            """,
            ("at", "turn", "user"),
            ("", ""),
        ),
    }
)


class ExportFailed(Exception):
    """The records cannot be read. The message is one line for the operator."""


def to_readable(stored: Row) -> Row:
    """A row with a time in ISO 8601, a cost as a decimal number and a word for yes or no."""
    row = dict(stored)
    at = row["at"]
    if isinstance(at, float):
        with suppress(ValueError, OverflowError, OSError):
            row["at"] = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    if "cost_usd" in row:
        cost = row["cost_usd"]
        row["cost_usd"] = f"{from_units(cost):.9f}" if isinstance(cost, int) else ""
        row["estimated"] = "yes" if row["estimated"] else "no"
    return row


def to_csv(fields: Sequence[str], rows: Iterable[Row], *, header: bool = True) -> Iterator[str]:
    """Lines of CSV. Cells a spreadsheet would take for formulas begin with an apostrophe."""
    if header:
        yield _csv_line(fields)
    for row in rows:
        yield _csv_line([_inert(str(row[name])) for name in fields])


def to_jsonl(fields: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """One JSON object a line."""
    for row in rows:
        yield json.dumps({name: row[name] for name in fields}, ensure_ascii=False) + "\n"


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_MARKS) else cell
