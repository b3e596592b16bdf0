"""A page of the playground, as a client of its socket."""

from __future__ import annotations

from typing import Any

import aiohttp


class Page:
    """A page past its greeting."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._refs = 0

    async def send(self, **request: object) -> dict[str, Any]:
        """Send a request, and return its own response."""
        self._refs += 1
        ref = str(self._refs)
        await self._socket.send_json({"channel": "general", "name": "Dana", "ref": ref, **request})
        while True:
            event: dict[str, Any] = await self._socket.receive_json()
            if event.get("ref") == ref:
                return event

    async def said(self, text: str, **more: str) -> str:
        """The private words for a command."""
        event = await self.send(ask=text, **more)
        assert event["type"] == "private", event
        return str(event["html"])

    async def ask(self, text: str, reply_to: str = "") -> str:
        """Ask, wait for the whole answer, and return the id of its message."""
        question = (await self.send(ask=text, reply_to=reply_to))["id"]
        while True:
            event = await self._socket.receive_json()
            message = event.get("message", {})
            if message.get("bot") and message["question"] == question and "stop" not in message["controls"]:
                return str(message["id"])
