"""The playground as a place to write to: one answer's channel.

What belongs here: the port `bot.ports.Channel` on a room. What does not: reading requests and serving pages. A write is
applied and told to every page in one step of the loop, so nothing is ever `OutcomeUnknown` here.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence

from adapters.playground import protocol as wire
from adapters.playground.rendering import PlaygroundMarkdown, render
from adapters.playground.state import Entry, Room, history
from adapters.playground.subscribers import Audience
from bot.conversation import History, Part
from bot.errors import InvalidRequest, NotFound, RateLimited
from bot.markdown import utf16_units
from bot.ports import Body, ChannelCapabilities, Controls, Verb
from bot.rate_limits import Budget, WindowReport

# The longest message, as Discord's (https://docs.discord.com/developers/resources/message#create-message).
MESSAGE_UNITS = 2_000


class Stage:
    """What all channels share: who looks, the bot's name, and the ids of messages.

    Ids differ from one start of the process to the next, since a journal remembers those of earlier ones.
    """

    def __init__(self, bot: str) -> None:
        self.bot = bot
        self.run = secrets.token_hex(4)
        self.audience = Audience()
        self.closed = False
        self._numbers = itertools.count(1)

    def new_id(self) -> str:
        """An id that no message has had."""
        return f"{self.run}-{next(self._numbers)}"


class PlaygroundChannel:
    """Where one answer is written. See `bot.ports.Channel`."""

    def __init__(self, room: Room, question: Entry, stage: Stage) -> None:
        self._room = room
        self._question = question
        self._stage = stage
        self._caps = ChannelCapabilities(
            limit=MESSAGE_UNITS, measure=utf16_units, renderer=PlaygroundMarkdown(), controls=Controls.STOP
        )
        self._answered = False

    @property
    def connection(self) -> str:
        """See `bot.ports.Channel`: there is one playground."""
        return "playground"

    @property
    def caps(self) -> ChannelCapabilities:
        """See `bot.ports.Channel`."""
        return self._caps

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """The room's. Discord's 50 a second for a whole bot is out of reach of a page's few rooms: nobody counts it."""
        return (self._room.budgets[verb],)

    async def attachments(self) -> tuple[Part, ...]:
        """See `bot.ports.Channel`: nothing can be attached in the page."""
        return ()

    async def history(self, limit: int) -> History:
        """See `bot.ports.Channel`."""
        return history(self._room.entries, self._question, limit)

    async def post(self, body: Body, key: str) -> str:
        """See `bot.ports.Channel`."""
        now, report = self._count(Verb.POST)
        if (known := self._room.keys.get(key)) is not None:
            return known  # as Discord does with a nonce it has seen: the first message stands as it is
        text = _acceptable(body)
        entry = Entry(
            id=self._stage.new_id(),
            room=self._room.name,
            author=self._stage.bot,
            bot=True,
            question=self._question.id,
            reply_to="" if self._answered else self._question.id,
            conversation=self._question.conversation,
            posted_at=now,
        )
        self._answered = True
        entry.written(now, text=text, html=render(text), controls=body.controls, left=report.remaining)
        for old in self._room.add(entry, key):
            self._stage.audience.tell(wire.gone(self._room, old, now))
        self._stage.audience.tell(wire.wrote(self._room, entry, Verb.POST, now))
        return entry.id

    async def edit(self, message: str, body: Body) -> None:
        """See `bot.ports.Channel`."""
        now, report = self._count(Verb.EDIT)
        entry = self._room.entries.get(message)
        if entry is None or not entry.bot:
            raise NotFound(f"message {message} is not in #{self._room.name}")
        text = _acceptable(body)
        entry.written(now, text=text, html=render(text), controls=body.controls, left=report.remaining)
        self._stage.audience.tell(wire.wrote(self._room, entry, Verb.EDIT, now))

    async def delete(self, message: str) -> None:
        """See `bot.ports.Channel`."""
        now, _ = self._count(Verb.DELETE)
        entry = self._room.remove(message)
        if entry is not None:
            self._stage.audience.tell(wire.gone(self._room, entry, now))

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:  # noqa: ARG002 (the port's signature)
        """None: a post is idempotent by its key."""
        return None

    async def show_working(self) -> None:
        """See `bot.ports.Channel`: the page says that an answer is being made."""
        at_work, question = self._room.working, self._question.id
        at_work[question] = at_work.get(question, 0) + 1
        self._stage.audience.tell(wire.working(self._room, question, on=True))
        try:
            await asyncio.Event().wait()
        finally:
            at_work[question] -= 1
            if not at_work[question]:
                del at_work[question]
                self._stage.audience.tell(wire.working(self._room, question, on=False))

    def _count(self, verb: Verb) -> tuple[float, WindowReport]:
        """Have the room count a write now, and tell its budget what is left, as it would read in headers."""
        if self._stage.closed:
            raise NotFound("the playground is closed")
        now = asyncio.get_running_loop().time()
        try:
            report = self._room.counters[verb].count(now)
        except RateLimited:
            self._stage.audience.tell(wire.limited(self._room, verb, now))
            raise
        self._room.budgets[verb].observe(now, report, sent=now)
        return now, report


def _acceptable(body: Body) -> str:
    """The text of a body, if Discord would take it. Raises `InvalidRequest`."""
    if not body.text.strip():
        raise InvalidRequest("a message cannot be empty")
    units = utf16_units(body.text)
    if units > MESSAGE_UNITS:
        raise InvalidRequest(f"a message of {units} UTF-16 units is over {MESSAGE_UNITS}")
    return body.text
