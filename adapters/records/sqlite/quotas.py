"""Statements for questions, reservations and counters."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal

from adapters.records import ledger
from adapters.records.preferences import get_value, put_value
from adapters.records.sqlite.database import Connection, perform
from adapters.records.values import (
    ENDED,
    EXPIRED_AT_ONCE,
    NOTICE_SECONDS,
    REFUNDED,
    RESERVED,
    SALT_KEY,
    from_units,
    hash_owner,
    to_units,
)
from bot.conversation import TurnKey
from bot.ledger import CounterKey, CounterState, LedgerEntry, Limit, Refusal, Reservation, Unit

_ADD = """
INSERT INTO counters (scope, owner, period, questions, tokens, money, reserved_tokens, reserved_money)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, owner, period) DO UPDATE SET
    questions = max(questions + excluded.questions, 0),
    tokens = tokens + excluded.tokens,
    money = money + excluded.money,
    reserved_tokens = max(reserved_tokens + excluded.reserved_tokens, 0),
    reserved_money = max(reserved_money + excluded.reserved_money, 0)
"""

Counter = tuple[str, str, str]  # scope, hashed owner, period


def reserve(connection: Connection, wanted: Reservation) -> Refusal | None:
    """Count a question and reserve its room; a refusal if a limit would be exceeded."""
    _free_expired(connection, wanted.at)
    salt = _salt(connection)
    state = _state_of(connection, wanted.key)
    tokens, money = wanted.prompt_tokens + wanted.answer_tokens, to_units(wanted.money)
    if is_new := state is None or state == REFUNDED:
        if (limit := _exceeded(connection, wanted, salt)) is not None:
            return Refusal(limit, _may_notify(connection, wanted, salt))
        tokens = min(tokens, _free_tokens(connection, wanted, salt))
        _write_question(connection, wanted, [_counter(key, salt) for key in wanted.counters])
    else:  # continued after a crash: it counts in the periods of its first admission
        _release(connection, wanted.key.digest)
    update = "UPDATE questions SET reserved_tokens = ?, reserved_money = ?, expires_at = ? WHERE turn = ?"
    connection.execute(update, (tokens, money, wanted.expires_at, wanted.key.digest))
    for counter in _counters_of(connection, wanted.key.digest):
        connection.execute(_ADD, (*counter, int(is_new), 0, 0, tokens, money))
    return None


def settle(
    connection: Connection, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool, repeated: bool
) -> None:
    """Store a turn's calls, count them in the periods of its admission, and end its reservation."""
    if repeated and _has_calls(connection, key, entries):
        return
    _store_calls(connection, key, entries)
    state = _state_of(connection, key)
    if state is None:
        return
    tokens = sum(entry.tokens for entry in entries)
    money = sum(to_units(entry.cost) for entry in entries if entry.cost is not None)
    is_refunded = refund and ended and state == RESERVED
    for counter in _counters_of(connection, key.digest):
        connection.execute(_ADD, (*counter, -int(is_refunded), tokens, money, 0, 0))
    if not ended:
        return  # another process continues it, with the same room
    _release(connection, key.digest)
    if state == RESERVED:
        update = "UPDATE questions SET state = ? WHERE turn = ?"
        connection.execute(update, (REFUNDED if is_refunded else ENDED, key.digest))


def _has_calls(connection: Connection, key: TurnKey, entries: Sequence[LedgerEntry]) -> bool:
    """Whether these calls are stored: by their turn, or by its person forgotten since."""
    known = "SELECT 1 FROM calls WHERE at = ? AND turn IN (?, '')"
    return any(connection.execute(known, (entry.at, key.digest)).fetchone() for entry in entries)


def _store_calls(connection: Connection, key: TurnKey, entries: Sequence[LedgerEntry]) -> None:
    """Add rows for the person of the question's admission, who may be forgotten since."""
    row = connection.execute('SELECT "user" FROM questions WHERE turn = ?', (key.digest,)).fetchone()
    rows = [ledger.to_row(entry, None if row is None else str(row[0])) for entry in entries]
    marks = ", ".join("?" * len(ledger.NAMES))
    connection.executemany(f"INSERT INTO calls ({ledger.COLUMNS}) VALUES ({marks})", rows)  # noqa: S608 (constants)


def read_counters(connection: Connection, keys: Sequence[CounterKey]) -> Mapping[CounterKey, CounterState]:
    """The state of each counter."""
    salt = _salt(connection)
    return {key: _read(connection, _counter(key, salt)) for key in keys}


