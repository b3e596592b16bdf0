"""The playground's platform: a page's requests become turns.

Sockets and assets (`adapters.playground.routes`) and the shape of frames (`adapters.playground.protocol`) do not belong
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web
from typing_extensions import override

from adapters.playground import protocol
from adapters.playground.channel import PlaygroundChannel
from adapters.playground.commands import as_question, invocation, is_command, place_at, submission
from adapters.playground.protocol import (
    AskRequest,
    RequestRejected,
    RetryRequest,
    StopRequest,
    SubmitRequest,
    VoteRequest,
)
from adapters.playground.rendering import to_html
from adapters.playground.routes import PlaygroundRoutes
from adapters.playground.state import ChannelState, PlaygroundMessage, PlaygroundState
from adapters.playground.subscribers import MAX_SUBSCRIBERS
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey
from bot.errors import NotFound
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.values import NOTHING, Response, RetryPressed, VoteCast
from bot.ports import Inbox, OpenedQuestion, Platform

# How long `close` waits for open pages, in seconds: a suspended page must not delay a shutdown.
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PlaygroundOptions:
    """The playground's options.

    The page shows `model_label` ("SmolLM2-135M, a tiny demonstration model"). `channels` are names and topics.
    `allowed_hosts` are names and IP addresses of this server besides loopback. `max_pages` limits the open pages.
    """

    model_label: str
    bot_name: str = "Tickertape"
    channels: tuple[tuple[str, str], ...] = (
        ("general", "Ask anything, and watch the answer being written"),
        ("random", "A second channel with a budget of its own"),
        ("help", "A third, for asking several things at once"),
    )
    allowed_hosts: frozenset[str] = frozenset()
    max_pages: int = MAX_SUBSCRIBERS


class PlaygroundPlatform(Platform):
    """A page with channels under Discord's rate limits."""

    def __init__(self, options: PlaygroundOptions) -> None:
        self._model_label = options.model_label
        self._state = PlaygroundState(options.bot_name, options.max_pages)
        self._channels = {name: ChannelState(name, topic) for name, topic in options.channels}
        self._routes = PlaygroundRoutes(self._state.subscribers, self.hello, self.handle, options.allowed_hosts)
        self._inbox: Inbox | None = None
        self._interactions: Interactions = NO_INTERACTIONS
        self._accepting = True

    @property
    @override
    def name(self) -> str:
        return "playground"

    @property
    @override
    def ready(self) -> bool:
        return self._inbox is not None and self._accepting

    def routes(self) -> list[web.RouteDef]:
        """The page, its assets and its socket, for the HTTP server."""
        return self._routes.routes()

    @override
    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        """Accept questions until cancelled. The HTTP server serves the pages, so there is no connection to make."""
        self._inbox, self._interactions = inbox, interactions
        try:
            await asyncio.Event().wait()
        finally:
            self._inbox = None

    @override
    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        """Read a question again: it is in memory until it is evicted, or the process ends."""
        channel = self._channels.get(key.channel)
        question = channel.messages.get(key.message) if channel is not None else None
        if channel is None or question is None or question.by_bot:
            raise NotFound(f"question {key.message} is not in #{key.channel}")
        turn = replace(build_turn(question), key=key)
        return OpenedQuestion(turn, PlaygroundChannel(channel, question, self._state, messages), "")

    @override
    async def stop_accepting(self) -> None:
        self._accepting = False

    @override
    async def close(self) -> None:
        """Close all pages; they reconnect by themselves after the next start."""
        self._accepting, self._state.closed = False, True
        self._state.subscribers.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._state.subscribers.wait_empty()
        except TimeoutError:
            return  # the HTTP server closes the remaining sockets

    # ----------------------------------------------------------------------------------------------------- requests

    def hello(self) -> str:
        """The first event of a page: the whole state."""
        now = asyncio.get_running_loop().time()
        channels, state = list(self._channels.values()), self._state
        return protocol.hello_event(
            channels, now, run_id=state.run_id, model_label=self._model_label, bot_name=state.bot_name
        )

    async def handle(self, frame: str) -> str:
        """Process one request; returns the event for its page alone."""
        try:
            request = protocol.parse_request(frame)
            if isinstance(request, StopRequest):
                return protocol.accepted_event(request.ref, self._stop(request))
            if isinstance(request, AskRequest) and not (self._interactions.commands and is_command(request.text)):
                return protocol.accepted_event(request.ref, self._ask(request))
            response = await self._respond(request)
            if isinstance(request, RetryRequest | VoteRequest) and response == NOTHING:
                return protocol.accepted_event(request.ref, "")
            return protocol.private_event(request.ref, response)
        except RequestRejected as rejection:
            return protocol.rejected_event(rejection)

    async def _respond(self, request: AskRequest | RetryRequest | VoteRequest | SubmitRequest) -> Response:
        """Run a command, or take in a form or a button."""
        if isinstance(request, RetryRequest | VoteRequest):
            return await self._respond_below(request)
        _, channel = self._open(request)
        place = place_at(channel.messages.get(request.reply_to), channel, self._state)
        if isinstance(request, SubmitRequest):
            return await self._interactions.submit(submission(request, place))
        return await self._interactions.invoke(invocation(request, place))

    async def _respond_below(self, request: RetryRequest | VoteRequest) -> Response:
        """Take in a button below an answer."""
        found = ((channel, channel.messages.get(request.message)) for channel in self._channels.values())
        channel, answer = next(((each, message) for each, message in found if message), (None, None))
        if channel is None or answer is None or not answer.by_bot:
            raise RequestRejected("That answer is there no more.", request.ref)
        question = TurnKey("playground", "", channel.name, answer.question)
        reader, place = Author(request.name, request.name), place_at(answer, channel, self._state)
        if isinstance(request, VoteRequest):
            return await self._interactions.vote(VoteCast(question, answer.id, request.vote, reader, place))
        return await self._interactions.retry(RetryPressed(question, answer.id, reader, place))

    def _open(self, request: AskRequest | SubmitRequest) -> tuple[Inbox, ChannelState]:
        """The inbox and the request's channel."""
        inbox, channel = self._inbox, self._channels.get(request.channel)
        if inbox is None or not self._accepting:
            raise RequestRejected(
                "The bot is just starting or stopping. Please send it again in a moment.", request.ref
            )
        if channel is None:
            raise RequestRejected("There is no such channel.", request.ref)
        return inbox, channel

    def _ask(self, request: AskRequest) -> str:
        inbox, channel = self._open(request)
        request = replace(request, text=as_question(request.text))
        question = self._question(request, channel)
        for evicted in channel.add(question):
            self._state.subscribers.publish(protocol.deleted_event(channel, evicted, question.posted_at))
        self._state.subscribers.publish(protocol.message_event(channel, question, None, question.posted_at))
        inbox.accept(build_turn(question), PlaygroundChannel(channel, question, self._state))
        return question.id

    def _question(self, request: AskRequest, channel: ChannelState) -> PlaygroundMessage:
        """The question as a message. A reply continues its conversation; anything else starts one."""
        now, new_id = asyncio.get_running_loop().time(), self._state.new_id()
        parent = channel.messages.get(request.reply_to) if request.reply_to else None
        if request.reply_to and (parent is None or not parent.by_bot):
            raise RequestRejected(
                "The answer that you reply to is there no more. Ask without replying to it.", request.ref
            )
        conversation = parent.conversation if parent is not None else f"playground/{channel.name}/{new_id}"
        return PlaygroundMessage(
            id=new_id,
            channel=channel.name,
            author=request.name,
            by_bot=False,
            question=new_id,
            reply_to=request.reply_to,
            conversation=conversation,
            posted_at=now,
            text=request.text,
            html=to_html(request.text),
        )

    def _stop(self, request: StopRequest) -> str:
        containing = (name for name, channel in self._channels.items() if request.message in channel.messages)
        key = TurnKey("playground", "", next(containing, ""), request.message)
        if self._inbox is None or not self._inbox.stop(key, by=request.name):
            raise RequestRejected("That answer has ended already.", request.ref)
        return request.message


def build_turn(question: PlaygroundMessage) -> Turn:
    """The question as a turn. The page has no login, so the typed name identifies the author."""
    return Turn(
        key=TurnKey("playground", "", question.channel, question.id),
        conversation=question.conversation,
        author=Author(id=question.author, name=question.author),
        question=Message(Role.USER, (Text(question.text),), question.author, question.id),
        channel_ids=(question.channel,),
    )
