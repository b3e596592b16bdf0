"""Usage and feedback on the command line, beside a running bot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.records.export import FEEDBACK_FIELDS, USAGE_FIELDS, ExportFailed, to_csv, to_jsonl
from adapters.records.sqlite import SqliteRecords
from adapters.records.sqlite.export import read_rows
from bot.conversation import TurnKey
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.pricing import CostSource
from bot.records import VoteRecord

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
AT = NOON.timestamp()
KEY = TurnKey("slack", "T1", "C1", "1.5")
CALL = LedgerEntry(AT, "slack", "T1", "C1", "U1", KEY.digest, "gpt-6", 100, 40, 20, 5, Decimal("0.00123"))
VOTE = VoteRecord("slack", "T1", "C1", "2.5", "U1", Vote.DOWN, AT, KEY.digest)


def exported(file: Path, kind: str = "usage", since: float = 0.0, until: float = AT + 1) -> list[dict[str, str]]:
    fields: Sequence[str] = USAGE_FIELDS if kind == "usage" else FEEDBACK_FIELDS
    return list(csv.DictReader(io.StringIO("".join(to_csv(fields, read_rows(file, kind, since, until))))))


@pytest.mark.sockets  # a thread, so in real time
@pytest.mark.quick
async def test_every_call_is_a_row_while_the_bot_writes(tmp_path: Path) -> None:
    """All columns, with the cost in dollars, the oldest first, and within the chosen time."""
    file = tmp_path / "records.db"
    async with SqliteRecords(file, lambda: NOON) as records:
        later = replace(CALL, at=AT + 0.5, cost=None, cost_source=CostSource.UNKNOWN, estimated=True)
        await records.settle(KEY, [later, replace(CALL, cost_source=CostSource.SERVER)], refund=False, ended=True)
        first, second = exported(file)
        assert first == {
            "at": "2026-11-28T12:00:00+00:00",
            "platform": "slack",
            "workspace": "T1",
            "channel": "C1",
            "user": "U1",
            "turn": KEY.digest,
            "model": "gpt-6",
            "input_tokens": "100",
            "cached_tokens": "40",
            "output_tokens": "20",
            "reasoning_tokens": "5",
            "cost_usd": "0.001230000",
            "cost_source": "server",
            "estimated": "no",
        }
        assert (second["cost_usd"], second["cost_source"], second["estimated"]) == ("", "unknown", "yes")
        assert len(exported(file, since=AT + 0.2)) == len(exported(file, until=AT + 0.2)) == 1


@pytest.mark.sockets
@pytest.mark.quick
async def test_votes_with_their_reasons(tmp_path: Path) -> None:
    """A reason is a cell of any text, and never a formula of a spreadsheet; JSON has it unchanged."""
    file, reasons = tmp_path / "records.db", ["=1+1", '"quoted",\nand 日本', "@SUM(A1)", "-2", "fine"]
    async with SqliteRecords(file, lambda: NOON) as records:
        for number, reason in enumerate(reasons):
            await records.record_vote(replace(VOTE, user=f"U{number}", reason=reason))
        rows = exported(file, "feedback")
        assert [row["reason"] for row in rows] == ["'=1+1", '"quoted",\nand 日本', "'@SUM(A1)", "'-2", "fine"]
        assert rows[0] | {"reason": ""} == {
            "platform": "slack",
            "workspace": "T1",
            "channel": "C1",
            "message": "2.5",
            "user": "U0",
            "vote": "down",
            "reason": "",
            "at": "2026-11-28T12:00:00+00:00",
        }
        lines = list(to_jsonl(FEEDBACK_FIELDS, read_rows(file, "feedback", 0.0, AT + 1)))
        assert [json.loads(line)["reason"] for line in lines] == reasons


@pytest.mark.parametrize("name", ["", "records.db"])
def test_without_a_file_there_is_only_the_header(name: str, tmp_path: Path) -> None:
    """Before the first question, or with records in memory; nothing is created."""
    file = tmp_path / name if name else None
    assert "".join(to_csv(FEEDBACK_FIELDS, read_rows(file, "feedback", 0.0, AT))) == ",".join(FEEDBACK_FIELDS) + "\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"not a database, and long enough to be read as one" * 20, b""])
def test_a_file_of_another_kind_is_one_line(content: bytes, tmp_path: Path) -> None:
    """The line names the file."""
    file = tmp_path / "records.db"
    file.write_bytes(content)
    with pytest.raises(ExportFailed, match=r"records\.db: .+") as failure:
        exported(file)
    assert "\n" not in str(failure.value)


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    """A typing error in the path must not look like a bot without users."""
    with pytest.raises(ExportFailed, match="its folder does not exist"):
        exported(tmp_path / "none" / "records.db")
