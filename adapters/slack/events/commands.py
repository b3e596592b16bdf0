"""Slash commands and message shortcuts: taken in before their acknowledgement, answered in private or by a turn.

Slack delivers neither a second time (https://docs.slack.dev/interactivity/implementing-slash-commands). So a question
is journalled before its acknowledgement; every other command is acknowledged first and answered afterwards. After three
seconds Slack shows an error of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace

from adapters.shared.futures import settle
from adapters.shared.json_fields import Json, object_field, string_field
from adapters.slack.events.actions import Origin, parse_origin
from adapters.slack.events.codec import dump_invocation, load_invocation, load_user, with_user
from adapters.slack.events.invocations import Invocation, InvocationKind, invocation_of
from adapters.slack.events.invoked_turns import InvokedTurns
from adapters.slack.events.mentions import PLATFORM, plain
from adapters.slack.events.parse import SlackMessage
from adapters.slack.events.pending import PendingWork
from adapters.slack.events.places import place_of
from adapters.slack.history.users import to_author
from adapters.slack.messages.responses import Responder
from adapters.slack.state import WorkspaceState
from bot.conversation import Author, TurnKey
from bot.errors import Failure, NotFound, RateLimited
from bot.interactions.commands import Kind
from bot.interactions.typed import TypedCommand, UnknownCommand, arguments_in, parse_command
from bot.interactions.values import CommandInvoked, Notice, Place, Response
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)

# Most commands in progress; beyond it, people are told to try again.
PENDING = 1_000
# Commands for a position among the messages of a direct conversation.
_POSITIONED = frozenset(["reset"])


class CommandHandler:
    """Takes in the commands and shortcuts of one workspace. No method raises a `Failure`."""

    def __init__(self, workspace: WorkspaceState, inbox: Inbox) -> None:
        self._workspace = workspace
        self._strings = workspace.options.strings
        self._inbox = inbox
        self._responder = Responder(workspace)
        self.turns = InvokedTurns(workspace)
        self.pending = PendingWork("commands are in progress", workspace.options.timings.hand_over)

    # ------------------------------------------------------------------------------------------ before acknowledgement

    async def slash_command(self, payload: Json) -> bool:
        """Take in a slash command. Returns once it may be acknowledged; False: the platform no longer runs."""
        origin, text = parse_origin(payload), string_field(payload, "text")
        if not (origin.user and origin.channel):
            return True
        typed = parse_command(text, self._workspace.interactions.commands)
        prefix = f"{string_field(payload, 'command')} "
        if isinstance(typed, UnknownCommand):
            if typed.word:  # the core knows the closest command
                return self._begin(self._invoke(plain(typed.word, {}), {}, origin, prefix), origin) is not None
            return self._tell(self._strings.no_command.format(command=prefix.strip()), origin)
        if typed.command.kind is Kind.QUESTION:
            if typed.words:
                return await self._receive(invocation_of(origin, InvocationKind.ASK, text=typed.words), origin)
            return self._tell(self._strings.empty_direct, origin)
        # As people typed it, without Slack's escapes.
        arguments = arguments_in(plain(typed.words, {}), typed.command.arguments)
        return self._begin(self._invoke(typed.command.name, arguments, origin, prefix), origin) is not None

    async def shortcut(self, payload: Json, kind: InvocationKind) -> bool:
        """Take in a message shortcut. Returns once it may be acknowledged; False: the platform no longer runs."""
        origin = parse_origin(payload)
        return await self._receive(invocation_of(origin, kind, message=object_field(payload, "message")), origin)

    async def _receive(self, invocation: Invocation | None, origin: Origin) -> bool:
        """Start on a question. Returns once the journal has it, or refuses it; False: nothing starts any more."""
        if invocation is None:
            return True
        if self.pending.is_stopping or len(self.pending.tasks) >= PENDING:
            return self._tell(self._strings.stopping if self.pending.is_stopping else self._strings.busy, origin)
        journalled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if (task := self._begin(self._take_in(invocation, origin, journalled), origin)) is None:
            return False
        task.add_done_callback(lambda _: settle(journalled, value=False))  # also of a task cancelled before its start
        # Shielded: a closing connection cancels its acknowledgement, not the question. Slack never sends it again.
        return await asyncio.shield(journalled)

    def resume(self, record: UnfinishedTurn) -> bool:
        """Continue a question of an earlier process; False if a message asked it."""
        invocation = load_invocation(record.event)
        if invocation is None or replace(self._key(invocation), generation=record.key.generation) != record.key:
            return False
        if (user := load_user(record.event)) is not None and user.id == invocation.id.user:
            self._workspace.users.remember(user, record.age)
        origin = Origin(invocation.id.user, invocation.channel, invocation.id.thread, invocation.id.message)
        self._begin(self._offer(record.key, invocation, origin, record), origin)
        return True

    # --------------------------------------------------------------------------------------------------- in background

    def _begin(self, work: Coroutine[None, None, None], origin: Origin) -> asyncio.Task[None] | None:
        """Start some work; None: the platform no longer runs."""
        if (task := self._workspace.spawn(self._run(work, origin))) is None:
            work.close()
            return None
        self.pending.tasks.add(task)
        task.add_done_callback(self.pending.tasks.discard)
        return task

    async def _run(self, work: Coroutine[None, None, None], origin: Origin) -> None:
        try:
            await work
        except Failure as failure:
            log.warning("Slack: a command of user %s failed (%s)", origin.user, failure)
            await self._responder.tell(self._strings.not_now, origin)
        except Exception:
            # The boundary of one command: an odd one must not affect the next.
            log.exception("Slack: a command could not be handled")
            await self._responder.tell(self._strings.not_now, origin)

    async def _take_in(self, invocation: Invocation, origin: Origin, journalled: asyncio.Future[bool]) -> None:
        """Journal a question, and hand over its turn."""
        key = self._key(invocation)
        try:
            is_new = await self._inbox.receive(key, dump_invocation(invocation))
        except Exception:  # the person is told, so Slack need not show an error of its own
            settle(journalled, value=True)
            raise
        settle(journalled, value=True)
        if is_new:
            await self._offer(key, invocation, origin)

    async def run_typed(self, typed: TypedCommand, author: Author, place: Place, origin: Origin) -> None:
        """Let the core run a command of a message; its response is shown in the background."""
        response: Response
        try:
            response = await self._workspace.interactions.invoke(
                CommandInvoked(typed.command.name, author, place, typed.arguments)
            )
        except Exception:
            # The boundary of one command: an odd one must not affect the next.
            log.exception("Slack: a command could not be handled")
            response = Notice(self._strings.not_now)
        self._begin(self._responder.show(response, origin), origin)

    async def _invoke(self, command: str, arguments: Mapping[str, str], origin: Origin, prefix: str) -> None:
        """Let the core run a slash command, and show its response."""
        author = await self._author(origin)
        place = replace(await self._place(command, origin), command_prefix=prefix)
        event = CommandInvoked(command, author, place, arguments)
        await self._responder.show(await self._workspace.interactions.invoke(event), origin)

    async def _author(self, origin: Origin) -> Author:
        user = await self._workspace.users.find(origin.user)
        return to_author(user, frozenset(filter(None, [origin.team])), self._workspace.me)

    async def _place(self, command: str, origin: Origin) -> Place:
        """The place of a slash command: never a thread. A new conversation begins after the newest message."""
        me, channel, position = self._workspace.me, origin.channel, ""
        if channel.startswith("D") and command in _POSITIONED:
            position = await self._newest(channel)
        return place_of(me, channel, position=position)

    async def _newest(self, channel: str) -> str:
        """The ts of the newest direct message; for an app that may hardly read, as far as events told."""
        try:
            messages: Sequence[SlackMessage] = await self._workspace.reader.newest(channel)
        except RateLimited:
            messages = self._workspace.cache.messages((channel, ""))
            if not (self._workspace.reader.is_limited and messages):
                raise
        return messages[-1].ts if messages else ""

    async def _offer(
        self, key: TurnKey, invocation: Invocation, origin: Origin, record: UnfinishedTurn | None = None
    ) -> None:
        """Hand over a turn, unless the bot may not answer; `record` is an earlier process's work."""
        try:
            refusal = await self._hand_over(key, invocation, origin, record)
        except NotFound:
            refusal = self._strings.nothing_to_answer
        except Exception:  # not at a cancellation: the journal keeps the question for the next process
            self._workspace.dismiss(self._inbox, key)
            raise
        if refusal:
            self._workspace.dismiss(self._inbox, key)
            await self._responder.tell(refusal, origin)

    async def _hand_over(
        self, key: TurnKey, invocation: Invocation, origin: Origin, record: UnfinishedTurn | None
    ) -> str:
        """Hand over a turn; the sentence for the person if it is not answered, else empty."""
        workspace, interactions = self._workspace, self._workspace.interactions
        user = await workspace.users.find(invocation.id.user)
        author = to_author(user, frozenset(filter(None, [invocation.team])), workspace.me)
        opened = await self.turns.open(key, invocation, author, record, lambda: self._refused(origin))
        if record is None and (refusal := self._inbox.refusal(opened.turn)):
            return refusal
        if not await workspace.names.membership.may_post(invocation.channel):
            return self._strings.not_invited
        if record is None:
            if refusal := await interactions.reserve(opened.turn):
                return refusal
            self._inbox.update_event(key, with_user(opened.event, user))
        self._inbox.accept(opened.turn, opened.channel)
        return ""

    # -------------------------------------------------------------------------------------------------------- refusals

    def _refused(self, origin: Origin) -> None:
        """Slack refuses the first post of an answer."""
        self._workspace.names.membership.left(origin.channel)
        self._tell(self._strings.not_invited, origin)

    def _tell(self, text: str, origin: Origin) -> bool:
        """Tell a person something in the background; False: the platform no longer runs."""
        return self._workspace.spawn(self._responder.tell(text, origin)) is not None

    def _key(self, invocation: Invocation) -> TurnKey:
        return TurnKey(PLATFORM, self._workspace.me.team, invocation.channel, str(invocation.id))
