"""The whole program with two model servers: who answers, what the reader is told, and what the ledger holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.e2e.test_program import everything
from tests.servers.openai import Answer, OpenAIDouble, Status
from tests.support.process import bot

pytestmark = pytest.mark.sockets(seconds=90)

TOML = """
[completion]
attempts = 1
fallback_models = ["second"]

[[models]]
name = "second"
label = "Second Best"
model = "gpt-4.1"
server = "{url}"
api_key_env = "SECOND_KEY"
"""


def written(folder: Path, url: str) -> str:
    file = folder / "models.toml"
    file.write_text(TOML.format(url=url), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("platform", ["discord", "slack"])
async def test_the_second_server_answers_and_its_cost_is_recorded(platform: str, tmp_path: Path) -> None:
    """The main server is down: the answer comes from the other one, with a note and a priced row in the ledger."""
    counted = Answer("Second hand.", tokens=(1_000, 100), details=(400, 0), model="gpt-4.1-2025-04-14")
    async with OpenAIDouble(default=Status(500)) as first, OpenAIDouble(default=counted) as second:
        second.key = "second-key-0123456789"
        more = {
            "TICKERTAPE_CONFIG": written(tmp_path, second.url),
            "SECOND_KEY": second.key,
            "JOURNAL_URL": f"sqlite:///{tmp_path}/journal.db",
        }
        async with everything(platform, first, **more) as (place, running):
            question = place.ask("why?")
            await running.says("turn ended")
            (answer,) = place.answers(question)
            assert answer.startswith("Second hand.")
            assert "Answered by Second Best, because m did not respond." in answer
            assert [request.streams for request in first.requests] == [True, False]
            assert await running.stop() == 0
        assert not [line for line in running.lines if second.key in line]
    with sqlite3.connect(tmp_path / "journal-records.db") as records:
        rows = records.execute(
            "SELECT model, input_tokens, cached_tokens, output_tokens, cost, cost_source FROM calls ORDER BY id"
        ).fetchall()
    records.close()
    # gpt-4.1: (600 x 2 + 400 x 0.5 + 100 x 8) / 1M dollars, in billionths
    assert rows[-1] == ("gpt-4.1-2025-04-14", 1_000, 400, 100, 2_200_000, "genai-prices")
    assert [row[0] for row in rows] == ["m", "m", "gpt-4.1-2025-04-14"]


async def test_check_reports_each_model(tmp_path: Path) -> None:
    """`tickertape check` asks both servers and exits with 1 for the broken one."""
    async with OpenAIDouble(default=Answer("ok")) as first, OpenAIDouble(default=Status(401)) as second:
        named = {
            "OPENAI_BASE_URL": first.url,
            "OPENAI_MODEL": "m",
            "TICKERTAPE_CONFIG": written(tmp_path, second.url),
            "SECOND_KEY": "second-key-0123456789",
        }
        async with bot(named, "check") as running:
            await running.says("FAIL model second: gpt-4.1 at ")
            await running.says("-> set its api_key_env")
            assert await running.process.wait() == 1
    assert [line for line in running.lines if line.startswith("ok   model: m at ")]
