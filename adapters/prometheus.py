"""Exposes the figures of `bot.telemetry` as Prometheus metrics: names, labels and buckets.

Every label has a bounded set of values. A metric is no place for ids, and a server that invents failure kinds must not
grow our memory (https://prometheus.io/docs/practices/naming/#labels).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from typing_extensions import override

from adapters.prometheus_state import BotState, StateCollector
from bot.attempt_failures import FAILURE_KINDS
from bot.conversation import Ending
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.telemetry import Recorder, TurnRecord, UsageRecorder

if TYPE_CHECKING:
    from adapters.prometheus_ownership import PrometheusOwnership

# Distinct values of one label; further ones count as "other". Our own sets have at most fifteen.
MAX_LABEL_VALUES = 24

# A label value is one of our own lower-case words; anything else counts as "other".
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")

# A name of a model or of a workspace; empty for a workspace without an id (a direct message on Discord).
_NAME = re.compile(r"[\w.:/@+ -]{0,100}", re.ASCII)

# Seconds until text: half of all readers give up after ten seconds, and differences below a tenth are invisible
# (https://www.nngroup.com/articles/response-times-3-important-limits/). The upper buckets are for reasoning models.
FIRST_BUCKETS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)

# Seconds a character waits. A channel with five edits in five seconds gives about 0.6 s to a lone reply and about two
# seconds to four at once, so the buckets are close together there.
DELAY_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)

# Seconds from the model's last word to the last visible change: within one window of a platform (5 s), or a fault.
SETTLE_BUCKETS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)

# Seconds of a whole turn, up to the five minutes allowed for an answer.
TURN_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)

# Seconds from a request to its response. Slack waits 3 s and then sends an event again
# (https://docs.slack.dev/apis/events-api/#responding).
RESPONSE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0)

# A route of our own server, as registered.
_ROUTE = re.compile(r"/[\w./{}:-]{0,99}", re.ASCII)


class _LabelValues:
    """Bounds the values of one label; each matches a pattern."""

    def __init__(self, pattern: re.Pattern[str] = _WORD) -> None:
        self._pattern = pattern
        self._seen: set[str] = set()

    def bounded(self, value: str) -> str:
        """`value`, or ``other`` if it does not match or exceeds the limit of distinct values."""
        if value in self._seen:
            return value
        if len(self._seen) >= MAX_LABEL_VALUES or not self._pattern.fullmatch(value):
            return "other"
        self._seen.add(value)
        return value


class _Metrics:
    """Creates the metrics of one group in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def _counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"tickertape_{name}", help_text, labels, registry=self._registry)

    def _histogram(
        self, name: str, help_text: str, buckets: Sequence[float], labels: Sequence[str] = ("platform",)
    ) -> Histogram:
        return Histogram(f"tickertape_{name}", help_text, labels, registry=self._registry, buckets=buckets)


class _TurnCounters(_Metrics):
    """Accepted, refused and ended turns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._reason = _LabelValues()
        self._started: set[str] = set()  # platforms with an ended turn
        self._accepted = self._counter("accepted", "Accepted turns.", ("platform",))
        self._refused = self._counter("refused", "Unanswered messages by reason.", ("platform", "why"))
        self._turns = self._counter("turns", "Ended turns by ending.", ("platform", "ending"))
        self._partial = self._counter("partial_answers", "Turns with less than a complete answer.", ("platform",))

    def accept(self, platform: str) -> None:
        self._accepted.labels(platform).inc()

    def refuse(self, platform: str, reason: str) -> None:
        self._refused.labels(platform, self._reason.bounded(reason)).inc()

    def end(self, platform: str, record: TurnRecord) -> None:
        if platform not in self._started:
            self._started.add(platform)
            for ending in Ending:  # from zero, for the same reason as the kinds of failures
                self._turns.labels(platform, ending.value)
        self._turns.labels(platform, record.ending.value).inc()
        self._partial.labels(platform).inc(int(record.partial))


class _WriteCounters(_Metrics):
    """Posts, edits and deletes, and the text they carry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._verb, self._outcome = _LabelValues(), _LabelValues()
        self._writes = self._counter("writes", "Posts, edits and deletes by outcome.", ("platform", "verb", "outcome"))
        self._limited = self._counter("rate_limited", "Writes refused with 429.", ("platform", "verb"))
        self._saved = self._counter("writes_saved", "Deltas without a write of their own.", ("platform",))
        self._characters = self._counter(
            "characters", "Characters received from models, and shown to readers.", ("platform", "direction")
        )

    def write(self, platform: str, verb: str, outcome: str) -> None:
        verb = self._verb.bounded(verb)
        self._writes.labels(platform, verb, self._outcome.bounded(outcome)).inc()
        self._limited.labels(platform, verb).inc(int(outcome == "limited"))

    def end(self, platform: str, record: TurnRecord) -> None:
        self._saved.labels(platform).inc(max(record.deltas - record.writes, 0))
        self._characters.labels(platform, "received").inc(max(record.characters, 0))
        self._characters.labels(platform, "shown").inc(max(record.characters_shown, 0))


