"""Events in the journal: the JSON stored for an unfinished turn. Pure.

The stored shape is Slack's own, reduced to the fields needed for an answer: people's words and shared content. Later
versions only added fields, so each version reads the journal of any other.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from adapters.shared.json_fields import Json, as_object, list_field, object_field, string_field
from adapters.slack.events.content import journal_fields
from adapters.slack.events.invocations import Invocation, dump_fields, load_fields
from adapters.slack.events.pages import SlackUser
from adapters.slack.events.parse import (
    AGENT_VIEW_FIELDS,
    Event,
    Identity,
    comes_from_agent_view,
    is_plain,
    parse_event,
)

# Stored as they are; `parse.parse_event` reads them.
_FIELDS = frozenset(
    """
    type subtype channel channel_type user text ts thread_ts parent_user_id team user_team source_team hidden bot_id
    """.split()  # noqa: SIM905 (a list of words)
)


def dump(event: Json) -> str:
    """The journal's text for a message event: JSON in ASCII, so that any store can hold half a surrogate pair."""
    return _write({"event": _reduced(event)})


def dump_invocation(invocation: Invocation) -> str:
    """The journal's text for a question of a command or a message's menu."""
    message = _reduced(invocation.message) if invocation.message is not None else None
    return _write({"invocation": dump_fields(invocation, message)})


def load_invocation(text: str) -> Invocation | None:
    """The stored question of a command or a message's menu; None for any other text."""
    return load_fields(object_field(_read(text), "invocation"))


def _reduced(event: Json) -> Json:
    stored: dict[str, Any] = {
        name: event[name] for name in _FIELDS & event.keys() if isinstance(event[name], str | bool)
    }
    if comes_from_agent_view(event):
        stored[AGENT_VIEW_FIELDS[0]] = {}
    return stored if is_plain(event) else stored | journal_fields(event)


def dump_found(page: Json, channel: str, ts: str) -> str:
    """The journal's text of one message in a page of history; empty if the page lacks it, or it has no words."""
    found = [each for each in map(as_object, list_field(page, "messages")) if string_field(each, "ts") == ts]
    if not found or found[0].get("subtype") == "tombstone":
        return ""
    return dump({**found[0], "type": "message", "channel": channel})


def with_user(text: str, user: SlackUser) -> str:
    """A stored event with its author, so that a restart needs no lookups of all authors at once."""
    return _write({**_read(text), "person": {**asdict(user), "teams": sorted(user.teams)}})


def load(text: str, me: Identity) -> Event | None:
    """The stored event; None for any other text."""
    return parse_event(object_field(_read(text), "event"), me)


def load_user(text: str) -> SlackUser | None:
    """The stored author; None if there is none, or in an unknown form."""
    user = object_field(_read(text), "person")
    try:
        return SlackUser(**{**user, "teams": frozenset(user["teams"])})
    except (KeyError, TypeError):
        return None


def _write(stored: Json) -> str:
    return json.dumps(stored, separators=(",", ":"))


def _read(text: str) -> Json:
    try:
        return as_object(json.loads(text))
    except (ValueError, RecursionError):
        return {}
