"""Statements for questions, reservations and counters."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

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

_QUESTION = '"user", state, counters, reserved_tokens, reserved_money'

Counter = tuple[str, str, str]  # scope, hashed owner, period


@dataclass(frozen=True, slots=True)
class _Question:
    """A stored question; its user is empty once they are forgotten."""

    user: str
    state: str
    counters: Sequence[Counter]  # those of its admission
    reserved_tokens: int
    reserved_money: int


def reserve(connection: Connection, wanted: Reservation) -> Refusal | None:
    """Count a question and reserve its room; a refusal if a limit would be exceeded."""
    _free_expired(connection, wanted.at)
    salt, turn = _salt(connection), wanted.key.digest
    question = _question(connection, turn)
    tokens, money = wanted.prompt_tokens + wanted.answer_tokens, to_units(wanted.money)
    if question is None or question.state == REFUNDED:
        if (limit := _exceeded(connection, wanted, salt)) is not None:
            return Refusal(limit, _may_notify(connection, wanted, salt))
        tokens = min(tokens, _free_tokens(connection, wanted, salt))
        counters = [_counter(key, salt) for key in wanted.counters]
        _write_question(connection, wanted, counters, tokens, money)
        _count(connection, counters, questions=1, reserved_tokens=tokens, reserved_money=money)
        return None
    # Continued after a crash: it counts in the periods of its first admission.
    _release(connection, turn, question)
    update = "UPDATE questions SET reserved_tokens = ?, reserved_money = ?, expires_at = ? WHERE turn = ?"
    connection.execute(update, (tokens, money, wanted.expires_at, turn))
    _count(connection, question.counters, reserved_tokens=tokens, reserved_money=money)
    return None


def settle(
    connection: Connection, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool, repeated: bool
) -> None:
    """Store a turn's calls, count them in the periods of its admission, and end its reservation."""
    question = _question(connection, key.digest)
    if repeated and _has_calls(connection, key, entries, question):
        return
    _store_calls(connection, entries, question)
    if question is None:
        return
    tokens = sum(entry.tokens for entry in entries)
    money = sum(to_units(entry.cost) for entry in entries if entry.cost is not None)
    if not ended:  # another process continues it, with the same room
        _count(connection, question.counters, tokens=tokens, money=money)
        return
    is_refunded = refund and question.state == RESERVED
    _count(
        connection,
        question.counters,
        questions=-int(is_refunded),
        tokens=tokens,
        money=money,
        reserved_tokens=-question.reserved_tokens,
        reserved_money=-question.reserved_money,
    )
    state = question.state if question.state != RESERVED else REFUNDED if is_refunded else ENDED
    update = "UPDATE questions SET reserved_tokens = 0, reserved_money = 0, state = ? WHERE turn = ?"
    connection.execute(update, (state, key.digest))


def _has_calls(
    connection: Connection, key: TurnKey, entries: Sequence[LedgerEntry], question: _Question | None
) -> bool:
    """Whether these calls are stored: under their turn, or without it if the person is forgotten since."""
    turn = "" if question is not None and question.user == "" else key.digest
    known = "SELECT 1 FROM calls WHERE at = ? AND turn = ?"
    return any(connection.execute(known, (entry.at, turn)).fetchone() for entry in entries)


def _store_calls(connection: Connection, entries: Sequence[LedgerEntry], question: _Question | None) -> None:
    """Add rows for the person of the question's admission, who may be forgotten since."""
    rows = [ledger.to_row(entry, None if question is None else question.user) for entry in entries]
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
    select = f"""
    SELECT turn, {_QUESTION} FROM questions WHERE (reserved_tokens > 0 OR reserved_money > 0) AND expires_at < ? LIMIT ?
    """  # noqa: S608 (constants)
    for turn, *columns in connection.execute(select, (now, EXPIRED_AT_ONCE)).fetchall():
        _release(connection, turn, _to_question(columns))


def _release(connection: Connection, turn: str, question: _Question) -> None:
    """Free a question's room."""
    tokens, money = question.reserved_tokens, question.reserved_money
    _count(connection, question.counters, reserved_tokens=-tokens, reserved_money=-money)
    connection.execute("UPDATE questions SET reserved_tokens = 0, reserved_money = 0 WHERE turn = ?", (turn,))


def _write_question(
    connection: Connection, wanted: Reservation, counters: Sequence[Counter], tokens: int, money: int
) -> None:
    key = wanted.key
    columns = (key.digest, key.platform, key.workspace, key.channel, key.message, key.generation, wanted.user)
    connection.execute(
        "INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*columns, wanted.at, RESERVED, json.dumps(counters), tokens, money, wanted.expires_at),
    )


def _question(connection: Connection, turn: str) -> _Question | None:
    row = connection.execute(f"SELECT {_QUESTION} FROM questions WHERE turn = ?", (turn,)).fetchone()  # noqa: S608 (constants)
    return None if row is None else _to_question(row)


def _to_question(columns: Iterable[Any]) -> _Question:
    user, state, counters, tokens, money = columns
    return _Question(
        user, state, [(scope, owner, period) for scope, owner, period in json.loads(counters)], tokens, money
    )


def _count(
    connection: Connection,
    counters: Sequence[Counter],
    *,
    questions: int = 0,
    tokens: int = 0,
    money: int = 0,
    reserved_tokens: int = 0,
    reserved_money: int = 0,
) -> None:
    """Add to each counter."""
    added = (questions, tokens, money, reserved_tokens, reserved_money)
    connection.executemany(_ADD, [(*counter, *added) for counter in counters])


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
