"""A model with retries: attempts, backoff, timeouts, and the non-streaming fallback.

The only layer that retries a model; SDK retries are off. A frozen policy says how often and how long to ask. Every wait
is bounded: for the first delta, between deltas, for deltas without text, for all streamed attempts, and for the
fallback. `bot.delivery.reply` decides what a failed attempt shows.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bot.answer_context import NO_CONTEXT, AnswerContext
from bot.attempt_failures import Silent, kind_of
from bot.backoff import Backoff
from bot.conversation import (
    Activity,
    Announced,
    Delta,
    Finish,
    FinishReason,
    Prompt,
    Reasoning,
    Refusal,
    Retraction,
    Text,
    ToolCall,
    Usage,
)
from bot.errors import ConnectFailed, Retryable, ServiceError
from bot.ports import Model
from bot.reusable_timeout import ReusableTimeout
from bot.telemetry import Recorder
from bot.timeline import Timeline

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A new attempt begins and voids the earlier one's text. Yielded among the deltas."""

    number: int  # from 1
    streamed: bool
    model: str = ""  # as requested; empty: the configured one


@dataclass(frozen=True, slots=True)
class CompletionPolicy:
    """How a model is asked. Times in seconds."""

    # Streamed attempts. Three: a refused request and a cut stream in the same answer still end in a streamed one.
    attempts: int = 3
    # For the first delta of an attempt. Reasoning models think for long; people wait a minute at the most.
    first_chunk_seconds: float = 60.0
    # The same for the first attempt, if longer: a private server may load its model for the first question, in silence.
    # 0: no longer.
    model_loading_seconds: float = 0.0
    # Between two deltas of any kind, and after an announced end. Every known server sends several a second, and
    # gateways a comment every few seconds; twenty silent seconds mean a dead connection.
    idle_seconds: float = 20.0
    # For deltas without text: from the first of them, and from each text. Longer reasoning shows readers nothing, and
    # the fallback has its own time.
    no_text_seconds: float = 300.0
    # For all streamed attempts and their delays together, from the first text on.
    answer_seconds: float = 300.0
    # For the non-streaming fallback, invisible until its end.
    fallback_seconds: float = 120.0
    # For an absent or unready server, from the first refused connection on: a restart takes seconds, and readers
    # without news wait no longer. Attempts during that time do not count.
    connect_wait_seconds: float = 30.0
    # The same while the platform cannot be reached either: then it is our own network, and nobody can be told anything.
    outage_seconds: float = 300.0
    # With full jitter: many failed callers must not return together.
    backoff: Backoff = field(default=Backoff(0.5, 8.0, jitter=1.0))
    # Do not wait for a server that asks for more time than this, and do not ask it again.
    retry_after_limit_seconds: float = 60.0

    def delay(self, attempt: int, failure: Retryable, random_: random.Random) -> float | None:
        """Seconds to wait after the failure of this attempt (from 1), or None when the server asks for too many."""
        if failure.retry_after is not None:
            return failure.retry_after if failure.retry_after <= self.retry_after_limit_seconds else None
        return self.backoff.delay(attempt, random_)


@dataclass(slots=True)
class _ServerOutage:
    """How long the server has been absent during one answer. Attempts without a connection do not count."""

    since: float | None = None
    alone_since: float = 0.0  # from then on, the platform could be reached and the model could not
    times: int = 0

    def keeps_waiting(self, failure: Retryable, now: float, policy: CompletionPolicy, *, is_offline: bool) -> bool:
        """Whether to keep waiting after this failure; `is_offline`: the platform is unreachable too."""
        if not isinstance(failure, ConnectFailed):
            self.since, self.times = None, 0
            return False
        if self.since is None:
            self.since = self.alone_since = now
        if is_offline:
            self.alone_since = now
        self.times += 1
        longest = max(policy.outage_seconds, policy.connect_wait_seconds)
        return now - self.alone_since < policy.connect_wait_seconds and now - self.since < longest


