"""How events and interactive payloads reach the platform: through a socket or over HTTP."""

from __future__ import annotations

import asyncio
from typing import Protocol

from slack_bolt.app.async_app import AsyncApp

from adapters.slack.state import WorkspaceState
from bot.errors import Forbidden


class EventSource(Protocol):
    """Brings payloads to Bolt, and its responses back to Slack."""

    @property
    def is_open(self) -> bool:
        """Whether payloads can arrive."""
        ...

    async def listen(self, app: AsyncApp, workspace: WorkspaceState, opened: asyncio.Event) -> Forbidden | None:
        """Bring payloads until cancelled, or until Slack refuses for good; `opened` is set at the first opening."""
        ...

    def stop_accepting(self) -> None:
        """Leave new events to the next process."""
        ...

    async def close(self) -> None:
        """Stop, and close connections."""
        ...
