"""The cost of model calls: the server's own, the operator's prices, or the price table of `genai-prices`.

The table is part of that package and is never updated from the network. Loading it takes a tenth of a second, so it is
loaded with this module, at the start of the program.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

import genai_prices
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, PriceCalculation, Provider
from typing_extensions import override

from bot.conversation import Usage
from bot.pricing import Cost, CostSource, ModelPrice, Pricing, server_cost

log = logging.getLogger(__name__)

# Gateways put the vendor before a model's name: "openai/gpt-5". With its first provider the table reads the vendor from
# the name; the second has the most models of all gateways.
GATEWAYS = ("litellm", "openrouter")

# Names of models looked up in the table. Servers choose them, so their number is limited; later ones have no price.
MOST_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model of the operator's list: its server, its name there, and its own price if it has one."""

    server_name: str
    base_url: str
    price: ModelPrice | None = None


class Prices(Pricing):
    """Knows the cost of calls of the operator's models. `wall_clock` dates the table's prices."""

    def __init__(
        self, default: PricedModel, by_name: Mapping[str, PricedModel], wall_clock: Callable[[], datetime]
    ) -> None:
        self._default = default
        self._by_name = MappingProxyType(dict(by_name))
        self._wall_clock = wall_clock
        self._table = DataSnapshot(providers, from_auto_update=False)
        self._found: dict[tuple[str, str], tuple[Provider, ModelInfo] | None] = {}

    @override
    def cost(self, model: str, usage: Usage) -> Cost:
        if (own := server_cost(usage)) is not None:
            return own
        priced = self._by_name.get(model)
        if priced is None:  # the default model, or another one of its server
            is_default = model in {"", self._default.server_name}
            priced = self._default if is_default else PricedModel(model, self._default.base_url)
        if priced.price is not None:
            return Cost(priced.price.cost(usage), CostSource.OPERATOR)
        amount = self._table_cost(priced, usage)
        return Cost() if amount is None else Cost(amount, CostSource.GENAI_PRICES)

    def _table_cost(self, priced: PricedModel, usage: Usage) -> Decimal | None:
        """The table's cost by the model's name in the response, else by its requested name; None if it has neither."""
        for name in dict.fromkeys((usage.model, priced.server_name)):
            found = self._find(name, priced.base_url) if name else None
            if found is not None:
                return self._calculate(*found, usage)
        return None

    def _calculate(self, provider: Provider, model: ModelInfo, usage: Usage) -> Decimal | None:
        counts = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=min(usage.cached_tokens, usage.input_tokens),
            output_tokens=usage.output_tokens,
        )
        try:
            calculation: PriceCalculation = model.calc_price(
                counts, provider, genai_request_timestamp=self._wall_clock()
            )
        except (LookupError, ValueError, ArithmeticError) as error:
            log.warning("no price", extra={"model": model.id, "failure": repr(error)})
            return None
        return calculation.total_price

    def _find(self, name: str, base_url: str) -> tuple[Provider, ModelInfo] | None:
        """The table's entry: of the server's provider, else of the name alone."""
        key = name, base_url
        if key not in self._found:
            if len(self._found) >= MOST_NAMES:
                return None
            self._found[key] = self._look_up(name, base_url)
        return self._found[key]

    def _look_up(self, name: str, base_url: str) -> tuple[Provider, ModelInfo] | None:
        gateways = GATEWAYS if "/" in name else ()
        ways: list[tuple[str | None, str | None]] = [
            (None, base_url),
            (None, None),
            *((each, None) for each in gateways),
        ]
        for provider, url in ways:
            try:
                return self._table.find_provider_model(name, None, provider, url)
            except LookupError:
                continue
        return None
