"""The token, sessions and failed logins of the operator's page."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.admin.sessions import (
    FAILED_LOGINS,
    IDLE_SECONDS,
    LOGIN_WINDOW_SECONDS,
    MAX_SESSIONS,
    SESSION_SECONDS,
    LoginLimit,
    Sessions,
)


@given(st.text(), st.text(st.characters()))
def test_only_the_token_is_the_token(token: str, given_text: str) -> None:
    """Any other text is refused, halves of surrogate pairs included."""
    assert Sessions(token).is_token(token)
    assert Sessions(token).is_token(given_text) is (token == given_text)


def test_a_session_ends_when_idle_when_old_and_when_closed() -> None:
    """Each end is final."""
    sessions = Sessions("t")
    idle, old, closed = sessions.open(0.0), sessions.open(0.0), sessions.open(0.0)
    assert not sessions.is_open(idle, IDLE_SECONDS)
    assert not sessions.is_open(idle, 1.0)
    at = 0.0
    while at < SESSION_SECONDS:
        assert sessions.is_open(old, at)
        at += IDLE_SECONDS - 1
    assert not sessions.is_open(old, SESSION_SECONDS)
    assert sessions.is_open(closed, 1.0)
    sessions.close(closed)
    assert not sessions.is_open(closed, 1.0)


@given(st.text())
def test_a_forged_session_is_not_open(forged: str) -> None:
    """Only ids from `open` are valid."""
    sessions = Sessions("t")
    sessions.open(0.0)
    assert not sessions.is_open(forged, 1.0)


def test_the_oldest_session_makes_room() -> None:
    """Memory is bounded."""
    sessions = Sessions("t")
    first = sessions.open(0.0)
    others = [sessions.open(1.0) for _ in range(MAX_SESSIONS)]
    assert not sessions.is_open(first, 2.0)
    assert all(sessions.is_open(each, 2.0) for each in others)


def test_the_form_token_belongs_to_its_session() -> None:
    """Two sessions have different form tokens, and none contains its session's id."""
    sessions = Sessions("t")
    one, two = sessions.open(0.0), sessions.open(0.0)
    assert sessions.form_token(one) != sessions.form_token(two)
    assert one not in sessions.form_token(one)


def test_ten_failed_logins_a_minute() -> None:
    """The eleventh is refused until the first is a minute old; another address is free."""
    limit = LoginLimit()
    for number in range(FAILED_LOGINS):
        assert limit.permits("a", float(number))
        limit.record_failure("a", float(number))
    assert not limit.permits("a", 10.0)
    assert limit.permits("b", 10.0)
    assert not limit.permits("a", LOGIN_WINDOW_SECONDS - 0.1)
    assert limit.permits("a", LOGIN_WINDOW_SECONDS)
    limit.record_failure("a", LOGIN_WINDOW_SECONDS)
    assert not limit.permits("a", LOGIN_WINDOW_SECONDS)
