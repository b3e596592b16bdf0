"""The Socket Mode side of the loopback Slack: tickets, connections, envelopes and their acknowledgements.

What belongs here: what travels over the WebSocket. What does not: what an event says (`tests.servers.slack`).

Each event goes to one connection: the newest, or each in turn (`spreads`). With none, it waits for the next. An event
without an acknowledgement is only sent again on command (`redeliver`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import WSMsgType, web

from tests.servers.slack_deliveries import APP_ID, Deliveries, Envelope

Json = dict[str, Any]


class Sockets:
    """All connections of the app."""

    def __init__(self, deliveries: Deliveries, changed: Callable[[], None]) -> None:
        self.live: list[web.WebSocketResponse] = []
        self.opened = 0  # connections that were ever made
        self.hello = True  # whether they are greeted
        self.others = 0  # connections of other processes, as the greeting counts them
        self.deaf = False  # whether new connections answer neither pings nor anything: a silent dead socket
        self.refused = 0  # how many of the next handshakes are refused
        self.spreads = False  # whether events go to all connections in turn, as Slack does
        self._tickets: set[str] = set()
        self._transports: WeakKeyDictionary[web.WebSocketResponse, asyncio.Transport | None] = WeakKeyDictionary()
        self._waiting: list[Envelope] = []
        self._sent: dict[str, Envelope] = {}  # by id
        self._deliveries = deliveries
        self._ids, self._turns = itertools.count(1), itertools.count()
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
            "connection_info": {"app_id": APP_ID},
        }

    async def _deliver_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for envelope in waiting:
            await self.send(envelope)

    def _acknowledge(self, answer: Json) -> None:
        if (envelope := self._sent.get(str(answer.get("envelope_id")))) is not None:
            self._deliveries.acknowledge(envelope, answer.get("payload") or {})

    async def send(self, envelope: Envelope) -> None:
        """Send a delivery to a connection, or keep it for the next one."""
        self._sent[envelope.id] = envelope
        live = [socket for socket in self.live if not socket.closed]
        try:
            if not live:
                raise ConnectionError("nobody is there")
            chosen = live[next(self._turns) % len(live)] if self.spreads else live[-1]
            await chosen.send_json(_wrapped(envelope))
        except ConnectionError:
            self._waiting.append(envelope)

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


def _wrapped(envelope: Envelope) -> Json:
    is_event = envelope.kind == "events_api"
    wrapper = {"envelope_id": envelope.id, "type": envelope.kind, "accepts_response_payload": not is_event}
    retries = {"retry_attempt": envelope.retry, "retry_reason": "timeout" if envelope.retry else ""}
    return {**wrapper, **(retries if is_event else {}), "payload": envelope.body}
