"""Values as the tables hold them: money, owners of counters, texts."""

from __future__ import annotations

import hmac
from decimal import ROUND_CEILING, Decimal

# Money is in billionths of a US dollar: a token costs a hundred of them or more, and 64 bits hold nine billion dollars.
MONEY_UNITS = 1_000_000_000

# States of a question.
RESERVED, ENDED, REFUNDED = "reserved", "ended", "refunded"

# The key of the secret behind the hashes of owners.
SALT_KEY = "counters.salt"

# A person is told about a reached limit at most this often, in seconds.
NOTICE_SECONDS = 3_600.0

# Expired reservations freed at one admission: more would delay it.
EXPIRED_AT_ONCE = 100


def to_units(money: Decimal) -> int:
    """US dollars as stored, rounded up."""
    return int((money * MONEY_UNITS).to_integral_value(ROUND_CEILING))


def from_units(units: int) -> Decimal:
    """Stored money in US dollars."""
    return Decimal(units) / MONEY_UNITS


def hash_owner(owner: str, salt: str) -> str:
    """The stored owner of a counter: it names nobody, and still counts for the same person after "forget me"."""
    return hmac.digest(salt.encode(), owner.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


def clean(text: str) -> str:
    """Text without halves of surrogate pairs and NUL, as a platform may send them: databases take neither."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
