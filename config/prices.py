"""The price of a model as the operator writes it: 0, or a table of US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import PlainValidator

from config.types import must_be

EXAMPLE = "{ input = 1.25, cached_input = 0.125, output = 10.0 }"
EXPECTED = f"0 or {EXAMPLE}, in US dollars per million tokens"

# Dollars per million tokens. The dearest models cost a few hundred; a price beyond this is in another unit.
HIGHEST_PRICE = 100_000

RATES = frozenset({"input", "cached_input", "output"})


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million tokens. `cached_input` None: as other input."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


@dataclass(frozen=True, slots=True)
class SizeTier:
    """Rates of a call with more than `above` input tokens, for all of its tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """Rates for short calls, and `tiers` for longer ones."""

    rates: Rates
    tiers: tuple[SizeTier, ...] = ()


FREE = Price(Rates(Decimal(0), Decimal(0)))


def parse_price(value: object) -> Price:
    """Read a price from TOML. Raises the error of a malformed setting, with the key at fault."""
    if isinstance(value, Price):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return FREE
    table = _table(value, RATES | {"tiers"})
    tiers = table.get("tiers", [])
    if not isinstance(tiers, list):
        raise must_be(f"{EXPECTED} (tiers is a list of tables: {{ above = 200000, input = 2.5, output = 15.0 }})")
    return Price(_rates(table), tuple(sorted(map(_tier, tiers), key=lambda tier: tier.above)))


def _tier(value: object) -> SizeTier:
    table = _table(value, RATES | {"above"})
    above = table.get("above")
    if not isinstance(above, int) or isinstance(above, bool) or above <= 0:
        raise must_be(f"{EXPECTED} (each tier has above, a number of input tokens)")
    return SizeTier(above, _rates(table))


def _table(value: object, known: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise must_be(EXPECTED)
    if unknown := sorted(str(key)[:16] for key in value if key not in known):
        raise must_be(f"{EXPECTED} ({unknown[0]!r} is not one of {', '.join(sorted(known))})")
    return value


def _rates(table: Mapping[str, object]) -> Rates:
    for key in ("input", "output"):
        if key not in table:
            raise must_be(f"{EXPECTED} ({key} is missing)")
    cached = _rate(table["cached_input"], "cached_input") if "cached_input" in table else None
    return Rates(_rate(table["input"], "input"), _rate(table["output"], "output"), cached)


def _rate(value: object, key: str) -> Decimal:
    """One rate. A float becomes the decimal number in the file: 0.1 is one tenth."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= HIGHEST_PRICE:
        return Decimal(str(value))
    raise must_be(f"{EXPECTED} ({key} is a number from 0 to {HIGHEST_PRICE})")


PriceTable = Annotated[Price, PlainValidator(parse_price)]