def _exceeded(connection: Connection, wanted: Reservation, salt: str) -> Limit | None:
    """The first limit without room for the question."""
    # A guessed answer may take what is left, at least one token.
    tokens = wanted.prompt_tokens + (1 if wanted.answer_is_guess else wanted.answer_tokens)
    for limit in wanted.limits:
        state = _read(connection, _counter(limit.counter, salt))
        needed = {
            Unit.QUESTIONS: Decimal(state.questions + 1),
            Unit.TOKENS: Decimal(state.tokens + state.reserved_tokens + tokens),
            Unit.MONEY: state.money + state.reserved_money + wanted.money,
        }
        # Without a price there is nothing to reserve: a limit is reached once it is spent.
        is_spent = limit.unit is Unit.MONEY and state.money + state.reserved_money >= limit.amount
        if needed[limit.unit] > limit.amount or is_spent:
            return limit
    return None


def _free_tokens(connection: Connection, wanted: Reservation, salt: str) -> int:
    """The most that can be reserved under all limits."""
    free = wanted.prompt_tokens + wanted.answer_tokens
    for limit in wanted.limits:
        if limit.unit is Unit.TOKENS:
            state = _read(connection, _counter(limit.counter, salt))
            free = min(free, int(limit.amount) - state.tokens - state.reserved_tokens)
    return free


def _may_notify(connection: Connection, wanted: Reservation, salt: str) -> bool:
    """Whether to tell the person about the limit; remembers it."""
    owner = hash_owner(f"{wanted.key.platform}/{wanted.user}", salt)
    row = connection.execute("SELECT at FROM quota_notices WHERE owner = ?", (owner,)).fetchone()
    if row is not None and 0 <= wanted.at - row[0] < NOTICE_SECONDS:
        return False
    connection.execute("INSERT OR REPLACE INTO quota_notices VALUES (?, ?)", (owner, wanted.at))
    return True


def _free_expired(connection: Connection, now: float) -> None:
    """Free the room of turns without an end: their process died, and no other one continued them."""
    select = """
    SELECT turn FROM questions WHERE (reserved_tokens > 0 OR reserved_money > 0) AND expires_at < ? LIMIT ?
    """
    for (turn,) in connection.execute(select, (now, EXPIRED_AT_ONCE)).fetchall():
        _release(connection, turn)


def _release(connection: Connection, turn: str) -> None:
    """Free a question's room."""
    select = "SELECT reserved_tokens, reserved_money FROM questions WHERE turn = ?"
    tokens, money = connection.execute(select, (turn,)).fetchone()
    for counter in _counters_of(connection, turn):
        connection.execute(_ADD, (*counter, 0, 0, 0, -tokens, -money))
    connection.execute("UPDATE questions SET reserved_tokens = 0, reserved_money = 0 WHERE turn = ?", (turn,))


def _write_question(connection: Connection, wanted: Reservation, counters: Sequence[Counter]) -> None:
    key = wanted.key
    columns = (key.digest, key.platform, key.workspace, key.channel, key.message, key.generation, wanted.user)
    connection.execute(
        "INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)",
        (*columns, wanted.at, RESERVED, json.dumps(counters)),
    )


def _counters_of(connection: Connection, turn: str) -> list[Counter]:
    row = connection.execute("SELECT counters FROM questions WHERE turn = ?", (turn,)).fetchone()
    return [(scope, owner, period) for scope, owner, period in json.loads(row[0])]


def _state_of(connection: Connection, key: TurnKey) -> str | None:
    row = connection.execute("SELECT state FROM questions WHERE turn = ?", (key.digest,)).fetchone()
    return None if row is None else str(row[0])


def _read(connection: Connection, counter: Counter) -> CounterState:
    select = """
    SELECT questions, tokens, money, reserved_tokens, reserved_money FROM counters
    WHERE scope = ? AND owner = ? AND period = ?
    """
    row = connection.execute(select, counter).fetchone()
    if row is None:
        return CounterState()
    questions, tokens, money, reserved_tokens, reserved_money = row
    return CounterState(questions, tokens, from_units(money), reserved_tokens, from_units(reserved_money))


def _counter(key: CounterKey, salt: str) -> Counter:
    return key.scope, hash_owner(key.owner, salt), key.period


def _salt(connection: Connection) -> str:
    """The file's secret."""
    salt = perform(connection, get_value(SALT_KEY))
    if not salt:
        salt = secrets.token_hex(16)
        perform(connection, put_value(SALT_KEY, salt))
    return salt
