"""The playground as a platform: questions become turns.

What belongs here: the port `bot.ports.Platform`, and what is done about a page's requests. What does not: sockets and
assets (`adapters.playground.routes`), the shape of frames (`adapters.playground.protocol`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from adapters.playground import protocol as wire
from adapters.playground.channel import PlaygroundChannel, Stage
from adapters.playground.protocol import Ask, Refused, Stop
from adapters.playground.rendering import render
from adapters.playground.routes import Pages
from adapters.playground.state import Entry, Room
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey
from bot.ports import Inbox

# How long open pages get to say goodbye, in seconds; a page that has gone to sleep does not hold up a shutdown.
# Read by `PlaygroundPlatform.close`.
GOODBYE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PlaygroundOptions:
    """What the playground is told.

    `model_label` says in the page which model answers ("SmolLM2-135M, a tiny demonstration model"). `rooms` are names
    and topics. `allowed_hosts` are names and IP addresses, besides those of loopback, under which the page is reached.
    """

    model_label: str
    bot_name: str = "Tickertape"
    rooms: tuple[tuple[str, str], ...] = (
        ("general", "Ask anything, and watch the answer being written"),
        ("random", "A second channel with a budget of its own"),
        ("help", "A third, for asking several things at once"),
    )
    allowed_hosts: frozenset[str] = frozenset()


class PlaygroundPlatform:
    """A page with channels whose limits are those of Discord's. See `bot.ports.Platform`."""

    name = "playground"

    def __init__(self, options: PlaygroundOptions) -> None:
        self._model_label = options.model_label
        self._stage = Stage(options.bot_name)
        self._rooms = {name: Room(name, topic) for name, topic in options.rooms}
        self._pages = Pages(self._stage.audience, self.hello, self.handle, options.allowed_hosts)
        self._inbox: Inbox | None = None
        self._quiet = False

    @property
    def ready(self) -> bool:
        """See `bot.ports.Platform`."""
        return self._inbox is not None and not self._quiet

    def routes(self) -> list[web.RouteDef]:
        """The page, its assets and its socket, for the site."""
        return self._pages.routes()

    async def run(self, inbox: Inbox) -> None:
        """See `bot.ports.Platform`. The pages come by the site, so all there is to do is to take their questions."""
        self._inbox = inbox
        try:
            await asyncio.Event().wait()
        finally:
            self._inbox = None

    async def stop_accepting(self) -> None:
        """See `bot.ports.Platform`."""
        self._quiet = True

    async def close(self) -> None:
        """See `bot.ports.Platform`. Pages try again by themselves, until another start answers them."""
        self._quiet = self._stage.closed = True
        self._stage.audience.close()
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._stage.audience.wait_empty()
        except TimeoutError:
            return  # the site cuts what is left

    # ------------------------------------------------------------------------------------------ what a page asks for

    def hello(self) -> str:
        """All that a page needs to show where things stand."""
        now = asyncio.get_running_loop().time()
        rooms = list(self._rooms.values())
        return wire.hello(rooms, now, run=self._stage.run, model=self._model_label, bot=self._stage.bot)

    def handle(self, frame: str) -> str:
        """Follow one request, and return the event that answers it, to its page alone."""
        try:
            request = wire.read(frame)
            return wire.asked(request.ref, self._ask(request) if isinstance(request, Ask) else self._stop(request))
        except Refused as refusal:
            return wire.refused(refusal)

    def _ask(self, ask: Ask) -> str:
        inbox, room = self._inbox, self._rooms.get(ask.channel)
        if inbox is None or self._quiet:
            raise Refused("The bot is just starting or stopping. Please send it again in a moment.", ask.ref)
        if room is None:
            raise Refused("There is no such channel.", ask.ref)
        question = self._question(ask, room)
        for old in room.add(question):
            self._stage.audience.tell(wire.gone(room, old, question.posted_at))
        self._stage.audience.tell(wire.wrote(room, question, None, question.posted_at))
        inbox.accept(turn(question), PlaygroundChannel(room, question, self._stage))
        return question.id

    def _question(self, ask: Ask, room: Room) -> Entry:
        """The question as a message of its room. A reply goes on with its chain, anything else begins one."""
        now, new_id = asyncio.get_running_loop().time(), self._stage.new_id()
        parent = room.entries.get(ask.reply_to) if ask.reply_to else None
        if ask.reply_to and (parent is None or not parent.bot):
            raise Refused("The answer that you reply to is there no more. Ask without replying to it.", ask.ref)
        conversation = parent.conversation if parent is not None else f"playground/{room.name}/{new_id}"
        return Entry(
            id=new_id,
            room=room.name,
            author=ask.name,
            bot=False,
            question=new_id,
            reply_to=ask.reply_to,
            conversation=conversation,
            posted_at=now,
            text=ask.text,
            html=render(ask.text),
        )

    def _stop(self, stop: Stop) -> str:
        room = next((room for room in self._rooms.values() if stop.message in room.entries), None)
        at = TurnKey("playground", "", room.name if room else "", stop.message)
        if self._inbox is None or not self._inbox.stop(at, by=stop.name):
            raise Refused("That answer has ended already.", stop.ref)
        return stop.message


def turn(question: Entry) -> Turn:
    """A question as the core takes it. Nobody logs in here, so people are told apart by the names they type."""
    return Turn(
        key=TurnKey("playground", "", question.room, question.id),
        conversation=question.conversation,
        author=Author(id=question.author, name=question.author),
        question=Message(Role.USER, (Text(question.text),), question.author, question.id),
        channel_ids=(question.room,),
    )
