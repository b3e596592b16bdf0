"""`adapters.slack.http_requests`: signatures and payloads as values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.http_requests import (
    JSON,
    MAX_AGE_SECONDS,
    Refusal,
    RequestCheck,
    challenge_of,
    parse_payload,
)
from adapters.slack.payloads import is_foreign
from tests.support.slack_requests import FORM, SECRET, signature

NOW = 1_531_420_618
CHECK = RequestCheck(SECRET, lambda: datetime.fromtimestamp(NOW, UTC))
# The example of https://docs.slack.dev/authentication/verifying-requests-from-slack: body and signature.
EXAMPLE = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121"
    b".803a0bc887a14d10d2c447fce8b6703c"
)
EXAMPLE_SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def headers(timestamp: str, signature_: str) -> dict[str, str]:
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature_}


def test_slacks_own_example_passes() -> None:
    """The request in Slack's documentation has a valid signature."""
    said = headers(str(NOW), EXAMPLE_SIGNATURE)
    assert CHECK.head(said) is None
    assert CHECK.body(said, EXAMPLE) is None
    assert CHECK.body(said, EXAMPLE + b"&") is Refusal.WRONG


@pytest.mark.parametrize(
    ("timestamp", "refusal"),
    [
        (str(NOW - MAX_AGE_SECONDS), None),
        (str(NOW + MAX_AGE_SECONDS), None),
        (str(NOW - MAX_AGE_SECONDS - 1), Refusal.OLD),
        (str(NOW + MAX_AGE_SECONDS + 1), Refusal.OLD),
        ("0", Refusal.OLD),
        ("", Refusal.UNSIGNED),
        ("today", Refusal.UNSIGNED),
        (f" {NOW}", Refusal.UNSIGNED),
        (f"+{NOW}", Refusal.UNSIGNED),
        (f"{NOW}.0", Refusal.UNSIGNED),
        ("1_531_420_618", Refusal.UNSIGNED),
        ("9" * 5_000, Refusal.UNSIGNED),
    ],
)
def test_a_timestamp_is_a_recent_plain_number(timestamp: str, refusal: Refusal | None) -> None:
    """Python would read some other texts as numbers, and fail at very long ones."""
    assert CHECK.head(headers(timestamp, EXAMPLE_SIGNATURE)) is refusal


@pytest.mark.parametrize("text", ["", "v0=", "v1=" + "0" * 64, "v0=" + "0" * 63, "v0=" + "é" * 64, "0" * 64])
def test_a_signature_has_its_form(text: str) -> None:
    """Any other text is refused before the body is read."""
    assert CHECK.head(headers(str(NOW), text)) is Refusal.UNSIGNED


@given(st.binary(max_size=200))
def test_a_body_in_another_encoding_is_refused(body: bytes) -> None:
    """Slack signs text in UTF-8; other bytes are no request of Slack's, whoever signed them."""
    said = headers(str(NOW), signature(body, str(NOW)))
    assert (CHECK.body(said, body) is None) == (body.decode(errors="replace").encode() == body)


PAYLOADS: list[tuple[str, bytes, dict[str, Any] | None]] = [
    (JSON, b'{"type": "event_callback"}', {"type": "event_callback"}),
    (FORM, urlencode({"payload": '{"type": "shortcut"}'}).encode(), {"type": "shortcut"}),
    (FORM, b"command=%2Fbot&text=what+is+a+payload", {"command": "/bot", "text": "what is a payload"}),
    (FORM, b"command=%2Fbot&text=&payload=7", {"command": "/bot", "text": "", "payload": "7"}),
    (JSON, b"[]", None),
    (JSON, b"{", None),
    (JSON, b"", None),
    (JSON, b"[" * 100_000, None),
    (JSON, b'{"a": ' + b"9" * 5_000 + b"}", None),
    (FORM, b"payload=7", None),
    (FORM, b"&".join(b"a%d=1" % number for number in range(200)), None),
    (JSON, b'{"authorizations": null}', {"authorizations": None}),
    (JSON, json.dumps({"type": "event_callback", "event": []}).encode(), {}),
    (JSON, json.dumps({"event": {"user": 7}}).encode(), {}),
    (JSON, json.dumps({"actions": []}).encode(), {}),
    (JSON, json.dumps({"actions": [7]}).encode(), {}),
    (JSON, json.dumps({"actions": [{"action_id": []}]}).encode(), {}),
]


@pytest.mark.parametrize(("content_type", "body", "payload"), PAYLOADS)
def test_a_payload_is_an_object_that_bolt_can_read(
    content_type: str, body: bytes, payload: dict[str, Any] | None
) -> None:
    """Events are JSON, interactive payloads JSON in a form, commands a form; others are none, or empty."""
    assert parse_payload(content_type, body) == payload


def test_only_the_check_of_the_url_has_a_challenge() -> None:
    """A challenge in another payload is not returned."""
    assert challenge_of({"type": "url_verification", "challenge": "abc"}) == "abc"
    assert challenge_of({"type": "event_callback", "challenge": "abc"}) is None
    assert challenge_of({"type": "url_verification", "challenge": 7}) == ""


@pytest.mark.parametrize(
    ("installation", "foreign"),
    [
        ({"team_id": "T1", "user_id": "U1"}, False),
        ({"team_id": "T2", "user_id": "U2"}, True),
        ({"team_id": "T2", "user_id": "U1"}, False),
        ({"team_id": None, "user_id": "U2", "is_enterprise_install": True}, False),
        ({"team_id": "T2", "user_id": "U2", "is_enterprise_install": True}, False),
        ({}, False),
    ],
)
def test_an_events_installation_tells_its_workspace(installation: dict[str, Any], foreign: bool) -> None:
    """Another workspace's installation is foreign; a shared channel's outer team, or an organisation's, is not."""
    assert is_foreign({"team_id": "T9", "authorizations": [installation]}, "T1", "U1") is foreign
    assert not is_foreign({"team_id": "T9"}, "T1", "U1")
