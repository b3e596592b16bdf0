"""Route interactions to the core by their ids, and its responses back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from adapters.discord.events.interactions import ComponentPressed, Interaction, InteractionEvent, ModalSubmitted
from adapters.discord.history.reader import HistoryReader
from adapters.discord.interactions.modals import FORM_PREFIX
from adapters.discord.interactions.private_messages import ACTION_PREFIX, CONFIRM_PREFIX
from adapters.discord.interactions.responder import OPEN_PREFIX, Manner, Responder
from adapters.discord.messages.components import (
    DOWN_PREFIX,
    RETRY_PREFIX,
    RETRY_WITH_PREFIX,
    STOP_PREFIX,
    UP_PREFIX,
    split_question_name,
)
from adapters.discord.state import BotState
from adapters.shared.cache import loop_time
from bot.conversation import TurnKey
from bot.interactions.values import NOTHING, FormSubmitted, Notice, Response, RetryPressed, Vote, VoteCast
from bot.ports import Inbox

log = logging.getLogger(__name__)

# Head start of the process that stops an answer before another one says there is none: a round trip. Seconds.
OTHER_PROCESS_SECONDS = 0.5


class InteractionRouter:
    """Gives each press and form to the core in a task of its own, so that every one is acknowledged in time."""

    def __init__(self, state: BotState) -> None:
        self.responder = Responder(state)
        self._state = state
        self._inbox: Inbox | None = None
        self._group: asyncio.TaskGroup | None = None
        self._routes: Mapping[str, Callable[[ComponentPressed, str], Coroutine[Any, Any, Response]]] = {
            STOP_PREFIX: self._stop,
            RETRY_PREFIX: self._retry,
            RETRY_WITH_PREFIX: self._retry,
            UP_PREFIX: self._vote,
            DOWN_PREFIX: self._vote,
            ACTION_PREFIX: self._submit,
            CONFIRM_PREFIX: self._confirm,
            OPEN_PREFIX: self._open_form,
        }

    def open(self, inbox: Inbox, group: asyncio.TaskGroup) -> None:
        """Route to `inbox` and the state's `interactions` from now on, working in `group`."""
        self._inbox, self._group = inbox, group

    def close(self) -> None:
        """Route nothing any more."""
        self._group = None

    def handle(self, event: InteractionEvent) -> None:
        """Handle one event; an id of no known kind belongs to another program with this token."""
        event = self._with_guild(event)
        if self._group is None or (work := self._work(event)) is None:
            return
        is_form = isinstance(event, ModalSubmitted)
        self._group.create_task(
            self.responder.respond(
                event.interaction,
                work,
                received=loop_time(),
                manner=Manner(needs_message=is_form and not event.interaction.message, after_form=is_form),
            )
        )

    def _with_guild(self, event: InteractionEvent) -> InteractionEvent:
        """The event; if it does not name its guild, with the guild of its cached message."""
        to = event.interaction
        cached = None if to.guild else self._state.cache.get(to.channel.id, to.message)
        return replace(event, interaction=replace(to, guild=cached.guild)) if cached is not None else event

    def _work(self, event: InteractionEvent) -> Coroutine[Any, Any, Response] | None:
        prefix, _, name = event.custom_id.partition(":")
        if isinstance(event, ModalSubmitted):
            return self._submit(event, name) if f"{prefix}:" == FORM_PREFIX else None
        route = self._routes.get(f"{prefix}:")
        return route(event, name) if route is not None else None

    async def _stop(self, event: ComponentPressed, name: str) -> Response:
        """Stop an answer: by its message, or by its question before our post is answered."""
        to = event.interaction
        for message in filter(None, (to.message, name)):
            if self._inbox is not None and self._inbox.stop(_key(to, message), by=to.by):
                return NOTHING
        # During a restart two processes receive each press: the one with the answer responds first.
        await asyncio.sleep(OTHER_PROCESS_SECONDS)
        return Notice(self._state.options.strings.not_stopped)

    async def _retry(self, event: ComponentPressed, name: str) -> Response:
        to, model = event.interaction, event.values[0] if event.values else ""
        if await HistoryReader(self._state).is_deleted(to.channel.id, to.message, to.guild):
            return Notice(self._state.options.strings.retry_no_answer)
        pressed = RetryPressed(_key(to, name), to.message, to.by, to.place, model)
        return await self._state.interactions.retry(pressed)

    async def _vote(self, event: ComponentPressed, name: str) -> Response:
        to, vote = event.interaction, Vote.UP if event.custom_id.startswith(UP_PREFIX) else Vote.DOWN
        return await self._state.interactions.vote(VoteCast(_key(to, name), to.message, vote, to.by, to.place))

    async def _submit(self, event: ComponentPressed | ModalSubmitted, name: str) -> Response:
        to, values = event.interaction, event.values if isinstance(event, ModalSubmitted) else {}
        return await self._state.interactions.submit(FormSubmitted(name, to.by, to.place, values))

    async def _confirm(self, event: ComponentPressed, name: str) -> Response:
        return self.responder.confirmation(name, event.label)

    async def _open_form(self, _event: ComponentPressed, name: str) -> Response:
        return self.responder.offered_form(name)


def _key(to: Interaction, question: str) -> TurnKey:
    channel, message = split_question_name(question, shown_in=to.channel.id)
    return TurnKey("discord", to.guild, channel, message)
