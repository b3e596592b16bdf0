"""The choice between edits and native streams, as a table of what is left of each rate limit."""

from __future__ import annotations

import pytest

from bot.delivery.mode import Mode, choose_mode, may_preview, with_stream_limit
from bot.markdown import PlainMarkdown
from bot.ports import ChannelCapabilities, StreamCapabilities, Verb
from bot.rate_limits import RenewableLimit, RollingWindow
from tests.support.fakes import STREAM_LIMITS

NOW = 1000.0
LIMITS = {Verb.POST: 50, Verb.EDIT: 50, **STREAM_LIMITS}


def octets(text: str) -> int:
    return len(text.encode())


AUTO = StreamCapabilities(9_000, octets, 280.0)
ALWAYS = StreamCapabilities(9_000, octets, 280.0, always=True)


def window(verb: Verb, spent: int, live: int) -> RollingWindow:
    """The limit of a verb after so many writes ten seconds ago, with so many live replies."""
    limit = RollingWindow(LIMITS[verb], 60.0, paced=verb is not Verb.START)
    limit.live = live
    for _ in range(spent):
        limit.spend(NOW - 10.0)
        limit.record_response(NOW - 10.0)
    return limit


@pytest.mark.parametrize(
    ("stream", "spent", "live", "mode"),
    [
        (AUTO, {}, {}, Mode.STREAM),  # a tie
        (None, {}, {}, Mode.EDITS),
        (AUTO, {Verb.EDIT: 50}, {}, Mode.STREAM),
        (AUTO, {Verb.APPEND: 100}, {}, Mode.EDITS),
        (AUTO, {Verb.START: 20}, {}, Mode.EDITS),
        (AUTO, {Verb.STOP: 20}, {}, Mode.EDITS),
        (AUTO, {Verb.EDIT: 49}, {}, Mode.STREAM),
        (AUTO, {Verb.APPEND: 97}, {}, Mode.EDITS),
        (AUTO, {Verb.EDIT: 50, Verb.APPEND: 100}, {}, Mode.STREAM),  # both wait as long
        (AUTO, {Verb.EDIT: 50, Verb.START: 20}, {}, Mode.EDITS),  # a post goes at once, a start in 50 s
        (AUTO, {Verb.START: 20, Verb.POST: 50}, {}, Mode.STREAM),  # neither goes at once
        (AUTO, {}, {Verb.APPEND: 12}, Mode.EDITS),
        (AUTO, {}, {Verb.APPEND: 12, Verb.EDIT: 12}, Mode.STREAM),
        (AUTO, {}, {Verb.EDIT: 30}, Mode.STREAM),
        (ALWAYS, {}, {Verb.APPEND: 12}, Mode.STREAM),
        (ALWAYS, {Verb.APPEND: 100}, {}, Mode.STREAM),
        (ALWAYS, {Verb.START: 20}, {}, Mode.EDITS),
        (ALWAYS, {Verb.STOP: 20}, {}, Mode.EDITS),
    ],
)
def test_the_cheaper_mode_is_chosen(
    stream: StreamCapabilities | None, spent: dict[Verb, int], live: dict[Verb, int], mode: Mode
) -> None:
    """A used-up limit, or many live replies on it, sends a new answer the other way; nothing waits for a start."""
    budgets = {verb: (window(verb, spent.get(verb, 0), live.get(verb, 0)),) for verb in LIMITS}
    assert choose_mode(stream, budgets, NOW) is mode


def test_a_start_leaves_a_stop_for_every_open_stream() -> None:
    """With twelve stops spent and eight streams open, a ninth would have none."""
    budgets = {verb: (window(verb, 12 if verb is Verb.STOP else 0, 0),) for verb in LIMITS}
    budgets[Verb.STOP][0].reserved_finals = 7
    assert choose_mode(AUTO, budgets, NOW) is Mode.STREAM
    budgets[Verb.STOP][0].reserved_finals = 8
    assert choose_mode(AUTO, budgets, NOW) is Mode.EDITS


def test_messages_fit_both_limits() -> None:
    """A message is as short as the stricter of both limits asks, each in its own unit."""
    caps = with_stream_limit(ChannelCapabilities(11_500, len, PlainMarkdown(), stream=AUTO))
    assert caps.measure("a" * 9_000) <= caps.limit < caps.measure("a" * 9_001)
    assert caps.measure("é" * 4_500) <= caps.limit < caps.measure("é" * 4_501)
    narrow = with_stream_limit(ChannelCapabilities(2_000, len, PlainMarkdown(), stream=AUTO))
    assert narrow.measure("a" * 2_000) <= narrow.limit < narrow.measure("a" * 2_001)


@pytest.mark.parametrize(
    ("stream", "spent", "mode"),
    [
        (AUTO, {}, Mode.STREAM),
        (AUTO, {Verb.EDIT: 50}, Mode.STREAM),
        (AUTO, {Verb.APPEND: 100}, Mode.EDITS),
        (ALWAYS, {}, Mode.STREAM),
    ],
)
def test_a_limit_of_all_writes_does_not_change_the_choice(
    stream: StreamCapabilities, spent: dict[Verb, int], mode: Mode
) -> None:
    """Closed for posts, edits and streams alike, it leaves the choice to the other limits."""
    for lease in (RenewableLimit(), RenewableLimit(NOW + 60.0)):
        budgets = {verb: (window(verb, spent.get(verb, 0), 0), lease) for verb in LIMITS}
        assert choose_mode(stream, budgets, NOW) is mode


def test_a_closed_limit_of_starts_alone_is_no_reason_to_wait() -> None:
    """A limit without a known end, which posts do not spend, sends the answer by edits."""
    budgets = {verb: (window(verb, 0, 0),) for verb in LIMITS}
    closed = {**budgets, Verb.START: (*budgets[Verb.START], RenewableLimit())}
    assert choose_mode(AUTO, closed, NOW) is choose_mode(ALWAYS, closed, NOW) is Mode.EDITS


@pytest.mark.parametrize(
    ("stream", "spent", "expected"),
    [
        (None, {Verb.EDIT: 50}, True),
        (AUTO, {}, True),
        (ALWAYS, {}, True),
        (AUTO, {Verb.EDIT: 50}, False),
        (ALWAYS, {Verb.EDIT: 50}, False),
        (AUTO, {Verb.EDIT: 50, Verb.START: 20}, True),  # it will not stream
    ],
)
def test_a_preview_needs_an_edit(stream: StreamCapabilities | None, spent: dict[Verb, int], expected: bool) -> None:
    """Without any left, the answer streams at its first text instead."""
    budgets = {verb: (window(verb, spent.get(verb, 0), 0),) for verb in LIMITS}
    assert may_preview(stream, budgets, NOW) is expected
