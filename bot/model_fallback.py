"""Another model answers if the chosen one cannot: the operator's fallback list.

The next model is asked only before any text, since a second answer would contradict the shown one. Each later model
gets a single streamed attempt and the call without streaming, and none begins after `FallbackPolicy.seconds`: the
patience for all models together is that time, and the time of one such model.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import MappingProxyType

from bot.answer_context import NO_CONTEXT, AnswerContext
from bot.completion import Attempt
from bot.conversation import Announced, Delta, Finish, Prompt, Refusal, Text
from bot.errors import Failure, ModelRejected, RejectionReason, Retryable
from bot.models import ModelCatalog, ModelInfo
from bot.prompt_reduction import PromptReducer, ReducedPrompt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """Models to ask in turn, by name, and for how long to begin with another one. Seconds."""

    models: tuple[str, ...] = ()
    # Longer than the patience for one silent model (`bot.completion.CompletionPolicy`), which may load for 180 s.
    seconds: float = 480.0


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """A fallback model answers, in place of the chosen one. Yielded before its first text."""

    model: str
    missing: str


def _always(_failed: ModelInfo, _candidate: ModelInfo) -> bool:
    return True


def _never(_failed: ModelInfo, _candidate: ModelInfo) -> bool:
    return False


def _has_more_context(failed: ModelInfo, candidate: ModelInfo) -> bool:
    return 0 < failed.context < candidate.context


# Whether another model may take a rejected prompt. The account, the key, the name and the set-up are each model's own.
# A conversation too long for one fits a larger context. Images were already left out (`bot.prompt_reduction`), and any
# other fault is in the request: a content policy is not to be circumvented.
HELPS: Mapping[RejectionReason, Callable[[ModelInfo, ModelInfo], bool]] = MappingProxyType(
    {
        RejectionReason.QUOTA: _always,
        RejectionReason.CREDENTIALS: _always,
        RejectionReason.MODEL: _always,
        RejectionReason.SETUP: _always,
        RejectionReason.CONTEXT: _has_more_context,
        RejectionReason.IMAGES: _never,
        RejectionReason.IMAGE: _never,
        RejectionReason.TOO_MANY_IMAGES: _never,
        RejectionReason.REQUEST: _never,
    }
)


class ModelFallback:
    """Asks a `PromptReducer` for the chosen model, then for each fallback model, until one answers."""

    def __init__(self, reducer: PromptReducer, catalog: ModelCatalog, policy: FallbackPolicy) -> None:
        self._reducer = reducer
        self._catalog = catalog
        self._policy = policy

    def answer(
        self, prompt: Prompt, context: AnswerContext = NO_CONTEXT
    ) -> AsyncGenerator[Delta | Attempt | ReducedPrompt | AnsweredBy, None]:
        """As `PromptReducer.answer`, with an `AnsweredBy` if a fallback model answers.

        Attempts are numbered across all models, and recorded in the timeline. Raises the chosen model's failure if no
        model sent any text.
        """
        if self._policy.models:
            return self._with_fallback(prompt, context)
        # Without a list no delta passes through another generator.
        return self._reducer.answer(replace(prompt, model=self._name_of(prompt.model)), context)

    async def _with_fallback(
        self, prompt: Prompt, context: AnswerContext
    ) -> AsyncGenerator[Delta | Attempt | ReducedPrompt | AnsweredBy, None]:
        loop = asyncio.get_running_loop()
        ends_at, numbers = loop.time() + self._policy.seconds, itertools.count(1)
        chosen = self._name_of(prompt.model)
        remaining: Sequence[str] = [name for name in map(self._name_of, self._policy.models) if name != chosen]
        name, first_failure = chosen, None
        while True:
            progress = _Progress(() if first_failure is None else (AnsweredBy(name, chosen),))
            asked, once = replace(prompt, model=name), first_failure is not None
            try:
                async with aclosing(self._reducer.answer(asked, context, once=once)) as deltas:
                    async for delta in deltas:
                        if type(delta) is Text and progress.has_text:  # nearly every delta
                            yield delta
                        elif isinstance(delta, Attempt):
                            yield replace(delta, number=next(numbers))
                        else:
                            for each in progress.passed_on(delta):
                                yield each
            except Failure as failure:
                if progress.has_text:
                    raise
                first_failure = first_failure or failure
                remaining = [each for each in remaining if self._helps(failure, name, each)]
                if not remaining or loop.time() >= ends_at:
                    raise first_failure from None
                log.warning("asking a fallback model", extra={"model": remaining[0], "failure": repr(failure)})
                name, *remaining = remaining
            else:
                return

    def _name_of(self, name: str) -> str:
        """The name in the list; a server's own name stays as it is."""
        found = self._catalog.find(name)
        return name if found is None else found.name

    def _helps(self, failure: Failure, failed: str, candidate: str) -> bool:
        """Whether the candidate may answer after this failure of another model."""
        if isinstance(failure, ModelRejected):
            return HELPS[failure.reason](self._info(failed), self._info(candidate))
        return isinstance(failure, Retryable)

    def _info(self, name: str) -> ModelInfo:
        return self._catalog.find(name) or ModelInfo(name, name, name)


class _Progress:
    """The deltas of one model. Notices wait for its first word or its end: without, they would concern no answer."""

    def __init__(self, notices: tuple[ReducedPrompt | AnsweredBy, ...]) -> None:
        self.has_text = False
        self._waiting: list[ReducedPrompt | AnsweredBy] = list(notices)

    def passed_on(self, delta: Delta | ReducedPrompt) -> Sequence[Delta | ReducedPrompt | AnsweredBy]:
        """The deltas to pass on now."""
        if isinstance(delta, ReducedPrompt):
            self._waiting.append(delta)
            return ()
        if isinstance(delta, Text | Refusal):
            self.has_text = self.has_text or bool(delta.text.strip())
        if not (self.has_text or isinstance(delta, Announced | Finish)):
            return (delta,)
        notices, self._waiting = self._waiting, []
        return (*notices, delta)
