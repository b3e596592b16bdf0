"""The figures as Prometheus reads them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.prometheus import MAX_LABEL_VALUES, PrometheusRecorder
from adapters.prometheus_state import BotState
from bot.attempt_failures import FAILURE_KINDS
from bot.conversation import Ending, TurnKey, Usage
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.telemetry import Recorder, TurnRecord
from bot.timeline import TurnEvents


def record(**changes: object) -> TurnRecord:
    values: dict[str, object] = {
        "key": TurnKey("discord", "g", "c", "m"),
        "ending": Ending.DONE,
        "seconds": 6.0,
        "first_delta": 0.4,
        "first_visible": 0.6,
        "character_delay": 0.7,
        "settle": 0.3,
        "characters": 500,
        "characters_shown": 480,
        "messages": 1,
        "writes": 7,
        "deltas": 100,
        "usage": Usage(40, 120),
        "events": TurnEvents(streamed_attempts=2),
    }
    return TurnRecord(**{**values, **changes})  # type: ignore[arg-type]  # a table of values, checked by running it


def samples(recorder: PrometheusRecorder) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text, _ = recorder.render_metrics()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(recorder: PrometheusRecorder, name: str, **labels: str) -> float:
    return samples(recorder)[f"tickertape_{name}", tuple(sorted(labels.items()))]


def test_it_is_a_recorder_and_its_text_parses() -> None:
    """The exposition is Prometheus text of its own registry, with the process's figures, whatever was recorded."""
    recorder: Recorder = PrometheusRecorder()
    assert isinstance(recorder, PrometheusRecorder)
    text, content_type = recorder.render_metrics()
    assert content_type.startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(text.decode())}
    assert {"tickertape_accepted", "tickertape_writes", "tickertape_settle_seconds"} <= names
    assert all(name.startswith(("tickertape_", "process_")) for name in names)


def test_two_recorders_share_nothing() -> None:
    """There is no global registry: a second recorder in the process begins at nothing."""
    first, second = PrometheusRecorder(), PrometheusRecorder()
    first.accepted("slack")
    second.accepted("discord")
    assert ("tickertape_accepted_total", (("platform", "slack"),)) not in samples(second)


def test_turns_taken_and_refused() -> None:
    """Turns are counted by platform, refusals by why as well."""
    recorder = PrometheusRecorder()
    recorder.accepted("slack")
    recorder.accepted("slack")
    recorder.refused("slack", "busy")
    assert value(recorder, "accepted_total", platform="slack") == 2
    assert value(recorder, "refused_total", platform="slack", why="busy") == 1


def test_a_429_is_a_write_and_stands_out() -> None:
    """A limited write is counted among the writes, and by itself."""
    recorder = PrometheusRecorder()
    recorder.wrote("discord", "edit", "ok")
    assert value(recorder, "rate_limited_total", platform="discord", verb="edit") == 0
    recorder.wrote("discord", "edit", "limited")
    assert value(recorder, "writes_total", platform="discord", verb="edit", outcome="ok") == 1
    assert value(recorder, "writes_total", platform="discord", verb="edit", outcome="limited") == 1
    assert value(recorder, "rate_limited_total", platform="discord", verb="edit") == 1


def test_failed_attempts_by_kind() -> None:
    """An attempt's failure is counted by its kind."""
    recorder = PrometheusRecorder()
    recorder.attempt_failed("silent")
    assert value(recorder, "attempt_failures_total", kind="silent") == 1
    assert value(recorder, "attempt_failures_total", kind="rejected_credentials") == 0  # not absent


def test_a_turn_that_ended() -> None:
    """A whole answer: every figure of its record is found again."""
    recorder = PrometheusRecorder()
    recorder.ended(record())
    assert value(recorder, "turns_total", platform="discord", ending="done") == 1
    assert value(recorder, "writes_saved_total", platform="discord") == 93
    assert value(recorder, "characters_total", platform="discord", direction="received") == 500
    assert value(recorder, "characters_total", platform="discord", direction="shown") == 480
    assert value(recorder, "attempts_total") == 2
    assert value(recorder, "fallbacks_total") == 0
    assert value(recorder, "tokens_total", direction="input") == 40
    assert value(recorder, "tokens_total", direction="output") == 120
    for name, seconds in {
        "turn_seconds": 6.0,
        "time_to_first_delta_seconds": 0.4,
        "time_to_first_visible_seconds": 0.6,
        "character_delay_seconds": 0.7,
        "settle_seconds": 0.3,
    }.items():
        assert value(recorder, f"{name}_sum", platform="discord") == pytest.approx(seconds)
        assert value(recorder, f"{name}_count", platform="discord") == 1
    assert value(recorder, "partial_answers_total", platform="discord") == 0
    assert value(recorder, "turns_total", platform="discord", ending="failed") == 0  # a later increase shows


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending is not Ending.DONE])
def test_less_than_a_whole_answer_is_partial(ending: Ending) -> None:
    """Whatever else an answer ended as, its reader was left with less than all of it."""
    recorder = PrometheusRecorder()
    recorder.ended(record(ending=ending, events=TurnEvents(fallback=True)))
    assert value(recorder, "partial_answers_total", platform="discord") == 1
    assert value(recorder, "turns_total", platform="discord", ending=ending.value) == 1
    assert value(recorder, "fallbacks_total") == 1


