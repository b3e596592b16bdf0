"""The contract of `bot.ports.Channel`, checked on the messages a reader sees. No platform's own behaviour belongs here.

An adapter's test makes a `ChannelHarness` (a test server, a channel of the adapter, and faults on command) and plays
every promise on a fresh one::

    @pytest.mark.sockets
    @pytest.mark.parametrize("promise", PROMISES, ids=name_of)
    async def test_contract(promise: Promise) -> None:
        async with discord_stage() as stage:
            await play(promise, stage)

A harness lists promises it cannot play in `skips`: a platform without a rate limit has no 429.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from bot.errors import Failure, Forbidden, NotFound, OutcomeUnknown, RateLimited, Retryable, StreamRefused
from bot.ports import Body, Channel, Controls, Verb

KEY = "abcdefghijklmnopqrstuvwx1"  # 25 characters, the longest key


class ChannelHarness(Protocol):
    """One platform's test server with one question, and the channel of its answer."""

    # Names of promises this platform cannot break or keep, each with the reason in a comment.
    skips: frozenset[str]

    @property
    def channel(self) -> Channel:
        """The channel of the question."""
        ...

    def another(self) -> Channel:
        """The channel of another question in the same thread or channel."""
        ...

    def shown(self) -> list[str]:
        """The texts of the bot's messages as a reader sees them, oldest first."""
        ...

    async def remove(self, message: str) -> None:
        """Delete a message of the bot, as a moderator does."""
        ...

    def limit(self, verb: Verb, seconds: float) -> None:
        """Reject the next such write with a 429 and a retry time of `seconds`."""
        ...

    def fail_once(self, verb: Verb) -> None:
        """Reject the next such write with status 500."""
        ...

    def lose_response(self, verb: Verb) -> None:
        """Apply the next such write, and lose its response."""
        ...

    def forbid(self) -> None:
        """Forbid the bot to write here."""
        ...


Promise = Callable[[ChannelHarness], Awaitable[None]]


async def a_post_is_shown(harness: ChannelHarness) -> None:
    """A reader sees the posted text, stable and tail alike."""
    await harness.channel.post(Body("Hello, ", "world"), KEY)

    assert harness.shown() == ["Hello, world"]


async def an_edit_replaces(harness: ChannelHarness) -> None:
    """After an edit the message shows the new text, and there is still one message."""
    message = await harness.channel.post(Body("first"), KEY)
    await harness.channel.edit(message, Body("first and second"))

    assert harness.shown() == ["first and second"]


async def a_key_posts_once(harness: ChannelHarness) -> None:
    """A post repeated with its key after a lost response exists once."""
    harness.lose_response(Verb.POST)
    with pytest.raises(OutcomeUnknown):
        await harness.channel.post(Body("once"), KEY)

    found = await harness.channel.find(KEY)
    message = found if found is not None else await harness.channel.post(Body("once"), KEY)
    await harness.channel.edit(message, Body("once, edited"))

    assert harness.shown() == ["once, edited"]


async def other_keys_post_more(harness: ChannelHarness) -> None:
    """Messages with different keys are different messages, in the order of posting."""
    first = await harness.channel.post(Body("one"), "key1")
    second = await harness.channel.post(Body("two"), "key2")

    assert (first != second, harness.shown()) == (True, ["one", "two"])


async def nothing_to_find(harness: ChannelHarness) -> None:
    """An unused key finds no message."""
    assert await harness.channel.find("never-used") is None


async def a_rate_limit_has_its_seconds(harness: ChannelHarness) -> None:
    """A 429 raises `RateLimited` at once with the server's seconds, for posts and for edits."""
    harness.limit(Verb.POST, 7.0)
    with pytest.raises(RateLimited) as post:
        await harness.channel.post(Body("one"), KEY)
    message = await harness.channel.post(Body("one"), KEY)
    harness.limit(Verb.EDIT, 3.0)
    with pytest.raises(RateLimited) as edit:
        await harness.channel.edit(message, Body("two"))

    assert (post.value.retry_after, edit.value.retry_after) == (7.0, 3.0)
    assert harness.shown() == ["one"]


async def a_server_error_is_retryable(harness: ChannelHarness) -> None:
    """A server error is retryable, and the same write then succeeds once."""
    harness.fail_once(Verb.POST)
    with pytest.raises(Retryable) as failure:
        await harness.channel.post(Body("one"), KEY)
    assert not isinstance(failure.value, RateLimited)
    message = await harness.channel.post(Body("one"), KEY)
    harness.fail_once(Verb.EDIT)
    with pytest.raises(Retryable):
        await harness.channel.edit(message, Body("two"))
    await harness.channel.edit(message, Body("three"))

    assert harness.shown() == ["three"]


