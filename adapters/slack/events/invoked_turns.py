"""Turns of questions without a message of their own: built from an invocation, and again from its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from xml.sax.saxutils import escape

from adapters.slack.events.codec import dump_invocation
from adapters.slack.events.invocations import Invocation, InvocationId, InvocationKind
from adapters.slack.events.mentions import conversation_id, mentions, to_model_message, without_mention
from adapters.slack.events.parse import SlackMessage
from adapters.slack.history.cache import Conversation
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.history.users import to_author
from adapters.slack.messages.command_channel import CommandChannel, InvokedChannel, command_conversation
from adapters.slack.state import WorkspaceState
from bot.callbacks import no_op
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey
from bot.errors import NotFound
from bot.interactions.quotes import quote_of, split_quote
from bot.ports import OpenedQuestion, UnfinishedTurn


class InvokedTurns:
    """Builds turns and their channels for one workspace."""

    def __init__(self, workspace: WorkspaceState) -> None:
        self._workspace = workspace

    async def open(
        self,
        key: TurnKey,
        invocation: Invocation,
        author: Author,
        record: UnfinishedTurn | None = None,
        on_refused: Callable[[], object] = no_op,
    ) -> OpenedQuestion:
        """The turn of an invocation; `record` is an earlier process's work. `on_refused`: see `InvokedChannel`.

        Raises `NotFound` if its message is deleted or empty, and another `Failure` if it cannot be read.
        """
        posted = record.messages if record is not None else ()
        conversation = self._conversation(invocation, posted)
        asked = await self._asked(invocation)
        snapshot = self._snapshot(invocation, conversation, posted) if record is not None else None
        if snapshot is not None and not posted and await snapshot.is_deleted():
            raise NotFound("the message is deleted")
        if conversation[1]:
            self._workspace.cache.open(conversation, from_start=False)
        kind = CommandChannel if invocation.id.kind is InvocationKind.ASK else InvokedChannel
        channel = kind(self._workspace, conversation, key, asked, snapshot, on_refused=on_refused)
        turn = await self._turn(key, invocation, author, asked, conversation)
        return OpenedQuestion(turn, channel, dump_invocation(invocation))

    async def reopen(self, key: TurnKey, id_: InvocationId, messages: Sequence[str]) -> OpenedQuestion:
        """A question again, for another answer in place of `messages`. Raises a `Failure`, as `open` does.

        The slash command's question stands as a quote above its present answer.
        """
        text = await self._quoted(key.channel, messages) if id_.kind is InvocationKind.ASK else ""
        author = to_author(await self._workspace.users.find(id_.user), frozenset(), self._workspace.me)
        invocation = Invocation(id_, key.channel, text=text)
        return await self.open(key, invocation, author, UnfinishedTurn(key, "", tuple(messages)))

    # -------------------------------------------------------------------------------------------------------- question

    async def _asked(self, invocation: Invocation) -> SlackMessage:
        """The message to answer, with content; read from Slack if the invocation does not hold it."""
        asked = invocation.question(self._workspace.me)
        if invocation.id.kind is not InvocationKind.ANSWER:
            return asked
        if invocation.message is None:
            thread, ts = invocation.id.thread, invocation.id.message
            found = await self._message((invocation.channel, thread), ts)
            asked = replace(found or asked, ours=False)
        if not (asked.shown.strip() or asked.files):
            raise NotFound("the message has no content")
        return asked

    async def _quoted(self, channel: str, messages: Sequence[str]) -> str:
        """The question above an answer, in Slack's format."""
        if not messages:
            raise NotFound("no message of the answer is known")
        first = await self._message((channel, messages[0]), messages[0])
        quote = split_quote(first.text) if first is not None and first.ours else None
        if quote is None:
            raise NotFound("the answer no longer begins with its question")
        return escape(quote.question)

    async def _message(self, conversation: Conversation, ts: str) -> SlackMessage | None:
        """A message as it is now: for an app that may hardly read, as events told it. Raises a `Failure`."""
        reader, known = self._workspace.reader, self._workspace.cache.get(conversation, ts)
        return known if reader.is_limited and known is not None else await reader.message(conversation, ts)

    async def _turn(
        self, key: TurnKey, invocation: Invocation, author: Author, asked: SlackMessage, conversation: Conversation
    ) -> Turn:
        team, (channel, thread) = self._workspace.me.team, conversation
        is_ask = invocation.id.kind is InvocationKind.ASK
        # The answer's thread is unknown before its first post, so the command names the conversation until then.
        place = thread or (invocation.id.mark if is_ask and not channel.startswith("D") else "")
        question = await self._question(invocation.id.kind, asked, author)
        quote = quote_of(question.text)
        return Turn(
            key=key,
            conversation=conversation_id(team, channel, place),
            author=author,
            question=question,
            channel_ids=tuple(filter(None, (thread, channel))),
            direct=channel.startswith("D"),
            preface=quote.text if is_ask else "",
            can_retry=quote.is_whole or not is_ask,
        )

    async def _question(self, kind: InvocationKind, asked: SlackMessage, author: Author) -> Message:
        """The question for the model, with names for ids: the asked message keeps its own author."""
        workspace = self._workspace
        if kind is InvocationKind.SUMMARIZE:
            return Message(Role.USER, (Text(workspace.options.strings.summarize),), author.name)
        me = workspace.me.user
        asked = replace(asked, text=without_mention(asked.text, me))
        people = {asked.user} if not asked.bot and asked.user not in (author.id, me) else set()
        names = await workspace.names.resolve([asked.shown], (mentions(asked.shown) | people) - {me})
        return replace(to_model_message(asked, {**names, author.id: author.name}, (), workspace.options.zone), id="")

    # ---------------------------------------------------------------------------------------------------- conversation

    def _conversation(self, invocation: Invocation, posted: Sequence[str]) -> Conversation:
        if invocation.id.kind is InvocationKind.ASK:
            return command_conversation(invocation.channel, posted)
        return (invocation.channel, invocation.id.thread)

    def _snapshot(
        self, invocation: Invocation, conversation: Conversation, posted: Sequence[str]
    ) -> ThreadSnapshot | None:
        """The conversation from the question on; None for a new one without a message."""
        first = invocation.id.message or conversation[1]
        return ThreadSnapshot(self._workspace.reader, conversation, first, posted) if first else None
