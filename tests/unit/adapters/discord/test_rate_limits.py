"""Discord's budgets: shared objects, headers and waiting reads, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.rate_limits import MAX_CHANNELS, BotLimits, Budgets, SharedRequests, read_report, spending
from bot.errors import RateLimited
from bot.ports import Verb
from bot.rate_limits import Budget, WindowReport

ONE = "/channels/{channel_id}/messages/{message_id}"
ALL = "/channels/{channel_id}/messages"

# Discord has no native streams.
VERBS = (Verb.POST, Verb.EDIT, Verb.DELETE)


async def test_budgets_are_shared() -> None:
    """A channel's windows are one object each, apart from other channels' and other verbs'."""
    budgets = Budgets()

    assert budgets.channel("1") is budgets.channel("1")
    assert budgets.channel("1") is not budgets.channel("2")
    assert len({id(budgets.channel("1").of(verb)) for verb in VERBS}) == len(VERBS)


@pytest.mark.parametrize(
    ("method", "path", "window"),
    [
        ("POST", ALL, "post"),
        ("PATCH", ONE, "edit"),
        ("DELETE", ONE, "delete"),
        ("GET", ALL, "list"),
        ("GET", ONE, "get"),
        ("PUT", ONE, None),
        ("POST", "/channels/{channel_id}/typing", None),
        ("GET", "/users/@me", None),
    ],
)
async def test_what_a_request_spends(method: str, path: str, window: str | None) -> None:
    """An answer's headers reach the window of its own route."""
    budgets = Budgets()
    expected = getattr(budgets.channel("1"), window) if window else None

    assert budgets.window(method, path, "1") is expected


async def test_requests_with_one_bucket_spend_one_window() -> None:
    """If Discord names one bucket for posts and edits, both spend the edits' paced window."""
    channel = Budgets().channel("1")
    edit, post, delete = channel.edit, channel.post, channel.delete
    channel.set_bucket("a", post)
    channel.set_bucket("b", delete)
    channel.set_bucket("a", edit)
    channel.set_bucket("a", edit)

    assert channel.of(Verb.POST) is channel.of(Verb.EDIT) is edit
    assert channel.of(Verb.DELETE) is delete


async def test_holders_of_a_merged_window_spend_the_common_one() -> None:
    """Holders of a merged window and writes in flight count in the common one."""
    channel = Budgets().channel("1")
    edit, post = channel.edit, channel.post
    post.live = edit.live = 2
    for _ in range(3):
        post.spend(0.0)
    edit.spend(0.0)
    channel.set_bucket("a", post)
    channel.set_bucket("a", edit)
    for window in (post, post, post, edit):
        window.record_response(0.1, sent=0.0)
    assert post.ready_at(0.2, final=True) <= 0.2
    post.spend(0.2)
    assert edit.ready_at(0.3, final=True) >= 5.0
    assert post.ready_at(0.3, final=True) >= 5.0
    post.record_response(0.3, sent=0.2)
    post.observe(0.4, WindowReport(5, 0, 4.7), sent=0.2)
    edit.hold(0.5, 30.0)
    assert post.ready_at(0.6, final=True) == 30.5
    assert edit.live == 4
    post.live -= 1
    assert edit.live == 3
    assert not post.should_open(31.0)
    edit.live = 6
    assert post.should_open(31.0)
    assert edit.should_open(31.0)


async def test_requests_with_other_buckets_stay_apart() -> None:
    """Different buckets stay apart in any order of arrival."""
    channel = Budgets().channel("1")
    before = {verb: channel.of(verb) for verb in VERBS}
    for _ in range(2):
        for name, verb in zip("abc", VERBS, strict=True):
            channel.set_bucket(name, channel.of(verb))

    assert {verb: channel.of(verb) for verb in VERBS} == before


async def test_only_idle_channels_are_evicted() -> None:
    """Only idle channels are evicted; channels in use or used recently keep their budgets."""
    budgets = Budgets()
    busy = budgets.channel("busy")
    busy.edit.live = 1
    for number in range(MAX_CHANNELS):
        budgets.channel(str(number))
    assert budgets.channel("busy") is busy

    await asyncio.sleep(61.0)
    first = budgets.channel("0")
    for number in range(MAX_CHANNELS):
        budgets.channel(f"new {number}")
    assert budgets.channel("busy") is busy
    assert budgets.channel("0") is first
    assert len(budgets) <= MAX_CHANNELS + 3


