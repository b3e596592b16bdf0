"""Lookups of users on the virtual clock: their cost, and the cache."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from adapters.slack.history.users import FRESH_SECONDS, KNOWN_PATIENCE, UserDirectory
from adapters.slack.options import SlackTimings
from adapters.slack.rate_limits import MINUTE, TIER_4_READS
from adapters.slack.web_api import ApiResponse
from bot.errors import Forbidden, RateLimited, ServiceError
from bot.rate_limits import ReadLimiter


class FakeWeb:
    """Answers users.info or raises the next of `failures`, and records the times."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []
        self.failures: list[Exception] = []

    async def read(self, method: str, params: dict[str, Any]) -> ApiResponse:
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        return ApiResponse({"user": {"real_name": f"Name {len(self.asked_at)}"}}, {})


def people_of(web: FakeWeb) -> UserDirectory:
    return UserDirectory(cast("Any", web), ReadLimiter(TIER_4_READS, MINUTE))


async def test_many_people_at_once() -> None:
    """Ninety new users are looked up within seconds, with at most 100 lookups in any minute."""
    web = FakeWeb()
    people = people_of(web)
    await asyncio.gather(*(people.find(f"U{n}") for n in range(300)))
    began = web.asked_at[0]
    assert web.asked_at[TIER_4_READS // 3 - 1] - began < 1
    assert web.asked_at[TIER_4_READS - 1] - began <= 10
    for start in web.asked_at:
        assert sum(start <= at < start + 60 for at in web.asked_at) <= 100


async def test_lookups_are_cached() -> None:
    """A user is looked up again only after a few minutes."""
    web = FakeWeb()
    people = people_of(web)
    first = await people.find("U1")
    assert await people.find("U1") is first
    await asyncio.sleep(FRESH_SECONDS + 1)
    assert (await people.find("U1")).name == "Name 2"


async def test_an_old_answer_is_better_than_none() -> None:
    """While Slack is away, known users keep their old answer, and new users raise."""
    web = FakeWeb()
    people = people_of(web)
    first = await people.find("U1")
    await asyncio.sleep(FRESH_SECONDS + 1)
    web.failures = [ServiceError("x") for _ in range(100)]
    began = asyncio.get_running_loop().time()
    assert await people.find("U1") is first
    assert asyncio.get_running_loop().time() - began <= KNOWN_PATIENCE
    with pytest.raises(ServiceError):
        await people.find("U2")


async def test_a_missing_scope_raises() -> None:
    """Without the scope a lookup raises at once."""
    web = FakeWeb()
    web.failures = [Forbidden("users.info: missing_scope")]
    with pytest.raises(Forbidden):
        await people_of(web).find("U1")
    assert len(web.asked_at) == 1


async def test_a_pause_is_obeyed() -> None:
    """Pauses of a 429 are obeyed one after the other; a too long one raises."""
    web = FakeWeb()
    web.failures = [RateLimited("429", retry_after=each) for each in (7.0, *[58.0] * 6)]
    people = people_of(web)
    began = asyncio.get_running_loop().time()
    await people.find("U1")
    assert web.asked_at[1] - began >= 7.0
    assert web.asked_at[7] - web.asked_at[1] >= 6 * 58.0
    web.failures = [RateLimited("429", retry_after=SlackTimings().user_lookup)]
    with pytest.raises(RateLimited):
        await people.find("U2")
