"""The figures of `bot.telemetry` as Prometheus exposes them.

What belongs here: names, labels and buckets of the series, and nothing else. What is measured and how is the core's
(`bot.telemetry`); who serves the text is `adapters.http_server`.

Every label has a bounded set of values: a metric is no place for ids, and a server that invents failure kinds must not
grow our memory (https://prometheus.io/docs/practices/naming/#labels).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bot.telemetry import TurnRecord

# Distinct values that one label may take before further ones are counted as "other". The sets we know of have at most
# nine; read by `_Label`.
LABEL_VALUES = 24

# What a label's value looks like: our own lower-case words. Anything else is "other".
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")

# Seconds until text: half of all readers give up on ten seconds, and below a tenth nobody sees a difference
# (https://www.nngroup.com/articles/response-times-3-important-limits/). The long end is where reasoning models think.
FIRST_BUCKETS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)

# Seconds that a character waits. A channel of five edits in five seconds gives about 0.6 s to a lone reply and some two
# seconds to four at once, so that is where the buckets are close.
DELAY_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)

# Seconds from the model's last word to the last visible change: within one of a platform's windows (5 s), or a fault.
SETTLE_BUCKETS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)

# Seconds of a whole turn, up to the five minutes that an answer is given.
TURN_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


class _Label:
    """The values of one label, of which only the first so many are kept apart."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def value(self, word: str) -> str:
        """`word`, or ``other`` where it is no word of ours or one too many."""
        if word in self._seen:
            return word
        if len(self._seen) >= LABEL_VALUES or not _WORD.fullmatch(word):
            return "other"
        self._seen.add(word)
        return word


class PrometheusRecorder:
    """A `bot.telemetry.Recorder` that keeps everything in a registry of its own.

    The process's own figures (memory, open files) are in it as well.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._platform, self._why, self._verb = _Label(), _Label(), _Label()
        self._outcome, self._kind = _Label(), _Label()
        ProcessCollector(registry=self._registry)
        self._count_turns()
        self._count_writes()
        self._count_model()
        self._time_turns()

    def _counter(self, name: str, says: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"tickertape_{name}", says, labels, registry=self._registry)

    def _histogram(self, name: str, says: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"tickertape_{name}", says, ("platform",), registry=self._registry, buckets=buckets)

    def _count_turns(self) -> None:
        self._accepted = self._counter("accepted", "Turns taken in.", ("platform",))
        self._refused = self._counter("refused", "Messages that were not answered, by why.", ("platform", "why"))
        self._turns = self._counter("turns", "Turns that have ended, by how.", ("platform", "ending"))
        self._partial = self._counter("partial_answers", "Turns that left less than a whole answer.", ("platform",))

    def _count_writes(self) -> None:
        labels = ("platform", "verb", "outcome")
        self._writes = self._counter("writes", "Posts, edits and deletes, by what came back.", labels)
        self._limited = self._counter("rate_limited", "Writes that a platform refused with 429.", ("platform", "verb"))
        self._saved = self._counter("writes_saved", "Pieces of text that needed no write of their own.", ("platform",))
        self._characters = self._counter(
            "characters", "Characters received of models, and shown to readers.", ("platform", "direction")
        )

    def _count_model(self) -> None:
        self._attempts = self._counter("attempts", "Streamed attempts at an answer.")
        self._attempt_failures = self._counter("attempt_failures", "Attempts that failed, by the failure.", ("kind",))
        self._fallbacks = self._counter("fallbacks", "Answers that were asked for without streaming in the end.")
        self._tokens = self._counter("tokens", "Tokens, as the model's server counted them.", ("direction",))

    def _time_turns(self) -> None:
        self._turn_seconds = self._histogram("turn_seconds", "From accepted to ended.", TURN_BUCKETS)
        self._first_delta = self._histogram(
            "time_to_first_delta_seconds", "From accepted to the model's first text.", FIRST_BUCKETS
        )
        self._first_visible = self._histogram(
            "time_to_first_visible_seconds", "From accepted to the first text that a reader could see.", FIRST_BUCKETS
        )
        self._delay = self._histogram(
            "character_delay_seconds", "Mean time of a turn's characters from received to shown.", DELAY_BUCKETS
        )
        self._settle = self._histogram(
            "settle_seconds", "From the model's last text to the last visible change.", SETTLE_BUCKETS
        )

    # ------------------------------------------------------------------------------------------------- the Recorder

    def accepted(self, platform: str) -> None:
        """See `bot.telemetry.Recorder`."""
        self._accepted.labels(self._platform.value(platform)).inc()

    def refused(self, platform: str, why: str) -> None:
        """See `bot.telemetry.Recorder`."""
        self._refused.labels(self._platform.value(platform), self._why.value(why)).inc()

    def wrote(self, platform: str, verb: str, outcome: str) -> None:
        """See `bot.telemetry.Recorder`."""
        platform, verb = self._platform.value(platform), self._verb.value(verb)
        self._writes.labels(platform, verb, self._outcome.value(outcome)).inc()
        if outcome == "limited":
            self._limited.labels(platform, verb).inc()

    def attempt_failed(self, kind: str) -> None:
        """See `bot.telemetry.Recorder`."""
        self._attempt_failures.labels(self._kind.value(kind)).inc()

    def ended(self, record: TurnRecord) -> None:
        """See `bot.telemetry.Recorder`."""
        platform = self._platform.value(record.key.platform)
        self._turns.labels(platform, record.ending.value).inc()
        if record.partial:
            self._partial.labels(platform).inc()
        self._saved.labels(platform).inc(max(record.deltas - record.writes, 0))
        self._characters.labels(platform, "received").inc(max(record.characters, 0))
        self._characters.labels(platform, "shown").inc(max(record.characters_shown, 0))
        self._attempts.inc(max(record.attempts, 0))
        self._fallbacks.inc(int(record.fallback))
        if record.usage is not None:
            self._tokens.labels("input").inc(max(record.usage.input_tokens, 0))
            self._tokens.labels("output").inc(max(record.usage.output_tokens, 0))
        self._time(platform, record)

    def _time(self, platform: str, record: TurnRecord) -> None:
        for histogram, seconds in (
            (self._turn_seconds, record.seconds),
            (self._first_delta, record.first_delta),
            (self._first_visible, record.first_visible),
            (self._delay, record.character_delay),
            (self._settle, record.settle),
        ):
            if seconds is not None:  # it never came to that: a turn without text has no first text
                histogram.labels(platform).observe(seconds)

    def render_metrics(self) -> tuple[bytes, str]:
        """All series as text, and the content type that says which format it is in."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
