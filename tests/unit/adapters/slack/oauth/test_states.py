"""States of installations: only ours, for one browser, for a while; whatever strangers send is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from string import ascii_letters, digits

from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.oauth.states import States, is_browser, new_browser
from tests.support.installations import KEY, OLD_KEY, box

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def states(*keys: str, at: datetime = NOON) -> States:
    return States(box(*keys), lambda: at, 600.0)


def test_a_state_is_read_by_its_browser() -> None:
    """The same state always has the same digest, two states have two."""
    browser = new_browser()
    assert is_browser(browser)
    first, second = (states().issue(browser) for _ in range(2))
    assert states().read(first, browser) == states().read(first, browser) is not None
    assert states().read(first, browser) != states().read(second, browser)
    assert states().read(first, new_browser()) is None


def test_a_state_outlives_a_change_of_keys() -> None:
    """While the old key is kept, installations in course go on."""
    browser = new_browser()
    state = states(OLD_KEY).issue(browser)
    assert states(KEY, OLD_KEY).read(state, browser) is not None
    assert states(KEY).read(state, browser) is None


@given(st.text(max_size=1_200), st.text(max_size=60))
def test_anything_else_is_none(state: str, browser: str) -> None:
    """Any text, in the address and in the cookie, is read without an error."""
    assert states().read(state, browser) is None
    assert states().read(state, "x" * 43) is None


@given(st.data())
def test_a_changed_state_is_none(data: st.DataObject) -> None:
    """A state with another character anywhere is refused."""
    browser = "b" * 43
    state = states().issue(browser)
    place = data.draw(st.integers(0, len(state) - 3))
    other = data.draw(st.sampled_from("AZaz09-_").filter(lambda each: each != state[place]))
    assert states().read(f"{state[:place]}{other}{state[place + 1 :]}", browser) is None


def test_another_spelling_of_a_state_is_none() -> None:
    """Its digest would be another one, so the state could be used twice."""
    made, browser = states(), "b" * 43
    for _ in range(20):
        state = made.issue(browser)
        body = state.rstrip("=")
        spelled = [f"{body[:-1]}{last}{'=' * (len(state) - len(body))}" for last in ascii_letters + digits]
        same = [other for other in spelled if base64.urlsafe_b64decode(other) == base64.urlsafe_b64decode(state)]
        assert [other for other in same if made.read(other, browser) is not None] == [state]
