"""The context of one question for the model: its attachments, and its conversation so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from xml.sax.saxutils import escape

from adapters.shared.attachments import TOO_OLD, Attachment
from adapters.shared.context_labels import added_text
from adapters.slack.events.mentions import marked_command, mentions, plain, to_model_message, without_mention
from adapters.slack.events.parse import SlackMessage, order
from adapters.slack.history.cache import Conversation
from adapters.slack.history.reader import PAGE_SIZE, before, join_answers, warn_unread, without_later_answers
from adapters.slack.state import WorkspaceState
from bot.conversation import History, Message, OmittedAttachment, Part, Text, TurnKey
from bot.errors import Failure, RateLimited, cause_of
from bot.interactions.quotes import split_quote

log = logging.getLogger(__name__)

# History timeout in seconds, including the queue of its budget; then the answer starts without history. Readers see
# nothing meanwhile.
READ_SECONDS = 10.0


class TurnContext:
    """Reads the context of one question. Never raises a `Failure`: unreadable parts are left out and named."""

    def __init__(
        self,
        workspace: WorkspaceState,
        conversation: Conversation,
        key: TurnKey,
        question: SlackMessage,
        posted: Sequence[str] = (),
    ) -> None:
        """`posted` are an earlier process's posts for this turn; a server without metadata does not mark them."""
        self._workspace = workspace
        self._conversation = conversation
        self._key = key
        self._question = question
        self._posted = frozenset(posted)

    async def attachments(self) -> tuple[Part, ...]:
        """The question's files, and content added since it arrived (link previews)."""
        workspace = self._workspace
        now = workspace.cache.get(self._conversation, self._question.ts)
        added = added_text(now.extra_text, self._question.extra_text) if now is not None else ""
        (parts,) = await read_files(workspace, [self._question.files])
        if not added:
            return tuple(parts)
        return (Text(plain(added, await workspace.names.resolve([added]), workspace.options.zone)), *parts)

    async def history(self, limit: int) -> History:
        """At most `limit` messages before the question."""
        read, more, unread = await self._read(limit)
        own_posts_left_out = [each for each in read if each.ts not in self._posted and not self._is_command(each)]
        if self._key.generation:
            own_posts_left_out = without_later_answers(own_posts_left_out, self._question.ts, self._key)
        earlier = join_answers(before(own_posts_left_out, self._question.ts, self._key.digest))
        newest = earlier[-limit:] if limit > 0 else []
        return History(
            messages=tuple(await self._to_model_messages(self._with_quoted_question(newest))),
            truncated=more or len(newest) < len(earlier),
            unread=unread,
        )

    def _with_quoted_question(self, messages: Sequence[SlackMessage]) -> list[SlackMessage]:
        """The same messages, with the slash command's question apart from the answer that begins the thread."""
        first = messages[0] if messages else None
        if first is None or not first.ours or first.ts != self._conversation[1]:
            return list(messages)
        if (found := split_quote(first.text)) is None:
            return list(messages)
        question = SlackMessage(first.ts, "", escape(found.question), thread=first.thread)
        return [question, replace(first, text=found.answer), *messages[1:]]

    def _is_command(self, message: SlackMessage) -> bool:
        """Whether a message was a command to the bot, and no part of the conversation."""
        me, commands = self._workspace.me.user, self._workspace.interactions.commands
        is_by_person = not (message.ours or message.bot)
        return is_by_person and marked_command(message.text, me, commands) is not None

    async def _read(self, limit: int) -> tuple[list[SlackMessage], bool, str]:
        """The messages, whether older ones exist, and the reason if they are unreadable."""
        cache, conversation = self._workspace.cache, self._conversation
        if conversation[1] == self._question.ts:
            return [], False, ""  # the thread begins with the question
        known = cache.complete(conversation)
        if known is not None:
            return *known, ""
        gaps, reader = cache.gaps, self._workspace.reader
        after = cache.read_up_to(conversation) if reader.is_limited else ""
        cache.open(conversation, from_start=False)  # messages arriving during the read belong to the result
        try:
            # An answer may have taken several messages, so read a few more than wanted.
            async with asyncio.timeout(READ_SECONDS):
                newest, deadline = min(2 * limit + 2, PAGE_SIZE), asyncio.get_running_loop().time() + READ_SECONDS
                pages = await reader.read(
                    conversation, newest=newest, until=self._question.ts, deadline=deadline, after=after
                )
        except (Failure, TimeoutError) as failure:
            # Our own budget refuses all but one read a minute of a limited app; only Slack's refusals have a cause.
            is_usual = reader.is_limited and isinstance(failure, RateLimited) and failure.__cause__ is None
            warn_unread(conversation, failure, logging.INFO if is_usual else logging.WARNING)
            told = cache.messages(conversation)
            is_enough = reader.is_limited and any(each.ts != self._question.ts for each in told)
            return told, True, "" if is_enough else cause_of(failure)
        cached = {each.ts: each for each in cache.messages(conversation)}
        if not pages.reached_end:
            log.log(
                logging.INFO if reader.is_limited else logging.WARNING,
                "%s: the thread is too long to be read up to now",
                self._key.reference,
            )
            if reader.is_limited:
                cache.extend(conversation, pages.messages)
            return _in_order(cached | {each.ts: each for each in pages.messages}), True, ""
        read = {ts: each for ts, each in cached.items() if after and order(ts) <= order(after)}
        messages = _in_order(read | {each.ts: each for each in pages.messages})
        cache.merge(conversation, messages, has_earlier=pages.has_earlier, gaps_before=gaps)
        return messages, pages.has_earlier, ""

    async def _to_model_messages(self, messages: Sequence[SlackMessage]) -> list[Message]:
        me, zone = self._workspace.me.user, self._workspace.options.zone
        authors = {each.user for each in messages if not each.ours and not each.bot and not each.name}
        texts = [each.shown for each in messages if not each.ours]
        mentioned = {user for text in texts for user in mentions(text)}
        names = await self._workspace.names.resolve(texts, (authors | mentioned) - {me})
        parts = await self._read_attachments(messages)
        unaddressed = [each if each.ours else replace(each, text=without_mention(each.text, me)) for each in messages]
        converted = [to_model_message(each, names, parts.get(each.ts, ()), zone) for each in unaddressed]
        return [each for each in converted if _has_content(each)]

    async def _read_attachments(self, messages: Sequence[SlackMessage]) -> dict[str, list[Part]]:
        """Files of the newest messages by ts; together with the question's at most as many as of one message.

        The model learns about unavailable files. Readers do not: they did when each message was the question.
        """
        room = max(self._workspace.attachments.limits.count - len(self._question.files), 0)
        wanted: dict[str, list[Attachment]] = {}
        older: dict[str, list[Part]] = {}
        for each in reversed(messages):
            wanted[each.ts] = list(each.files[:room])
            older[each.ts] = [OmittedAttachment(file.name, TOO_OLD) for file in each.files[room:]]
            room -= len(wanted[each.ts])
        read = await read_files(self._workspace, list(wanted.values()))
        return {ts: [*parts, *older[ts]] for ts, parts in zip(wanted, read, strict=True)}


async def read_files(workspace: WorkspaceState, files: Sequence[Sequence[Attachment]]) -> list[list[Part]]:
    """The parts of several messages' files: stubs looked up, contents downloaded, visible text added. Never raises."""
    resolved = await workspace.files.resolve([file for each in files for file in each])
    texts = [each.extra_text for each in resolved if each.extra_text]
    names = await workspace.names.resolve(texts) if texts else {}
    contents = iter(await workspace.attachments.read([f for each in resolved for f in each.files], workspace.web.token))
    remaining = iter(resolved)
    parts: list[list[Part]] = []
    for message_files in files:
        of_message: list[Part] = []
        for _ in message_files:
            found = next(remaining)
            of_message += [Text(plain(found.extra_text, names, workspace.options.zone))] if found.extra_text else []
            of_message += [next(contents) for _ in found.files]
        parts.append(of_message)
    return parts


def _in_order(messages: Mapping[str, SlackMessage]) -> list[SlackMessage]:
    return sorted(messages.values(), key=lambda each: order(each.ts))


def _has_content(message: Message) -> bool:
    """Whether anything is left of a message without its unavailable files."""
    return any(not isinstance(part, Text) or part.text.strip() for part in message.parts)