@dataclass(slots=True)
class _Deadlines:
    """The deadlines of all streamed attempts of one answer together, in the loop's time."""

    policy: CompletionPolicy
    answer_ends_at: float = math.inf  # known once there was text
    no_text_ends_at: float = math.inf  # known once there was a sign of life

    @property
    def ends_at(self) -> float:
        """After this no streamed attempt continues or begins."""
        return min(self.no_text_ends_at, self.answer_ends_at)

    @property
    def has_text(self) -> bool:
        """Whether there was any text."""
        return self.answer_ends_at != math.inf

    def record(self, delta: Delta, now: float) -> None:
        """Record a delta, text or any other."""
        if type(delta) is Text:
            self.no_text_ends_at = now + self.policy.no_text_seconds
            if self.answer_ends_at == math.inf:
                self.answer_ends_at = now + self.policy.answer_seconds
        elif self.no_text_ends_at == math.inf:
            self.no_text_ends_at = now + self.policy.no_text_seconds

    def postpone(self, seconds: float) -> None:
        """Do not count the time without a server."""
        self.no_text_ends_at += seconds
        self.answer_ends_at += seconds

    def failure(self, seconds: float, *, is_late: bool) -> Silent:
        """The failure of a timed-out call: its limit in seconds, or the limit it hit."""
        if not is_late:
            return Silent(f"nothing came for {seconds:g} s")
        if self.no_text_ends_at < self.answer_ends_at:
            return Silent(f"no text came for {self.policy.no_text_seconds:g} s")
        return Silent("the answer took too long")


