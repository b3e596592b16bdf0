"""The cost of calls: twenty rows of usage worked out by hand, and the order of the sources."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.prices import MOST_NAMES, PricedModel, Prices
from bot.conversation import Usage
from bot.pricing import CostSource, ModelPrice, PriceTier, TokenPrices

OPENAI = "https://api.openai.com/v1"
LOCAL = "http://127.0.0.1:8000/v1"
MILLION = 1_000_000


def dollars(input_: str, output: str, cached: str | None = None) -> TokenPrices:
    return TokenPrices(Decimal(input_), Decimal(output), None if cached is None else Decimal(cached))


# Dollars per million tokens: 2 in, 0.2 cached, 8 out; above 1,000 input tokens 4, 0.4 and 12; above 5,000: 10, 10, 20.
TIERED = ModelPrice(
    dollars("2", "8", "0.2"),
    (PriceTier(5_000, dollars("10", "20")), PriceTier(1_000, dollars("4", "12", "0.4"))),
)
PRICED = {
    "main": PricedModel("gpt-5", OPENAI),
    "tiered": PricedModel("gpt-5", OPENAI, TIERED),
    "plain": PricedModel("m", LOCAL, ModelPrice(dollars("0.1", "0.3"))),
    "free": PricedModel("qwen3", LOCAL, ModelPrice(dollars("0", "0"))),
    "long": PricedModel("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai"),
    "gateway": PricedModel("openai/gpt-5", "https://openrouter.ai/api/v1"),
    "alias": PricedModel("my-deployment", "https://name.openai.azure.com/openai/v1"),
    "unknown": PricedModel("nobody-knows-it", LOCAL),
}
SERVER, OPERATOR, TABLE, UNKNOWN = CostSource


def prices() -> Prices:
    return Prices(PRICED["main"], PRICED, lambda: datetime(2026, 11, 28, tzinfo=UTC))


# The table of genai-prices 0.2.3, dollars per million tokens:
# gpt-5: 1.25 in, 0.125 cached, 10 out. gpt-4.1: 2, 0.5, 8. gpt-4o-mini: 0.15, 0.075, 0.6.
# gemini-2.5-pro: 1.25, 0.125, 10; above 200,000 input tokens 2.5, 0.25, 15.
ROWS: list[tuple[str, Usage, str | None, CostSource]] = [
    # --- the operator's price
    # (1000 x 0.1 + 500 x 0.3) / 1M = (100 + 150) / 1M
    ("plain", Usage(1_000, 500), "0.00025", OPERATOR),
    # cached input without a price of its own costs as other input: the same
    ("plain", Usage(1_000, 500, cached_tokens=400), "0.00025", OPERATOR),
    # reasoning is part of the output: the same
    ("plain", Usage(1_000, 500, reasoning_tokens=300), "0.00025", OPERATOR),
    ("free", Usage(123_456, 7_890), "0", OPERATOR),
    # not above the first tier: (1000 x 2 + 100 x 8) / 1M = 2800 / 1M
    ("tiered", Usage(1_000, 100), "0.0028", OPERATOR),
    # cached: (600 x 2 + 400 x 0.2 + 100 x 8) / 1M = (1200 + 80 + 800) / 1M
    ("tiered", Usage(1_000, 100, cached_tokens=400), "0.00208", OPERATOR),
    # above the first tier, all tokens at its prices: (1001 x 4 + 100 x 12) / 1M = (4004 + 1200) / 1M
    ("tiered", Usage(1_001, 100), "0.005204", OPERATOR),
    # with cached input: (1000 x 4 + 1000 x 0.4 + 100 x 12) / 1M = (4000 + 400 + 1200) / 1M
    ("tiered", Usage(2_000, 100, cached_tokens=1_000), "0.0056", OPERATOR),
    # above the second tier, which has no price for cached input: (6000 x 10 + 100 x 20) / 1M = 62000 / 1M
    ("tiered", Usage(6_000, 100, cached_tokens=5_000), "0.062", OPERATOR),
    # the operator's price overrides the table, whatever the server calls the model: (10 x 2 + 10 x 8) / 1M
    ("tiered", Usage(10, 10, model="gpt-4.1"), "0.0001", OPERATOR),
    # --- the server's own cost precedes every table, and may be zero
    ("tiered", Usage(1_000, 100, cost=Decimal("0.5")), "0.5", SERVER),
    ("main", Usage(1_000, 100, cost=Decimal("0.0123")), "0.0123", SERVER),
    ("unknown", Usage(1_000, 100, cost=Decimal(0)), "0", SERVER),
    # --- the table
    # (1000 x 1.25 + 100 x 10) / 1M = (1250 + 1000) / 1M
    ("", Usage(1_000, 100), "0.00225", TABLE),
    # cached: (200 x 1.25 + 800 x 0.125 + 100 x 10) / 1M = (250 + 100 + 1000) / 1M
    ("main", Usage(1_000, 100, cached_tokens=800), "0.00135", TABLE),
    # the name in the response counts: gpt-4o-mini: (1000 x 0.15 + 1000 x 0.6) / 1M = 750 / 1M
    ("main", Usage(1_000, 1_000, model="gpt-4o-mini-2024-07-18"), "0.00075", TABLE),
    # an unknown name in the response: the requested one counts: (1000 x 1.25 + 0) / 1M
    ("main", Usage(1_000, 0, model="x-internal-7"), "0.00125", TABLE),
    # at the tier's edge: (200000 x 1.25 + 1000 x 10) / 1M = (250000 + 10000) / 1M
    ("long", Usage(200_000, 1_000), "0.26", TABLE),
    # above it: (200001 x 2.5 + 1000 x 15) / 1M = (500002.5 + 15000) / 1M
    ("long", Usage(200_001, 1_000), "0.5150025", TABLE),
    # above it, cached: (100000 x 2.5 + 200000 x 0.25 + 1000 x 15) / 1M = (250000 + 50000 + 15000) / 1M
    ("long", Usage(300_000, 1_000, cached_tokens=200_000), "0.315", TABLE),
    # a gateway's name: (1000 x 1.25 + 100 x 10) / 1M
    ("gateway", Usage(1_000, 100, model="openai/gpt-5"), "0.00225", TABLE),
    # a deployment is priced by the model in the response: gpt-4.1: (600 x 2 + 400 x 0.5 + 100 x 8) / 1M = 2200 / 1M
    ("alias", Usage(1_000, 100, cached_tokens=400, model="gpt-4.1-2025-04-14"), "0.0022", TABLE),
    # a model outside the list, at the default model's server: gpt-4.1: (1000 x 2 + 100 x 8) / 1M
    ("gpt-4.1", Usage(1_000, 100), "0.0028", TABLE),
    # --- unknown
    ("unknown", Usage(1_000, 100), None, UNKNOWN),
    ("alias", Usage(1_000, 100, model="also-unknown"), None, UNKNOWN),
]


@pytest.mark.parametrize(("model", "usage", "amount", "source"), ROWS)
def test_the_cost_of_a_call(model: str, usage: Usage, amount: str | None, source: CostSource) -> None:
    """Each row's cost is worked out by hand above it, to the last digit."""
    cost = prices().cost(model, usage)
    assert (cost.amount, cost.source) == (None if amount is None else Decimal(amount), source)


