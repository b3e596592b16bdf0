"""A conversation, from Slack's messages to what a model is told of it.

What belongs here: reading pages of a thread or a direct message within the budgets of reading, and putting together
what was read (pure, `assemble`). What does not: what events already told us (`memory`).

A thread: https://docs.slack.dev/reference/methods/conversations.replies (oldest first, the first message on each page).
A direct message: https://docs.slack.dev/reference/methods/conversations.history (newest first).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

from adapters.slack.errors import code_of
from adapters.slack.events.parse import Identity, SlackMessage, mapping, micros, order, parse_message, stamp, string
from adapters.slack.history.cache import Conversation
from adapters.slack.history.thread_tail import ThreadTail
from adapters.slack.messages.mrkdwn import plain
from adapters.slack.web_api import ApiResponse, WebApi
from bot.conversation import Message, Part, Role, Text
from bot.errors import Failure, InvalidRequest, NotFound, RateLimited, Retryable, cause_of
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Messages a page: Slack recommends no more than 200 at a time, and may send fewer.
PAGE = 200
# Pages of one read at the most: what is spent of the 50 a minute that all conversations share.
PAGES = 10
# Pages of a thread that are read from its beginning for a question's history: most threads are whole then.
FIRST_PAGES = 3
# Reads that the end of a longer thread is looked for with, after those; a live answer waits for them. Read by `read`.
TAIL_READS = 5
# Messages of such a page: Slack takes any number below 1,000, and a larger page finds a burst's end in fewer reads.
TAIL_PAGE = 999
# Of the reads of a minute, those that are left to live answers while it is looked into what an earlier process left.
SPARE = 10
# Pauses that Slack orders are waited for, but only up to this, in seconds: the reader waits too.
LONGEST_PAUSE = 60.0
# A read that fails for the moment is made again once, after this, in seconds.
RETRY_SECONDS = 1.0
# The keys of one turn's messages begin with so many characters of its digest (bot/delivery/reconciler.py): 100 bits,
# never another's.
DIGEST = 20


@dataclass(frozen=True, slots=True)
class HistoryPages:
    """What was read, oldest first; `more` says that there is more before it which was not.

    `reached` says that nothing is missing within `said` up to the newest message, but after a thread's first. Otherwise
    it is the newest that was found. `earlier` is what was read of a thread's beginning, where `said` is the end of it.
    """

    said: tuple[SlackMessage, ...]
    more: bool
    reached: bool = True
    earlier: tuple[SlackMessage, ...] = ()


class HistoryReader:
    """Reads conversations, within the budgets of conversations.replies and conversations.history."""

    def __init__(self, web: WebApi, me: Identity, *, replies: ReadLimiter, history: ReadLimiter) -> None:
        self._web = web
        self._me = me
        self._reads = {"conversations.replies": replies, "conversations.history": history}

    async def read(
        self,
        conversation: Conversation,
        *,
        newest: int,
        until: str,
        first_pages: int = FIRST_PAGES,
        by: float = math.inf,
    ) -> HistoryPages:
        """The `newest` messages of a conversation before the message `until`, or more. Raises a `Failure`.

        Of a thread that is longer than its `first_pages`, the end is looked for. Where no leave to read is to be had
        before `by` (the loop's seconds), it fails at once.
        """
        found, more = await self._pages(conversation, newest=newest, pages=first_pages, by=by)
        said = _sorted(found)
        if not conversation[1] or not more or not said:
            return HistoryPages(said, more)
        return await self._end_of(conversation, said, ThreadTail(micros(until), newest), by)

    async def _end_of(
        self, conversation: Conversation, first: Sequence[SlackMessage], tail: ThreadTail, by: float
    ) -> HistoryPages:
        """The end of a thread, of which the `first` messages were read."""
        tail.take(0, [micros(each.ts) for each in first], more=True)
        found = {each.ts: each for each in first}
        up_to_now = False
        for _ in range(TAIL_READS):
            if (after := tail.next()) is None:
                break
            page, more = await self._pages(conversation, after=stamp(after), pages=1, size=TAIL_PAGE, by=by)
            tail.take(after, map(micros, page), more=more)
            found |= page
            up_to_now = up_to_now or not more
        if tail.start == 0:
            return HistoryPages(_sorted(found), more=not up_to_now, reached=up_to_now)
        root = conversation[1]
        said = [each for each in _sorted(found) if each.ts == root or micros(each.ts) > tail.newest]
        return HistoryPages(tuple(said), more=True, reached=up_to_now and tail.found > 0, earlier=tuple(first))

    async def since(self, conversation: Conversation, ts: str) -> list[SlackMessage]:
        """What was said after a message, oldest first; of very much, as `_pages` has it. Raises a `Failure`."""
        found, _ = await self._pages(conversation, after=ts)
        return [said for said in _sorted(found) if order(said.ts) > order(ts)]  # a thread's first is always there

    async def onward(self, conversation: Conversation, ts: str) -> list[SlackMessage]:
        """A message, if it is still there, and what was said after it, oldest first. Raises a `Failure`.

        Others go first: nobody has asked for this just now.
        """
        try:
            found, _ = await self._pages(conversation, after=ts, patient=True)
        except NotFound as failure:
            if code_of(failure) in ("thread_not_found", "message_not_found"):  # it was the first of its thread
                return []
            raise
        return [said for said in _sorted(found) if order(said.ts) >= order(ts)]

    async def _pages(
        self,
        conversation: Conversation,
        *,
        newest: int = PAGE * PAGES,
        after: str = "",
        pages: int = PAGES,
        size: int = PAGE,
        patient: bool = False,
        by: float = math.inf,
    ) -> tuple[dict[str, SlackMessage], bool]:
        """Messages by ts, from at most so many `pages` of a `size`, and whether there are more.

        `patient` leaves room for others' reads, and has the message `after` too: there must be a list for that.
        """
        channel, thread = conversation
        method = "conversations.replies" if thread else "conversations.history"
        params: dict[str, Any] = {"channel": channel, "limit": size, "include_all_metadata": True}
        params |= {"ts": thread} if thread else {}
        params |= {"oldest": after} if after else {}
        params |= {"inclusive": True} if patient else {}
        found: dict[str, SlackMessage] = {}
        more = False
        for _ in range(pages):
            answer = await self._page(method, params, spare=SPARE if patient else 0, by=by)
            if patient and not isinstance(answer.data.get("messages"), list):
                raise InvalidRequest(f"{method}: an answer without messages")
            more = answer.data.get("has_more") is True
            found |= {said.ts: said for said in self._said(answer)}
            params["cursor"] = string(mapping(answer.data, "response_metadata"), "next_cursor")
            # The pages of a thread begin with its oldest message, so the newest is only reached at the end.
            if not params["cursor"] or (not thread and len(found) >= newest):
                break
        return found, bool(params["cursor"]) or more

    def _said(self, answer: ApiResponse) -> list[SlackMessage]:
        messages = answer.data.get("messages")
        given = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
        return [said for each in given if (said := parse_message(each, self._me)) is not None]

    async def _page(self, method: str, params: Mapping[str, Any], *, spare: int, by: float) -> ApiResponse:
        """One page, with one more try."""
        try:
            return await self._ask(method, params, spare, by)
        except Retryable as failure:
            pause = (failure.retry_after or 0.0) if isinstance(failure, RateLimited) else 0.0
            if pause > LONGEST_PAUSE or asyncio.get_running_loop().time() + pause > by:
                raise
            await asyncio.sleep(RETRY_SECONDS)
            return await self._ask(method, params, spare, by)

    async def _ask(self, method: str, params: Mapping[str, Any], spare: int, by: float) -> ApiResponse:
        reads, now = self._reads[method], asyncio.get_running_loop().time()
        if (wait := reads.wait(now)) > by - now:
            raise RateLimited(f"{method}: no leave to read for {wait:.0f} s", retry_after=wait)
        await reads.acquire(spare=spare)
        try:
            return await self._web.read(method, {name: value for name, value in params.items() if value != ""})
        except RateLimited as failure:
            reads.hold(asyncio.get_running_loop().time(), failure.retry_after or RETRY_SECONDS)
            raise


def _sorted(found: Mapping[str, SlackMessage]) -> tuple[SlackMessage, ...]:
    return tuple(sorted(found.values(), key=lambda each: order(each.ts)))


# --------------------------------------------------------------------------------------------------------- assembling


def before(said: Sequence[SlackMessage], question: str, digest: str) -> list[SlackMessage]:
    """What was said before a question: people up to it, and ourselves up to now.

    Our answers to earlier questions may have been written after this one was asked; those to this one, whose keys begin
    as `digest` does, are none of its history.
    """
    asked = order(question)
    return [
        each
        for each in said
        if each.ts != question
        and (not (each.key and each.key[:DIGEST] == digest[:DIGEST]) if each.ours else order(each.ts) < asked)
        and (each.shown.strip() or each.files)
    ]


def joined(said: Sequence[SlackMessage]) -> list[SlackMessage]:
    """The same, with each answer of ours in one piece, where it took several messages."""
    whole: list[SlackMessage] = []
    for each in said:
        last = whole[-1] if whole else None
        if last is not None and last.ours and each.ours and last.key[:DIGEST] == each.key[:DIGEST]:
            whole[-1] = replace(last, text=f"{last.text}\n{each.text}")
        else:
            whole.append(each)
    return whole


def posted_with(key: str, said: Sequence[SlackMessage], keyed: Collection[str] | None) -> str | None:
    """The message of ours that was posted with `key`, among what was `said` since.

    On a server that keeps no metadata it is the first of ours that nothing is known of: `keyed` are those of which it
    is. With None that is not to be guessed: to take another answer's message would destroy it, and to find nothing only
    shows the same twice.
    """
    ours = [each for each in said if each.ours]
    found = next((each.ts for each in reversed(ours) if each.key == key), None)
    if found is not None or keyed is None or any(each.key for each in ours):
        return found
    return next((each.ts for each in ours if each.ts not in keyed), None)


def message_of(said: SlackMessage, names: Mapping[str, str], parts: Sequence[Part], zone: tzinfo = UTC) -> Message:
    """One message as the model is told it; `parts` are its attachments, `names` those of all ids that it mentions."""
    words = said.text if said.ours else plain(said.shown, names, zone)
    text = (Text(words),) if words.strip() or not parts else ()
    # A program's messages carry a name of their own, which readers see in the place of its account's.
    name = said.name or names.get(said.user) if said.bot else names.get(said.user) or said.name
    return Message(
        role=Role.ASSISTANT if said.ours else Role.USER,
        parts=(*text, *parts),
        name="" if said.ours else name or said.user,
        id=said.ts,
    )


def warn_unread(conversation: Conversation, failure: Failure | TimeoutError) -> None:
    """One line for the operator: a conversation could not be read."""
    log.warning(
        "Slack: what was said before in %s could not be read (%s)",
        "/".join(filter(None, conversation)),
        cause_of(failure),
    )
