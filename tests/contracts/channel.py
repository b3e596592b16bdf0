"""What every `bot.ports.Channel` must do, whatever is behind it.

What belongs here: promises of the port, checked on what a reader sees. What does not: anything of one platform.

An adapter's test makes a `Stage` (its platform's double, a channel of the adapter, and faults on command) and plays
every promise on a fresh one::

    @pytest.mark.sockets
    @pytest.mark.parametrize("promise", PROMISES, ids=name_of)
    async def test_contract(promise: Promise) -> None:
        async with discord_stage() as stage:
            await play(promise, stage)

Promises that a stage cannot play (a platform without a limit has no 429) say so by `skips`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from bot.errors import Failure, Forbidden, NotFound, OutcomeUnknown, RateLimited, Retryable
from bot.ports import Body, Channel, Verb

KEY = "abcdefghijklmnopqrstuvwx1"  # 25 characters, the longest that a key may be


class Stage(Protocol):
    """One platform's double with one question in it, and the channel that answers it."""

    # Names of promises that this platform has no way to break or keep, each with a comment that says why.
    skips: frozenset[str]

    @property
    def channel(self) -> Channel:
        """The channel of the question."""
        ...

    def another(self) -> Channel:
        """The channel of another question in the same place."""
        ...

    def shown(self) -> list[str]:
        """The texts of the bot's messages as a reader sees them, oldest first."""
        ...

    async def remove(self, message: str) -> None:
        """Somebody deletes a message of the bot."""
        ...

    def limit(self, verb: Verb, seconds: float) -> None:
        """The next such write is refused with a 429 that asks for `seconds`."""
        ...

    def break_down(self, verb: Verb) -> None:
        """The next such write is refused with an error of the server's own (500)."""
        ...

    def lose_answer(self, verb: Verb) -> None:
        """The next such write is applied, and its answer is lost."""
        ...

    def forbid(self) -> None:
        """From now on the bot may not write here."""
        ...


Promise = Callable[[Stage], Awaitable[None]]


async def a_post_is_shown(stage: Stage) -> None:
    """What is posted is what a reader sees, stable and tail alike."""
    await stage.channel.post(Body("Hello, ", "world"), KEY)

    assert stage.shown() == ["Hello, world"]


async def an_edit_replaces(stage: Stage) -> None:
    """After an edit the message shows the new text, and there is still one message."""
    message = await stage.channel.post(Body("first"), KEY)
    await stage.channel.edit(message, Body("first and second"))

    assert stage.shown() == ["first and second"]


async def a_key_posts_once(stage: Stage) -> None:
    """A post that is made again with its key, its answer having been lost, is there once."""
    stage.lose_answer(Verb.POST)
    with pytest.raises(OutcomeUnknown):
        await stage.channel.post(Body("once"), KEY)

    found = await stage.channel.find(KEY)
    message = found if found is not None else await stage.channel.post(Body("once"), KEY)
    await stage.channel.edit(message, Body("once, edited"))

    assert stage.shown() == ["once, edited"]


async def other_keys_post_more(stage: Stage) -> None:
    """Messages with different keys are different messages, in the order in which they were posted."""
    first = await stage.channel.post(Body("one"), "key1")
    second = await stage.channel.post(Body("two"), "key2")

    assert (first != second, stage.shown()) == (True, ["one", "two"])


async def nothing_to_find(stage: Stage) -> None:
    """A key that nothing was posted with finds nothing."""
    assert await stage.channel.find("never-used") is None


async def a_limit_says_how_long(stage: Stage) -> None:
    """A 429 is `RateLimited` with the server's own seconds, for posts and for edits, and nothing was waited for."""
    stage.limit(Verb.POST, 7.0)
    with pytest.raises(RateLimited) as post:
        await stage.channel.post(Body("one"), KEY)
    message = await stage.channel.post(Body("one"), KEY)
    stage.limit(Verb.EDIT, 3.0)
    with pytest.raises(RateLimited) as edit:
        await stage.channel.edit(message, Body("two"))

    assert (post.value.retry_after, edit.value.retry_after) == (7.0, 3.0)
    assert stage.shown() == ["one"]


