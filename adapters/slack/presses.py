"""Pressed buttons and submitted forms: each goes to the core, and its response to the person.

Listeners in `bolt_app` acknowledge a payload first. The journal has a new turn before `Interactions.retry` returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TypeVar

from adapters.slack.events.actions import ButtonPressed, FormSent, Origin, parse_value
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.events.parse import StopRequested
from adapters.slack.events.places import place_of
from adapters.slack.events.stops import StopHandler
from adapters.slack.history.users import to_author
from adapters.slack.messages.responses import Responder
from adapters.slack.state import WorkspaceState
from bot.conversation import Author, TurnKey
from bot.errors import Failure
from bot.interactions.values import Form, FormSubmitted, Place, RetryPressed, Vote, VoteCast

log = logging.getLogger(__name__)

# Patience with a person's lookup, in seconds: they wait and see nothing.
LOOKUP_SECONDS = 10.0

Received = TypeVar("Received", ButtonPressed, FormSent)


class PressHandler:
    """Handles the presses and forms of one workspace. `guarded` runs the others."""

    def __init__(self, workspace: WorkspaceState, stops: StopHandler, refresh_page: Callable[[str], object]) -> None:
        """`refresh_page` publishes a person's page anew, by id."""
        self._workspace = workspace
        self._refresh_page = refresh_page
        self._stops = stops
        self._responder = Responder(workspace)

    async def guarded(self, handle: Callable[[Received], Coroutine[None, None, None]], received: Received) -> None:
        """Handle one press or form; the boundary of its errors."""
        try:
            await handle(received)
        except Exception:
            # An odd payload must not affect the next.
            log.exception("Slack: a press by user %s could not be handled", received.origin.user)
            await self._responder.tell(self._workspace.options.strings.press_failed, received.origin)

    async def stop(self, press: ButtonPressed) -> None:
        """Stop an answer."""
        if not self.is_stopped_by(press):
            await self._responder.tell(self._workspace.options.strings.not_stopped, press.origin)

    def is_stopped_by(self, press: ButtonPressed) -> bool:
        """Stop an answer; whether there was one to stop."""
        origin = press.origin
        return self._stops.stop(StopRequested(origin.channel, origin.user, (origin.message,)))

    async def retry(self, press: ButtonPressed) -> None:
        """Try again, perhaps with another model."""
        origin = press.origin
        question, _, model = press.value.partition(" ")
        by = await self._author(origin)
        if by is None:
            return
        # Reading the message would take one of few reads; events report nearly every deletion.
        if (origin.channel, origin.message) in self._workspace.cache.deleted_by_people:
            await self._responder.tell(self._workspace.options.strings.retry_no_answer, origin)
            return
        self._workspace.cache.threads[(origin.channel, question)] = origin.thread
        event = RetryPressed(self._key(origin, question), origin.message, by, self._place(origin), model)
        await self._responder.show(await self._workspace.interactions.retry(event), origin)

    async def vote(self, press: ButtonPressed) -> None:
        """Thumbs up or down."""
        origin = press.origin
        question, _, vote = press.value.partition(" ")
        by = await self._author(origin)
        if by is None or vote not in set(Vote):
            return
        event = VoteCast(self._key(origin, question), origin.message, Vote(vote), by, self._place(origin))
        await self._responder.show(await self._workspace.interactions.vote(event), origin)

    async def act(self, press: ButtonPressed) -> None:
        """A button of a notice or a panel; its value names the place it was shown for."""
        value = parse_value(press.value)
        by = await self._author(press.origin)
        if by is None or value is None:
            return
        placed = press.origin.at(value)
        event = FormSubmitted(value.id, by, self._place(placed))
        response = await self._workspace.interactions.submit(event)
        await self._responder.show(response, placed, replaces=bool(press.origin.channel))
        if not placed.channel and not isinstance(response, Form):
            self._refresh_page(placed.user)

    async def submit(self, form: FormSent) -> None:
        """A submitted form."""
        by = await self._author(form.origin)
        if by is None:
            return
        event = FormSubmitted(form.form.id, by, self._place(form.origin), form.values)
        response = await self._workspace.interactions.submit(event)
        if not form.origin.channel:
            self._refresh_page(form.origin.user)
        await self._responder.show(response, form.origin)

    async def _author(self, origin: Origin) -> Author | None:
        """The person; None for a bot, and after a failed lookup, told to them."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                user = await self._workspace.users.find(origin.user)
        except (Failure, TimeoutError) as failure:
            log.warning("Slack: a press by user %s is ignored, because their lookup failed (%s)", origin.user, failure)
            await self._responder.tell(self._workspace.options.strings.unknown_person, origin)
            return None
        if user.bot:
            return None
        return to_author(user, frozenset(filter(None, [origin.team])), self._workspace.me)

    def _key(self, origin: Origin, question: str) -> TurnKey:
        return TurnKey(PLATFORM, self._workspace.me.team, origin.channel, question)

    def _place(self, origin: Origin) -> Place:
        return place_of(self._workspace.me, origin.channel, origin.thread, origin.message)
