"""A lane's last limit: no write of any kind passes it, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from adapters.slack.options import SlackOptions
from adapters.slack.rate_limits import OWNED_WRITES, POST_SECONDS, RememberedLimits, spending, spending_write
from adapters.slack.state import make_budgets
from adapters.slack.web_api import WebApi
from bot.callbacks import no_op
from bot.errors import NotOwner, ServiceError
from bot.ownership.lane_records import LaneRecords
from bot.ownership.lanes import Grant, Lane
from bot.ownership.ports import TakenLane
from bot.ownership.write_history import StoredReport
from bot.ports import RateLimitLog, Verb
from bot.rate_limits import Budget, RenewableLimit

FOREVER = 1e9
OPTIONS = SlackOptions("xoxb-1")


class Log(RateLimitLog):
    """Calls of earlier owners, the same under each limit."""

    def __init__(self, *ages: float) -> None:
        self.ages = ages

    @override
    def record_call(self, limit: str) -> None:
        no_op(limit)

    @override
    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        return self.ages


@pytest.mark.parametrize("verb", list(Verb))
async def test_it_is_the_last_budget_of_each_write(verb: Verb) -> None:
    """Posts, edits, deletions and streams end with the lane's limit; without one, nothing is added."""
    last = RenewableLimit(FOREVER)
    budgets = make_budgets(RememberedLimits("T1", None, last), OPTIONS, last)
    assert budgets.of(verb, "C1")[-1] is last
    assert len(make_budgets(RememberedLimits("T1", None), OPTIONS, None).of(verb, "C1")) == 1


async def test_private_writes_wait_for_it() -> None:
    """A private message waits until the lane is ours for certain."""
    last, loop = RenewableLimit(), asyncio.get_running_loop()
    budgets = make_budgets(RememberedLimits("T1", None, last), OPTIONS, last)
    loop.call_later(7.0, last.renew, FOREVER)
    began = loop.time()
    async with spending(budgets.ephemerals):
        assert loop.time() - began == pytest.approx(7.0)


@pytest.mark.parametrize("is_patient", [False, True])
async def test_writes_beside_the_core_wait_for_it(*, is_patient: bool) -> None:
    """Even a write that waits for no other limit waits for this one."""
    last, loop = RenewableLimit(), asyncio.get_running_loop()
    budgets = make_budgets(RememberedLimits("T1", None, last), OPTIONS, last)
    loop.call_later(7.0, last.renew, FOREVER)
    began = loop.time()
    async with spending_write(budgets.of(Verb.DELETE, "C1"), is_patient=is_patient):
        assert loop.time() - began == pytest.approx(7.0)


async def test_posts_of_two_owners_are_a_second_apart() -> None:
    """The earlier owner may have posted 0.4 s ago in the channel: the first post waits for the rest of a second."""
    last, loop = RenewableLimit(FOREVER), asyncio.get_running_loop()
    limits = RememberedLimits("T1", Log(30.0, 0.4), last)
    budgets = make_budgets(limits, OPTIONS, last)
    budgets.posted_before(await limits.age_of_last_post())
    posts, _ = budgets.of(Verb.POST, "C1")
    assert posts.ready_at(loop.time(), final=True) - loop.time() == pytest.approx(POST_SECONDS - 0.4)
    await asyncio.sleep(POST_SECONDS - 0.4)
    later, _ = budgets.of(Verb.POST, "C2")
    assert later.ready_at(loop.time(), final=True) <= loop.time()


async def test_a_post_follows_an_owner_silent_for_long_at_once() -> None:
    """A killed owner has posted nothing for two seconds when its lane is free."""
    last, loop = RenewableLimit(FOREVER), asyncio.get_running_loop()
    limits = RememberedLimits("T1", Log(2.0), last)
    budgets = make_budgets(limits, OPTIONS, last)
    budgets.posted_before(await limits.age_of_last_post())
    posts, _ = budgets.of(Verb.POST, "C1")
    assert posts.ready_at(loop.time(), final=True) <= loop.time()


async def test_posts_are_recorded_for_the_next_owner() -> None:
    """A post spends its channel's budget, and the lane's log has it."""
    last, loop, records = RenewableLimit(FOREVER), asyncio.get_running_loop(), LaneRecords(3.0)
    log = records.log(Lane("slack", "T1"))
    limits = RememberedLimits("T1", log, last)
    budgets = make_budgets(limits, OPTIONS, last)
    for budget in budgets.of(Verb.POST, "C1"):
        budget.spend(loop.time())
    await asyncio.sleep(0.3)
    assert await limits.age_of_last_post() == pytest.approx(0.3)


async def test_a_workspace_won_again_counts_each_call_once() -> None:
    """New limits get the calls of all owners from the log: 30 of 50 edits in the last minute leave 20."""
    loop, log = asyncio.get_running_loop(), Log(*[10.0] * 30)
    left = []
    for _ in range(2):
        limits = RememberedLimits("T1", log)
        edits = limits.edits(SlackOptions("xoxb-1", edits="window"))
        await limits.recall()
        count = 0
        while edits.ready_at(loop.time(), final=True) <= loop.time():
            edits.spend(loop.time())
            edits.record_response(loop.time())
            count += 1
        left.append(count)
    assert left == [20, 20]


def permits(limit: Budget) -> int:
    """The final writes that a limit allows now; it spends them."""
    now, count = asyncio.get_running_loop().time(), 0
    while limit.ready_at(now, final=True) <= now:
        limit.spend(now)
        limit.record_response(now)
        count += 1
    return count


async def test_the_next_owner_can_write_soon_after_a_kill() -> None:
    """Whatever the number of live answers, a killed owner leaves 42 of 50 edits and 12 of 20 stops of streams."""
    dead, next_owner = (LaneRecords(3.0, {"slack": OWNED_WRITES}) for _ in range(2))
    lane, now = Lane("slack", "T1"), asyncio.get_running_loop().time()
    grant = Grant(lane, 1)
    dead.won(TakenLane(grant), now)
    [report] = dead.reports([grant], {lane: 30}, now).values()
    next_owner.won(TakenLane(Grant(lane, 2), StoredReport(report, 5.0)), now + 5.0)
    limits = RememberedLimits("T1", next_owner.log(lane))
    edits, streams = limits.edits(SlackOptions("xoxb-1", edits="window")), limits.streams()
    await limits.recall()

    assert (permits(edits), permits(streams[Verb.STOP])) == (42, 12)


async def test_a_lost_workspace_is_not_called_again() -> None:
    """After the loss of the lane, every call fails at once; the connections are others' too."""
    web = WebApi(OPTIONS, "xoxb-2")
    web.end()
    try:
        for call in (web.send("chat.update", {}), web.post("chat.delete", {}), web.read("users.info", {})):
            with pytest.raises(NotOwner):
                await call
        with pytest.raises(NotOwner):
            await web.respond("https://hooks.slack.com/actions/1", {})
    finally:
        await web.close()


async def test_visible_calls_without_a_budget_need_a_valid_lease() -> None:
    """A form or a status is not shown while another process may have the workspace."""
    web = WebApi(OPTIONS, "xoxb-2", limit=RenewableLimit())
    try:
        for method in ("views.open", "assistant.threads.setStatus"):
            with pytest.raises(ServiceError, match="not certain"):
                await web.send(method, {})
        with pytest.raises(ServiceError, match="not certain"):
            await web.respond("https://hooks.slack.com/actions/1", {})
    finally:
        await web.close()
