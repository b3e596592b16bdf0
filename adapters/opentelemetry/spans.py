"""The spans of one ended turn, as plain values. Pure, and without OpenTelemetry's packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from adapters.opentelemetry import conventions as names
from adapters.opentelemetry.servers import ModelServer
from bot.conversation import Ending
from bot.telemetry import TurnRecord
from bot.timeline import AttemptRecord, WriteRecord

Attributes = Mapping[str, str | int | float | bool | tuple[str, ...]]

# Characters of a model's name.
MODEL_CHARACTERS = 200

# Finds the server of a model by its name in an `AttemptRecord`.
ServerOf = Callable[[str], ModelServer]


@dataclass(frozen=True, slots=True)
class SpanValue:
    """One span: its times in seconds from the turn's acceptance; `failure` is a class of failure, empty for none."""

    name: str
    began: float
    ended: float
    attributes: Attributes
    failure: str = ""


def turn_span(record: TurnRecord) -> SpanValue:
    """The span around all others."""
    key = record.key
    attributes: dict[str, str | int | float | bool | tuple[str, ...]] = {
        names.PLATFORM: key.platform,
        names.REFERENCE: key.reference,
        names.ENDING: record.ending.value,
        names.MESSAGES: record.messages,
        names.WRITES: record.writes,
        names.ATTEMPTS: len(record.events.attempts),
    }
    if key.workspace:
        attributes[names.WORKSPACE] = key.workspace
    if key.generation:
        attributes[names.GENERATION] = key.generation
    if record.events.resumed:
        attributes[names.RESUMED] = True
    if record.fallback:
        attributes[names.FALLBACK] = True
    figures = {
        names.FIRST_VISIBLE: record.first_visible,
        names.CHARACTER_DELAY: record.character_delay,
        names.SETTLE: record.settle,
    }
    attributes |= {name: seconds for name, seconds in figures.items() if seconds is not None}
    failure = _turn_failure(record)
    if failure:
        attributes[names.ERROR_TYPE] = failure
    return SpanValue(names.TURN, 0.0, record.seconds, attributes, failure)


def child_spans(record: TurnRecord, server_of: ServerOf) -> Iterator[SpanValue]:
    """The attempts, then the first and the last write; each within the turn."""
    for attempt in record.events.attempts:
        yield _within(record, _attempt_span(attempt, server_of(attempt.model)))
    for order, write in (("first", record.events.first_write), ("final", record.events.last_write)):
        if write is not None:
            yield _within(record, _write_span(order, write, record.key.platform))


def _turn_failure(record: TurnRecord) -> str:
    """Why there is no whole answer, if that is a failure. A stop, or a channel that is gone, is none."""
    if record.ending is not Ending.FAILED:
        return ""
    last_write = record.events.last_write or record.events.first_write
    if last_write is not None and last_write.outcome != "ok":
        return f"write_{last_write.outcome}"
    last_attempt = record.events.attempts[-1] if record.events.attempts else None
    return last_attempt.failure if last_attempt is not None and last_attempt.failure else "failed"


def _attempt_span(attempt: AttemptRecord, server: ModelServer) -> SpanValue:
    model = _clean(server.model or attempt.model)
    finish = names.FINISH_VALUES[attempt.finish] if attempt.finish is not None else names.NO_FINISH
    attributes: dict[str, str | int | float | bool | tuple[str, ...]] = {
        names.OPERATION_NAME: names.CHAT,
        names.PROVIDER_NAME: server.provider,
        names.REQUEST_MODEL: model,
        names.FINISH_REASONS: (finish,),
    }
    if server.address:
        attributes |= {names.SERVER_ADDRESS: server.address, names.SERVER_PORT: server.port}
    if attempt.streamed:
        attributes[names.REQUEST_STREAM] = True
        if attempt.first_delta is not None:
            attributes[names.TIME_TO_FIRST_CHUNK] = max(attempt.first_delta - attempt.began, 0.0)
    if (usage := attempt.usage) is not None:
        attributes |= {names.INPUT_TOKENS: usage.input_tokens, names.OUTPUT_TOKENS: usage.output_tokens}
        details = {names.CACHED_TOKENS: usage.cached_tokens, names.REASONING_TOKENS: usage.reasoning_tokens}
        attributes |= {name: tokens for name, tokens in details.items() if tokens}
        if usage.model:
            attributes[names.RESPONSE_MODEL] = usage.model
    if attempt.failure:
        attributes[names.ERROR_TYPE] = attempt.failure
    elif attempt.finish is None:
        attributes[names.CANCELLED] = True
    return SpanValue(f"{names.CHAT} {model}".strip(), attempt.began, attempt.ended, attributes, attempt.failure)


def _clean(name: str) -> str:
    """A model's name as one line of bounded length, and fit for UTF-8: one bad name would cost a batch of spans."""
    return "".join(filter(str.isprintable, name[:MODEL_CHARACTERS]))


def _write_span(order: str, write: WriteRecord, platform: str) -> SpanValue:
    failure = "" if write.outcome == "ok" else write.outcome
    attributes: dict[str, str | int | float | bool | tuple[str, ...]] = {
        names.PLATFORM: platform,
        names.WRITE_VERB: write.verb,
        names.WRITE_TRIES: write.tries,
    }
    if failure:
        attributes[names.ERROR_TYPE] = failure
    return SpanValue(f"{order} {write.verb}", write.began, write.ended, attributes, failure)


def _within(record: TurnRecord, span: SpanValue) -> SpanValue:
    """The span with its times inside the turn's, and in order: rounding must not let a child stand out."""
    began = min(max(span.began, 0.0), record.seconds)
    ended = min(max(span.ended, began), record.seconds)
    return SpanValue(span.name, began, ended, span.attributes, span.failure)
