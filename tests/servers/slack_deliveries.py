"""Deliveries of the loopback Slack: events, interactive payloads and commands, and their acknowledgements.

What belongs here: the content of each delivery, and the record of all. What does not: the way to the app, over a
socket (`tests.servers.slack_socket`) or by requests (`tests.servers.slack_requests`).

An acknowledgement is for the event, by whichever of its deliveries. An event without one is delivered again on command;
requests are repeated in addition, as Slack does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

Json = dict[str, Any]

APP_ID: Final = "A1"


@dataclass(slots=True)
class Envelope:
    """One delivery."""

    id: str
    event_id: str
    event: Json
    acked: bool = False
    payload: Json = field(default_factory=dict)
    kind: str = "events_api"  # or "interactive", "slash_commands"
    on_answer: Callable[[Json], None] | None = None  # told the payload of the acknowledgement
    retry: int = 0  # deliveries of the event before this one
    responses: list[str] = field(default_factory=list)  # over HTTP: the status or the failure of each request

    @property
    def body(self) -> Json:
        """What the app receives."""
        if self.kind != "events_api":
            return self.payload
        said = {"token": "verification", "api_app_id": APP_ID, "type": "event_callback", "event_id": self.event_id}
        return {**said, "event": self.event, **self.payload}


class Sender(Protocol):
    """A way to the app."""

    async def send(self, envelope: Envelope) -> None:
        """Send a delivery; with nobody there, keep or repeat it."""


class Deliveries:
    """All deliveries, in order, through the chosen sender."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.envelopes: list[Envelope] = []
        self.sender: Sender | None = None
        self._of_event: dict[str, list[Envelope]] = {}
        self._ids = itertools.count(1)
        self._changed = changed

    async def deliver(
        self, event: Json, team: str, bot: str, *, retry: int = 0, event_id: str = "", **outer: Any
    ) -> Envelope:
        """Send an event; `outer` are fields around it."""
        number = next(self._ids)
        envelope = Envelope(f"envelope-{number}", event_id or f"Ev{number}", event, retry=retry)
        seconds = str(event.get("event_ts") or event.get("ts")).partition(".")[0]
        installed = {"enterprise_id": None, "team_id": team, "user_id": bot, "is_bot": True}
        envelope.payload = {
            "team_id": team,
            "event_time": int(seconds) if seconds.isdecimal() else 0,  # a hostile event may have any ts
            "authorizations": [{**installed, "is_enterprise_install": False}],
            "is_ext_shared_channel": False,
            "event_context": f"4-{envelope.event_id}",
            **outer,
        }
        await self._send(envelope)
        return envelope

    async def deliver_payload(
        self, kind: str, payload: Json, on_answer: Callable[[Json], None] | None = None
    ) -> Envelope:
        """Send an interactive payload or a command, which Slack never sends again."""
        number = next(self._ids)
        envelope = Envelope(
            f"envelope-{number}", f"Payload{number}", {}, payload=payload, kind=kind, on_answer=on_answer
        )
        await self._send(envelope)
        return envelope

    async def _send(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)
        self._of_event.setdefault(envelope.event_id, []).append(envelope)
        assert self.sender is not None
        await self.sender.send(envelope)

    def acknowledge(self, envelope: Envelope, answer: Json) -> None:
        """The app has acknowledged a delivery, and so its event; `answer` came along."""
        for each in self._of_event[envelope.event_id]:
            if each.on_answer is not None and not each.acked:
                each.on_answer(answer)
            each.acked = True
        self._changed()
