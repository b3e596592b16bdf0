"""Slack's requests as values: their signature, checked before anything is parsed, and their payload.

Bolt's own check comes after its parsing, raises at a timestamp that is no number, and logs the body of a wrong one. So
this module asks Bolt's verifier first; Bolt gets the payload as it does over the socket.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from itertools import chain
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from slack_sdk.signature import Clock, SignatureVerifier
from typing_extensions import override

from adapters.http_bodies import FORM, BodyRule
from adapters.shared.json_fields import Json, object_field, string_field

PATH = "/slack/events"
JSON = "application/json"

# Slack's payloads. A message has at most 40,000 characters, up to 12 bytes each in JSON, once as text and once in
# blocks; the event of an edit has it twice: 2 MB. Percent-encoding makes the payload of a shortcut a third longer.
# Slack waits three seconds for a response, so later bodies are useless to it.
# https://docs.slack.dev/reference/methods/chat.postMessage#truncating
EVENTS = BodyRule(PATH, frozenset({JSON, FORM}), max_bytes=4_194_304, seconds=5.0, chunked=True)

# Fields of a form: a slash command has some twenty.
MAX_FORM_FIELDS = 100

# Age of a request, in seconds, either way: older ones may be replayed
# (https://docs.slack.dev/authentication/verifying-requests-from-slack#validating-a-request).
MAX_AGE_SECONDS = 300

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")

# Fields read by Bolt, with the types it expects; each may be missing.
_ID = (dict, str, type(None))
_OBJECT = (dict, type(None))
_EXPECTED: Mapping[str, tuple[type, ...]] = MappingProxyType(
    dict.fromkeys(("channel", "enterprise", "team", "user"), _ID)
    | dict.fromkeys(("assistant_thread", "event", "function_data", "item"), _OBJECT)
    | dict.fromkeys(("message", "previous_message", "view"), _OBJECT)
    | dict.fromkeys(("action_id", "block_id", "callback_id", "command", "subtype", "type"), (str, type(None)))
)
# Fields read by Bolt as a list of objects.
_LISTS = ("actions", "authorizations", "response_urls")
_MAY_BE_NULL = frozenset({"authorizations"})  # Bolt takes it as missing


class Refusal(Enum):
    """Why a request is not Slack's."""

    UNSIGNED = "without a signature"
    OLD = "older than five minutes, or from the future"
    WRONG = "with a wrong signature"


class RequestCheck:
    """Checks the signatures of requests with the app's signing secret, on the wall clock."""

    def __init__(self, signing_secret: str, wall_clock: Callable[[], datetime]) -> None:
        self._clock = _Clock(wall_clock)
        self._verifier = SignatureVerifier(signing_secret, self._clock)

    def head(self, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request can be refused before its body is read."""
        timestamp, signature = _signed(headers)
        if _TIMESTAMP.fullmatch(timestamp) is None or _SIGNATURE.fullmatch(signature) is None:
            return Refusal.UNSIGNED
        return Refusal.OLD if abs(self._clock.now() - int(timestamp)) > MAX_AGE_SECONDS else None

    def body(self, headers: Mapping[str, str], body: bytes) -> Refusal | None:
        """Why a request with a good head must be refused."""
        timestamp, signature = _signed(headers)
        try:
            return None if self._verifier.is_valid(body, timestamp, signature) else Refusal.WRONG
        except UnicodeDecodeError:  # Slack sends UTF-8
            return Refusal.WRONG


class _Clock(Clock):
    """The injected clock, as the SDK wants it."""

    def __init__(self, wall_clock: Callable[[], datetime]) -> None:
        self._wall_clock = wall_clock

    @override
    def now(self) -> float:
        return self._wall_clock().timestamp()


def _signed(headers: Mapping[str, str]) -> tuple[str, str]:
    return headers.get("X-Slack-Request-Timestamp", ""), headers.get("X-Slack-Signature", "")


def parse_payload(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The payload of a verified request, as the socket brings it; None if it has another form.

    Events are JSON; interactive payloads are JSON in a field of a form; slash commands are a form. Where Bolt would
    fail at a payload, it is empty and so ignored: a repetition would be no better.
    """
    try:
        if content_type == JSON:
            payload = json.loads(body)
        else:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
            payload = json.loads(fields["payload"]) if "payload" in fields and "command" not in fields else fields
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return None
    return payload if _is_well_formed(payload) else {}


def _is_well_formed(payload: Json) -> bool:
    """Whether Bolt can read a payload: it fails at nested fields of other types."""
    parts = [payload, object_field(payload, "event"), object_field(payload, "view")]
    lists = [
        part[name]
        for part in parts
        for name in _LISTS
        if name in part and not (part[name] is None and name in _MAY_BE_NULL)
    ]
    if not all(isinstance(each, list) and all(isinstance(item, dict) for item in each) for each in lists):
        return False
    fields = ((part, name) for part in (*parts, *chain.from_iterable(lists)) for name in _EXPECTED if name in part)
    return all(isinstance(part[name], _EXPECTED[name]) for part, name in fields) and payload.get("actions") != []


def challenge_of(payload: Json) -> str | None:
    """The challenge of Slack's check of the request URL; None for another payload.

    https://docs.slack.dev/reference/events/url_verification
    """
    return string_field(payload, "challenge") if payload.get("type") == "url_verification" else None
