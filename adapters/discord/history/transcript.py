"""A conversation from one message on, as text for a summary."""

from __future__ import annotations

import logging

from adapters.discord.events.message import READABLE_TYPES, DiscordMessage
from adapters.discord.history.pages import PAGE_SIZE, read_after
from adapters.discord.messages.renderer import without_small_print
from adapters.discord.state import BotState
from adapters.shared.context_labels import label, one_line
from bot.errors import Failure, cause_of

log = logging.getLogger(__name__)

# Pages per summary: 300 messages are an hour's reading, and three reads fit into one of Discord's windows.
MAX_PAGES = 3

# Longest transcript, in characters: as long as a question may be by default, with room for the instruction.
MAX_CHARACTERS = 30_000


async def read_transcript(state: BotState, first: DiscordMessage, *, until: str) -> str:
    """The messages from `first` to the id `until`, each with its author's name, oldest first.

    Never fails: after an error, the text ends with a label. So it does if there are more messages than fit.
    """
    lines, after, note = [_line(first, state.bot_id)], int(first.id), ""
    try:
        async with state.reading():
            for number in range(MAX_PAGES):
                limit = state.budgets.global_limit
                page = await read_after(state, first.channel, after, guild=first.guild, limit=limit)
                lines += [_line(one, state.bot_id) for one in page if int(one.id) < int(until)]
                if len(page) < PAGE_SIZE or int(page[-1].id) >= int(until):
                    break
                after = int(page[-1].id)
                note = label("later messages were left out") if number == MAX_PAGES - 1 else ""
    except (Failure, TimeoutError) as failure:
        log.warning("summarizing a part of the conversation, the rest is unreadable: %s", cause_of(failure))
        note = label("later messages could not be read")
    text = "\n".join(filter(None, lines))
    if len(text) > MAX_CHARACTERS:
        text, note = text[:MAX_CHARACTERS], label("later messages were left out")
    return f"{text}\n{note}".strip()


def _line(message: DiscordMessage, bot_id: str) -> str:
    """A message with its author's name; empty for a system message or one without content."""
    if message.kind not in READABLE_TYPES:
        return ""
    is_own = message.author == bot_id
    text = without_small_print(message.text) if is_own else message.full_text
    text = text or ", ".join(label("file", file.name) for file in message.attachments)
    return f"{'you' if is_own else one_line(message.name)}: {text}" if text else ""
