"""The handlers of one workspace together: events, commands and personal pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from adapters.shared.json_fields import Json, object_field
from adapters.slack.events.actions import parse_press
from adapters.slack.events.commands import CommandHandler
from adapters.slack.events.handler import EventHandler
from adapters.slack.events.invocations import parse_invocation_id
from adapters.slack.events.parse import parse_event
from adapters.slack.events.questions import open_question
from adapters.slack.installation import Installation
from adapters.slack.messages.buttons import STOP_ACTION
from adapters.slack.personal_pages import PersonalPages
from adapters.slack.presses import PressHandler
from adapters.slack.state import WorkspaceState
from bot.callbacks import no_op
from bot.conversation import TurnKey
from bot.ports import Inbox, OpenedQuestion, UnfinishedTurn


class Handlers:
    """All that brings turns and interactions from one workspace."""

    def __init__(self, workspace: WorkspaceState, inbox: Inbox, on_removed: Callable[[], object] = no_op) -> None:
        """`on_removed` is called when Slack reports the end of the installation."""
        self.workspace = workspace
        self.commands = CommandHandler(workspace, inbox)
        self.events = EventHandler(workspace, inbox, self.commands)
        self.pages = PersonalPages(workspace)
        self.presses = PressHandler(workspace, self.events.stops, self.pages.refresh)
        self.installation = Installation(workspace, on_removed)

    def handle_last(self, payload: Json) -> bool:
        """Let a payload end answers, while the lane is given up; whether nothing is left for the next owner."""
        event = parse_event(object_field(payload, "event"), self.workspace.me)
        if event is not None:
            self.events.apply_signals(event)
        press = parse_press(payload)
        return press is not None and press.action == STOP_ACTION and self.presses.is_stopped_by(press)

    def resume(self, record: UnfinishedTurn) -> None:
        """Continue a turn of an earlier process."""
        if not self.commands.resume(record):
            self.events.resume(record)

    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        """Read a question again; the contract is that of `bot.ports.Platform`."""
        if (id_ := parse_invocation_id(key.message)) is not None:
            return await self.commands.turns.reopen(key, id_, messages)
        return await open_question(key, messages, self.workspace, self.events)

    async def stop_accepting(self) -> None:
        """Accept nothing new, and give pending messages and commands a moment to become turns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.events.pending.stop_accepting())
            group.create_task(self.commands.pending.stop_accepting())
