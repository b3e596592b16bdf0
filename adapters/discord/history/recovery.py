"""Our own messages, found again: the one that a post may have made whose answer was lost, by this process or another.

What belongs here: telling which message of ours goes on with an answer, from what is held and from Discord's history.
What does not: the post itself, and Discord's own way to the same end within minutes, the nonce (`channel`).

Every message of an answer replies to its question (`channel.post`), so one of ours that replies to it, and is none of
those that are known, is the next one of that answer: nobody else's can be taken for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from adapters.discord.errors import EndpointMissing, is_unknown_channel, map_errors
from adapters.discord.events.parse import DiscordMessage
from adapters.discord.rate_limits import MAX_CONCURRENT_LOOKUPS, spending
from adapters.discord.state import BotState
from bot.errors import Failure, NotFound, RateLimited

log = logging.getLogger(__name__)

# The longest list of messages that one read may ask for
# (https://docs.discord.com/developers/resources/message#get-channel-messages), and how many are read: an answer's
# message follows the question, or the one before it, within seconds. Beyond 500 messages it is taken not to exist. As
# many reads fit into one of Discord's windows, and so into the time of one write.
PAGE = 100
PAGES = 5

# When somebody who may not look now is to try again: the ten who do take about two seconds.
LOOK_AGAIN_SECONDS = 2.0

# How long it may take to learn whether a question was deleted, the wait for leave to read included, in seconds: as the
# reads of a hundred answers that are taken up at once.
LOOK_SECONDS = 30.0


def next_answer_message(
    said: Iterable[DiscordMessage], question: DiscordMessage, known: Sequence[str], *, bot_id: str
) -> str | None:
    """The oldest message of ours that replies to `question` and comes after those that are known; None if none does."""
    last = _search_start(question, known)
    ours = (one for one in said if one.author == bot_id and one.reply_to == question.id and int(one.id) > last)
    found = min(ours, key=lambda one: int(one.id), default=None)
    return found.id if found is not None else None


async def find_answer_message(state: BotState, question: DiscordMessage, known: Sequence[str]) -> str | None:
    """Look for it in the channel's history. Raises a `Failure` where that cannot be looked at.

    What is held is not read again: of twenty answers that are taken up in one channel, the first one reads for all.
    Where too many look already, it is `RateLimited`, so that they do not keep others from writing. A server that has no
    history at all is no failure: it would keep every later answer from being posted.
    """
    budgets = state.budgets
    if _is_loaded(state, question, known):
        return next_answer_message(state.cache.held(question.channel), question, known, bot_id=state.identity("").id)
    if budgets.active_lookups >= MAX_CONCURRENT_LOOKUPS:
        raise RateLimited("many look for answers that were left over", retry_after=LOOK_AGAIN_SECONDS)
    budgets.active_lookups += 1
    try:
        async with budgets.channel(question.channel).lookup_lock:
            return await _search_history(state, question, known)
    finally:
        budgets.active_lookups -= 1


async def is_deleted(state: BotState, question: DiscordMessage) -> bool:
    """Whether a question that an earlier process received is there no more; what cannot be learnt counts as no.

    What is read for it also tells which messages were posted for it, so that `find_answer_message` finds them held.
    """
    cache, channel, budgets = state.cache, question.channel, state.budgets
    try:
        async with asyncio.timeout(LOOK_SECONDS), budgets.channel(channel).lookup_lock:
            if not is_loaded(state, question):
                page = await _read_after(state, question, int(question.id) - 1)
                there, until = {one.id for one in page}, max((int(one.id) for one in page), default=0)
                for one in cache.held(channel):  # also what is only known from an earlier process
                    if (
                        int(question.id) <= int(one.id)
                        and one.id not in there
                        and (len(page) < PAGE or int(one.id) < until)
                    ):
                        cache.remove(channel, one.id)
                cache.read(page)
                if len(page) < PAGE:  # what is said from now on is told
                    cache.set_complete_from(channel, int(question.id))
                return question.id not in there
    except (Failure, TimeoutError) as failure:
        log.info("whether message %s was deleted is not known: %r", question.id, failure)
        return False
    return cache.get(channel, question.id) is None


def is_loaded(state: BotState, question: DiscordMessage) -> bool:
    """Whether all that was said from a question on is known."""
    held_from = state.cache.complete_from(question.channel)
    return held_from is not None and held_from <= int(question.id)


def _search_start(question: DiscordMessage, known: Sequence[str]) -> int:
    """The message that the one that is looked for comes after."""
    return max((int(message) for message in known), default=int(question.id))


def _is_loaded(state: BotState, question: DiscordMessage, known: Sequence[str]) -> bool:
    """Whether all that was said from there on is known."""
    held_from = state.cache.complete_from(question.channel)
    return held_from is not None and held_from <= _search_start(question, known) + 1


async def _search_history(state: BotState, question: DiscordMessage, known: Sequence[str]) -> str | None:
    bot_id, cache, channel = state.identity("").id, state.cache, question.channel
    if _is_loaded(state, question, known):  # by whoever looked before
        return next_answer_message(cache.held(channel), question, known, bot_id=bot_id)
    begin = after = _search_start(question, known)
    for _ in range(PAGES):
        try:
            page = await _read_after(state, question, after)
        except (NotFound, EndpointMissing) as missing:
            if is_unknown_channel(missing):
                raise
            log.warning("this server keeps no history: cannot look for an answer to message %s", question.id)
            return None
        cache.read(page)
        if len(page) < PAGE:  # what is said from now on is told
            held_from = cache.complete_from(channel)
            cache.set_complete_from(channel, begin + 1 if held_from is None else min(held_from, begin + 1))
        found = next_answer_message(page, question, known, bot_id=bot_id)
        if found is not None or len(page) < PAGE:
            return found
        after = max(int(one.id) for one in page)
    return None


async def _read_after(state: BotState, question: DiscordMessage, after: int) -> list[DiscordMessage]:
    """The messages that follow one, the next `PAGE` of them, in any order."""
    budgets = state.budgets
    async with spending(budgets.channel(question.channel).list, budgets.lookups):
        with map_errors("looking for an answer of ours"):
            rows = await state.client.http.logs_from(int(question.channel), PAGE, after=after)
            seen = [state.parse(row, guild=question.guild) for row in rows]
    return [one for one in seen if int(one.id) > after]