async def test_reads_wait_for_their_window() -> None:
    """The sixth read of a channel waits until the window has closed."""
    budgets = Budgets()
    window, loop = budgets.channel("1").list, asyncio.get_running_loop()
    began = loop.time()
    for _ in range(6):
        async with spending(window, budgets.global_limit):
            pass

    assert 5.0 <= loop.time() - began < 6.0


@pytest.mark.parametrize("is_global", [False, True])
async def test_a_429_holds_what_it_was_meant_for(is_global: bool) -> None:
    """A limited read holds its channel's window, or the whole bot's budget."""
    budgets, loop = Budgets(), asyncio.get_running_loop()
    window = budgets.channel("1").get
    with pytest.raises(RateLimited):
        async with spending(window, budgets.global_limit):
            raise RateLimited("429", retry_after=30.0, is_global=is_global)

    held = budgets.global_limit if is_global else window
    free = window if is_global else budgets.global_limit
    assert held.ready_at(loop.time(), final=True) == pytest.approx(loop.time() + 30.0)
    assert free.ready_at(loop.time(), final=True) <= loop.time()


GOOD = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "4.5"}


@pytest.mark.parametrize(
    ("change", "report"),
    [
        ({}, WindowReport(5, 4, 4.5)),
        ({"X-RateLimit-Limit": "many"}, None),
        ({"X-RateLimit-Reset-After": "nan"}, None),
        ({"X-RateLimit-Reset-After": "inf"}, None),
        ({"X-RateLimit-Reset-After": "-1"}, None),
        ({"X-RateLimit-Remaining": "6"}, None),
        ({"X-RateLimit-Remaining": "-1"}, None),
    ],
)
def test_headers(change: dict[str, str], report: WindowReport | None) -> None:
    """Consistent headers are followed, others ignored."""
    assert read_report({**GOOD, **change}) == report
    assert read_report({}) is None


def write(window: Budget) -> None:
    """One write with its response."""
    now = asyncio.get_running_loop().time()
    window.spend(now)
    window.record_response(now, sent=now)


async def test_the_next_owner_counts_what_the_last_one_wrote() -> None:
    """An open window is handed over with its used permits; a closed one is not."""
    loop = asyncio.get_running_loop()
    old, new = Budgets(), Budgets()
    for _ in range(5):
        write(old.channel("1").edit)
    write(old.channel("2").post)
    await asyncio.sleep(3.0)
    write(old.channel("3").post)
    reports = old.reports(loop.time())
    new.assume(loop.time(), reports)
    waits = [new.channel(one).edit.ready_at(loop.time(), final=True) - loop.time() for one in ("1", "2", "3")]
    await asyncio.sleep(2.5)

    assert [(channel, *windows) for channel, windows in reports.items()] == [
        ("1", "edit"),
        ("2", "post"),
        ("3", "post"),
    ]
    assert waits == [pytest.approx(2.0, abs=0.1), 0, 0]
    assert set(old.reports(loop.time())) == {"3"}


async def test_a_bot_is_silent_after_a_crash() -> None:
    """Every channel waits: nobody knows what the last owner wrote."""
    loop = asyncio.get_running_loop()
    budgets = Budgets()
    budgets.hold_all(loop.time(), 1.0)
    waits = [budgets.channel("1").of(verb).ready_at(loop.time(), final=True) - loop.time() for verb in Verb]
    await asyncio.sleep(1.0)

    assert waits == [pytest.approx(1.0)] * len(Verb)
    assert budgets.channel("2").post.ready_at(loop.time(), final=True) <= loop.time()


@pytest.mark.parametrize(("share", "requests", "lookups"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (17, 16, 1), (45, 40, 5)])
def test_a_share_has_a_part_for_lookups(share: int, requests: int, lookups: int) -> None:
    """Requests and look-ups together never exceed the share."""
    window = SharedRequests()
    window.set_limit(share)

    assert (window.limit, window.lookups.limit) == (requests, lookups)


async def test_the_reported_use_of_a_share_has_its_lookups() -> None:
    """What a process reports as used covers both."""
    loop = asyncio.get_running_loop()
    limits = BotLimits(shared=(window := SharedRequests()))
    window.set_limit(45)
    for limit in (limits.requests, limits.lookups):
        limit.spend(loop.time())

    assert (window.spent(loop.time()), limits.requests) == (2, window)
