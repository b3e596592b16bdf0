"""The journal of an earlier version: its unfinished turns continue, and that version can read the file again.

`tests/data/journal-1.db` is the file of a process of the version before heartbeats, killed with -9 in the middle of two
answers on each platform.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.discord.events import codec as discord_codec
from adapters.journal import JournalOptions
from adapters.journal.fallback import JournalFallback
from adapters.journal.operations import Accept, AddMessage, End
from adapters.slack.events import codec as slack_codec
from adapters.slack.events.parse import Identity, MessagePosted
from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn
from tests.support.paths import ROOT

STORED = ROOT / "tests" / "data" / "journal-1.db"
KILLED_AT = datetime(2026, 11, 28, 15, 18, 5, tzinfo=UTC)
OPTIONS = JournalOptions()


def opened(file: Path) -> JournalFallback:
    return JournalFallback(file, OPTIONS, lambda: KILLED_AT + timedelta(seconds=60))


def taken(fallback: JournalFallback) -> dict[str, list[UnfinishedTurn]]:
    """The turns claimed after observing the killed process for two heartbeats."""
    for beat in range(4):
        fallback.maintain(beat * OPTIONS.heartbeat_seconds)
    return {platform: fallback.claim(platform, 4 * OPTIONS.heartbeat_seconds) for platform in ("slack", "discord")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copyfile(STORED, tmp_path / "turns.db")
    return tmp_path / "turns.db"


def test_its_unfinished_turns_continue(file: Path) -> None:
    """Every question has its text, its author and its answer's messages; after the end, no text is left."""
    fallback = opened(file)
    found = taken(fallback)
    assert {platform: len(records) for platform, records in found.items()} == {"slack": 2, "discord": 2}
    for record in found["slack"]:
        event = slack_codec.load(record.event, Identity("T1", "UBOT"))
        assert isinstance(event, MessagePosted)
        assert event.message.text == "<@UBOT> why?"
        assert slack_codec.load_user(record.event) is not None
    for record in found["discord"]:
        assert str(discord_codec.load(record.event).message["content"]).endswith("why?")
    for record in (*found["slack"], *found["discord"]):
        assert len(record.messages) == 1
        assert 0 < record.age < 300
        fallback.write([End(record.key, Ending.DONE)], 20.0)
    fallback.maintain(30.0)
    assert b"why?" not in file.read_bytes()
    fallback.close()


def test_the_earlier_version_reads_the_file_again(file: Path) -> None:
    """The version stays 1, no column changes, and the old statement reads an event as JSON."""
    key = TurnKey("slack", "T1", "C0009", "1.2")
    event = json.dumps({"event": {"text": "hello"}})
    fallback = opened(file)
    fallback.write([Accept(key, event, KILLED_AT.timestamp()), AddMessage(key, "m1")], 0.0)
    fallback.close()
    with closing(sqlite3.connect(file)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert old.execute("PRAGMA application_id").fetchone() == (0x5469636B,)
        unfinished = old.execute(
            "SELECT id, workspace, channel, message, event, ending, owner, received_at, crashes FROM turns "
            "WHERE event IS NOT NULL AND platform = ? AND owner != ? ORDER BY id",
            ("slack", "someone"),
        ).fetchall()
        kept = {row[3]: row[4].decode() for row in unfinished}
        assert json.loads(kept["1.2"]) == json.loads(event)
        old.execute("UPDATE turns SET ending = 'done', event = NULL WHERE message = '1.2'")
        old.execute("INSERT INTO answers (turn, message) VALUES (?, 'm2')", (unfinished[-1][0],))
        old.commit()
    fallback = opened(file)
    assert fallback.write([Accept(key, event, KILLED_AT.timestamp())], 0.0) == [False]
    fallback.close()
