"""The Socket Mode side of the loopback Slack: tickets, connections, envelopes and their acknowledgements.

What belongs here: what travels over the WebSocket. What does not: what an event says (`tests.servers.slack`).

Each event goes to one connection, the newest; with none, it waits for the next. One that is not acknowledged is only
sent again on command (`redeliver`). What is acknowledged is the event, by whichever of its deliveries.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import WSMsgType, web

Json = dict[str, Any]


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


class Sockets:
    """All connections of the app."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.live: list[web.WebSocketResponse] = []
        self.envelopes: list[Envelope] = []
        self.opened = 0  # connections that were ever made
        self.hello = True  # whether they are greeted
        self.others = 0  # connections of other processes, as the greeting counts them
        self.deaf = False  # whether new connections answer neither pings nor anything: a silent dead socket
        self.refused = 0  # how many of the next handshakes are refused
        self._tickets: set[str] = set()
        self._transports: WeakKeyDictionary[web.WebSocketResponse, asyncio.Transport | None] = WeakKeyDictionary()
        self._waiting: list[Envelope] = []
        self._events: dict[str, str] = {}  # by envelope
        self._deliveries: dict[str, list[Envelope]] = {}  # by event
        self._ids = itertools.count(1)
        self._changed = changed

    def ticket(self) -> str:
        """A new address's secret part; it is good for one connection."""
        ticket = f"ticket-{next(self._ids)}"
        self._tickets.add(ticket)
        return ticket

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection, for as long as it lives."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets or self.refused > 0:
            self.refused = max(self.refused - 1, 0)
            return web.Response(status=404)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=not self.deaf)
        await socket.prepare(request)
        self.live.append(socket)
        self._transports[socket] = request.transport
        self.opened += 1
        if self.hello:
            await socket.send_json(self._hello())
        self._changed()
        try:
            await self._deliver_waiting()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledge(message.json())
        finally:
            if socket in self.live:
                self.live.remove(socket)
            self._changed()
        return socket

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.live) + self.others,
            "debug_info": {"host": "double", "approximate_connection_time": 18060},
            "connection_info": {"app_id": "A1"},
        }

    async def _deliver_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for envelope in waiting:
            await self._send(envelope, 0)

    def _acknowledge(self, answer: Json) -> None:
        event_id = self._events.get(str(answer.get("envelope_id")))
        for envelope in self._deliveries.get(event_id or "", ()):
            if envelope.on_answer is not None and not envelope.acked:
                envelope.on_answer(answer.get("payload") or {})
            envelope.acked = True
        self._changed()

    async def deliver(self, event: Json, team: str, *, retry: int = 0, event_id: str = "", **outer: Any) -> Envelope:
        """Send an event to the newest connection, or keep it for the next one."""
        number = next(self._ids)
        envelope = Envelope(f"envelope-{number}", event_id or f"Ev{number}", event)
        envelope.payload = {"team_id": team, **outer}
        self.envelopes.append(envelope)
        self._events[envelope.id] = envelope.event_id
        self._deliveries.setdefault(envelope.event_id, []).append(envelope)
        await self._send(envelope, retry)
        return envelope

    async def deliver_payload(
        self, kind: str, payload: Json, on_answer: Callable[[Json], None] | None = None
    ) -> Envelope:
        """Send an interactive payload or a command, which Slack never sends again."""
        number = next(self._ids)
        envelope = Envelope(
            f"envelope-{number}", f"Payload{number}", {}, payload=payload, kind=kind, on_answer=on_answer
        )
        self.envelopes.append(envelope)
        self._events[envelope.id] = envelope.event_id
        self._deliveries[envelope.event_id] = [envelope]
        await self._send(envelope, 0)
        return envelope

    async def _send(self, envelope: Envelope, retry: int) -> None:
        live = [socket for socket in self.live if not socket.closed]
        try:
            if not live:
                raise ConnectionError("nobody is there")
            await live[-1].send_json(self._wrapped(envelope, retry))
        except ConnectionError:
            self._waiting.append(envelope)

    def _wrapped(self, envelope: Envelope, retry: int) -> Json:
        if envelope.kind != "events_api":
            wrapper = {"envelope_id": envelope.id, "type": envelope.kind, "accepts_response_payload": True}
            return {**wrapper, "payload": envelope.payload}
        return {
            "envelope_id": envelope.id,
            "type": "events_api",
            "accepts_response_payload": False,
            "retry_attempt": retry,
            "retry_reason": "timeout" if retry else "",
            "payload": {
                "type": "event_callback",
                "api_app_id": "A1",
                "event_id": envelope.event_id,
                "event": envelope.event,
                **envelope.payload,
            },
        }

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask the newest connection to be replaced (or tell it that it was refused, by `reason`)."""
        await self.live[-1].send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "double"}})

    async def close(self) -> None:
        """Close all connections with a goodbye."""
        for socket in list(self.live):
            await socket.close()

    def abort(self) -> None:
        """Reset all connections."""
        for socket in list(self.live):
            if (transport := self._transports[socket]) is not None:
                transport.abort()

    async def acknowledged(self, envelope: Envelope, until: Callable[[Callable[[], bool]], Any]) -> None:
        """Wait until an event was acknowledged."""
        async with asyncio.timeout(10):
            await until(lambda: envelope.acked)
