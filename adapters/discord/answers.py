"""Our own messages, found again: the one that a post may have made whose answer was lost, by this process or another.

What belongs here: telling which message of ours goes on with an answer, from what is held and from Discord's history.
What does not: the post itself, and Discord's own way to the same end within minutes, the nonce (`channel`).

Every message of an answer replies to its question (`channel.post`), so one of ours that replies to it, and is none of
those that are known, is the next one of that answer: nobody else's can be taken for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from adapters.discord.budgets import spending
from adapters.discord.errors import NotServed, is_unknown_channel, translated
from adapters.discord.presence import Presence
from adapters.discord.seen import Seen
from bot.errors import Gone

log = logging.getLogger(__name__)

# The longest list of messages that one read may ask for
# (https://docs.discord.com/developers/resources/message#get-channel-messages), and how many are read: an answer's
# message follows the question, or the one before it, within seconds. Beyond 500 messages it is taken not to exist. As
# many reads fit into one of Discord's windows, and so into the time of one write.
PAGE = 100
PAGES = 5


def next_of(said: Iterable[Seen], question: Seen, known: Sequence[str], *, me: str) -> str | None:
    """The oldest message of ours that replies to `question` and comes after those that are known; None if none does."""
    last = max((int(message) for message in known), default=int(question.id))
    ours = (one for one in said if one.author == me and one.reply_to == question.id and int(one.id) > last)
    found = min(ours, key=lambda one: int(one.id), default=None)
    return found.id if found is not None else None


async def look_for(presence: Presence, question: Seen, known: Sequence[str]) -> str | None:
    """Look for it in the channel's history. Raises a `Failure` where that cannot be looked at.

    What is held is not read again: of twenty answers that are taken up in one channel, the first one reads for all. A
    server that has no history at all is no failure: it would keep every later answer from being posted.
    """
    me, memory, channel = presence.me("").id, presence.memory, question.channel
    begin = after = max((int(message) for message in known), default=int(question.id))
    held_from = memory.known_from(channel)
    if held_from is not None and held_from <= begin + 1:
        return next_of(memory.held(channel), question, known, me=me)
    for _ in range(PAGES):
        try:
            page = await _after(presence, question, after)
        except (Gone, NotServed) as missing:
            if is_unknown_channel(missing):
                raise
            log.warning("this server keeps no history: cannot look for an answer to message %s", question.id)
            return None
        memory.read(page)
        if len(page) < PAGE:  # what is said from now on is told
            held_from = memory.known_from(channel)
            memory.knows_from(channel, begin + 1 if held_from is None else min(held_from, begin + 1))
        found = next_of(page, question, known, me=me)
        if found is not None or len(page) < PAGE:
            return found
        after = max(int(one.id) for one in page)
    return None


async def _after(presence: Presence, question: Seen, after: int) -> list[Seen]:
    """The messages that follow one, the next `PAGE` of them, in any order."""
    budgets = presence.budgets
    async with spending(budgets.channel(question.channel).list, budgets.everything):
        with translated("looking for an answer of ours"):
            rows = await presence.client.http.logs_from(int(question.channel), PAGE, after=after)
            seen = [presence.see(row, guild=question.guild) for row in rows]
    return [one for one in seen if int(one.id) > after]
