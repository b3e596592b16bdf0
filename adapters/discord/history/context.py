"""What a reader sees around a question in Discord: its thread's title, and the message that it replies to.

What belongs here: labels for both, and the one read that the latter may cost. What does not: what was said before
(`history`). In a channel the chain of replies is the history, so that no label is needed there.
"""

from __future__ import annotations

import asyncio
import logging

from adapters.discord.events.mentions import ChannelInfo, ChannelKind
from adapters.discord.events.parse import DiscordMessage
from adapters.discord.history.reader import one_message
from adapters.discord.history.reply_labels import is_recent, replying
from adapters.discord.state import BotState
from adapters.shared.attachments import Attachment
from adapters.shared.context_labels import label, since
from bot.conversation import Part, Text
from bot.errors import Failure

log = logging.getLogger(__name__)


async def attached(state: BotState, question: DiscordMessage, channel_info: ChannelInfo) -> tuple[Part, ...]:
    """See `bot.ports.Channel.attached`: what stands around the question, then its files."""
    now = state.cache.get(question.channel, question.id) or question
    lines, files = [since(now.beside, question.beside), state.title(channel_info)], question.attachments
    if question.reply_to and channel_info.kind is not ChannelKind.CHANNEL:
        line, more = await _replied_to(state, question)
        lines.append(line)
        files += more
    text = "\n".join(filter(None, lines))
    return (*((Text(text),) if text else ()), *await state.attachments.read(files))


async def _replied_to(state: BotState, question: DiscordMessage) -> tuple[str, tuple[Attachment, ...]]:
    """A label for the message that a question replies to, and its files where the history does not have them."""
    try:
        async with asyncio.timeout(state.options.read_seconds):
            older = await one_message(state, question.channel, question.reply_to, question.guild)
    except (Failure, TimeoutError) as failure:
        log.info("what message %s replies to cannot be read: %r", question.id, failure)
        return label("in reply to an earlier message"), ()
    bot_id = state.identity("").id
    whole = older is not None and not is_recent(state.cache, question, older)
    files = older.attachments if older is not None and whole and older.author != bot_id else ()
    return replying(older, bot_id=bot_id, whole=whole), files
