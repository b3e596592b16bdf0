"""The session of one turn in the agent view: Slack shows a stop button while its status is "processing".

https://docs.slack.dev/ai/agent-sessions. The status never changes by itself, so each turn that begins one ends it. In
the agent view, that is, in direct messages, each question outside a thread is the first of its own.
"""

from __future__ import annotations

import asyncio
import logging

from adapters.shared.json_fields import list_field, object_field, string_field
from adapters.slack.history.cache import Conversation
from adapters.slack.rate_limits import spending
from adapters.slack.state import WorkspaceState
from adapters.slack.web_api import ApiResponse
from bot.errors import Failure, Forbidden, Permanent, RateLimited

log = logging.getLogger(__name__)

SESSIONS = "sessions"  # the feature's name in `FeatureFlags`
# Slack's warning to an app without the event of the stop button: the button would do nothing.
NO_EVENT = "missing_agent_session_stopped_event_subscription"
# Calls of a minute's 45 kept for the ends of sessions: each begun one needs one.
RESERVED_CALLS = 23
# Longest time for ending a session, with one retry, in seconds: the next turn of the conversation waits.
END_SECONDS = 5.0
RETRY_SECONDS = 1.0


class AgentSession:
    """Begun at most once. No method raises a `Failure`."""

    def __init__(
        self, workspace: WorkspaceState, conversation: Conversation, question: str, *, is_recovered: bool = False
    ) -> None:
        """`question` is the ts of the question. `is_recovered`: an earlier process may have begun the session."""
        self._workspace = workspace
        self._channel = conversation[0]
        self._thread = conversation[1] or question
        self._is_recovered = is_recovered
        self._is_processing = False

    async def begin(self) -> None:
        """Show the stop button, if the budget allows a call for it now and one for its end."""
        workspace, budget = self._workspace, self._workspace.budgets.sessions
        is_agent_view = self._channel.startswith("D") and bool(self._thread)
        if not is_agent_view or self._is_processing or workspace.flags.is_disabled(SESSIONS):
            return
        if budget.wait(asyncio.get_running_loop().time(), RESERVED_CALLS) > 0:
            self._is_processing = self._is_recovered  # its end is due all the same
            return
        self._is_processing = True  # also if the call is cancelled or its answer lost
        try:
            answer = await self._set("processing")
        except Failure as failure:
            self._is_processing = not isinstance(failure, Permanent | RateLimited)
            self._refused(failure)
            return
        if NO_EVENT in _warnings(answer):
            log.info("Slack: the app does not subscribe to agent_session_stopped, so it shows no stop button")
            workspace.flags.disable(SESSIONS)
            await self.end()

    async def end(self, *, is_begun: bool = False) -> None:
        """Remove the stop button. `is_begun`: a native stream has begun the session."""
        if not (self._is_processing or (is_begun and not self._workspace.flags.is_disabled(SESSIONS))):
            return
        self._is_processing = False
        try:
            async with asyncio.timeout(END_SECONDS):
                try:
                    await self._set("active")
                except Failure as failure:
                    if isinstance(failure, Permanent):
                        raise
                    await asyncio.sleep(getattr(failure, "retry_after", None) or RETRY_SECONDS)
                    await self._set("active")
        except Failure as failure:
            self._refused(failure)
        except TimeoutError:
            log.info("Slack: a session in %s was not ended in time", self._channel)

    async def _set(self, status: str) -> ApiResponse:
        return await set_session_status(self._workspace, self._channel, self._thread, status)

    def _refused(self, failure: Failure) -> None:
        log.debug("Slack: the status of a session was not set (%s)", failure)
        if isinstance(failure, Forbidden):
            log.info("Slack shows no sessions here (%s)", failure)
            self._workspace.flags.disable(SESSIONS)


async def set_session_status(workspace: WorkspaceState, channel: str, thread: str, status: str) -> ApiResponse:
    """Set the status of a session, within its budget. Raises as `WebApi.send` does."""
    payload = {"channel_id": channel, "status": status} | ({"thread_ts": thread} if thread else {})
    async with spending(workspace.budgets.sessions):
        return await workspace.web.send("agents.sessions.setStatus", payload)


def _warnings(answer: ApiResponse) -> str:
    """Slack's warnings in an answer, in one line."""
    listed = list_field(object_field(answer.data, "response_metadata"), "warnings")
    return " ".join([string_field(answer.data, "warning"), *map(str, listed)])
