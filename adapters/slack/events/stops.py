"""Stop requests: by a button, a reaction, or Slack's own button of a session."""

from __future__ import annotations

import logging

from adapters.shared.cache import LRUCache
from adapters.slack.events.mentions import PLATFORM, conversation_id
from adapters.slack.events.parse import StopRequested
from adapters.slack.events.pending import PendingMessage
from adapters.slack.history.users import to_author
from adapters.slack.messages.session import set_session_status
from adapters.slack.state import WorkspaceState
from bot.conversation import Author, TurnKey
from bot.errors import Failure
from bot.ports import Inbox

log = logging.getLogger(__name__)

# Most stop requests by other users kept for one pending message.
STOPS = 20


class StopHandler:
    """Passes the stop requests of one workspace to the core."""

    def __init__(
        self, workspace: WorkspaceState, inbox: Inbox, recent: LRUCache[tuple[str, str], PendingMessage]
    ) -> None:
        """`recent` has the messages on their way to a turn, by channel and ts."""
        self._workspace = workspace
        self._inbox = inbox
        self._recent = recent

    def stop(self, request: StopRequested) -> bool:
        """Stop the answers concerned by a request; False if there is none, or the person lacks permission."""
        if self._workspace.users.is_known_bot(request.by):  # a lookup first would cost time, and tokens
            return False
        team = self._workspace.me.team
        stopped, by = False, self._requester(request.by)
        for ts in request.messages:
            stopped |= self._inbox.stop(TurnKey(PLATFORM, team, request.channel, ts), by=by)
            if (pending := self._recent.get((request.channel, ts))) is not None:
                pending.is_withdrawn = pending.is_withdrawn or request.by == pending.author
                if not pending.is_handed_over and len(pending.stops) < STOPS:
                    pending.stops.append(by)  # the core decides about permission once it is a turn
                    stopped = True
        if request.thread is not None:
            if not stopped:
                stopped = self._inbox.stop_conversation(conversation_id(team, request.channel, request.thread), by=by)
            self._workspace.spawn(self._leave_session(request.channel, request.thread))
        return stopped

    def _requester(self, user: str) -> Author | str:
        """A user as far as known: a lookup would delay the stop."""
        known = self._workspace.users.known(user)
        return user if known is None else to_author(known, frozenset(), self._workspace.me)

    async def _leave_session(self, channel: str, thread: str) -> None:
        """Remove Slack's stop button; it stays until the session leaves "processing"."""
        try:
            await set_session_status(self._workspace, channel, thread, "active")
        except Failure as failure:
            log.debug("Slack: the session's status was not set (%s)", failure)
