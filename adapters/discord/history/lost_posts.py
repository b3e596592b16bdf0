"""Find posts whose response was lost, in this process or a crashed one, and check if a question was deleted.

Every message of an answer replies to its question (`messages.channel`). So a message of ours with that reference,
and not among the known ones, is the answer's next message. `messages.channel` decides when the nonce makes a search
unnecessary.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from adapters.discord.errors import EndpointMissing, is_unknown_channel
from adapters.discord.events.message import DiscordMessage
from adapters.discord.history.pages import PAGE_SIZE, read_after
from adapters.discord.rate_limits import MAX_CONCURRENT_LOOKUPS
from adapters.discord.state import BotState
from bot.errors import Failure, NotFound, RateLimited

log = logging.getLogger(__name__)

# Reads per search, of `PAGE_SIZE` messages each. An answer's message follows its question, or the message before it,
# within seconds; after 500 messages the search ends. Five reads fit into one of Discord's windows, and so into the
# timeout of one write.
MAX_PAGES = 5

# Retry delay for a search beyond `MAX_CONCURRENT_LOOKUPS`; ten searches take about two seconds. Seconds.
RETRY_SECONDS = 2.0

# Timeout for checking if a question was deleted, waits for rate limits included: the reads for a hundred turns
# recovered at once. Seconds.
DELETION_CHECK_SECONDS = 30.0


def next_answer_message(
    messages: Iterable[DiscordMessage], question: DiscordMessage, known: Sequence[str], *, bot_id: str
) -> str | None:
    """The id of our oldest reply to `question` after the `known` messages; None if there is none."""
    last = _search_start(question, known)
    ours = (one for one in messages if one.author == bot_id and _answers(one, question) and int(one.id) > last)
    found = min(ours, key=lambda one: int(one.id), default=None)
    return found.id if found is not None else None


def _answers(message: DiscordMessage, question: DiscordMessage) -> bool:
    """Whether our message answers a question: it is a reply, or in the thread started for the question."""
    return message.reply_to == question.id or (not message.reply_to and question.channel == question.id)


async def find_answer_message(state: BotState, question: DiscordMessage, known: Sequence[str]) -> str | None:
    """The answer's next message, from the cache or the channel's history. Raises a `Failure` if that is unreadable.

    Cached pages are not read again: of twenty turns recovered in one channel, the first one reads for all. Beyond
    `MAX_CONCURRENT_LOOKUPS` it raises `RateLimited`, so that searches leave permits to writes. A server without a
    history counts as "not found": a failure would block all later posts.
    """
    budgets = state.budgets
    if _is_complete(state, question, known):
        return next_answer_message(state.cache.messages(question.channel), question, known, bot_id=state.bot_id)
    if budgets.bot.active_lookups >= MAX_CONCURRENT_LOOKUPS:
        raise RateLimited("too many concurrent searches for lost posts", retry_after=RETRY_SECONDS)
    budgets.bot.active_lookups += 1
    try:
        async with budgets.channel(question.channel).lookup_lock:
            return await _search_history(state, question, known)
    finally:
        budgets.bot.active_lookups -= 1


async def is_deleted(state: BotState, question: DiscordMessage) -> bool:
    """Whether a recovered question no longer exists; False if unknown.

    The read also loads posted messages of its answer into the cache, for `find_answer_message`.
    """
    cache, channel, budgets = state.cache, question.channel, state.budgets
    try:
        async with asyncio.timeout(DELETION_CHECK_SECONDS), budgets.channel(channel).lookup_lock:
            if not is_loaded(state, question):
                gaps = cache.gaps
                page = await _read_after(state, question, int(question.id) - 1)
                _replace_cached(state, question, page, is_current=gaps == cache.gaps)
                return question.id not in {one.id for one in page}
    except (Failure, TimeoutError) as failure:
        log.info("unknown if message %s was deleted: %r", question.id, failure)
        return False
    return cache.get(channel, question.id) is None


def is_loaded(state: BotState, question: DiscordMessage) -> bool:
    """Whether the cache has all messages from a question on."""
    complete_from = state.cache.complete_from(question.channel)
    return complete_from is not None and complete_from <= int(question.id)


def _replace_cached(
    state: BotState, question: DiscordMessage, page: Sequence[DiscordMessage], *, is_current: bool
) -> None:
    """Cache a page read from `question` on, and remove cached messages missing in it: they were deleted.

    `is_current`: the gateway began no new session during the read.
    """
    cache, channel = state.cache, question.channel
    existing, end = {one.id for one in page}, max((int(one.id) for one in page), default=0)
    is_last = len(page) < PAGE_SIZE
    for one in cache.messages(channel):  # some come from an earlier process's journal
        if int(question.id) <= int(one.id) and one.id not in existing and (is_last or int(one.id) < end):
            cache.remove(channel, one.id)
    if is_last and is_current:  # the gateway delivers later ones
        cache.set_complete_from(channel, int(question.id))
    cache.add_read(page)


def _search_start(question: DiscordMessage, known: Sequence[str]) -> int:
    """The id after which the answer's next message may be."""
    return max((int(message) for message in known), default=int(question.id))


def _is_complete(state: BotState, question: DiscordMessage, known: Sequence[str]) -> bool:
    """Whether the cache has all messages from there on."""
    complete_from = state.cache.complete_from(question.channel)
    return complete_from is not None and complete_from <= _search_start(question, known) + 1


async def _search_history(state: BotState, question: DiscordMessage, known: Sequence[str]) -> str | None:
    bot_id, cache, channel = state.bot_id, state.cache, question.channel
    if _is_complete(state, question, known):  # after an earlier search in this channel
        return next_answer_message(cache.messages(channel), question, known, bot_id=bot_id)
    start = after = _search_start(question, known)
    gaps = cache.gaps
    for _ in range(MAX_PAGES):
        try:
            page = await _read_after(state, question, after)
        except (NotFound, EndpointMissing) as missing:
            if is_unknown_channel(missing):
                raise
            log.warning("this server has no history: cannot search for an answer to message %s", question.id)
            return None
        if len(page) < PAGE_SIZE and gaps == cache.gaps:  # the gateway delivers later ones
            complete_from = cache.complete_from(channel)
            cache.set_complete_from(channel, start + 1 if complete_from is None else min(complete_from, start + 1))
        cache.add_read(page)
        found = next_answer_message(page, question, known, bot_id=bot_id)
        if found is not None or len(page) < PAGE_SIZE:
            return found
        after = int(page[-1].id)
    return None


async def _read_after(state: BotState, question: DiscordMessage, after: int) -> list[DiscordMessage]:
    return await read_after(state, question.channel, after, guild=question.guild, limit=state.budgets.lookups)
