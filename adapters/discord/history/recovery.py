"""Recover unfinished turns of other processes: hand each to the core again, unless its question was deleted."""

from __future__ import annotations

import logging

from adapters.discord.events.codec import StoredQuestion, is_command, load, load_command
from adapters.discord.events.handler import EventHandler
from adapters.discord.events.mentions import turn_key
from adapters.discord.events.parse import PARSE_ERRORS, MessageDeleted, MessagePosted
from adapters.discord.history.lost_posts import is_deleted, is_loaded
from adapters.discord.interactions.command_questions import Progress, open_command
from adapters.discord.state import BotState
from adapters.shared.cache import loop_time
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)


class Recovery:
    """Brings unfinished turns to the core again."""

    def __init__(self, state: BotState, handler: EventHandler) -> None:
        self._state = state
        self._handler = handler

    def recover(self, inbox: Inbox, unfinished: UnfinishedTurn, hold_until: float) -> None:
        """Recover a turn while connected. Its channel is not written to before `hold_until`, in the loop's time."""
        if (remaining := hold_until - loop_time()) > 0:
            self._state.budgets.channel(unfinished.key.channel).hold_all(loop_time(), remaining)
        if is_command(unfinished.event):
            self._handler.spawn(self._recover_command(inbox, unfinished, hold_until))
        else:
            self._submit(inbox, unfinished)

    async def _recover_command(self, inbox: Inbox, unfinished: UnfinishedTurn, hold_until: float) -> None:
        """Go on with a command's answer: with its token, or in the channel once that has expired."""
        state, key = self._state, unfinished.key
        await state.wait_for_guild(key.workspace)
        try:
            stored = load_command(unfinished.event)
            opened = open_command(state, stored, Progress(unfinished, generation=key.generation))
            if opened.turn.key != key:
                raise ValueError("the stored command is another one")
        except PARSE_ERRORS as error:
            log.warning("giving up an unfinished turn: its stored command is unreadable: %r", error)
            inbox.dismiss(key)
            return
        if (token := stored.event.interaction.token.token) and (remaining := hold_until - loop_time()) > 0:
            state.budgets.interaction(token).hold_all(loop_time(), remaining)
        inbox.accept(opened.turn, opened.channel)

    def _submit(self, inbox: Inbox, unfinished: UnfinishedTurn) -> None:
        try:
            stored = load(unfinished.event)
            event = stored.event(self._state.client, guild=unfinished.key.workspace)
            if turn_key(event.message) != unfinished.key.question:
                raise ValueError("the stored message is another one")
        except PARSE_ERRORS as error:
            log.warning("giving up an unfinished turn: its stored event is unreadable: %r", error)
            inbox.dismiss(unfinished.key)
            return
        self._handler.submit(event, self._recover(inbox, unfinished, stored))

    async def _recover(self, inbox: Inbox, unfinished: UnfinishedTurn, stored: StoredQuestion) -> None:
        key, state = unfinished.key, self._state
        try:
            await state.wait_for_guild(key.workspace)
            event = stored.event(state.client, guild=key.workspace)  # again: names are known now
            if state.has_lost_channel(event.channel, key.workspace):
                log.warning("giving up an unfinished turn: channel %s no longer exists", event.channel.id)
                inbox.dismiss(key)
            elif await self._is_wanted(event, unfinished, asks=stored.asks) and self._handler.is_pending(event):
                if not unfinished.messages and not key.generation:
                    event = await self._handler.start_thread(inbox, event)
                self._handler.resume(inbox, event, unfinished)
                if unfinished.messages:  # the partial answer is completed meanwhile
                    self._handler.spawn(self._report_deletion(event))
            else:
                inbox.dismiss(key)
        finally:
            self._handler.finish(key.message)

    async def _is_wanted(self, event: MessagePosted, unfinished: UnfinishedTurn, *, asks: bool) -> bool:
        """Whether the question exists and addresses the bot.

        A question with a partial answer is accepted at once; its deletion is checked afterwards.
        """
        cache, message = self._state.cache, event.message
        if event.replied_to is not None:
            cache.add_read([event.replied_to])
        if not unfinished.messages and await is_deleted(self._state, message):
            return False
        if not is_loaded(self._state, message):
            cache.add_read([message])
        return asks or bool(unfinished.messages) or await self._handler.is_addressed(event)

    async def _report_deletion(self, event: MessagePosted) -> None:
        """Report a question deleted while no process was connected; Discord sends no event for it."""
        message = event.message
        if await is_deleted(self._state, message):
            self._handler.handle(MessageDeleted(message.channel, message.id, message.guild))
