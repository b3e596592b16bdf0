"""Edited questions: edits that change the words of a message to the bot go to the core.

Slack tells an edit as ``message_changed``, and so it does a link preview or a pin. An edit that adds the mention may
also arrive as ``app_mention``, before or after; only the first of both counts.
"""

from __future__ import annotations

import logging

from adapters.shared.cache import LRUCache
from adapters.slack.events.mentions import PLATFORM, AddressedMessage, Trigger, conversation_id, decide, marked_command
from adapters.slack.events.parse import MessageChanged, MessagePosted, micros
from adapters.slack.events.pending import PendingMessage
from adapters.slack.history.cache import conversation_of
from adapters.slack.history.thread_lookup import participates
from adapters.slack.history.users import to_author
from adapters.slack.state import WorkspaceState
from bot.conversation import TurnKey
from bot.errors import Failure
from bot.interactions.values import QuestionEdited
from bot.ports import Inbox

log = logging.getLogger(__name__)

# Edits remembered, by message. Slack sends both forms of one edit within seconds.
REPORTED = 2_000
# Most edits being looked up at once; beyond it, edits are dropped: each may wait minutes for a read.
LOOKUPS = 200


class EditHandler:
    """Reports the edited questions of one workspace."""

    def __init__(self, workspace: WorkspaceState, inbox: Inbox) -> None:
        self._workspace = workspace
        self._inbox = inbox
        self.reported: LRUCache[tuple[str, str], str] = LRUCache(REPORTED)  # the words, by channel and ts
        self._lookups = 0

    def handle(self, event: MessageChanged, pending: PendingMessage | None) -> None:
        """Report an edit. Before the cache has the new words; `pending` is the message as it arrived."""
        if not self._is_reworded(event):
            return
        addressed = decide(_as_posted(event), self._workspace.me)
        if addressed is None or self._lookups >= LOOKUPS or self._is_command(addressed, pending):
            return
        words = addressed.message.text
        taken_up = {self.reported.get(addressed.id), pending.text if pending is not None else None}
        if words in taken_up and not event.has_other_files:
            return
        if pending is not None:
            pending.text = ""  # the words of the first version count again from now on
        self.reported[addressed.id] = words
        self._lookups += 1
        self._workspace.spawn(self._report(addressed, event))

    def _is_reworded(self, event: MessageChanged) -> bool:
        message = event.message
        if message.ours or not (message.text.strip() or message.files):
            return False
        if event.is_reworded is not None:
            return event.is_reworded or event.has_other_files
        # Without the version before, the cache may have it.
        conversation = conversation_of(event.channel, message.ts, message.thread)
        known = self._workspace.cache.get(conversation, message.ts)
        return bool(event.edited) and (known is None or known.text != message.text)

    def _is_command(self, addressed: AddressedMessage, pending: PendingMessage | None) -> bool:
        """Whether the message is a command, or was one: its edit changes nothing."""
        me, commands = self._workspace.me.user, self._workspace.interactions.commands
        versions = [addressed.message.text, pending.text if pending is not None else ""]
        return any(marked_command(text, me, commands) is not None for text in versions)

    async def _report(self, addressed: AddressedMessage, event: MessageChanged) -> None:
        workspace, message = self._workspace, addressed.message
        try:
            if addressed.trigger is Trigger.FOLLOW_UP and not await participates(addressed, workspace, self._inbox):
                return
            user = await workspace.users.find(message.user)
        except Failure as failure:
            log.warning("Slack: an edit in %s is ignored, because a lookup failed (%s)", addressed.channel, failure)
            return
        finally:
            self._lookups -= 1
        if user.bot:
            return
        if addressed.trigger is not Trigger.FOLLOW_UP:
            workspace.participation.join(addressed.conversation, message.ts)
            workspace.cache.open(addressed.conversation, from_start=False)
        workspace.cache.threads[addressed.id] = message.thread
        team = workspace.me.team
        workspace.interactions.edited(
            QuestionEdited(
                question=TurnKey(PLATFORM, team, *addressed.id),
                conversation=conversation_id(team, *addressed.conversation),
                by=to_author(user, addressed.teams, workspace.me),
                age=max(micros(event.edited or message.ts) - micros(message.ts), 0) / 1_000_000,
            )
        )


def _as_posted(event: MessageChanged) -> MessagePosted:
    """The new version as if it had just been posted."""
    return MessagePosted(event.channel, event.message, event.channel_type, event.teams, event.parent)
