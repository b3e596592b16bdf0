"""The cost of a model call: where it comes from, and the arithmetic of a price. Pure; all amounts in US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from bot.conversation import Usage

# Prices are per this many tokens.
TOKENS_PER_PRICE = 1_000_000


class CostSource(StrEnum):
    """Where a cost comes from. The values are stored and exported."""

    SERVER = "server"  # in the server's response
    OPERATOR = "operator"  # the operator's price
    GENAI_PRICES = "genai-prices"  # the price table of that package: an estimate
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call in US dollars; `amount` is None if it is unknown."""

    amount: Decimal | None = None
    source: CostSource = CostSource.UNKNOWN


class Pricing(Protocol):
    """Knows the cost of model calls."""

    def cost(self, model: str, usage: Usage) -> Cost:
        """The cost of a call of `model`, a name in the operator's list or a server's name; empty: the default model.

        Never raises, reads no network, and takes under a millisecond.
        """
        ...


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Prices per million tokens. `cached_input` applies to input from the server's cache; None: as other input."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Prices of a call with more than `above` input tokens. They apply to all of its tokens."""

    above: int
    prices: TokenPrices


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """The price of a model: for short calls, and for longer ones by `tiers` in any order."""

    prices: TokenPrices
    tiers: tuple[PriceTier, ...] = ()

    def cost(self, usage: Usage) -> Decimal:
        """The cost of a call with this usage."""
        prices = self._prices(usage.input_tokens)
        cached = min(usage.cached_tokens, usage.input_tokens)
        cached_price = prices.input if prices.cached_input is None else prices.cached_input
        total = (usage.input_tokens - cached) * prices.input + cached * cached_price
        return (total + usage.output_tokens * prices.output) / TOKENS_PER_PRICE

    def _prices(self, input_tokens: int) -> TokenPrices:
        exceeded = [tier for tier in self.tiers if input_tokens > tier.above]
        return max(exceeded, key=lambda tier: tier.above).prices if exceeded else self.prices


def server_cost(usage: Usage) -> Cost | None:
    """The cost in the server's response; None without one."""
    return None if usage.cost is None else Cost(usage.cost, CostSource.SERVER)