def test_what_never_came_is_not_timed() -> None:
    """A turn without text has no first text: it is no zero in a histogram. More writes than deltas save nothing."""
    recorder = PrometheusRecorder()
    recorder.ended(
        record(first_delta=None, first_visible=None, character_delay=None, settle=None, usage=None, deltas=0, writes=2)
    )
    names = {name for name, _ in samples(recorder)}
    assert "tickertape_settle_seconds_count" not in names
    assert "tickertape_time_to_first_delta_seconds_count" not in names
    assert value(recorder, "writes_saved_total", platform="discord") == 0
    assert value(recorder, "turn_seconds_count", platform="discord") == 1


def test_labels_are_bounded() -> None:
    """A server that invents kinds, or says what is no word of ours, grows no memory: they are counted as "other"."""
    recorder = PrometheusRecorder()
    for number in range(MAX_LABEL_VALUES * 3):
        recorder.attempt_failed(f"kind_{number}")
    recorder.attempt_failed('no "word"\n')
    kinds = {dict(labels)["kind"] for name, labels in samples(recorder) if name == "tickertape_attempt_failures_total"}
    assert len(kinds) == MAX_LABEL_VALUES + 1
    assert value(recorder, "attempt_failures_total", kind="other") == MAX_LABEL_VALUES * 2 + len(FAILURE_KINDS) + 1


CALL = LedgerEntry(0.0, "discord", "G1", "C1", "U1", "t", "gpt-6", 100, 40, 20, 5, Decimal("0.25"))


def test_tokens_and_cost_by_model_platform_and_workspace() -> None:
    """Calls add up; one without a known cost is counted apart; votes are counted by their opinion."""
    recorder = PrometheusRecorder()
    recorder.spent(CALL)
    recorder.spent(replace(CALL, cost=None))
    recorder.voted("discord", Vote.UP)
    where = {"model": "gpt-6", "platform": "discord", "workspace": "G1"}
    tokens = {kind: value(recorder, "model_tokens_total", **where, kind=kind) for kind in ("input", "cached", "output")}
    assert tokens == {"input": 200, "cached": 80, "output": 40}
    assert value(recorder, "model_cost_dollars_total", **where) == 0.25
    assert value(recorder, "model_calls_unpriced_total", **where) == 1
    assert value(recorder, "votes_total", platform="discord", vote="up") == 1


def test_models_and_workspaces_are_bounded() -> None:
    """A bot in a thousand servers, or a server with a new model name each time, grows no memory."""
    recorder = PrometheusRecorder()
    for number in range(MAX_LABEL_VALUES * 2):
        recorder.spent(replace(CALL, model=f"openai/m-{number}:free", workspace=str(number)))
    recorder.spent(replace(CALL, model='"\n', workspace="x" * 500))
    labels = [dict(labels) for name, labels in samples(recorder) if name == "tickertape_model_cost_dollars_total"]
    counts = [len({each[label] for each in labels}) for label in ("model", "workspace")]
    assert counts == [MAX_LABEL_VALUES + 1] * 2
    where = {"model": "other", "platform": "discord", "workspace": "other"}
    assert value(recorder, "model_cost_dollars_total", **where) == pytest.approx(0.25 * (MAX_LABEL_VALUES + 1))


def test_the_state_is_read_at_each_scrape() -> None:
    """Gauges follow the state; a platform without turns shows 0, and a journal in memory has no disk."""
    recorder = PrometheusRecorder()
    states: list[BotState] = []
    recorder.add_state(lambda: states[-1])
    states.append(
        BotState(ready=False, platforms={"slack": False}, degraded={"journal": True}, running={"playground": 3})
    )
    assert value(recorder, "ready") == 0
    assert value(recorder, "platform_ready", platform="slack") == 0
    assert value(recorder, "component_degraded", component="journal") == 1
    assert value(recorder, "live_turns", platform="slack", state="running") == 0
    assert value(recorder, "live_turns", platform="playground", state="running") == 3
    assert ("tickertape_journal_free_bytes", ()) not in samples(recorder)
    states.append(BotState(ready=True, platforms={"slack": True}, degraded={}, waiting={"slack": 4}, free_bytes=7))
    assert value(recorder, "ready") == 1
    assert value(recorder, "live_turns", platform="slack", state="waiting") == 4
    assert value(recorder, "journal_free_bytes") == 7
    assert ("tickertape_live_turns", (("platform", "playground"), ("state", "running"))) not in samples(recorder)


def test_responses_by_route_and_status() -> None:
    """Unknown paths count together, however many there are."""
    recorder = PrometheusRecorder()
    recorder.responded("/slack/events", 200, 0.004)
    recorder.responded("", 404, 0.001)
    assert value(recorder, "http_response_seconds_bucket", route="/slack/events", code="200", le="0.005") == 1
    assert value(recorder, "http_response_seconds_count", route="other", code="404") == 1
