"""The metrics of the program as it exposes them: names, types and labels, read from its own text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from prometheus_client.parser import text_string_to_metric_families

from adapters.prometheus import PrometheusRecorder
from adapters.prometheus_state import BotState
from bot.conversation import Ending, TurnKey, Usage
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.ownership.telemetry import OwnershipStatus
from bot.telemetry import TurnRecord
from bot.timeline import TurnEvents

STATE = BotState(
    ready=True,
    platforms={"discord": True, "slack": True},
    degraded={"journal": False, "records": False},
    running={"discord": 2},
    waiting={"slack": 1},
    free_bytes=10**9,
)

AMONG_OTHERS = OwnershipStatus(
    "a.1", is_valid=True, lease_age=0.5, write_seconds=3.0, owned={"discord": 2}, unowned={"discord": 0}
)


@dataclass(frozen=True, slots=True)
class Series:
    """One exposed series: its metric's type (``counter``, ``gauge``, ``histogram``), and the names of its labels."""

    type: str
    labels: frozenset[str]


def full_recorder() -> PrometheusRecorder:
    """A recorder with at least one sample of every metric."""
    recorder = PrometheusRecorder()
    recorder.add_state(lambda: STATE)
    recorder.responded("/healthz", 200, 0.01)
    recorder.accepted("discord")
    recorder.refused("discord", "busy")
    recorder.wrote("discord", "edit", "limited")
    recorder.attempt_failed("silent")
    key = TurnKey("discord", "g", "c", "m")
    events = TurnEvents(streamed_attempts=1, fallback=True)
    recorder.ended(TurnRecord(key, Ending.LENGTH, 6.0, 0.4, 0.6, 0.7, 0.3, 9, 9, 1, 7, 9, Usage(40, 120), events))
    call = LedgerEntry(0.0, "discord", "G1", "C1", "U1", "t", "m", 100, 40, 20, 5, Decimal("0.25"))
    recorder.spent(call)
    recorder.spent(LedgerEntry(0.0, "discord", "G1", "C1", "U1", "t", "m", 100, 40, 20, 5))
    recorder.voted("discord", Vote.UP)
    among_others = recorder.add_ownership(["discord"])
    among_others.add_status(lambda: AMONG_OTHERS)
    among_others.heartbeat_answered(0.01)
    among_others.identifies_left(999)
    return recorder


@cache
def exposed_series() -> Mapping[str, Series]:
    """Every series of the program by its full name, such as ``tickertape_turn_seconds_bucket``."""
    text = full_recorder().render_metrics()[0].decode()
    return {
        sample.name: Series(family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def metric_names() -> frozenset[str]:
    """The names of our own metrics, without the suffixes of a histogram's series."""
    suffixes = ("_bucket", "_sum", "_count")
    series = exposed_series()
    return frozenset(
        next((name.removesuffix(each) for each in suffixes if name.endswith(each)), name)
        if series[name].type == "histogram"
        else name
        for name in series
        if name.startswith("tickertape_")
    )