async def a_server_error_comes_back_at_once(stage: Stage) -> None:
    """An error of the server's own may be tried again, and the same write then works, once."""
    stage.break_down(Verb.POST)
    with pytest.raises(Retryable) as failure:
        await stage.channel.post(Body("one"), KEY)
    assert not isinstance(failure.value, RateLimited)
    message = await stage.channel.post(Body("one"), KEY)
    stage.break_down(Verb.EDIT)
    with pytest.raises(Retryable):
        await stage.channel.edit(message, Body("two"))
    await stage.channel.edit(message, Body("three"))

    assert stage.shown() == ["three"]


async def a_lost_answer_is_unanswered(stage: Stage) -> None:
    """An edit whose answer is lost may have worked; making it again does no harm."""
    message = await stage.channel.post(Body("one"), KEY)
    stage.lose_answer(Verb.EDIT)
    with pytest.raises(OutcomeUnknown):
        await stage.channel.edit(message, Body("two"))
    await stage.channel.edit(message, Body("two"))

    assert stage.shown() == ["two"]


async def a_deleted_message_is_gone(stage: Stage) -> None:
    """Editing what somebody deleted is `NotFound`; deleting it is no error."""
    message = await stage.channel.post(Body("one"), KEY)
    await stage.remove(message)

    with pytest.raises(NotFound):
        await stage.channel.edit(message, Body("two"))
    await stage.channel.delete(message)

    assert stage.shown() == []


async def a_delete_takes_away(stage: Stage) -> None:
    """A message that is deleted is not shown, and the others stay."""
    await stage.channel.post(Body("one"), "key1")
    second = await stage.channel.post(Body("two"), "key2")
    await stage.channel.delete(second)

    assert stage.shown() == ["one"]


async def forbidden_is_said(stage: Stage) -> None:
    """Where the bot may not write, a post is `Forbidden`."""
    stage.forbid()

    with pytest.raises(Forbidden):
        await stage.channel.post(Body("one"), KEY)


async def a_body_at_the_limit_is_taken(stage: Stage) -> None:
    """A text that is as long as `caps` says, by its own measure, is accepted, posted and edited."""
    caps = stage.channel.caps
    plain = "a" * caps.limit
    astral = "\N{GRINNING FACE}"
    emoji = astral * (caps.limit // caps.measure(astral))
    message = await stage.channel.post(Body(plain), KEY)
    await stage.channel.edit(message, Body(emoji))

    assert stage.shown() == [emoji]


async def budgets_are_shared(stage: Stage) -> None:
    """Two questions in one place spend the very same budgets, again and again."""
    one, two = stage.channel, stage.another()
    for verb in Verb:
        budgets = [channel.budgets(verb) for channel in (one, two, one)]
        assert budgets[0], verb
        assert all(a is b for a, b in zip(budgets[0], budgets[1], strict=True))
        assert all(a is b for a, b in zip(budgets[0], budgets[2], strict=True))
    assert one.connection == two.connection


async def failures_are_ours(stage: Stage) -> None:
    """Whatever goes wrong is one of our failures, and says nothing of a token."""
    message = await stage.channel.post(Body("one"), KEY)
    for limited in (True, False):
        if limited:
            stage.limit(Verb.EDIT, 1.0)
        else:
            stage.break_down(Verb.EDIT)
        with pytest.raises(Failure) as failure:
            await stage.channel.edit(message, Body("two"))
        assert "token" not in str(failure.value).lower()


PROMISES: tuple[Promise, ...] = (
    a_post_is_shown,
    an_edit_replaces,
    a_key_posts_once,
    other_keys_post_more,
    nothing_to_find,
    a_limit_says_how_long,
    a_server_error_comes_back_at_once,
    a_lost_answer_is_unanswered,
    a_deleted_message_is_gone,
    a_delete_takes_away,
    forbidden_is_said,
    a_body_at_the_limit_is_taken,
    budgets_are_shared,
    failures_are_ours,
)


def name_of(promise: Promise) -> str:
    """The promise's name, for a test's id and for `Stage.skips`."""
    return str(getattr(promise, "__name__", promise))


async def play(promise: Promise, stage: Stage) -> None:
    """Check one promise on a fresh stage, or skip it where the stage says so."""
    if name_of(promise) in stage.skips:
        pytest.skip("this platform has no way to break it")
    await promise(stage)
