"""What a reader sees around a question in Discord: its thread's title, and the message that it replies to.

What belongs here: labels for both, and the one read that the latter may cost. What does not: what was said before
(`history`). In a channel the chain of replies is the history, so that no label is needed there.
"""

from __future__ import annotations

import asyncio
import logging

from adapters.discord.events.mentions import Kind, Place
from adapters.discord.events.parse import Seen
from adapters.discord.history.reader import one_message
from adapters.discord.history.reply_labels import is_recent, replying
from adapters.discord.state import Presence
from adapters.shared.attachments import Attachment
from adapters.shared.context_labels import label, since
from bot.conversation import Part, Text
from bot.errors import Failure

log = logging.getLogger(__name__)


async def attached(presence: Presence, question: Seen, place: Place) -> tuple[Part, ...]:
    """See `bot.ports.Channel.attached`: what stands around the question, then its files."""
    now = presence.memory.get(question.channel, question.id) or question
    lines, files = [since(now.beside, question.beside), presence.title(place)], question.attachments
    if question.reply_to and place.kind is not Kind.CHANNEL:
        line, more = await _replied_to(presence, question)
        lines.append(line)
        files += more
    text = "\n".join(filter(None, lines))
    return (*((Text(text),) if text else ()), *await presence.attachments.read(files))


async def _replied_to(presence: Presence, question: Seen) -> tuple[str, tuple[Attachment, ...]]:
    """A label for the message that a question replies to, and its files where the history does not have them."""
    try:
        async with asyncio.timeout(presence.options.read_seconds):
            older = await one_message(presence, question.channel, question.reply_to, question.guild)
    except (Failure, TimeoutError) as failure:
        log.info("what message %s replies to cannot be read: %r", question.id, failure)
        return label("in reply to an earlier message"), ()
    me = presence.me("").id
    whole = older is not None and not is_recent(presence.memory, question, older)
    files = older.attachments if older is not None and whole and older.author != me else ()
    return replying(older, me=me, whole=whole), files
