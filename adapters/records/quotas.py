"""Statements for questions, reservations and counters."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

from adapters.records.database import Connection
from adapters.records.preferences import get_value, put_value
from adapters.records.schema import MONEY_UNITS
from bot.conversation import TurnKey
from bot.ledger import CounterKey, CounterState, LedgerEntry, Limit, Refusal, Reservation, Unit

# States of a question.
RESERVED, ENDED, REFUNDED = "reserved", "ended", "refunded"

# A person is told about a reached limit at most this often, in seconds.
NOTICE_SECONDS = 3_600.0

# Expired reservations freed at one admission: more would delay it.
EXPIRED_AT_ONCE = 100

_SALT = "counters.salt"
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


def settle(connection: Connection, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool) -> None:
    """Count the tokens and the cost of a turn's calls in the periods of its admission, and end its reservation."""
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


def user_of(connection: Connection, key: TurnKey) -> str | None:
    """The user whose question it is, by its admission; empty once they are forgotten, None without an admission."""
    row = connection.execute("SELECT user FROM questions WHERE turn = ?", (key.digest,)).fetchone()
    return None if row is None else str(row[0])


def read_counters(connection: Connection, keys: Sequence[CounterKey]) -> Mapping[CounterKey, CounterState]:
    """The state of each counter."""
    salt = _salt(connection)
    return {key: _read(connection, _counter(key, salt)) for key in keys}


def _exceeded(connection: Connection, wanted: Reservation, salt: bytes) -> Limit | None:
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


def _free_tokens(connection: Connection, wanted: Reservation, salt: bytes) -> int:
    """The most that can be reserved under all limits."""
    free = wanted.prompt_tokens + wanted.answer_tokens
    for limit in wanted.limits:
        if limit.unit is Unit.TOKENS:
            state = _read(connection, _counter(limit.counter, salt))
            free = min(free, int(limit.amount) - state.tokens - state.reserved_tokens)
    return free


def _may_notify(connection: Connection, wanted: Reservation, salt: bytes) -> bool:
    """Whether to tell the person about the limit; remembers it."""
    owner = _hash(f"{wanted.key.platform}/{wanted.user}", salt)
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


def _counter(key: CounterKey, salt: bytes) -> Counter:
    return key.scope, _hash(key.owner, salt), key.period


def _salt(connection: Connection) -> bytes:
    """The file's secret: a counter names nobody, and still counts for the same person after "forget me"."""
    salt = get_value(connection, _SALT)
    if not salt:
        salt = secrets.token_hex(16)
        put_value(connection, _SALT, salt)
    return salt.encode()


def _hash(owner: str, salt: bytes) -> str:
    return hmac.new(salt, owner.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def to_units(money: Decimal) -> int:
    """US dollars as stored, rounded up."""
    return int((money * MONEY_UNITS).to_integral_value(ROUND_CEILING))


def from_units(units: int) -> Decimal:
    """Stored money in US dollars."""
    return Decimal(units) / MONEY_UNITS
