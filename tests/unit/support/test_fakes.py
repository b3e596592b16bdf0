"""The in-memory channel keeps the promises of the real ones, so what is tested on it holds for them."""

from __future__ import annotations

import pytest

from bot.errors import Failure, Forbidden, OutcomeUnknown, RateLimited, ServiceError
from bot.ports import Channel, Verb
from tests.contracts.channel import PROMISES, Promise, name_of, play
from tests.support.fakes import FakeChannel


class FakeStage:
    """See `tests.contracts.channel.ChannelHarness`."""

    skips: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._channel = FakeChannel(fault=self._fault)
        self._next: dict[Verb, Failure] = {}
        self._forbidden = False

    @property
    def channel(self) -> Channel:
        return self._channel

    def another(self) -> Channel:
        mine = self._channel
        return FakeChannel(mine.server, edits=mine.edits, posts=mine.posts, deletes=mine.deletes)

    def shown(self) -> list[str]:
        return [body.text for body in self._channel.shown.values()]

    async def remove(self, message: str) -> None:
        del self._channel.shown[message]

    def limit(self, verb: Verb, seconds: float) -> None:
        self._fail(verb, RateLimited("429", retry_after=seconds))

    def fail_once(self, verb: Verb) -> None:
        self._fail(verb, ServiceError("500"))

    def lose_response(self, verb: Verb) -> None:
        self._fail(verb, OutcomeUnknown("reset"), applied_first=True)

    def forbid(self) -> None:
        self._forbidden = True

    def _fail(self, verb: Verb, failure: Failure, *, applied_first: bool = False) -> None:
        self._next[verb] = failure
        self._channel.applied_first = applied_first

    def _fault(self, verb: Verb) -> Failure | None:
        return Forbidden("403") if self._forbidden else self._next.pop(verb, None)


@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_the_memory_channel_keeps_the_promise(promise: Promise) -> None:
    """See the promise."""
    await play(promise, FakeStage())
