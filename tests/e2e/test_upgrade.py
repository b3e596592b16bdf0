"""The program takes over the journal of the previous version, with answers that were killed in the middle.

`tests/data/journal-2.db` is the file of that version's program, killed with -9 during three answers on each platform:
to a mention, in a direct message, and in a thread. The first two have a posted message, the third has none.
`tests/data/journal-2-servers.json` is what the test servers held then, and the questions as the model received them.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.servers.discord import DiscordDouble, Post
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.support.paths import ROOT
from tests.support.process import bot

DATA = ROOT / "tests" / "data"

# The age of the turns at the start, in seconds: the program was down for a minute.
AGE_SECONDS = 60.0

# Two heartbeats until the killed process counts as dead, then the answers; real seconds.
PATIENCE = 60.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn in the stored journal.

    `answer` is the id of the posted message, None if there was none. `prompt` is the question as the previous version
    put it to the model.
    """

    platform: str
    channel: str
    question: str
    answer: str | None
    prompt: str


def stored_servers() -> Json:
    servers: Json = json.loads((DATA / "journal-2-servers.json").read_text("utf-8"))
    return servers


def stored_journal(folder: Path) -> Path:
    """A copy of the stored journal whose turns were received a minute ago."""
    file = folder / "turns.db"
    shutil.copyfile(DATA / "journal-2.db", file)
    with closing(sqlite3.connect(file)) as journal, journal:
        journal.execute("UPDATE turns SET received_at = ?", (datetime.now(UTC).timestamp() - AGE_SECONDS,))
    return file


def unfinished(file: Path) -> int:
    with closing(sqlite3.connect(file)) as journal:
        return int(journal.execute("SELECT count(*) FROM turns WHERE event IS NOT NULL").fetchone()[0])


def slack_with(stored: Json) -> SlackDouble:
    """Slack with the stored users, channels and messages."""
    double = SlackDouble()
    world = double.world
    world.users |= stored["users"]
    world.channels |= stored["channels"]
    world.names |= stored["names"]
    world.messages |= stored["messages"]
    for _ in range(sum(map(len, world.messages.values()))):
        world.now()  # their ids are taken
    return double


def discord_with(stored: Json) -> DiscordDouble:
    """Discord with the stored users, guilds, channels and messages; it no longer remembers their nonces."""
    double = DiscordDouble()
    world = double.world
    world.bot = stored["bot"]
    world.users = stored["users"]
    world.guilds = stored["guilds"]
    world.channels = stored["channels"]
    world.messages |= stored["messages"]
    double.remembers_nonces = False
    double.posts |= {message: Post(nonce, frozenset()) for message, nonce in stored["nonces"].items()}
    return double


def answers(slack: SlackDouble, discord: DiscordDouble, turn: StoredTurn) -> dict[str, str]:
    """The bot's messages in the turn's channel: text by id."""
    if turn.platform == "slack":
        messages = slack.world.messages[turn.channel].values()
        return {each["ts"]: each["text"] for each in messages if each["user"] == slack.world.bot_user}
    messages = discord.world.messages[turn.channel].values()
    return {each["id"]: each["content"] for each in messages if each["author"]["id"] == discord.world.bot}


@pytest.mark.sockets(seconds=120)
async def test_the_previous_versions_unfinished_turns_are_completed(tmp_path: Path) -> None:
    """Each answer is completed in its posted message, the others get one message, and no question's text is left.

    The model receives every question as the previous version put it.
    """
    stored = stored_servers()
    turns = [StoredTurn(**each) for each in stored["turns"]]
    file, slack, discord = stored_journal(tmp_path), slack_with(stored["slack"]), discord_with(stored["discord"])
    model = OpenAIDouble(default=Answer(stored["answer"]))
    async with model, slack.running(), discord.running():
        environment = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "x",
            "OPENAI_MODEL": "m",
            "JOURNAL_URL": f"sqlite:///{file}",
            **slack.environment,
            **discord.environment,
        }
        async with bot(environment), asyncio.timeout(PATIENCE):
            while unfinished(file):
                await asyncio.sleep(0.1)
    for turn in turns:
        found = answers(slack, discord, turn)
        assert list(found.values()) == [stored["answer"]], turn
        assert turn.answer in {None, *found}, turn
    prompts = [request.body["messages"][-1]["content"] for request in model.requests]
    assert sorted(prompts) == sorted(turn.prompt for turn in turns)
