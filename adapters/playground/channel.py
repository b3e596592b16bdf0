"""One answer's channel in the playground: the port `bot.ports.Channel` on a channel's state.

Writes are applied and published in one step of the event loop, so no outcome is ever unknown here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from adapters.playground import protocol
from adapters.playground.rendering import PlaygroundMarkdown, to_html
from adapters.playground.state import ChannelState, PlaygroundMessage, PlaygroundState, history
from bot.conversation import History, Part
from bot.errors import InvalidRequest, NotFound, RateLimited
from bot.markdown import utf16_units
from bot.ports import Body, Channel, ChannelCapabilities, Controls, Verb
from bot.rate_limits import Budget, WindowReport

# The longest message, as Discord's (https://docs.discord.com/developers/resources/message#create-message).
MESSAGE_UNITS = 2_000

CONTROLS = Controls.STOP | Controls.RETRY | Controls.FEEDBACK


class PlaygroundChannel(Channel):
    """The channel of one answer."""

    def __init__(
        self,
        channel: ChannelState,
        question: PlaygroundMessage,
        state: PlaygroundState,
        replaced: Sequence[str] = (),
    ) -> None:
        """`replaced`: the messages of an earlier answer to the same question."""
        self._channel = channel
        self._question = question
        self._state = state
        self._caps = ChannelCapabilities(
            limit=MESSAGE_UNITS, measure=utf16_units, renderer=PlaygroundMarkdown(), controls=CONTROLS
        )
        self._answered = bool(replaced)
        self._untouched = set(replaced)

    @property
    @override
    def connection(self) -> str:
        return "playground"

    @property
    @override
    def caps(self) -> ChannelCapabilities:
        return self._caps

    @override
    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """The channel's budget. A few channels cannot reach Discord's 50 requests a second per bot; none counts it."""
        return (self._channel.budgets[verb],)

    @override
    async def attachments(self) -> tuple[Part, ...]:
        """Empty: the page has no attachments."""
        return ()

    @override
    async def history(self, limit: int) -> History:
        return history(self._channel.messages, self._question, limit)

    @override
    async def post(self, body: Body, key: str) -> str:
        now, report = self._count(Verb.POST)
        if (existing := self._channel.message_by_key.get(key)) is not None:
            return existing  # as Discord does with a known nonce: the first message stays unchanged
        text = _validated_text(body)
        message = PlaygroundMessage(
            id=self._state.new_id(),
            channel=self._channel.name,
            author=self._state.bot_name,
            by_bot=True,
            question=self._question.id,
            reply_to="" if self._answered else self._question.id,
            conversation=self._question.conversation,
            posted_at=now,
        )
        self._answered = True
        message.apply_write(now, text=text, html=to_html(text), controls=body.controls, remaining=report.remaining)
        for evicted in self._channel.add(message, key):
            self._state.subscribers.publish(protocol.deleted_event(self._channel, evicted, now))
        self._state.subscribers.publish(protocol.message_event(self._channel, message, Verb.POST, now))
        return message.id

    @override
    async def edit(self, message: str, body: Body) -> None:
        now, report = self._count(Verb.EDIT)
        edited = self._channel.messages.get(message)
        if edited is None or not edited.by_bot:
            raise NotFound(f"message {message} is not in #{self._channel.name}")
        text = _validated_text(body)
        if message in self._untouched:
            self._untouched.discard(message)
            edited.restart(now)
        edited.apply_write(now, text=text, html=to_html(text), controls=body.controls, remaining=report.remaining)
        self._state.subscribers.publish(protocol.message_event(self._channel, edited, Verb.EDIT, now))

    @override
    async def delete(self, message: str) -> None:
        now, _ = self._count(Verb.DELETE)
        deleted = self._channel.remove(message)
        if deleted is not None:
            self._state.subscribers.publish(protocol.deleted_event(self._channel, deleted, now))

    @override
    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """None: `post` is idempotent by its key."""
        return None

    @override
    async def turn_ended(self) -> None:
        return None

    @override
    async def show_working(self) -> None:
        working, question = self._channel.working, self._question.id
        working[question] = working.get(question, 0) + 1
        self._state.subscribers.publish(protocol.working_event(self._channel, question, on=True))
        try:
            await asyncio.Event().wait()
        finally:
            working[question] -= 1
            if not working[question]:
                del working[question]
                self._state.subscribers.publish(protocol.working_event(self._channel, question, on=False))

    def _count(self, verb: Verb) -> tuple[float, WindowReport]:
        """Count a write on the server's side, and give its report to the budget, as headers would.

        Returns the event loop's time and the report. Raises `RateLimited`, or `NotFound` once the platform is closed.
        """
        if self._state.closed:
            raise NotFound("the playground is closed")
        now = asyncio.get_running_loop().time()
        try:
            report = self._channel.counters[verb].count(now)
        except RateLimited:
            self._state.subscribers.publish(protocol.rate_limited_event(self._channel, verb, now))
            raise
        self._channel.budgets[verb].observe(now, report, sent=now)
        return now, report


def _validated_text(body: Body) -> str:
    """The text of a body, within Discord's rules. Raises `InvalidRequest`."""
    if not body.text.strip():
        raise InvalidRequest("a message cannot be empty")
    units = utf16_units(body.text)
    if units > MESSAGE_UNITS:
        raise InvalidRequest(f"a message of {units} UTF-16 units is over {MESSAGE_UNITS}")
    return body.text
