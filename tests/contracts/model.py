"""The contract of `bot.ports.Model`: a test module inherits `ModelContract` and connects its model to a test server.

The cases follow the port's docstring; the adapter's own tests cover behaviour of one server or API.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field

import pytest

from bot.conversation import (
    Activity,
    Announced,
    Delta,
    Finish,
    FinishReason,
    Message,
    Prompt,
    Reasoning,
    Refusal,
    Role,
    Text,
    Usage,
)
from bot.errors import ConnectFailed, Failure, ModelRejected, NotReady, RateLimited, RejectionReason, ServiceError
from bot.ports import Model, NextWriteAt, at_once
from tests.servers.openai import SIGNS_OF_LIFE, Answer, Drop, Fault, Manner, OpenAIDouble, Script, Status

QUESTION = Prompt("Be brief.", (Message(Role.USER, (Text("What is the time?"),)),))
WORDS = "It is half past nine, and the train leaves at ten.\n\n- be there\n- be early"


@dataclass(slots=True)
class Outcome:
    """The result of one request: its deltas, and its failure if there was one.

    Activity and announced finish reasons have no fixed place among the deltas, so they are counted apart.
    """

    deltas: list[Delta]
    failure: Failure | None = None
    alive: int = 0
    announced: list[FinishReason] = field(default_factory=list)

    def take(self, delta: Delta) -> None:
        match delta:
            case Activity():
                self.alive += 1
            case Announced(reason):
                self.announced.append(reason)
            case _:
                self.deltas.append(delta)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, Text))

    @property
    def finish(self) -> Finish | None:
        last = self.deltas[-1] if self.deltas else None
        return last if isinstance(last, Finish) else None

    def of(self, kind: type[Delta]) -> list[Delta]:
        return [delta for delta in self.deltas if isinstance(delta, kind)]


async def ask(
    model: Model, *, stream: bool, prompt: Prompt = QUESTION, next_write_at: NextWriteAt = at_once
) -> Outcome:
    """Ask once and read to the end."""
    outcome = Outcome([])
    try:
        async with aclosing(model.answer(prompt, stream=stream, next_write_at=next_write_at)) as deltas:
            async for delta in deltas:
                outcome.take(delta)
    except Failure as failure:
        outcome.failure = failure
    return outcome


@pytest.mark.sockets(seconds=20)
class ModelContract:
    """Inherit, implement `serving`, and name the class ``Test...``."""

    def model(self, double: OpenAIDouble) -> AbstractAsyncContextManager[Model]:
        """A model connected to this server."""
        raise NotImplementedError

    async def outcome(self, script: Script, *, stream: bool) -> Outcome:
        async with OpenAIDouble(script) as double, self.model(double) as model:
            return await ask(model, stream=stream)

    async def test_streamed_text_arrives_whole_and_in_pieces(self) -> None:
        """With `stream`, deltas come as they arrive; joined they are the text, and `Finish` is the last."""
        outcome = await self.outcome(Answer(WORDS, words_per_second=100), stream=True)
        assert outcome.failure is None
        assert outcome.text == WORDS
        assert len(outcome.of(Text)) > 3
        assert outcome.finish == Finish(FinishReason.STOP)
        assert len(outcome.of(Finish)) == 1

    async def test_whole_text_is_one_delta(self) -> None:
        """Without `stream`, the text is a single `Text`, and `Finish` is the last delta."""
        outcome = await self.outcome(Answer(WORDS), stream=False)
        assert outcome.of(Text) == [Text(WORDS)]
        assert outcome.finish == Finish(FinishReason.STOP)

    @pytest.mark.parametrize("stream", [True, False])
    async def test_usage_comes_before_the_finish(self, stream: bool) -> None:
        """Token usage comes once, before the finish, with and without streaming."""
        outcome = await self.outcome(Answer(WORDS, tokens=(7, 9)), stream=stream)
        *_, usage, finish = outcome.deltas
        assert isinstance(usage, Usage)
        assert (usage.input_tokens, usage.output_tokens, finish) == (7, 9, Finish(FinishReason.STOP))
        assert len(outcome.of(Usage)) == 1

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        ("reason", "expected"), [("length", FinishReason.LENGTH), ("content_filter", FinishReason.FILTERED)]
    )
    async def test_finish_reasons(self, stream: bool, reason: str, expected: FinishReason) -> None:
        """An answer cut at the model's limit, or by a filter, has our finish reason."""
        outcome = await self.outcome(Answer(WORDS, finish=reason), stream=stream)
        assert outcome.finish == Finish(expected)

    @pytest.mark.parametrize("stream", [True, False])
    async def test_refusal_is_no_text(self, stream: bool) -> None:
        """A refusal is a `Refusal` and no text."""
        outcome = await self.outcome(Answer("", refusal="I will not do that."), stream=stream)
        assert outcome.text == ""
        assert "".join(d.text for d in outcome.deltas if isinstance(d, Refusal)) == "I will not do that."
        assert outcome.finish is not None

    @pytest.mark.parametrize("stream", [True, False])
    async def test_reasoning_is_no_text(self, stream: bool) -> None:
        """Reasoning is never part of the text."""
        outcome = await self.outcome(Answer(WORDS, reasoning="They ask for the time."), stream=stream)
        assert outcome.text == WORDS
        assert "".join(d.text for d in outcome.deltas if isinstance(d, Reasoning)) == "They ask for the time."

    async def test_unknown_events_are_ignored(self) -> None:
        """Unknown events, empty ones and comments change nothing."""
        outcome = await self.outcome(Answer(WORDS, odd=True), stream=True)
        assert outcome.text == WORDS
        assert outcome.finish == Finish(FinishReason.STOP)

    @pytest.mark.parametrize("fault", [Fault.END, Fault.HALF_EVENT])
    async def test_a_silent_end_has_no_finish(self, fault: Fault) -> None:
        """A stream without a finish reason ends without a `Finish`, and keeps its text."""
        outcome = await self.outcome(Answer(WORDS, fault=fault), stream=True)
        assert outcome.failure is None
        assert outcome.finish is None
        assert WORDS.startswith(outcome.text)
        assert outcome.text

    @pytest.mark.parametrize(
        "fault",
        [Fault.FIN, Fault.ERROR_EVENT, Fault.TYPED_ERROR, Fault.FAILED, Fault.MALFORMED, Fault.BAD_UTF8],
    )
    async def test_a_broken_stream_is_retryable(self, fault: Fault) -> None:
        """A stream broken in the middle raises `ServiceError` after its deltas."""
        outcome = await self.outcome(Answer(WORDS, fault=fault), stream=True)
        assert type(outcome.failure) is ServiceError
        assert outcome.failure.retry_after is None
        assert WORDS.startswith(outcome.text)
        assert outcome.text

    async def test_a_finish_reason_is_announced_at_once(self) -> None:
        """A finish reason is announced before its stream ends, after the text before it."""
        script = Answer(WORDS, manner=Manner(quiet=0.0, alive_after=True))
        async with OpenAIDouble(script) as double, self.model(double) as model:
            outcome = Outcome([])
            async with aclosing(model.answer(QUESTION, stream=True)) as deltas:
                async for delta in deltas:
                    outcome.take(delta)
                    if outcome.announced or outcome.finish:
                        break
        assert outcome.text == WORDS
        assert outcome.announced == [FinishReason.STOP] or outcome.finish == Finish(FinishReason.STOP)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", SIGNS_OF_LIFE)
    async def test_activity_is_reported(self, kind: str) -> None:
        """A working server without output yields `Activity` or reasoning now and then, and no text."""
        manner = Manner(quiet=1.5, alive_by=kind, alive_seconds=0.05)
        outcome = await self.outcome(Answer(WORDS, reasoning="hm", manner=manner), stream=True)
        assert outcome.text == WORDS
        assert outcome.finish == Finish(FinishReason.STOP)
        thoughts = [delta for delta in outcome.deltas if isinstance(delta, Reasoning)]
        assert outcome.alive + len(thoughts) >= 2
        assert "".join(delta.text for delta in thoughts) == "hm"

    async def test_a_reset_stream_is_retryable(self) -> None:
        """A reset raises `ServiceError` too; it may lose the text just sent."""
        outcome = await self.outcome(Answer(WORDS, fault=Fault.ABORT), stream=True)
        assert type(outcome.failure) is ServiceError
        assert outcome.failure.retry_after is None

    @pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.STALL])
    async def test_a_stream_broken_after_its_finish_has_finished(self, fault: Fault) -> None:
        """No fault after the finish reason changes the result."""
        script = Answer(WORDS, words_per_second=400, fault=fault, after_finish=True)
        outcome = await self.outcome(script, stream=True)
        if fault is Fault.ABORT and outcome.failure is not None:
            return  # the reset lost the finish
        assert outcome.failure is None
        assert outcome.text == WORDS
        assert outcome.finish == Finish(FinishReason.STOP)

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        ("script", "expected"),
        [
            (Status(429, headers={"retry-after": "3"}), RateLimited("", retry_after=3.0)),
            (Status(429, headers={"retry-after-ms": "250"}), RateLimited("", retry_after=0.25)),
            (Status(429), RateLimited("")),
            (Status(429, "insufficient_quota"), ModelRejected("", reason=RejectionReason.QUOTA)),
            (Status(500), ServiceError("")),
            (Status(501), ServiceError("")),
            (Status(504), ServiceError("")),
            (Status(529), ServiceError("")),
            (Status(502, raw="<html>Bad Gateway</html>", content_type="text/html"), NotReady("")),
            (Status(503, "503", "Loading model"), NotReady("")),
            (Status(503, headers={"retry-after": "2"}), NotReady("", retry_after=2.0)),
            (Status(408), ServiceError("")),
            (Status(409), ServiceError("")),
            (Status(401, "invalid_api_key"), ModelRejected("", reason=RejectionReason.CREDENTIALS)),
            (Status(403), ModelRejected("", reason=RejectionReason.CREDENTIALS)),
            (Status(404, "model_not_found"), ModelRejected("", reason=RejectionReason.MODEL)),
            (Status(400, "context_length_exceeded"), ModelRejected("", reason=RejectionReason.CONTEXT)),
            (Status(400), ModelRejected("", reason=RejectionReason.REQUEST)),
            (Status(422), ModelRejected("", reason=RejectionReason.REQUEST)),
            (Drop(), ServiceError("")),
            (Drop(reset=True), ServiceError("")),
        ],
        ids=repr,
    )
    async def test_rejected_requests(self, script: Script, expected: Failure, stream: bool) -> None:
        """Each error becomes its failure, with and without streaming."""
        outcome = await self.outcome(script, stream=stream)
        assert outcome.deltas == []
        assert type(outcome.failure) is type(expected)
        assert vars(outcome.failure) == vars(expected)

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_refused_connection(self, stream: bool) -> None:
        """A refused connection raises `ConnectFailed`."""
        async with OpenAIDouble() as double, self.model(double) as model, double.refused():
            outcome = await ask(model, stream=stream)
        assert type(outcome.failure) is ConnectFailed

    async def test_text_that_nobody_can_write_yet_is_whole(self) -> None:
        """A write that is far off may join deltas, and loses none."""
        script = Answer(WORDS, words_per_second=100, tokens=(7, 9))
        async with OpenAIDouble(script) as double, self.model(double) as model:
            outcome = await ask(model, stream=True, next_write_at=lambda _now: math.inf)
        assert (outcome.text, outcome.finish) == (WORDS, Finish(FinishReason.STOP))
        assert len(outcome.of(Usage)) == 1

    async def test_closing_early_closes_the_connection(self) -> None:
        """Closing the generator early closes the connection at once."""
        slow = Answer(WORDS * 100, words_per_second=50)
        async with OpenAIDouble(slow) as double, self.model(double) as model:
            async with aclosing(model.answer(QUESTION, stream=True)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Text):
                        break
            received = await double.wait_for(1)
            await received.left_early.wait()
            assert len(received.sent) < 100

    async def test_many_answers_at_once(self) -> None:
        """One model answers several requests at the same time, each with its own text."""
        texts = [f"answer {number} " * 20 for number in range(8)]
        scripts = [Answer(text, words_per_second=400) for text in texts]
        async with OpenAIDouble(*scripts) as double, self.model(double) as model:
            outcomes = await asyncio.gather(*(ask(model, stream=True) for _ in texts))
        assert sorted(outcome.text for outcome in outcomes) == sorted(texts)