class _ModelCounters(_Metrics):
    """Attempts, failures, fallbacks and tokens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._kind = _LabelValues()
        self._attempts = self._counter("attempts", "Streamed attempts at an answer.")
        self._failures = self._counter("attempt_failures", "Failed attempts by kind of failure.", ("kind",))
        for kind in FAILURE_KINDS:  # from zero: the increase of a counter without an earlier sample is unknown
            self._failures.labels(self._kind.bounded(kind))
        self._fallbacks = self._counter("fallbacks", "Answers finally requested without streaming.")
        self._tokens = self._counter("tokens", "Tokens as counted by the model's server.", ("direction",))

    def fail(self, kind: str) -> None:
        self._failures.labels(self._kind.bounded(kind)).inc()

    def end(self, record: TurnRecord) -> None:
        self._attempts.inc(max(record.attempts, 0))
        self._fallbacks.inc(int(record.fallback))
        if record.usage is not None:
            self._tokens.labels("input").inc(max(record.usage.input_tokens, 0))
            self._tokens.labels("output").inc(max(record.usage.output_tokens, 0))


class _UsageCounters(_Metrics):
    """Tokens, cost and votes. Models and workspaces have names of others: a limited number counts on its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._model, self._workspace = _LabelValues(_NAME), _LabelValues(_NAME)
        labels = ("model", "platform", "workspace")
        self._tokens = self._counter("model_tokens", "Tokens of model calls, estimates included.", (*labels, "kind"))
        self._cost = self._counter("model_cost_dollars", "Known cost of model calls in US dollars.", labels)
        self._unpriced = self._counter("model_calls_unpriced", "Model calls without a known cost.", labels)
        self._votes = self._counter("votes", "Votes on answers.", ("platform", "vote"))

    def spend(self, platform: str, entry: LedgerEntry) -> None:
        labels = (self._model.bounded(entry.model), platform, self._workspace.bounded(entry.workspace))
        # `cached` is part of `input`, `reasoning` of `output`.
        for kind, tokens in (
            ("input", entry.input_tokens),
            ("cached", entry.cached_tokens),
            ("output", entry.output_tokens),
            ("reasoning", entry.reasoning_tokens),
        ):
            self._tokens.labels(*labels, kind).inc(max(tokens, 0))
        if entry.cost is None:
            self._unpriced.labels(*labels).inc()
        else:
            self._cost.labels(*labels).inc(max(float(entry.cost), 0.0))

    def vote(self, platform: str, vote: Vote) -> None:
        self._votes.labels(platform, vote.value).inc()


class _TurnHistograms(_Metrics):
    """Durations of ended turns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._turn = self._histogram("turn_seconds", "From accepted to ended.", TURN_BUCKETS)
        self._first_delta = self._histogram(
            "time_to_first_delta_seconds", "From accepted to the model's first text.", FIRST_BUCKETS
        )
        self._first_visible = self._histogram(
            "time_to_first_visible_seconds", "From accepted to the first visible text.", FIRST_BUCKETS
        )
        self._delay = self._histogram(
            "character_delay_seconds", "Mean time of a turn's characters from received to shown.", DELAY_BUCKETS
        )
        self._settle = self._histogram(
            "settle_seconds", "From the model's last text to the last visible change.", SETTLE_BUCKETS
        )

    def end(self, platform: str, record: TurnRecord) -> None:
        for histogram, seconds in (
            (self._turn, record.seconds),
            (self._first_delta, record.first_delta),
            (self._first_visible, record.first_visible),
            (self._delay, record.character_delay),
            (self._settle, record.settle),
        ):
            if seconds is not None:  # None: a turn without text has no first text
                histogram.labels(platform).observe(seconds)


class _HttpHistograms(_Metrics):
    """Responses of the bot's own HTTP server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._route = _LabelValues(_ROUTE)
        self._responses = self._histogram(
            "http_response_seconds", "From a request to its response.", RESPONSE_BUCKETS, ("route", "code")
        )

    def respond(self, route: str, code: int, seconds: float) -> None:
        self._responses.labels(self._route.bounded(route), str(code)).observe(seconds)


class PrometheusRecorder(Recorder, UsageRecorder):
    """A `bot.telemetry.Recorder` with a registry of its own, including figures of the process (memory, open files)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._platform = _LabelValues()
        ProcessCollector(registry=self._registry)
        self._turns = _TurnCounters(self._registry)
        self._writes = _WriteCounters(self._registry)
        self._model = _ModelCounters(self._registry)
        self._durations = _TurnHistograms(self._registry)
        self._usage = _UsageCounters(self._registry)
        self._http = _HttpHistograms(self._registry)

    def add_state(self, read: Callable[[], BotState]) -> None:
        """Add gauges of the state; `read` is called at each scrape and must not raise."""
        self._registry.register(StateCollector(read))

    def add_ownership(self, platforms: Sequence[str]) -> PrometheusOwnership:
        """Add the figures of a process among others."""
        from adapters.prometheus_ownership import PrometheusOwnership  # noqa: PLC0415 (loaded only if it is used)

        return PrometheusOwnership(self._registry, platforms)

    def responded(self, route: str, code: int, seconds: float) -> None:
        """Our HTTP server answered a request to `route`, as registered; empty for an unknown path or method."""
        self._http.respond(route, code, seconds)

    @override
    def accepted(self, platform: str) -> None:
        self._turns.accept(self._platform.bounded(platform))

    @override
    def refused(self, platform: str, why: str) -> None:
        self._turns.refuse(self._platform.bounded(platform), why)

    @override
    def wrote(self, platform: str, verb: str, outcome: str) -> None:
        self._writes.write(self._platform.bounded(platform), verb, outcome)

    @override
    def attempt_failed(self, kind: str) -> None:
        self._model.fail(kind)

    @override
    def ended(self, record: TurnRecord) -> None:
        platform = self._platform.bounded(record.key.platform)
        self._turns.end(platform, record)
        self._writes.end(platform, record)
        self._model.end(record)
        self._durations.end(platform, record)

    @override
    def spent(self, entry: LedgerEntry) -> None:
        self._usage.spend(self._platform.bounded(entry.platform), entry)

    @override
    def voted(self, platform: str, vote: Vote) -> None:
        self._usage.vote(self._platform.bounded(platform), vote)

    def render_metrics(self) -> tuple[bytes, str]:
        """All metrics as text, and the content type of that format."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
