"""Admits questions under quotas, and keeps the ledger: `bot.turns.hooks.QuestionMeter` on a store.

Limits are in `bot.quotas`, prices in `bot.pricing`, sentences in `bot.strings`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial

from typing_extensions import override

from bot.conversation import Turn, Usage
from bot.ledger import LedgerEntry, LedgerStore, Reservation
from bot.pricing import Cost, Pricing
from bot.quota_book import QuotaBook
from bot.quota_notices import describe_refusal
from bot.quotas import asker_at, limits_of
from bot.records import RecordsUnavailable
from bot.records_backlog import RecordsBacklog
from bot.strings import Strings
from bot.telemetry import UsageRecorder
from bot.turns.hooks import ADMITTED, ChoiceSource, ModelCall, QuestionMeter, QuotaDecision, TurnChoices

log = logging.getLogger(__name__)

# Mean characters of a token in English text; others have fewer
# (https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them).
CHARACTERS_PER_TOKEN = 4

# Tokens reserved for an answer if the model has no limit for it: twice the length of a typical long one.
UNLIMITED_ANSWER_TOKENS = 1_024

# Conversations with a known length of the prompt; a forgotten one is estimated by its question.
REMEMBERED_CONVERSATIONS = 10_000

# A server's count beyond this is a mistake, and 64 bits must hold sums.
MAX_TOKENS = 1_000_000_000
MAX_COST = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class MeteringOptions:
    """The operator's model, for estimates.

    `answer_tokens` returns the limit of a model's answers, by its name in the operator's list; None without one.
    `server_name` returns such a model's name at its server. `expiry_seconds` is the age of a reservation whose turn
    nobody will continue.
    """

    system_characters: int
    answer_tokens: Callable[[str], int | None]
    expiry_seconds: float
    server_name: Callable[[str], str] = str


class LedgerMeter(QuestionMeter):
    """Counts questions and model calls in a store. Without a working store, everything is admitted."""

    def __init__(
        self,
        store: LedgerStore,
        *,
        backlog: RecordsBacklog,
        quotas: QuotaBook,
        pricing: Pricing,
        choices: ChoiceSource,
        recorder: UsageRecorder,
        strings: Strings,
        options: MeteringOptions,
        wall_clock: Callable[[], datetime],
    ) -> None:
        """`wall_clock` returns the time in the operator's time zone."""
        self._store = store
        self._backlog = backlog
        self._quotas = quotas
        self._pricing = pricing
        self._choices = choices
        self._recorder = recorder
        self._strings = strings
        self._options = options
        self._wall_clock = wall_clock
        self._conversation_characters: dict[str, int] = {}  # of the last prompt and its answer; the oldest first

    @override
    async def admit(self, turn: Turn) -> QuotaDecision:
        now, choices = self._wall_clock(), await self._choices.choices(turn)
        try:
            refusal = await self._store.reserve(await self._reservation(turn, choices, now))
        except RecordsUnavailable:
            return ADMITTED
        except Exception:
            log.exception("quota not checked", extra={"turn": turn.key.reference})
            return ADMITTED
        if refusal is None:
            return QuotaDecision(choices=choices)
        limit = refusal.limit
        log.info("quota reached", extra={"turn": turn.key.reference, "scope": limit.counter.scope, "unit": limit.unit})
        return QuotaDecision(
            admitted=False, notice=describe_refusal(limit, now, self._strings) if refusal.notify else ""
        )

    @override
    async def settle(self, turn: Turn, calls: Sequence[ModelCall], *, has_text: bool, ended: bool = True) -> None:
        entries = [self._entry(turn, call) for call in calls]
        if calls:
            last = calls[-1]
            self._remember(turn.conversation, last.prompt_characters + last.answer_characters)
        for entry in entries:
            self._recorder.spent(entry)
        settle = partial(self._store.settle, turn.key, entries, refund=not has_text, ended=ended)
        try:
            await settle()
        except RecordsUnavailable:
            self._backlog.add(partial(settle, repeated=True))
        except Exception:
            log.exception("usage not recorded", extra={"turn": turn.key.reference})

    async def _reservation(self, turn: Turn, choices: TurnChoices, now: datetime) -> Reservation:
        model = turn.model or choices.model
        limit = self._options.answer_tokens(model)
        question = len(turn.question.text)
        system = len(choices.system) if choices.system else self._options.system_characters
        before = self._conversation_characters.get(turn.conversation, 0)
        prompt = tokens_of(max(system, before) + question)
        answer = UNLIMITED_ANSWER_TOKENS if limit is None else limit
        key, author = turn.key, turn.author
        asker = asker_at(key.platform, key.workspace, turn.parent or key.channel, author.id, author.roles)
        at = now.timestamp()
        return Reservation(
            key,
            author.id,
            at,
            prompt_tokens=prompt,
            answer_tokens=answer,
            answer_is_guess=limit is None,
            money=self._cost(model, Usage(prompt, answer)).amount or Decimal(0),
            expires_at=at + self._options.expiry_seconds,
            counters=asker.counters(now),
            limits=limits_of(await self._quotas.rules(), asker, now),
        )

    def _entry(self, turn: Turn, call: ModelCall) -> LedgerEntry:
        usage = counted(call)
        cost = self._cost(call.model, usage)
        if cost.amount is None and not usage.input_tokens + usage.output_tokens:
            cost = replace(cost, amount=Decimal(0))  # it failed before the first token
        key = turn.key
        return LedgerEntry(
            self._wall_clock().timestamp(),
            key.platform,
            key.workspace,
            key.channel,
            turn.author.id,
            key.digest,
            _clean(usage.model or self._options.server_name(call.model)),
            usage.input_tokens,
            usage.cached_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            cost.amount,
            cost.source,
            estimated=call.usage is None,
        )

    def _cost(self, model: str, usage: Usage) -> Cost:
        """The cost of a call; unknown for an amount that no call costs."""
        cost = self._pricing.cost(model, usage)
        is_plausible = cost.amount is not None and cost.amount.is_finite() and 0 <= cost.amount <= MAX_COST
        return cost if is_plausible else Cost()

    def _remember(self, conversation: str, characters: int) -> None:
        self._conversation_characters.pop(conversation, None)
        self._conversation_characters[conversation] = characters
        if len(self._conversation_characters) > REMEMBERED_CONVERSATIONS:
            del self._conversation_characters[next(iter(self._conversation_characters))]


def counted(call: ModelCall) -> Usage:
    """The tokens of a call: the server's count within bounds, or an estimate.

    A call without any text, not even reasoning, failed and counts nothing.
    """
    usage = call.usage
    if usage is None:
        reasoning = tokens_of(call.reasoning_characters)
        output = tokens_of(call.answer_characters) + reasoning
        return Usage(tokens_of(call.prompt_characters) if output else 0, output, reasoning_tokens=reasoning)
    return replace(
        usage,
        input_tokens=_bounded(usage.input_tokens),
        output_tokens=_bounded(usage.output_tokens),
        cached_tokens=_bounded(usage.cached_tokens),
        reasoning_tokens=_bounded(usage.reasoning_tokens),
    )


def tokens_of(characters: int) -> int:
    """An estimate of the tokens in a text, rounded up."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), MAX_TOKENS)


def _clean(name: str) -> str:
    """A model's name as one printable line of at most 200 characters."""
    return "".join(letter for letter in name[:200] if letter.isprintable())
