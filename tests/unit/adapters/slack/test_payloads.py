"""Which workspace a payload is for, and its stored form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.payloads import Delivery, decode, encode, id_of, shared_mentions, teams_in

PLAIN = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(PLAIN, lambda each: st.lists(each) | st.dictionaries(st.text(), each))
INSTALLED = {"enterprise_id": None, "team_id": "T1", "user_id": "UBOT", "is_enterprise_install": False}


@pytest.mark.parametrize(
    ("payload", "teams"),
    [
        ({"team_id": "T9", "authorizations": [INSTALLED]}, ["T1", "T9"]),  # a guest's event in a shared channel
        ({"team_id": "T1"}, ["T1"]),
        ({"team_id": "T1", "authorizations": []}, ["T1"]),
        ({"team_id": "T1", "authorizations": None}, ["T1"]),
        ({"team_id": "T1", "authorizations": [INSTALLED | {"team_id": None, "is_enterprise_install": True}]}, ["T1"]),
        ({"team": {"id": "T1"}, "user": {"id": "U1", "team_id": "T9"}}, ["T1", "T9"]),  # a press
        ({"team": None, "user": {"id": "U1", "team_id": "T1"}}, ["T1"]),  # a press in an organisation
        ({"command": "/tickertape", "team_id": "T1"}, ["T1"]),
        ({"team": {"id": "T9"}, "view": {"app_installed_team_id": "T1", "team_id": "T9"}}, ["T1", "T9"]),
        ({"type": "event_callback"}, []),
    ],
)
def test_the_workspace_with_the_installation_comes_first(payload: dict[str, Any], teams: list[str]) -> None:
    """The installation's workspace comes before that of whoever acts."""
    assert teams_in(payload) == teams


def test_only_mentions_in_shared_channels_tell_more() -> None:
    """Elsewhere Slack names the installation itself."""
    event = {"text": "<@UBOT> and <@U1|ann>, ask <@UBOT>"}
    assert shared_mentions({"is_ext_shared_channel": True, "event": event}) == ["UBOT", "U1"]
    assert shared_mentions({"is_ext_shared_channel": False, "event": event}) == ()


@given(st.dictionaries(st.text(), JSON), st.integers(0, 3))
def test_a_stored_delivery_is_the_same(payload: dict[str, Any], retry: int) -> None:
    """Whatever Slack sends, the owner gets it as it arrived."""
    payload.pop("retry_attempt", None)
    delivery = Delivery(payload, retry)
    assert decode(encode(delivery)) == delivery


@given(st.dictionaries(st.text(), JSON))
def test_any_payload_may_arrive(payload: dict[str, Any]) -> None:
    """Fields of other types count as missing."""
    assert all(isinstance(team, str) for team in teams_in(payload))
    assert id_of(Delivery(payload))
    shared_mentions(payload)


def test_deliveries_of_one_payload_have_one_id() -> None:
    """An event has Slack's id, an interaction that of its trigger; another payload is known by its content."""
    assert id_of(Delivery({"event_id": "Ev1"}, 1)) == id_of(Delivery({"event_id": "Ev1"})) == "Ev1"
    assert id_of(Delivery({"type": "block_actions", "trigger_id": "1.2.3"})) == "1.2.3"
    one, other = Delivery({"type": "block_actions", "user": 1}), Delivery({"type": "block_actions", "user": 2})
    assert id_of(one) == id_of(Delivery(dict(one.payload))) != id_of(other)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'"text"'])
def test_another_text_is_no_delivery(body: bytes) -> None:
    """The inbox's owner must be able to drop it."""
    with pytest.raises(ValueError, match=r"object|Expecting"):
        decode(body)