async def a_lost_response_is_an_unknown_outcome(harness: ChannelHarness) -> None:
    """An edit with a lost response has an unknown outcome, and can be repeated."""
    message = await harness.channel.post(Body("one"), KEY)
    harness.lose_response(Verb.EDIT)
    with pytest.raises(OutcomeUnknown):
        await harness.channel.edit(message, Body("two"))
    await harness.channel.edit(message, Body("two"))

    assert harness.shown() == ["two"]


async def a_deleted_message_is_not_found(harness: ChannelHarness) -> None:
    """Editing a deleted message raises `NotFound`; deleting it again is no error."""
    message = await harness.channel.post(Body("one"), KEY)
    await harness.remove(message)

    with pytest.raises(NotFound):
        await harness.channel.edit(message, Body("two"))
    await harness.channel.delete(message)

    assert harness.shown() == []


async def a_delete_removes_one_message(harness: ChannelHarness) -> None:
    """A deleted message disappears, and the others stay."""
    await harness.channel.post(Body("one"), "key1")
    second = await harness.channel.post(Body("two"), "key2")
    await harness.channel.delete(second)

    assert harness.shown() == ["one"]


async def a_forbidden_post_is_forbidden(harness: ChannelHarness) -> None:
    """A post without permission raises `Forbidden`."""
    harness.forbid()

    with pytest.raises(Forbidden):
        await harness.channel.post(Body("one"), KEY)


async def a_body_at_the_limit_is_accepted(harness: ChannelHarness) -> None:
    """A text at the limit of `caps`, by its own measure, can be posted and edited."""
    caps = harness.channel.caps
    plain = "a" * caps.limit
    astral = "\N{GRINNING FACE}"
    emoji = astral * (caps.limit // caps.measure(astral))
    message = await harness.channel.post(Body(plain), KEY)
    await harness.channel.edit(message, Body(emoji))

    assert harness.shown() == [emoji]


async def a_channel_without_streams_refuses_them(harness: ChannelHarness) -> None:
    """Where `caps` have no native streams, a start is refused and shows nothing."""
    if harness.channel.caps.stream is not None:
        pytest.skip("this channel has them")
    with pytest.raises(StreamRefused):
        await harness.channel.start(Body("one"), KEY)

    assert harness.shown() == []


async def budgets_are_shared(harness: ChannelHarness) -> None:
    """Two questions in one channel spend the same budget objects, on every call."""
    one, two = harness.channel, harness.another()
    for verb in Verb:
        budgets = [channel.budgets(verb) for channel in (one, two, one)]
        assert budgets[0], verb
        assert all(a is b for a, b in zip(budgets[0], budgets[1], strict=True))
        assert all(a is b for a, b in zip(budgets[0], budgets[2], strict=True))
    assert one.connection == two.connection


async def failures_have_no_secrets(harness: ChannelHarness) -> None:
    """Every error is a `Failure`, and its text contains no token."""
    message = await harness.channel.post(Body("one"), KEY)
    for limited in (True, False):
        if limited:
            harness.limit(Verb.EDIT, 1.0)
        else:
            harness.fail_once(Verb.EDIT)
        with pytest.raises(Failure) as failure:
            await harness.channel.edit(message, Body("two"))
        assert "token" not in str(failure.value).lower()


async def controls_change_no_text(harness: ChannelHarness) -> None:
    """Each set of available controls can be posted, edited in and edited out, and readers see the same text."""
    available = harness.channel.caps.controls
    message = await harness.channel.post(Body("one", controls=available), KEY)
    assert harness.shown() == ["one"]
    await harness.channel.edit(message, Body("one", controls=Controls.NONE))
    for control in Controls:
        await harness.channel.edit(message, Body("two", controls=available & control))

    assert harness.shown() == ["two"]


async def a_full_body_has_room_for_controls(harness: ChannelHarness) -> None:
    """A text at the limit of `caps` is accepted with every available control."""
    caps = harness.channel.caps
    plain = "a" * caps.limit
    await harness.channel.post(Body(plain, controls=caps.controls), KEY)

    assert harness.shown() == [plain]


PROMISES: tuple[Promise, ...] = (
    a_post_is_shown,
    an_edit_replaces,
    a_key_posts_once,
    other_keys_post_more,
    nothing_to_find,
    a_rate_limit_has_its_seconds,
    a_server_error_is_retryable,
    a_lost_response_is_an_unknown_outcome,
    a_deleted_message_is_not_found,
    a_delete_removes_one_message,
    a_forbidden_post_is_forbidden,
    a_body_at_the_limit_is_accepted,
    controls_change_no_text,
    a_full_body_has_room_for_controls,
    a_channel_without_streams_refuses_them,
    budgets_are_shared,
    failures_have_no_secrets,
)


def name_of(promise: Promise) -> str:
    """The promise's name, for a test's id and for `ChannelHarness.skips`."""
    return str(getattr(promise, "__name__", promise))


async def play(promise: Promise, harness: ChannelHarness) -> None:
    """Check one promise on a fresh harness, unless the harness skips it."""
    if name_of(promise) in harness.skips:
        pytest.skip("this platform cannot break it")
    await promise(harness)
