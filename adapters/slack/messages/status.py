"""The status of a thread ("is thinking..."), shown until the first post.

https://docs.slack.dev/reference/methods/assistant.threads.setStatus
"""

from __future__ import annotations

import asyncio
import logging

from adapters.slack.errors import code_of
from adapters.slack.history.cache import Conversation
from adapters.slack.state import WorkspaceState
from bot.errors import Failure, Permanent

log = logging.getLogger(__name__)

STATUS = "is thinking..."
# Slack clears a status after two minutes; seconds between two calls.
STATUS_SECONDS = 90.0
# Seconds for the first post to clear the status after the work has ended; then we clear it.
STATUS_GRACE_SECONDS = 2.0


class ThreadStatus:
    """The status of one turn's thread; shows nothing where the surface has no status."""

    def __init__(self, workspace: WorkspaceState, conversation: Conversation, reference: str) -> None:
        self._workspace = workspace
        self._channel, self._thread = conversation
        self._reference = reference
        self.has_posted = False
        self._is_lit = False  # perhaps shown
        self._calls = 0
        self._is_calling = False
        self._calls_before_post: int | None = None

    def post_begins(self) -> None:
        """A post is sent now. It clears the status, unless Slack may apply a call of the status after it."""
        self._calls_before_post = None if self._is_calling else self._calls

    def post_answered(self) -> None:
        """The post has its answer. An edit, or a post of an earlier process, clears nothing."""
        self.has_posted = True
        if self._calls == self._calls_before_post:
            self._is_lit = False

    async def show(self) -> None:
        """Show the status until cancelled."""
        try:
            while self._thread and not self._is_disabled():
                self._is_lit = True
                await self._set(STATUS)
                await asyncio.sleep(STATUS_SECONDS)
            await asyncio.Event().wait()
        finally:
            if self._is_lit and not self._is_disabled():
                self._workspace.spawn(self._clear())

    async def end(self) -> None:
        """The turn has ended, so no post follows. The workspace may be given up at once, and nobody would clear it.

        Of two calls, the second one makes up for a failure of the first.
        """
        if self._is_lit and not self._is_disabled():
            self._is_lit = False
            self._is_lit = not await self._set("")

    async def _clear(self) -> None:
        await asyncio.sleep(STATUS_GRACE_SECONDS)
        await self.end()

    async def _set(self, status: str) -> bool:
        """Whether it is set, or never will be: a passing failure may be made up for."""
        payload = {"channel_id": self._channel, "thread_ts": self._thread, "status": status}
        self._calls += 1
        self._is_calling = True
        try:
            await self._workspace.web.send("assistant.threads.setStatus", payload)
        except Failure as failure:
            everywhere = code_of(failure) in ("unknown_method", "missing_scope", "not_allowed_token_type")
            if not everywhere and not isinstance(failure, Permanent):
                log.debug("%s: the status was not set (%s)", self._reference, failure)
                return False
            log.info("Slack shows no status here (%s)", failure)
            self._workspace.flags.disable("status" if everywhere else f"status:{self._channel}")
        finally:
            self._is_calling = False
        return True

    def _is_disabled(self) -> bool:
        flags = self._workspace.flags
        return flags.is_disabled("status") or flags.is_disabled(f"status:{self._channel}")
