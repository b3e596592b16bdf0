"""Dispatch of commands, forms and pages to their handlers, and the one boundary for their failures."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bot.conversation import Author
from bot.interactions.commands import COMMANDS, Command, Kind, Permission, find_command
from bot.interactions.handlers.context import Caller, HandlerOptions, HandlerPorts, bullets
from bot.interactions.handlers.conversation import ConversationHandler, unknown_command
from bot.interactions.handlers.privacy import PrivacyHandler
from bot.interactions.handlers.settings import SettingsHandler
from bot.interactions.handlers.usage import UsageHandler
from bot.interactions.handlers.wording import DEFAULT, Wording
from bot.interactions.values import Choice, CommandInvoked, FormSubmitted, Notice, Panel, Place, Response
from bot.preferences import PreferenceName
from bot.records import RecordsUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

# Runs a command with the words after its name.
Handler = Callable[[Caller, str], Awaitable[Response]]


class CommandHandlers:
    """The commands' part of `bot.interactions.service`."""

    def __init__(self, ports: HandlerPorts, options: HandlerOptions) -> None:
        self._ports = ports
        self._options = options
        self._strings = options.strings
        self._access = options.rules.access
        self._settings = SettingsHandler(ports.preferences, options)
        self._conversation = ConversationHandler(ports, options.strings)
        self._usage = UsageHandler(ports.usage, options.strings)
        self._privacy = PrivacyHandler(ports, options.strings)
        models = [each for each in self.choices("models") if each.value != DEFAULT]
        self._models = tuple(models) if len(models) > 1 else ()  # read at each write of a message with buttons

    @property
    def commands(self) -> Sequence[Command]:
        """The registry."""
        return COMMANDS

    @property
    def models(self) -> Sequence[Choice]:
        """The operator's models; empty with fewer than two."""
        return self._models

    def choices(self, of: str) -> Sequence[Choice]:
        """The options of an argument, the default first."""
        names = {"models": PreferenceName.MODEL, "personas": PreferenceName.PERSONA}
        if of not in names:
            return ()
        wording = Wording(self._options.rules, self._strings)
        return wording.choices(names[of], self._options.rules.defaults(())[names[of]].value)

    async def invoke(self, event: CommandInvoked) -> Response:
        """Run a command. Never raises."""
        return await _guarded(self._invoke(event), Notice(self._strings.not_now), event.command)

    async def submit(self, event: FormSubmitted) -> Response:
        """Take in a form or a button. Never raises."""
        return await _guarded(self._submit(event), Notice(self._strings.not_now), event.id)

    async def home(self, by: Author, place: Place) -> Panel:
        """A person's own page. Never raises."""
        failed = Panel((self._strings.home_status, self._strings.not_now))
        return await _guarded(self._home(self._caller(by, place)), failed, "home")

    async def welcome(self, by: Author, place: Place) -> str:
        """The words of the first contact, once for each person. Never raises; a broken store greets nobody."""
        return await _guarded(self._welcome(self._caller(by, place)), "", "welcome")

    # ----------------------------------------------------------------------------------------------------- dispatching

    async def _invoke(self, event: CommandInvoked) -> Response:
        caller = self._caller(event.by, event.place)
        if not self._may_act(caller):
            return Notice(self._strings.no_access)
        command = find_command(event.command)
        if command is None:
            return unknown_command(event.command, COMMANDS, caller, self._strings)
        if command.kind is not Kind.CALL:  # a question without words
            return await self._conversation.help(caller, "")
        if command.permission is Permission.ADMINS and not caller.is_admin:
            return Notice(self._strings.admins_only)
        words = event.arguments.get("name", event.arguments.get("text", ""))
        return await self._handler(command)(caller, words)

    def _handler(self, command: Command) -> Handler:
        handlers: Mapping[str, Handler] = {
            "model": self._settings.model,
            "persona": self._settings.persona,
            "settings": self._settings.settings,
            "reset": self._conversation.reset,
            "stop": self._conversation.stop,
            "usage": self._usage.usage,
            "privacy": self._privacy.privacy,
            "help": self._conversation.help,
        }
        return handlers[command.name]

    async def _submit(self, event: FormSubmitted) -> Response:
        caller = self._caller(event.by, event.place)
        if not self._may_act(caller):
            return Notice(self._strings.no_access)
        response = await self._settings.submit(event.id, event.values, caller)
        response = response or await self._privacy.submit(event.id, caller)
        if response is None:
            log.info("a form or button of an earlier version", extra={"form": event.id[:90]})
        return response or Notice(self._strings.not_now)

    async def _home(self, caller: Caller) -> Panel:
        strings = self._strings
        if not self._may_act(caller):
            return Panel((strings.no_access,) if strings.no_access else ())
        sections = (
            strings.home_status,
            f"**{strings.home_settings}**\n{bullets(await self._settings.lines(caller))}",
            f"**{strings.usage_own}**\n{bullets(await self._usage.own_lines(caller))}",
            f"**{strings.home_start}**\n{strings.home_steps}",
        )
        return Panel(sections, (*self._settings.actions(caller), *self._privacy.actions()))

    async def _welcome(self, caller: Caller) -> str:
        if not self._options.welcome or not self._may_act(caller):
            return ""
        if not await self._ports.preferences.first_contact(caller.user):
            return ""
        return self._options.welcome_text or self._strings.welcome.format(help=caller.spelled("help"))

    def _may_act(self, caller: Caller) -> bool:
        return self._access.permit_command(caller.author, caller.place)

    def _caller(self, author: Author, place: Place) -> Caller:
        if not place.channel_ids and place.channel:
            place = replace(place, channel_ids=(place.channel,))
        return Caller(author, place, self._access.is_admin(author))


async def _guarded(work: Awaitable[T], failed: T, what: str) -> T:
    """The failure boundary: any failure becomes one plain response, and a line in the log."""
    try:
        return await work
    except RecordsUnavailable as failure:
        log.warning("no response: the store of records fails", extra={"to": what[:90], "failure": repr(failure)})
    except Exception:
        log.exception("no response", extra={"to": what[:90]})
    return failed
