"""Conversations read from Slack, within the budgets of its reads, and assembled for a model.

Threads: https://docs.slack.dev/reference/methods/conversations.replies (oldest first, the first message on each page).
Direct messages: https://docs.slack.dev/reference/methods/conversations.history (newest first).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.slack.errors import code_of
from adapters.slack.events.codec import dump_found
from adapters.slack.events.pages import MessagePage, parse_message_page
from adapters.slack.events.parse import Identity, SlackMessage, micros, order, stamp
from adapters.slack.history.cache import Conversation
from adapters.slack.history.thread_tail import ThreadTail
from adapters.slack.history.tier import HistoryTier
from adapters.slack.rate_limits import spending
from adapters.slack.web_api import ApiResponse, WebApi
from bot.conversation import TurnKey
from bot.errors import Failure, InvalidRequest, NotFound, RateLimited, Retryable, cause_of
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Messages per page: Slack recommends at most 200, and may send fewer.
PAGE_SIZE = 200
# Most pages of one read, out of the 50 a minute shared by all conversations.
MAX_PAGES = 10
# Pages read from the start of a thread for a question's history; most threads are complete then.
FIRST_PAGES = 3
# Further reads in search of a longer thread's end; a live answer waits for them.
TAIL_READS = 5
# Messages per page of that search: Slack takes any number below 1,000, and large pages find a burst's end sooner.
TAIL_PAGE_SIZE = 999
# Reads per minute reserved for live answers during recovery.
RESERVED_READS = 10
# Longest pause ordered by Slack before a retry, in seconds; readers wait too.
LONGEST_PAUSE = 60.0
# Delay before the one retry of a failed read, in seconds.
RETRY_SECONDS = 1.0
# Length of the common start of one turn's post keys: a digest of 100 bits (bot/delivery/reconciler.py), so unique.
DIGEST = 20

# Generations of an earlier question's answer recognised by their key. More tries of one question are rare.
_GENERATIONS = 10


@dataclass(frozen=True, slots=True)
class HistoryPages:
    """Messages read, oldest first.

    `has_earlier`: older messages exist but were not read. `reached_end`: `messages` has no gap up to the newest
    message, except after a thread's first; otherwise the newest ones found. `earlier` has the start of a thread if
    `messages` is its end.
    """

    messages: tuple[SlackMessage, ...]
    has_earlier: bool
    reached_end: bool = True
    earlier: tuple[SlackMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """How long a read may wait for its permit: until `deadline`, leaving `reserve` permits a minute to others.

    For a limited app no read waits, unless it `is_patient`.
    """

    deadline: float = math.inf
    reserve: int = 0
    is_patient: bool = False

    def for_limited_app(self, now: float) -> _Waiting:
        """The same for an app that may read once a minute."""
        return replace(self, reserve=RESERVED_READS) if self.is_patient else replace(self, deadline=now)


_RECOVERY = _Waiting(reserve=RESERVED_READS)


class HistoryReader:
    """Reads conversations, within the budgets of conversations.replies and conversations.history.

    For a limited app (see `history.tier`), each read is one page, and fails at once without a permit.
    """

    def __init__(self, web: WebApi, me: Identity, *, replies: ReadLimiter, history: ReadLimiter) -> None:
        self._web = web
        self._me = me
        self._reads = {"conversations.replies": replies, "conversations.history": history}
        self._tier = HistoryTier(replies, history)

    @property
    def is_limited(self) -> bool:
        """Whether the app may read once a minute."""
        return self._tier.is_limited

    async def read(
        self,
        conversation: Conversation,
        *,
        newest: int,
        until: str,
        first_pages: int = FIRST_PAGES,
        deadline: float = math.inf,
        is_patient: bool = False,
        after: str = "",
    ) -> HistoryPages:
        """At least the `newest` messages of a conversation before the message `until`. Raises a `Failure`.

        For a thread of more than `first_pages` pages, searches its end. Fails at once if the budget allows no read
        before `deadline` (in the loop's seconds). `is_patient`: waits for a limited app's permits, behind live replies.
        `after` is the ts of the last message known, for a limited app that reads a thread page by page.
        """
        waiting = _Waiting(deadline, is_patient=is_patient)
        found, more = await self._pages(conversation, newest=newest, after=after, pages=first_pages, waiting=waiting)
        messages = _sorted(found)
        if not conversation[1] or not more or not messages:
            return HistoryPages(messages, more)
        if self.is_limited:
            return HistoryPages(messages, has_earlier=True, reached_end=False)
        return await self._tail(conversation, messages, ThreadTail(micros(until), newest), waiting)

    async def _tail(
        self, conversation: Conversation, first: Sequence[SlackMessage], tail: ThreadTail, waiting: _Waiting
    ) -> HistoryPages:
        """The end of a thread, given its `first` messages."""
        tail.add(0, [micros(each.ts) for each in first], more=True)
        found = {each.ts: each for each in first}
        up_to_now = False
        for _ in range(TAIL_READS):
            if (after := tail.next()) is None:
                break
            page, more = await self._pages(
                conversation, after=stamp(after), pages=1, size=TAIL_PAGE_SIZE, waiting=waiting
            )
            tail.add(after, map(micros, page), more=more)
            found |= page
            up_to_now = up_to_now or not more
        if tail.start == 0:
            return HistoryPages(_sorted(found), has_earlier=not up_to_now, reached_end=up_to_now)
        root = conversation[1]
        messages = [each for each in _sorted(found) if each.ts == root or micros(each.ts) > tail.newest]
        return HistoryPages(
            tuple(messages), has_earlier=True, reached_end=up_to_now and tail.found > 0, earlier=tuple(first)
        )

    async def since(self, conversation: Conversation, ts: str, *, is_patient: bool = False) -> list[SlackMessage]:
        """Messages after `ts`, oldest first, at most `MAX_PAGES` pages. Raises a `Failure`.

        `is_patient`: see `read`.
        """
        found, _ = await self._pages(conversation, after=ts, waiting=_Waiting(is_patient=is_patient))
        return [each for each in _sorted(found) if order(each.ts) > order(ts)]  # a thread's first is on each page

    async def newest(self, channel: str) -> list[SlackMessage]:
        """The newest messages of a channel outside threads, oldest first, from one page. Raises a `Failure`."""
        found, _ = await self._pages((channel, ""), newest=PAGE_SIZE, pages=1)
        return list(_sorted(found))

    async def message(self, conversation: Conversation, ts: str) -> SlackMessage | None:
        """The message `ts`, if it still exists, from one page. Raises a `Failure`."""
        found = await self.from_message(conversation, ts, pages=1)
        return next((each for each in found if each.ts == ts), None)

    async def from_message(self, conversation: Conversation, ts: str, *, pages: int = MAX_PAGES) -> list[SlackMessage]:
        """The message `ts`, if it still exists, and later ones, oldest first. Raises a `Failure`.

        For recovery: leaves `RESERVED_READS` a minute to live answers.
        """
        try:
            found, _ = await self._pages(conversation, after=ts, pages=pages, is_recovery=True)
        except NotFound as failure:
            if code_of(failure) in ("thread_not_found", "message_not_found"):  # the thread's deleted first message
                return []
            raise
        return [each for each in _sorted(found) if order(each.ts) >= order(ts)]

    async def stored(self, channel: str, ts: str, thread: str | None) -> str:
        """The journal's text of one message as it is now; empty if it no longer exists. Raises a `Failure`.

        `thread` is its thread (empty: outside of any), None if unknown. conversations.history has no replies of a
        thread; conversations.replies finds a reply by its thread, or by its own ts.
        """
        ways = [("conversations.history", ""), ("conversations.replies", ts)]
        if thread:
            ways = [("conversations.replies", thread), *ways]
        for method, root in dict.fromkeys(ways):
            # One message; a compatible server may ignore the range, so a whole page is asked for.
            params: dict[str, Any] = {"channel": channel, "oldest": ts, "latest": ts, "inclusive": True}
            params["limit"] = PAGE_SIZE
            try:
                answer = await self._once_more(method, params | ({"ts": root} if root else {}))
            except NotFound as failure:
                if code_of(failure) not in ("thread_not_found", "message_not_found"):
                    raise
                continue
            if stored := dump_found(answer.data, channel, ts):
                return stored
        return ""

    async def _pages(
        self,
        conversation: Conversation,
        *,
        newest: int = PAGE_SIZE * MAX_PAGES,
        after: str = "",
        pages: int = MAX_PAGES,
        size: int = PAGE_SIZE,
        is_recovery: bool = False,
        waiting: _Waiting = _Waiting(),
    ) -> tuple[dict[str, SlackMessage], bool]:
        """Messages by ts from at most `pages` pages of `size`, and whether more exist.

        `is_recovery` reserves reads for others, includes the message `after`, and fails on an answer without a list.
        """
        waiting = _RECOVERY if is_recovery else waiting
        channel, thread = conversation
        method = "conversations.replies" if thread else "conversations.history"
        params: dict[str, Any] = {"channel": channel, "limit": size, "include_all_metadata": True}
        params |= {"ts": thread} if thread else {}
        params |= {"oldest": after} if after else {}
        params |= {"inclusive": True} if is_recovery else {}
        found: dict[str, SlackMessage] = {}
        page = MessagePage((), has_more=False, cursor="", is_valid=True)
        for _ in range(pages):
            answer = await self._once_more(method, params, waiting)
            page = parse_message_page(answer.data, self._me)
            if is_recovery and not page.is_valid:
                raise InvalidRequest(f"{method}: an answer without messages")
            found |= {message.ts: message for message in page.messages}
            params["cursor"] = page.cursor
            # A thread's pages start with its oldest message, so only the last page has the newest.
            if not page.cursor or (not thread and len(found) >= newest) or self.is_limited:
                break
        return found, bool(page.cursor) or page.has_more

    async def _once_more(self, method: str, params: Mapping[str, Any], waiting: _Waiting = _Waiting()) -> ApiResponse:
        """One call, with one retry."""
        try:
            return await self._fetch(method, params, waiting)
        except Retryable as failure:
            pause = (failure.retry_after or 0.0) if isinstance(failure, RateLimited) else 0.0
            deadline = self._for_this_app(waiting).deadline
            if pause > LONGEST_PAUSE or asyncio.get_running_loop().time() + pause > deadline:
                raise
            await asyncio.sleep(RETRY_SECONDS)
            return await self._fetch(method, params, waiting)

    async def _fetch(self, method: str, params: Mapping[str, Any], waiting: _Waiting) -> ApiResponse:
        reads = self._reads[method]
        async with self._tier.alone_until_known():
            now, waiting = asyncio.get_running_loop().time(), self._for_this_app(waiting)
            if (wait := reads.wait(now)) > waiting.deadline - now:
                raise RateLimited(f"{method}: the budget allows no read for {wait:.0f} s", retry_after=wait)
            async with spending(reads, reserve=waiting.reserve, deadline=waiting.deadline):
                return await self._tier.observe(method, self._web.read(method, dict(params)))

    def _for_this_app(self, waiting: _Waiting) -> _Waiting:
        return waiting.for_limited_app(asyncio.get_running_loop().time()) if self.is_limited else waiting


def _sorted(found: Mapping[str, SlackMessage]) -> tuple[SlackMessage, ...]:
    return tuple(sorted(found.values(), key=lambda each: order(each.ts)))


# --------------------------------------------------------------------------------------------------------- assembling


def before(messages: Sequence[SlackMessage], question: str, digest: str) -> list[SlackMessage]:
    """The history of a question: people's messages before it, and our answers up to now.

    Our answers to earlier questions may be younger than this question. Answers to this one, with keys starting with
    `digest`, do not belong to its history.
    """
    asked = order(question)
    return [
        each
        for each in messages
        if each.ts != question
        and (not (each.key and each.key[:DIGEST] == digest[:DIGEST]) if each.ours else order(each.ts) < asked)
        and (each.shown.strip() or each.files)
    ]


def without_later_answers(messages: Sequence[SlackMessage], question: str, key: TurnKey) -> list[SlackMessage]:
    """For another answer to a question: without the first one, and without answers to later questions.

    An answer of ours younger than the question stays only if its key is that of an earlier message's answer.
    """
    asked = order(question)
    earlier = {
        replace(key, message=each.ts, generation=generation).digest[:DIGEST]
        for each in messages
        if not each.ours and order(each.ts) < asked
        for generation in range(_GENERATIONS)
    }
    return [each for each in messages if not each.ours or order(each.ts) < asked or each.key[:DIGEST] in earlier]


def join_answers(messages: Sequence[SlackMessage]) -> list[SlackMessage]:
    """The same messages, with each answer of ours in one piece even if it took several messages."""
    joined: list[SlackMessage] = []
    for each in messages:
        last = joined[-1] if joined else None
        if last is not None and last.ours and each.ours and last.key[:DIGEST] == each.key[:DIGEST]:
            joined[-1] = replace(last, text=f"{last.text}\n{each.text}")
        else:
            joined.append(each)
    return joined


def find_post(key: str, messages: Sequence[SlackMessage], keyed: Collection[str] | None) -> str | None:
    """The ts of our post with `key` among the messages since.

    On a server without metadata it is our first message not in `keyed`, our messages with a known key. `keyed` None
    forbids this guess: overwriting another answer would destroy it, while a miss only shows the same text twice.
    """
    ours = [each for each in messages if each.ours]
    found = next((each.ts for each in reversed(ours) if each.key == key), None)
    if found is not None or keyed is None or any(each.key for each in ours):
        return found
    return next((each.ts for each in ours if each.ts not in keyed), None)


def warn_unread(conversation: Conversation, failure: Failure | TimeoutError, level: int = logging.WARNING) -> None:
    """Log one line for the operator: the history of a conversation is unreadable."""
    place = "/".join(filter(None, conversation))
    log.log(level, "Slack: the history of %s could not be read (%s)", place, cause_of(failure))
