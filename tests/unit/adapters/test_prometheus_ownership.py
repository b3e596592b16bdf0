"""The figures of processes among others, from real keepers on virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client.parser import text_string_to_metric_families

from adapters.prometheus import PrometheusRecorder
from bot.ownership.keeper import Keeper, KeeperOptions
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ownership.telemetry import OwnershipStatus, Rotation
from tests.support.engine import Engine
from tests.support.ownership import IdleUser, MemoryOwnership
from tests.support.waiting import until

PLATFORMS = ("discord", "slack")
LANE = Lane("slack", "T1")


class Process:
    """A keeper and its metrics."""

    def __init__(self, name: str, engine: Engine, listeners: list[Callable[[str], None]]) -> None:
        self.connection = MemoryOwnership(engine, listeners)
        self.metrics = PrometheusRecorder()
        recorder = self.metrics.add_ownership(PLATFORMS)
        numbers = itertools.count(1)
        options = KeeperOptions(PLATFORMS, recorder=recorder)
        self.keeper = Keeper(self.connection, IdleUser(), options, lambda: f"{name}.{next(numbers)}")
        recorder.add_status(self.keeper.status)

    def value(self, name: str, **labels: str) -> float:
        return samples(self.metrics)[f"tickertape_{name}", tuple(sorted(labels.items()))]

    def changes(self, platform: str = "slack") -> dict[str, float]:
        words = ("won", "lost", "released")
        return {word: self.value("lane_changes_total", platform=platform, change=word) for word in words}


def samples(metrics: PrometheusRecorder) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render_metrics()[0].decode())
        for sample in family.samples
    }


@asynccontextmanager
async def processes(*names: str) -> AsyncIterator[list[Process]]:
    engine, listeners = Engine(asyncio.get_running_loop().time), list[Callable[[str], None]]()
    made = [Process(name, engine, listeners) for name in names]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.keeper.run()) for each in made]
        await until(lambda: all(each.keeper.is_ready for each in made), seconds=10.0)
        yield made
        for task in tasks:
            task.cancel()


def test_a_process_without_others_has_no_such_series() -> None:
    """Whoever uses SQLite neither sees nor pays for a lease."""
    words = ("lane", "lease", "heartbeat", "inbox", "engine", "rotation", "identif")
    assert not [name for name, _ in samples(PrometheusRecorder()) if any(word in name for word in words)]


def test_before_the_first_heartbeat() -> None:
    """The lease is not valid, it has no age, and nothing is known about other processes' lanes."""
    metrics = PrometheusRecorder()
    status = OwnershipStatus("a.1", is_valid=False, lease_age=None, write_seconds=3.0)
    metrics.add_ownership(PLATFORMS).add_status(lambda: status)
    found = samples(metrics)
    assert found["tickertape_lease_valid", ()] == 0
    assert found["tickertape_lease_write_seconds", ()] == 3
    assert ("tickertape_lease_age_seconds", ()) not in found
    assert not [name for name, _ in found if name == "tickertape_lanes_unowned"]
    assert found["tickertape_lane_changes_total", (("change", "won"), ("platform", "discord"))] == 0


async def test_lanes_and_events_are_counted_where_they_are() -> None:
    """The owner counts the lane and the events handled for others; whoever routed one counts that."""
    async with processes("a", "b") as (first, second):
        assert await first.keeper.route(RoutedEvent(LANE, "1", b""))
        assert not await second.keeper.route(RoutedEvent(LANE, "2", b""))
        await until(lambda: first.value("inbox_events_total", platform="slack", direction="handled") == 1)
        assert second.value("inbox_events_total", platform="slack", direction="routed") == 1
        assert second.value("inbox_events_total", platform="slack", direction="handled") == 0
        assert [each.value("lanes_owned", platform="slack") for each in (first, second)] == [1, 0]
        assert [each.value("lanes_owned", platform="discord") for each in (first, second)] == [0, 0]
        assert [each.value("lanes_unowned", platform="slack") for each in (first, second)] == [0, 0]
        assert first.changes() == {"won": 1, "lost": 0, "released": 0}
        assert first.value("lease_valid") == 1
        assert 0 <= first.value("lease_age_seconds") <= 1.1
        await first.keeper.release_all(1.0)
        await until(lambda: second.keeper.owns(LANE))
        assert first.changes() == {"won": 1, "lost": 0, "released": 1}
        assert second.changes() == {"won": 1, "lost": 0, "released": 0}


async def test_a_lane_without_a_taker_is_unowned() -> None:
    """As every process counts it that may write, with the next heartbeat."""
    async with processes("a", "b") as (first, second):
        assert await first.keeper.route(RoutedEvent(LANE, "1", b""))
        for each in (second, first):  # no taker is left
            await each.keeper.release_all(1.0)
        await until(lambda: second.value("lanes_unowned", platform="slack") == 1)
        assert second.value("lanes_unowned", platform="discord") == 0


async def test_an_engine_that_is_away_shows() -> None:
    """Heartbeats fail and the lease lapses; what was last counted about free lanes is left out, since it is old."""
    async with processes("a") as (first,):
        good = first.value("heartbeat_seconds_count")
        assert good >= 5
        assert first.value("engine_away") == 0
        first.connection.is_away = True
        await until(lambda: first.value("lease_valid") == 0, seconds=5.0)
        assert first.value("engine_away") == 1
        assert first.value("heartbeat_failures_total") >= 3
        assert first.value("heartbeat_seconds_count") <= good + 1
        assert first.value("lease_age_seconds") >= first.value("lease_write_seconds") == 3
        assert not [name for name, _ in samples(first.metrics) if name == "tickertape_lanes_unowned"]
        first.connection.is_away = False
        await until(lambda: first.value("lease_valid") == 1, seconds=5.0)
        assert first.value("engine_away") == 0


async def test_a_lane_lost_is_told_apart_from_one_released() -> None:
    """A process cut off is declared dead: it learns at its return that its lanes are another's."""
    async with processes("a", "b") as (first, second):
        assert await first.keeper.route(RoutedEvent(LANE, "1", b""))
        first.connection.swallows = True
        await until(lambda: second.keeper.owns(LANE), seconds=10.0)
        first.connection.swallows = False
        await until(lambda: first.changes()["lost"] == 1, seconds=10.0)
        assert first.changes() == {"won": 1, "lost": 1, "released": 0}
        assert first.keeper.status().process == "a.2"


async def test_tokens_and_sessions() -> None:
    """Rotations count by outcome, from zero; the identifies left appear once Discord has told them."""
    metrics = PrometheusRecorder()
    recorder = metrics.add_ownership(PLATFORMS)
    recorder.add_status(lambda: OwnershipStatus("a.1", is_valid=True, lease_age=0.5, write_seconds=3.0))
    assert ("tickertape_discord_identifies_left", ()) not in samples(metrics)
    recorder.token_rotated(Rotation.DONE)
    recorder.identifies_left(998)
    found = samples(metrics)
    outcomes = {each: found["tickertape_token_rotations_total", (("outcome", each.value),)] for each in Rotation}
    assert outcomes == {Rotation.DONE: 1, Rotation.FAILED: 0, Rotation.REFUSED: 0}
    assert found["tickertape_discord_identifies_left", ()] == 998
