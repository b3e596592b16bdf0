"""Slack's payloads as far as their way to a workspace: the workspaces they name, their ids, and their stored form."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.shared.json_fields import Json, as_object, object_field, string_field

_MENTION = re.compile(r"<@([UW][A-Z0-9]+)")
_ACCESS_EVENTS = frozenset({"team_access_granted", "team_access_revoked"})
# Its own name for the number of deliveries before this one, as in Socket Mode's envelopes.
_RETRY = "retry_attempt"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A payload as it arrived; `retry` is the number of Slack's earlier deliveries of it, as far as known."""

    payload: Json
    retry: int = 0

    @property
    def event_id(self) -> str:
        """Slack's id of an event; empty for an interactive payload."""
        return string_field(self.payload, "event_id")


def teams_in(payload: Json) -> Sequence[str]:
    """The workspaces named by a payload, the most likely one with the installation first.

    An event names the installation in ``authorizations``; its outer ``team_id`` may be that of a guest
    (https://docs.slack.dev/apis/events-api/#authorizations). In an organisation, ``authorizations`` names no
    workspace, or the organisation. A form opened in a shared channel names the workspace with the app in its view
    (``app_installed_team_id``).
    """
    return list(dict.fromkeys(filter(None, _teams_in(payload))))


def _teams_in(payload: Json) -> Iterator[str]:
    view, user = object_field(payload, "view"), object_field(payload, "user")
    authorizations = payload.get("authorizations")
    yield string_field(view, "app_installed_team_id")
    if isinstance(authorizations, list) and authorizations:
        yield string_field(as_object(authorizations[0]), "team_id")
    yield string_field(object_field(payload, "team"), "id")
    yield string_field(payload, "team_id")
    yield string_field(payload, "context_team_id")
    yield string_field(user, "team_id")
    yield string_field(view, "team_id")


def organisation_in(payload: Json) -> str:
    """The organisation whose installation got or lost workspaces, if an event says so; else empty.

    Such an event belongs to no workspace (https://docs.slack.dev/reference/events/team_access_granted).
    """
    if string_field(object_field(payload, "event"), "type") not in _ACCESS_EVENTS:
        return ""
    return string_field(payload, "enterprise_id")


def shared_mentions(payload: Json) -> Sequence[str]:
    """The people mentioned by an event of a channel shared with other organisations; none in other channels.

    There Slack may name any workspace with the app, so a mention of its bot user tells more.
    """
    if payload.get("is_ext_shared_channel") is not True:
        return ()
    return list(dict.fromkeys(_MENTION.findall(string_field(object_field(payload, "event"), "text"))))


def is_foreign(payload: Json, team: str, user: str) -> bool:
    """Whether an event is meant for another workspace's installation of the app, as far as it tells.

    `team` and `user` are our only workspace and its bot user. See `teams_in`.
    """
    authorizations = payload.get("authorizations")
    if not isinstance(authorizations, list) or not authorizations:
        return False
    installation = as_object(authorizations[0])
    if installation.get("is_enterprise_install") is True:
        return False
    other_team, other_user = string_field(installation, "team_id"), string_field(installation, "user_id")
    return bool(other_team) and other_team != team and other_user != user


def id_of(delivery: Delivery) -> str:
    """An id shared by all deliveries of a payload: the event's, the trigger of an interaction, or else a digest."""
    trigger = string_field(delivery.payload, "trigger_id")
    return delivery.event_id or trigger or hashlib.sha256(json.dumps(delivery.payload).encode()).hexdigest()


def encode(delivery: Delivery) -> bytes:
    """A delivery as JSON."""
    retry = {_RETRY: delivery.retry} if delivery.retry else {}
    return json.dumps({**delivery.payload, **retry}, separators=(",", ":")).encode()


def decode(body: bytes) -> Delivery:
    """The delivery in such JSON. Raises `ValueError` for anything else."""
    payload = json.loads(body)
    if not isinstance(payload, dict):
        raise ValueError("a payload must be an object")  # noqa: TRY004 (as for any other text)
    retry = payload.pop(_RETRY, 0)
    return Delivery(payload, retry if isinstance(retry, int) else 0)
