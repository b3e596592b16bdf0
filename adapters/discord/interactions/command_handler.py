"""Handle application commands: run the core's, and answer questions. Every one is acknowledged within three seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace

from adapters.discord.events.codec import StoredCommand
from adapters.discord.events.commands import CommandUsed, CompletionRequested
from adapters.discord.events.parse import PARSE_ERRORS
from adapters.discord.interactions.calls import COMPLETIONS, MESSAGE_LATER
from adapters.discord.interactions.command_definitions import completions, find_invoked
from adapters.discord.interactions.command_questions import (
    ANSWER,
    SUMMARIZE,
    open_command,
    parse_target,
    question_in,
)
from adapters.discord.interactions.responder import CALLBACK_SECONDS, COMMAND, Responder
from adapters.discord.state import BotState
from adapters.shared.cache import loop_time
from bot.conversation import TurnKey
from bot.errors import Failure
from bot.interactions.commands import Command, Kind
from bot.interactions.values import CommandInvoked, Notice, Response
from bot.ports import Inbox, OpenedQuestion

log = logging.getLogger(__name__)


class CommandHandler:
    """Gives each command to the core in a task of its own. `late` takes questions received while stopping."""

    def __init__(self, state: BotState, responder: Responder, late: deque[tuple[TurnKey, str]]) -> None:
        self._state = state
        self._responder = responder
        self._inbox: Inbox | None = None
        self._group: asyncio.TaskGroup | None = None
        self._accepting = True
        self._late = late

    def open(self, inbox: Inbox, group: asyncio.TaskGroup) -> None:
        """Hand questions to `inbox`, and commands to the state's `interactions`, working in `group`."""
        self._inbox, self._group = inbox, group

    def close(self) -> None:
        """Handle nothing any more."""
        self._group = None

    def stop_accepting(self) -> None:
        """Keep later questions in `late` for the next process; other commands are still answered."""
        self._accepting = False

    def handle(self, event: CommandUsed | CompletionRequested) -> None:
        """Handle one event in a task of its own."""
        if self._group is not None and self._inbox is not None:
            self._group.create_task(self._handle(event, self._inbox, loop_time()))

    async def _handle(self, event: CommandUsed | CompletionRequested, inbox: Inbox, received: float) -> None:
        """The boundary of one command: an unforeseen error must not end the platform."""
        try:
            if isinstance(event, CompletionRequested):
                await self._complete(event, received)
                return
            command = find_invoked(self._state.interactions.commands, event.type, event.name)
            if command is not None and command.kind is Kind.QUESTION:
                await self._ask(event, command, inbox, received)
            elif command is not None and command.name == ANSWER and not event.access.posts:
                await self._answer_here(event, inbox, received)
            else:
                work = self._run(event, command, inbox)
                await self._responder.respond(event.interaction, work, received=received, manner=COMMAND)
        except Exception:
            log.exception("a command failed in an unforeseen way")

    async def _run(self, event: CommandUsed, command: Command | None, inbox: Inbox) -> Response:
        """The private response to a command; the core names the closest one to an unknown one."""
        if command is not None and command.kind is Kind.ON_MESSAGE:
            return await self._on_message(event, command, inbox)
        name = command.name if command is not None else event.name
        invoked = CommandInvoked(name, event.interaction.by, event.interaction.place, event.arguments)
        return await self._state.interactions.invoke(invoked)

    async def _complete(self, event: CompletionRequested, received: float) -> None:
        interactions = self._state.interactions
        command = next((one for one in interactions.commands if one.name == event.name), None)
        arguments = command.arguments if command is not None else ()
        lists = [argument.choices for argument in arguments if argument.name == event.argument]
        options = interactions.choices(lists[0]) if lists and lists[0] else ()
        shown = {"choices": completions(options, event.typed)}
        deadline = received + CALLBACK_SECONDS
        await self._responder.acknowledge(event.interaction.token, COMPLETIONS, shown, deadline=deadline)

    # ------------------------------------------------------------------------------------------------------- questions

    async def _ask(self, event: CommandUsed, command: Command, inbox: Inbox, received: float) -> None:
        argument = command.arguments[0].name if command.arguments else ""
        stored = StoredCommand(replace(event, name=command.name), question_in(event, argument, self._state))
        await self._answer_in_place(stored, inbox, received)

    async def _answer_here(self, event: CommandUsed, inbox: Inbox, received: float) -> None:
        """Answer a menu's message through the interaction, since the bot may not post."""
        if refusal := self._unanswerable(event):
            await self._refuse(event, refusal, received)
        else:
            await self._answer_in_place(StoredCommand(replace(event, name=ANSWER), ""), inbox, received)

    async def _answer_in_place(self, stored: StoredCommand, inbox: Inbox, received: float) -> None:
        """Journal a question before it is acknowledged, then answer in the interaction's own message."""
        event, opened = stored.event, open_command(self._state, stored)
        key, token = opened.turn.key, event.interaction.token
        if refusal := inbox.refusal(opened.turn):
            await self._refuse(event, refusal, received)
            return
        try:
            is_new = not self._accepting or await inbox.receive(key, opened.event)
        except Failure:  # the journal does not answer, and an interaction waits seconds only
            await self._refuse(event, self._state.options.strings.not_now, received)
            return
        if not is_new:
            return
        if not self._accepting:
            self._late.append((key, opened.event))
        elif refusal := await self._state.interactions.reserve(opened.turn):
            inbox.dismiss(key)
            await self._refuse(event, refusal, received)
            return
        await self._responder.acknowledge(token, MESSAGE_LATER, deadline=received + CALLBACK_SECONDS)
        if self._accepting:
            inbox.accept(opened.turn, opened.channel)

    async def _refuse(self, event: CommandUsed, refusal: str, received: float) -> None:
        async def response() -> Response:
            return Notice(refusal)

        await self._responder.respond(event.interaction, response(), received=received, manner=COMMAND)

    # ---------------------------------------------------------------------------------------------- a message's menu

    async def _on_message(self, event: CommandUsed, command: Command, inbox: Inbox) -> Response:
        """Answer or summarize in the channel, and say so privately."""
        strings = self._state.options.strings
        if not (event.access.posts and (event.access.reads or command.name != SUMMARIZE)):
            return Notice(strings.not_invited)
        if command.name == ANSWER and (refusal := self._unanswerable(event)):
            return Notice(refusal)
        question = strings.summarize if command.name == SUMMARIZE else ""
        opened = open_command(self._state, StoredCommand(replace(event, name=command.name), question))
        if refusal := inbox.refusal(opened.turn):
            return Notice(refusal)
        if not self._accepting:
            self._late.append((opened.turn.key, opened.event))
            return Notice(strings.answering)
        return Notice(await self._accept(opened, inbox) or strings.answering)

    async def _accept(self, opened: OpenedQuestion, inbox: Inbox) -> str:
        """Journal, count and accept a question; the sentence for the person if it is not answered, else empty."""
        try:
            if not await inbox.receive(opened.turn.key, opened.event):
                return self._state.options.strings.answered_before
        except Failure:
            return self._state.options.strings.not_now
        if refusal := await self._state.interactions.reserve(opened.turn):
            inbox.dismiss(opened.turn.key)
            return refusal
        inbox.accept(opened.turn, opened.channel)
        return ""

    def _unanswerable(self, event: CommandUsed) -> str:
        """The sentence for a message without anything to answer."""
        strings = self._state.options.strings
        try:
            message = parse_target(self._state, event).message
        except PARSE_ERRORS:
            return strings.nothing_to_answer
        is_empty = not (message.full_text or message.attachments)
        return strings.nothing_to_answer if is_empty or message.author == self._state.bot_id else ""
