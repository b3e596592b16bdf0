"""How an app's answers to reads show its tier, and how a limited app reads, on the virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import SlackOptions
from adapters.slack.events.parse import Identity, SlackMessage
from adapters.slack.history.context import TurnContext
from adapters.slack.history.reader import HistoryReader
from adapters.slack.history.tier import LIMITED_PAGE, REMEMBERED_SECONDS, TierEvidence
from adapters.slack.rate_limits import MINUTE, TIER_3_READS
from adapters.slack.state import open_workspace
from adapters.slack.web_api import ApiResponse
from bot.conversation import TurnKey
from bot.errors import Failure, RateLimited, ServiceError
from bot.rate_limits import ReadLimiter
from tests.servers.limits import RollingWindowCounter

REPLIES, HISTORY = "conversations.replies", "conversations.history"
ME = Identity("T1", "UBOT", "B1")


class FakeWeb:
    """Slack's reads with a limit and a size of pages: every thread has `size` messages."""

    token = ""

    def __init__(self, rate: int, page: int, size: int) -> None:
        self.counters = {method: RollingWindowCounter(rate, MINUTE) for method in (REPLIES, HISTORY)}
        self.page, self.size = page, size
        self.asked_at: list[float] = []
        self.refused = 0

    async def read(self, method: str, params: dict[str, Any]) -> ApiResponse:
        if method == "users.info":
            return ApiResponse({}, {})
        now = asyncio.get_running_loop().time()
        self.asked_at.append(now)
        verdict = self.counters[method].admit(now)
        await asyncio.sleep(0.2)
        if not verdict.allowed:
            self.refused += 1
            raise RateLimited("429", retry_after=verdict.reset_after)
        after = int(str(params.get("oldest", "0.0")).split(".")[1]) + 1 if "oldest" in params else 0
        begin = int(params.get("cursor") or after)
        end = min(begin + min(int(params["limit"]), self.page), self.size)
        found = [{"type": "message", "user": "U1", "text": "m", "ts": f"1.{n:06d}"} for n in range(begin, end)]
        more = end < self.size
        cursor = {"next_cursor": str(end)} if more else {}
        return ApiResponse({"messages": found, "has_more": more, "response_metadata": cursor}, {})


def reader_of(web: FakeWeb) -> HistoryReader:
    limits = [ReadLimiter(TIER_3_READS, MINUTE) for _ in range(2)]
    return HistoryReader(cast("Any", web), ME, replies=limits[0], history=limits[1])


async def outcome(reader: HistoryReader, thread: str) -> int | None:
    """The messages read of a thread; None if it could not be read."""
    try:
        return len((await reader.read(("C1", thread), newest=10, until="9.0")).messages)
    except Failure:
        return None


async def test_a_limited_app_provokes_one_refusal() -> None:
    """Of a hundred short threads at once, one is read, one is refused by Slack, and nobody waits for a minute."""
    web, loop = FakeWeb(rate=1, page=LIMITED_PAGE, size=3), asyncio.get_running_loop()
    reader, began = reader_of(web), loop.time()
    found = await asyncio.gather(*(outcome(reader, f"1.{n}") for n in range(100)))
    assert loop.time() - began < 2.0
    assert [each for each in found if each] == [3]
    assert web.refused == 1
    assert reader.is_limited


async def test_a_limited_app_reads_each_minute_and_provokes_no_more() -> None:
    """For an hour, each minute's first question has its read, and the others are answered at once."""
    web, loop = FakeWeb(rate=1, page=LIMITED_PAGE, size=40), asyncio.get_running_loop()
    reader, found = reader_of(web), []
    for number in range(700):
        before = loop.time()
        found.append(await outcome(reader, f"1.{number}"))
        assert loop.time() - before < 1.0
        await asyncio.sleep(5.0)
    assert web.refused == 0
    assert sum(each == LIMITED_PAGE for each in found) == len(web.asked_at) >= 50


async def test_an_ordinary_app_is_soon_known() -> None:
    """With tier 3, the second answered read ends the caution: a hundred threads take as long as the budget says."""
    web, loop = FakeWeb(rate=50, page=1_000, size=3), asyncio.get_running_loop()
    reader, began = reader_of(web), loop.time()
    found = await asyncio.gather(*(outcome(reader, f"1.{n}") for n in range(TIER_3_READS)))
    assert found == [3] * TIER_3_READS
    assert loop.time() - began < 8.0
    assert web.refused == 0
    assert not reader.is_limited