class Completion:
    """Asks a model until there is an answer, or nothing left to try.

    `by_model` holds the policies of models unlike the default one, by the name in a prompt.
    """

    def __init__(
        self,
        model: Model,
        policy: CompletionPolicy,
        recorder: Recorder,
        random_: random.Random,
        by_model: Mapping[str, CompletionPolicy] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._policy = policy
        self._by_model = by_model
        self._recorder = recorder
        self._random = random_

    async def answer(
        self, prompt: Prompt, context: AnswerContext = NO_CONTEXT
    ) -> AsyncGenerator[Delta | Attempt, None]:
        """Yield an `Attempt` and the deltas of each attempt, and a `Finish` at the very end.

        Raises the last attempt's failure: `ModelRejected` at once, a `Retryable` after all attempts.
        """
        loop, policy = asyncio.get_running_loop(), self._by_model.get(prompt.model, self._policy)
        deadlines, outage = _Deadlines(policy), _ServerOutage()
        number = 1  # attempts with a connection
        for asked in itertools.count(1):
            streamed, began = number <= policy.attempts, loop.time()
            yield Attempt(asked, streamed=streamed, model=prompt.model)
            try:
                with self._recorded(context.timeline or Timeline(began), prompt.model, streamed=streamed) as recorded:
                    async with aclosing(self._call(prompt, context, deadlines, number)) as deltas:
                        async for delta in deltas:
                            recorded.first_delta_came(loop.time())
                            yield delta
                            break  # to a loop without a step per delta
                        async for delta in deltas:
                            yield delta
            except Retryable as failure:
                log.warning("attempt failed", extra={"attempt": number, "failure": repr(failure)})
                waits_for_server = outage.keeps_waiting(failure, loop.time(), policy, is_offline=context.is_offline())
                if not (streamed or waits_for_server):
                    raise
                delay = policy.delay(outage.times if waits_for_server else number, failure, self._random)
                if delay is None:
                    raise
                if waits_for_server:  # nobody was there to take the time of an answer
                    deadlines.postpone(loop.time() + delay - began)
            else:
                return
            if streamed and loop.time() + delay >= deadlines.ends_at:
                number = policy.attempts + 1
                continue
            await asyncio.sleep(delay)
            number += not waits_for_server

    def once(self) -> Completion:
        """The same with a single streamed attempt, and the call without streaming after it."""
        policy, *others = (
            replace(policy, attempts=min(policy.attempts, 1)) for policy in (self._policy, *self._by_model.values())
        )
        by_model = dict(zip(self._by_model, others, strict=True))
        return Completion(self._model, policy, self._recorder, self._random, by_model)

    def _call(
        self, prompt: Prompt, context: AnswerContext, deadlines: _Deadlines, number: int
    ) -> AsyncGenerator[Delta, None]:
        """Attempt `number`: streamed, or the fallback call after them."""
        if number <= deadlines.policy.attempts:
            stream = self._streamed(prompt, context, deadlines, first=number == 1)
        else:
            stream = self._fallback(prompt, deadlines.policy)
        return _checked(stream, alone=not deadlines.has_text)

    def _streamed(
        self, prompt: Prompt, context: AnswerContext, deadlines: _Deadlines, *, first: bool
    ) -> AsyncGenerator[Delta, None]:
        policy = deadlines.policy
        silent = max(policy.first_chunk_seconds, policy.model_loading_seconds if first else 0.0)
        timeouts = _Timeouts(silent, policy.first_chunk_seconds, policy.idle_seconds)
        stream = self._model.answer(prompt, stream=True, next_write_at=context.next_write_at)
        return _with_timeouts(stream, timeouts, deadlines)

    def _fallback(self, prompt: Prompt, policy: CompletionPolicy) -> AsyncGenerator[Delta, None]:
        seconds = policy.fallback_seconds
        deadlines = _Deadlines(policy, answer_ends_at=asyncio.get_running_loop().time() + seconds)
        return _with_timeouts(self._model.answer(prompt, stream=False), _Timeouts(seconds, seconds, seconds), deadlines)

    @contextmanager
    def _recorded(self, timeline: Timeline, model: str, *, streamed: bool) -> Iterator[Timeline]:
        """Record an attempt in the timeline, however it ends, and its failure as a figure."""
        loop, kind = asyncio.get_running_loop(), ""
        timeline.attempt_began(loop.time(), model, streamed=streamed)
        try:
            yield timeline
        except Exception as failure:
            kind = kind_of(failure)
            self._recorder.attempt_failed(kind)
            raise
        finally:
            timeline.attempt_ended(loop.time(), kind)


@dataclass(frozen=True, slots=True)
class _Timeouts:
    """How long one call is waited for. Seconds."""

    silent: float  # until anything comes
    first: float  # from a sign of life until a delta comes
    between: float  # from then on


async def _with_timeouts(
    deltas: AsyncGenerator[Delta, None], timeouts: _Timeouts, deadlines: _Deadlines
) -> AsyncGenerator[Delta, None]:
    """Pass on deltas in time; activity ends here.

    After an announced end, wait only for more of the answer or another end; silence then means that was the end. Raises
    `Silent`.
    """
    loop = asyncio.get_running_loop()
    seconds, announced = timeouts.silent, None
    patient_until = loop.time() + seconds
    async with aclosing(deltas):
        with ReusableTimeout(loop) as watch:
            while True:
                ends_at = min(patient_until, deadlines.ends_at)
                try:
                    delta = await watch.over(anext(deltas, None), ends_at)
                except TimeoutError as error:
                    if announced is None:
                        raise deadlines.failure(seconds, is_late=ends_at < patient_until) from error
                    for held in announced.rest:
                        yield held
                    yield Finish(announced.reason)
                    return
                if delta is None:
                    return
                if type(delta) is not Activity:
                    yield delta
                    if isinstance(delta, Finish):
                        return  # how its connection is closed is not waited for
                now = loop.time()
                deadlines.record(delta, now)
                if announced is None or _continues(delta, announced):
                    has_delta = type(delta) is not Activity or seconds == timeouts.between
                    seconds = timeouts.between if has_delta else timeouts.first
                    patient_until = now + seconds
                if type(delta) is Announced:
                    announced = delta


def _continues(delta: Delta, announced: Announced) -> bool:
    """Whether an answer with an announced end continues with this delta."""
    if isinstance(delta, Announced):
        return delta.reason is not announced.reason
    return not isinstance(delta, Usage | Activity)


async def _checked(deltas: AsyncGenerator[Delta, None], *, alone: bool) -> AsyncGenerator[Delta, None]:
    """Pass on deltas, and fail an answer without a finish reason or without words.

    An empty answer passes if a retry would not help: cut by its length limit or a filter, or only reasoning or a tool
    call, each reported as such. With an earlier attempt's text (not `alone`), it fails too: the earlier text is worth
    more.
    """
    check = _AnswerCheck()
    async with aclosing(deltas):
        async for delta in deltas:
            if isinstance(delta, Finish):
                yield check.checked(delta, alone=alone)
                return
            if not (check.has_text and type(delta) is Text):
                check.record(delta)
            yield delta
    raise ServiceError("the stream ended without a finish reason")


@dataclass(slots=True)
class _AnswerCheck:
    """The contents of one answer so far."""

    has_text: bool = False
    has_reasoning: bool = False
    has_tool_call: bool = False

    def record(self, delta: Delta) -> None:
        """Record a delta."""
        if isinstance(delta, Text | Refusal):
            self.has_text = self.has_text or bool(delta.text.strip())
        elif isinstance(delta, Reasoning):
            self.has_reasoning = True
        elif isinstance(delta, Retraction):
            self.has_text, self.has_reasoning = False, True
        elif isinstance(delta, ToolCall):
            self.has_tool_call = True

    def checked(self, finish: Finish, *, alone: bool) -> Finish:
        """The finish to report. Raises `ServiceError` if the answer is empty."""
        if self.has_text or finish.reason in {FinishReason.LENGTH, FinishReason.FILTERED}:
            return finish
        if alone and (self.has_tool_call or finish.reason is FinishReason.TOOLS):
            return Finish(FinishReason.TOOLS_ONLY)
        if alone and self.has_reasoning:
            return Finish(FinishReason.THOUGHT_ONLY)
        raise ServiceError("the answer is empty")
