"""Channels of questions without a message of their own: from a message's menu, and from a slash command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from typing_extensions import override

from adapters.slack.events.parse import SlackMessage
from adapters.slack.history.cache import Conversation
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.messages.channel import SlackChannel
from adapters.slack.state import WorkspaceState
from bot.callbacks import no_op
from bot.conversation import History, TurnKey
from bot.errors import Forbidden, NotFound
from bot.ports import Body


class InvokedChannel(SlackChannel):
    """A thread to answer in, asked for by a command: if Slack refuses the first post, the person is told."""

    def __init__(
        self,
        workspace: WorkspaceState,
        conversation: Conversation,
        key: TurnKey,
        question: SlackMessage,
        snapshot: ThreadSnapshot | None = None,
        *,
        on_refused: Callable[[], object] = no_op,
    ) -> None:
        """`snapshot` has the messages of an earlier process. `on_refused`: Slack refuses the first post for good."""
        super().__init__(workspace, conversation, key, question, snapshot)
        self._on_refused = on_refused

    @override
    async def post(self, body: Body, key: str) -> str:
        try:
            return await super().post(body, key)
        except (Forbidden, NotFound):
            if not self._status.has_posted:
                self._on_refused()
            raise


class CommandChannel(InvokedChannel):
    """Posts the first message of an answer in the channel, and the others in the thread below it.

    In direct messages all of them stand in place. No earlier message belongs to the conversation. Its conversation is
    that of `command_conversation`.
    """

    @override
    async def history(self, limit: int) -> History:
        return History()

    @override
    def _note_post(self, ts: str, body: Body, key: str) -> None:
        self._begin_thread(ts)
        super()._note_post(ts, body, key)

    @override
    async def _look_up(self, key: str, known: Sequence[str]) -> str | None:
        if self._conversation[1]:
            return await super()._look_up(key, known)
        # The first message stands among all others of its channel, with the key in its metadata.
        channel = self._conversation[0]
        pages = await self._workspace.reader.newest(channel)
        found = next((each.ts for each in reversed(pages) if each.ours and each.key == key), None)
        if found is not None:
            self._begin_thread(found)
        return found

    def _begin_thread(self, ts: str) -> None:
        """The first message begins the thread of all later ones."""
        channel, thread = self._conversation
        if not thread and not channel.startswith("D"):
            self._conversation = (channel, ts)
            self._workspace.cache.open(self._conversation, from_start=True)


def command_conversation(channel: str, posted: Sequence[str]) -> Conversation:
    """The conversation of a command's question: the thread of its first message, once there is one."""
    return (channel, posted[0] if posted and not channel.startswith("D") else "")
