"""How events and interactive payloads reach the platform: through a socket or over HTTP."""

from __future__ import annotations

import asyncio
from typing import Protocol

from adapters.slack.receiver import Receiver
from adapters.slack.web_api import WebApi
from bot.errors import Forbidden


class EventSource(Protocol):
    """Brings payloads to the receiver, and its responses back to Slack."""

    @property
    def is_open(self) -> bool:
        """Whether payloads can arrive."""
        ...

    async def listen(self, receiver: Receiver, web: WebApi, opened: asyncio.Event) -> Forbidden | None:
        """Bring payloads until cancelled, or until Slack refuses for good; `opened` is set at the first opening."""
        ...

    async def close(self) -> None:
        """Stop, and close connections."""
        ...
