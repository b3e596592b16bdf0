"""The bot's state as gauges show it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

import pytest

from adapters.http_server import ComponentStatus
from bot.bootstrap_metrics import bot_state, free_bytes, lane_statuses
from bot.ownership.keeper import Keeper, KeeperOptions
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from tests.support.core import make_turns
from tests.support.engine import Engine
from tests.support.fakes import ScriptedModel
from tests.support.ownership import IdleUser, MemoryOwnership
from tests.support.settings import SLACK, load
from tests.support.waiting import until


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


async def test_the_lease_and_the_lanes_of_a_process_among_others() -> None:
    """A process that may not write is not ready, although no part of it is degraded; one alone has neither."""
    engine = Engine(asyncio.get_running_loop().time)
    connection = MemoryOwnership(engine)
    keeper = Keeper(connection, IdleUser(), KeeperOptions(("discord", "slack")), lambda: "a.1")
    assert lane_statuses(None) == {}
    assert lane_statuses(keeper)["lease"] == ComponentStatus("lapsed", healthy=False)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(keeper.run())
        await until(lambda: keeper.is_ready)
        assert await keeper.route(RoutedEvent(Lane("slack", "T1"), "1", b""))
        statuses = lane_statuses(keeper)
        running.cancel()
    assert statuses == {
        "lease": ComponentStatus("valid"),
        "lanes": ComponentStatus("0 discord, 1 slack"),
        "settings": ComponentStatus("same"),
    }


async def test_different_settings_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Both processes work on: a line in each log, and the tables in /readyz, until they are the same again."""
    caplog.set_level(logging.INFO)
    engine = Engine(asyncio.get_running_loop().time)
    connections = [MemoryOwnership(engine, settings={"slack": "a", "turns": digest}) for digest in "ab"]
    options = KeeperOptions(("slack",))
    keepers = [Keeper(each, IdleUser(), options, partial(str, name)) for name, each in enumerate(connections)]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(keeper.run()) for keeper in keepers]
        different = ComponentStatus("different: turns")
        await until(lambda: all(lane_statuses(keeper)["settings"] == different for keeper in keepers))
        await asyncio.sleep(10.0)
        connections[1].settings = {"slack": "a", "turns": "a"}
        await until(lambda: all(lane_statuses(keeper)["settings"].label == "same" for keeper in keepers))
        for task in running:
            task.cancel()
    told = [line.getMessage() for line in caplog.records if "settings" in line.getMessage()]
    assert told.count("another process has different settings") == 2
    assert told.count("all processes have the same settings") == 2


async def test_a_lapsed_lease_is_no_degraded_part(tmp_path: Path) -> None:
    """It has metrics and an alert of its own, but the bot is not ready."""
    settings, turns = load(SLACK | {"JOURNAL_URL": "memory:"}, tmp_path), make_turns(ScriptedModel([]))
    parts = {"journal": ComponentStatus("ok"), "lease": ComponentStatus("lapsed", healthy=False)}
    state = bot_state(settings, turns, {"slack": True}, parts)
    assert not state.ready
    assert state.degraded == {"journal": False}