async def test_a_stalled_read_holds_up_others_only_briefly() -> None:
    """While the first read gets no answer, the others go ahead after a moment."""

    class StalledWeb(FakeWeb):
        async def read(self, method: str, params: dict[str, Any]) -> ApiResponse:
            if not self.asked_at:
                self.asked_at.append(0.0)
                await asyncio.sleep(10.0)
                raise ServiceError("no answer")
            return await super().read(method, params)

    reader, loop = reader_of(StalledWeb(rate=50, page=1_000, size=3)), asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        group.create_task(outcome(reader, "1.0"))
        await asyncio.sleep(0)
        began = loop.time()
        assert await outcome(reader, "1.1") == 3
        assert loop.time() - began < 2.0


async def test_patient_reads_leave_each_permit_to_answers_first() -> None:
    """A read in the background gets its turn, and an answer's read in a new minute comes before it."""
    web, loop = FakeWeb(rate=1, page=LIMITED_PAGE, size=40), asyncio.get_running_loop()
    reader = reader_of(web)
    await outcome(reader, "1.0")
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        patient = group.create_task(reader.since(("C1", "1.1"), "1.0", is_patient=True))
        await asyncio.sleep(65.0)
        assert await outcome(reader, "1.2") == LIMITED_PAGE
        assert not patient.done()
    assert 120.0 < loop.time() - began < 150.0
    assert web.refused == 0


@pytest.mark.parametrize(
    ("count", "more", "is_limited"),
    [(14, True, False), (15, True, True), (16, True, True), (17, True, False), (15, False, False), (200, True, False)],
)
def test_pages_tell_the_tier(count: int, more: bool, is_limited: bool) -> None:
    """A page of fifteen messages, or sixteen with a thread's first, of more is a limited app's."""
    evidence = TierEvidence()
    evidence.page_read(REPLIES, 0.0, count=count, more=more)
    assert evidence.is_limited(0.0) == is_limited


def test_refusals_tell_the_tier() -> None:
    """A long pause at the first reads is a limited app's; a short one, or one of a known app, tells nothing."""
    evidence = TierEvidence()
    evidence.refused(0.0, 1.0)
    evidence.refused(0.0, None)
    assert not evidence.is_limited(0.0)
    evidence.refused(0.0, 59.0)
    assert evidence.is_limited(0.0)
    assert not evidence.is_known(REMEMBERED_SECONDS)
    evidence.page_read(HISTORY, 10.0, count=100, more=True)
    evidence.refused(11.0, 59.0)
    assert not evidence.is_limited(11.0)


@given(
    st.lists(
        st.tuples(st.sampled_from([REPLIES, HISTORY]), st.floats(0, 120), st.integers(0, 1_000), st.booleans()),
        max_size=30,
    )
)
def test_a_larger_page_always_ends_the_limits(steps: list[tuple[str, float, int, bool]]) -> None:
    """Whatever was seen before, a page of seventeen messages shows that the app is not limited."""
    evidence, now = TierEvidence(), 0.0
    for method, passed, count, more in steps:
        now += passed
        evidence.page_read(method, now, count=count, more=more)
        if count > LIMITED_PAGE + 1:
            assert not evidence.is_limited(now)
            assert evidence.is_known(now)


async def test_a_long_thread_is_read_page_by_page() -> None:
    """Each minute's question continues where the last read ended, until the whole thread is known and read no more."""
    web, options = FakeWeb(rate=1, page=LIMITED_PAGE, size=40), SlackOptions("xoxb-1")
    attachments = Attachments(AttachmentLimits(), hosts=frozenset())
    try:
        workspace = await open_workspace(cast("Any", web), ME, attachments, options)
        workspace.cache.set_subscribed("C1")
        sizes = []
        for number in range(5):
            question = SlackMessage(f"2.{number:06d}", "U1", "why?", thread="1.000000")
            workspace.cache.open(("C1", "1.000000"), from_start=False)
            workspace.cache.put(("C1", "1.000000"), question)
            key = TurnKey("slack", "T1", "C1", question.ts)
            history = await TurnContext(workspace, ("C1", "1.000000"), key, question).history(100)
            sizes.append((len(history.messages), history.truncated))
            await asyncio.sleep(61.0)
    finally:
        await attachments.close()
    # Slack's thread lacks the questions here; the cache has those before each.
    assert sizes == [(15, True), (31, True), (40, False), (43, False), (44, False)]
    assert len(web.asked_at) == 3
    assert web.refused == 0
