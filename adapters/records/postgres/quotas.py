"""Arguments and results of PostgreSQL's functions for questions, reservations and counters (migrations, 0002)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.postgres.options import UNSYNCED
from adapters.records import ledger
from adapters.records.postgres.script_engine import PREFIX
from adapters.records.values import (
    EXPIRED_AT_ONCE,
    MONEY_UNITS,
    NOTICE_SECONDS,
    clean,
    from_units,
    hash_owner,
    to_units,
)
from bot.conversation import TurnKey
from bot.ledger import CounterKey, CounterState, LedgerEntry, Limit, Refusal, Reservation, Unit

# As on SQLite (`PRAGMA synchronous = NORMAL`): acknowledgements of questions wait for the disk too.
RESERVE = f"SELECT refused, notify FROM {UNSYNCED}, {PREFIX}reserve($1)"  # noqa: S608 (constants)
SETTLE = f"SELECT FROM {UNSYNCED}, {PREFIX}settle($1)"
READ_COUNTERS = f"""
SELECT scope, owner, period, questions, tokens, money, reserved_tokens, reserved_money FROM {PREFIX}counters
WHERE (scope, owner, period) IN (SELECT k->>0, k->>1, k->>2 FROM jsonb_array_elements($1) AS k)
"""  # noqa: S608 (constants)


def to_reserve(wanted: Reservation, salt: str) -> str:
    """The argument of `RESERVE`."""
    key = wanted.key
    return _dump(
        {
            "turn": key.digest,
            "platform": key.platform,
            "workspace": key.workspace,
            "channel": key.channel,
            "message": key.message,
            "generation": key.generation,
            "user": wanted.user,
            "at": wanted.at,
            "expires_at": wanted.expires_at,
            "tokens": wanted.prompt_tokens + wanted.answer_tokens,
            # A guessed answer may take what is left, at least one token.
            "least_tokens": wanted.prompt_tokens + (1 if wanted.answer_is_guess else wanted.answer_tokens),
            "money": to_units(wanted.money),
            "price": str(wanted.money * MONEY_UNITS),
            "counters": [_counter(each, salt) for each in wanted.counters],
            "limits": [_limit(each, salt) for each in wanted.limits],
            "person": hash_owner(f"{key.platform}/{wanted.user}", salt),
            "notice_seconds": NOTICE_SECONDS,
            "expired_at_once": EXPIRED_AT_ONCE,
        }
    )


def to_refusal(row: Mapping[str, Any], wanted: Reservation) -> Refusal | None:
    """The result of `RESERVE`."""
    return None if row["refused"] is None else Refusal(wanted.limits[row["refused"]], row["notify"])


def to_settle(key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool, repeated: bool) -> str:
    """The argument of `SETTLE`."""
    rows = [dict(zip(ledger.NAMES, ledger.to_row(entry), strict=True)) for entry in entries]
    return _dump({"turn": key.digest, "refund": refund, "ended": ended, "repeated": repeated, "entries": rows})


def to_read(keys: Sequence[CounterKey], salt: str) -> str:
    """The argument of `READ_COUNTERS`."""
    return _dump([_counter(key, salt) for key in keys])


def to_states(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[CounterKey], salt: str
) -> Mapping[CounterKey, CounterState]:
    """The result of `READ_COUNTERS`; zero for a counter without a row."""
    found: dict[tuple[str, str, str], CounterState] = {}
    for row in rows:
        scope, owner, period, *amounts = row.values()
        questions, tokens, money, reserved_tokens, reserved_money = amounts
        state = CounterState(questions, tokens, from_units(money), reserved_tokens, from_units(reserved_money))
        found[scope, owner, period] = state
    return {key: found.get(_counter(key, salt), CounterState()) for key in keys}


def _counter(key: CounterKey, salt: str) -> tuple[str, str, str]:
    return key.scope, hash_owner(key.owner, salt), key.period


def _limit(limit: Limit, salt: str) -> tuple[str, ...]:
    units = MONEY_UNITS if limit.unit is Unit.MONEY else 1
    return *_counter(limit.counter, salt), limit.unit.value, str(limit.amount * units)


def _dump(value: object) -> str:
    """JSON that PostgreSQL takes: without NUL and halves of surrogate pairs."""
    return json.dumps(_cleaned(value), ensure_ascii=False)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {name: _cleaned(each) for name, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list | tuple) else value