@given(
    model=st.sampled_from(sorted(PRICED)) | st.text(max_size=20),
    name=st.sampled_from(["gpt-5", "gpt-4.1", "openai/gpt-5", "claude-sonnet-4-5", ""]) | st.text(max_size=20),
    tokens=st.tuples(*[st.integers(0, 10**12)] * 4),
)
def test_no_usage_has_a_strange_cost(model: str, name: str, tokens: tuple[int, int, int, int]) -> None:
    """Whatever a server counts and calls itself, the cost is None or a finite amount, never below zero."""
    given_, made, cached, reasoning = tokens
    cost = PRICES.cost(model, Usage(given_, made, min(cached, given_), min(reasoning, made), name))
    assert cost.amount is None or (cost.amount.is_finite() and cost.amount >= 0)
    assert (cost.amount is None) is (cost.source is CostSource.UNKNOWN)


PRICES = prices()


def test_a_cached_part_larger_than_the_input_costs_as_the_input() -> None:
    """A usage that contradicts itself costs no less than nothing."""
    assert TIERED.cost(Usage(10, 0, cached_tokens=50)) == Decimal(10) * Decimal("0.2") / MILLION
    assert prices().cost("main", Usage(10, 0, cached_tokens=50)).amount == Decimal("0.00000125")


def test_the_number_of_names_is_bounded() -> None:
    """A server with a new name for each answer fills no memory, and known names keep their price."""
    own = prices()
    known = own.cost("main", Usage(1_000, 100))
    for number in range(MOST_NAMES + 10):
        assert own.cost("unknown", Usage(1, 1, model=f"name-{number}")).amount is None
    assert own.cost("main", Usage(1_000, 100)) == known
    assert own.cost("unknown", Usage(1, 1, model="gpt-4.1")).amount is None


def test_no_price_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is part of the package: no address is looked up and no socket is opened."""

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert prices().cost("main", Usage(1_000, 100)).source is CostSource.GENAI_PRICES
