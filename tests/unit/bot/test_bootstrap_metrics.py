"""The bot's state as gauges show it."""

from __future__ import annotations

from pathlib import Path

from adapters.http_server import ComponentStatus
from bot.bootstrap_metrics import bot_state, free_bytes
from tests.support.core import make_turns
from tests.support.fakes import ScriptedModel
from tests.support.settings import SLACK, load


def test_free_space_of_the_journals_disk(tmp_path: Path) -> None:
    """Some bytes for a file; none for a folder that is gone or a journal in memory."""
    for url, known in (
        (f"sqlite:///{tmp_path}/a.db", True),
        (f"sqlite:///{tmp_path}/no/a.db", False),
        ("memory:", False),
    ):
        settings = load(SLACK | {"JOURNAL_URL": url}, tmp_path)
        assert ((free_bytes(settings) or 0) > 0) is known


async def test_the_state_has_the_words_of_readiness(tmp_path: Path) -> None:
    """A degraded journal answers questions still; without its model, or a platform, the bot is not ready."""
    settings, turns = load(SLACK | {"JOURNAL_URL": "memory:"}, tmp_path), make_turns(ScriptedModel([]))
    degraded, dead = ComponentStatus("degraded"), ComponentStatus("dead", healthy=False)
    state = bot_state(settings, turns, {"slack": True}, {"journal": degraded, "records": ComponentStatus("ok")})
    assert state.ready
    assert state.degraded == {"journal": True, "records": False}
    assert (dict(state.running), dict(state.waiting)) == ({}, {})
    assert not bot_state(settings, turns, {"slack": False}, {}).ready
    assert not bot_state(settings, turns, {"slack": True}, {"model": dead}).ready
