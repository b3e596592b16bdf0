"""Read the missing parts of a conversation over REST into the cache, and return the conversation from there.

No read fails an answer: after an error or timeout, the history is the cached part and names the error.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from adapters.discord.errors import map_errors
from adapters.discord.events.mentions import mentions_bot
from adapters.discord.events.message import ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import parse_known
from adapters.discord.history.assembly import Group, channel_history, messages_of, reply_chain
from adapters.discord.history.cache import MESSAGES_PER_CHANNEL
from adapters.discord.history.pages import PAGE_SIZE, read_before
from adapters.discord.history.reply_labels import is_recent, reply_label, reply_labels
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from adapters.shared.attachments import TOO_OLD, Attachment
from adapters.shared.context_labels import added_text, label
from bot.conversation import History, OmittedAttachment, Part, Text
from bot.errors import Failure, NotFound, OutcomeUnknown, cause_of

log = logging.getLogger(__name__)


class HistoryReader:
    """Conversations from the cache, completed over REST within the budgets and `read_seconds`."""

    def __init__(self, state: BotState) -> None:
        self._state = state

    async def history(self, question: DiscordMessage, channel: ChannelInfo, limit: int) -> History:
        """At most `limit` messages before `question`. Never raises a `Failure`."""
        state, bot_id, unread, is_whole = self._state, self._state.bot_id, "", False
        limit = min(limit, MESSAGES_PER_CHANNEL - 1)
        try:
            async with state.reading():
                if channel.kind is ChannelKind.CHANNEL:
                    await self._read_chain(question, limit)
                else:
                    is_whole = await self._read_channel(question, limit)
                    await self._read_starter(question, channel, is_whole=is_whole)
        except (Failure, TimeoutError) as failure:
            unread = f"{type(failure).__name__}: {cause_of(failure)}"
            log.warning("answering with the cached part of the conversation, the rest is unreadable: %s", unread)
        if channel.kind is ChannelKind.CHANNEL:
            groups, more = reply_chain(state.cache, question, bot_id=bot_id, limit=limit)
            labels = {}
        else:
            starter = state.cache.get(channel.parent, channel.id) if channel.parent else None
            cached = state.cache.messages(question.channel)
            groups, more = channel_history(
                cached, question, bot_id=bot_id, limit=limit, from_start=is_whole, starter=starter
            )
            labels = dict(reply_labels(groups, state.cache, bot_id=bot_id))
        messages = [
            message
            for group in groups
            for message in messages_of(group, bot_id=bot_id, label=labels.get(group[0].id, ""))
        ]
        files = await self._files(question, groups)
        messages = [replace(message, parts=message.parts + files.get(message.id, ())) for message in messages]
        with_parts = tuple(message for message in messages if message.parts)
        return History(with_parts, truncated=more or bool(unread), unread=unread)

    async def context(self, question: DiscordMessage, channel: ChannelInfo) -> tuple[Part, ...]:
        """Labels for the thread and the replied-to message, content added since the question, and the files.

        In a channel the reply chain is the history, so there is no label for it.
        """
        state = self._state
        newest = state.cache.get(question.channel, question.id) or question
        lines = [added_text(newest.extra_text, question.extra_text), state.thread_title(channel, question.id)]
        files = question.attachments
        if question.reply_to and channel.kind is not ChannelKind.CHANNEL:
            line, more = await self._reply_context(question)
            lines.append(line)
            files += more
        text = "\n".join(filter(None, lines))
        return (*((Text(text),) if text else ()), *await state.attachments.read(files))

    async def participates(self, question: DiscordMessage, channel: ChannelInfo) -> bool | None:
        """Whether the bot was mentioned or has posted in a thread, from one read; None if it is unreadable."""
        state, bot = self._state, self._state.identity(question.guild)
        try:
            if state.owns_thread(channel.id):
                return True
            async with state.reading():
                is_whole = await self._read_channel(question, PAGE_SIZE)
                await self._read_starter(question, channel, is_whole=is_whole)
        except (Failure, TimeoutError) as failure:
            log.warning("cannot tell if the bot participates in thread %s: %r", channel.id, failure)
            return None
        starter = state.cache.get(channel.parent, channel.id)
        earlier = [one for one in state.cache.messages(channel.id) if int(one.id) < int(question.id)]
        earlier += [starter] if starter is not None else []
        return any(one.author == bot.id or mentions_bot(one, bot) for one in earlier)

    async def replied_to(self, message: DiscordMessage) -> DiscordMessage | None:
        """The replied-to message; None if it was deleted or is unreadable."""
        try:
            async with self._state.reading():
                return await self._message(message.channel, message.reply_to, message.guild)
        except (Failure, TimeoutError) as failure:
            log.warning("cannot read the message replied to by message %s: %r", message.id, failure)
            return None

    async def _reply_context(self, question: DiscordMessage) -> tuple[str, tuple[Attachment, ...]]:
        """A label for the replied-to message, and its files unless the history has them."""
        state = self._state
        try:
            async with state.reading():
                older = await self._message(question.channel, question.reply_to, question.guild)
        except (Failure, TimeoutError) as failure:
            log.info("cannot read the message replied to by message %s: %r", question.id, failure)
            return label("in reply to an earlier message"), ()
        bot_id = state.bot_id
        whole = older is not None and not is_recent(state.cache, question, older)
        files = older.attachments if older is not None and whole and older.author != bot_id else ()
        return reply_label(older, bot_id=bot_id, whole=whole), files

    # ---------------------------------------------------------------------------------------------------------- reads

    async def _read_channel(self, question: DiscordMessage, limit: int) -> bool:
        """Read until the newest `limit` messages before `question`, or all, are cached; returns whether all are.

        The channel becomes complete only if all later messages are known, too. Those between the question of an earlier
        process and the start of this one are not: no event brings them.
        """
        cache, channel, end = self._state.cache, question.channel, int(question.id)
        start = end  # from here to the question, all is cached
        for _ in range(limit // PAGE_SIZE + 1):
            complete_from = cache.complete_from(channel)
            if complete_from is not None and complete_from <= end:
                start = complete_from
            have = sum(1 for one in cache.messages(channel) if start <= int(one.id) < end)
            if start == 0 or have >= limit:
                break
            wanted = min(PAGE_SIZE, limit - have)
            page = await read_before(self._state, channel, start, guild=question.guild, limit=wanted)
            start = min(int(one.id) for one in page) if len(page) >= wanted else 0
            complete_from = cache.complete_from(channel)
            if complete_from is not None and complete_from <= end:
                cache.set_complete_from(channel, start)
            cache.add_read(page)
        return start == 0 and not cache.has_evicted(channel)

    async def _read_chain(self, question: DiscordMessage, limit: int) -> None:
        """Read the missing messages of the reply chain: one list, since most are recent, then one by one."""
        cache, current, listed = self._state.cache, question, False
        for _ in range(limit):
            if not current.reply_to:
                return
            if cache.get(question.channel, current.reply_to) is None and not listed:
                listed = True
                try:
                    before = int(question.id)
                    page = await read_before(self._state, question.channel, before, guild=question.guild)
                except (NotFound, OutcomeUnknown):  # a server without lists may have single messages
                    page = []
                cache.add_read(page)
            older = await self._message(question.channel, current.reply_to, question.guild)
            if older is None:
                return
            current = older

    async def _read_starter(self, question: DiscordMessage, channel: ChannelInfo, *, is_whole: bool) -> None:
        """Read a thread's starter message if the history goes back to it.

        It has the thread's id, and is in the parent channel.
        """
        cache = self._state.cache
        if channel.kind is not ChannelKind.THREAD or not channel.parent or not is_whole:
            return
        if cache.get(channel.id, channel.id) is not None or cache.has_no_starter(channel.id):
            return
        if await self._message(channel.parent, channel.id, question.guild) is None:
            cache.set_no_starter(channel.id)

    async def is_deleted(self, channel: str, message: str, guild: str) -> bool:
        """Whether a message was deleted; false if that cannot be read."""
        try:
            async with self._state.reading():
                return await self._message(channel, message, guild) is None
        except (Failure, TimeoutError):
            return False

    async def _message(self, channel: str, message: str, guild: str) -> DiscordMessage | None:
        """One message, cached or read; None if it was deleted."""
        cached = self._state.cache.get(channel, message)
        if cached is not None:
            return cached
        budgets = self._state.budgets
        try:
            async with spending(budgets.channel(channel).get, budgets.global_limit):
                with map_errors("reading a message"):
                    client = self._state.client
                    parsed = parse_known(await client.http.get_message(int(channel), int(message)), client, guild=guild)
        except NotFound:
            return None
        self._state.cache.add_read([parsed])
        return parsed

    async def _files(self, question: DiscordMessage, groups: Sequence[Group]) -> dict[str, tuple[Part, ...]]:
        """The newest files of the history by message id, as many as one message may have.

        Older ones become `OmittedAttachment`. Our own files are left out: their text is part of our answers.
        """
        attachments, bot_id = self._state.attachments, self._state.bot_id
        room = max(attachments.limits.count - len(question.attachments), 0)
        wanted = [
            (group[0].id, attachment)
            for group in reversed(groups)
            if group[0].author != bot_id
            for attachment in group[0].attachments
        ]
        parts = await attachments.read([attachment for _, attachment in wanted[:room]]) if wanted else ()
        older = [OmittedAttachment(attachment.name, TOO_OLD) for _, attachment in wanted[room:]]
        files: dict[str, tuple[Part, ...]] = {}
        for (message, _), part in zip(wanted, (*parts, *older), strict=True):
            files[message] = (*files.get(message, ()), part)
        return files
