"""The commands `reset` and `stop`, the help, and the reply to an unknown command."""

from __future__ import annotations

from collections.abc import Sequence

from bot.interactions.commands import COMMANDS, Argument, Command, Kind
from bot.interactions.handlers.context import Caller, HandlerPorts, bullets, literal
from bot.interactions.typed import closest_name
from bot.interactions.values import Notice, Response
from bot.strings import Strings


class ConversationHandler:
    """Handles the commands about a conversation."""

    def __init__(self, ports: HandlerPorts, strings: Strings) -> None:
        self._store = ports.preferences
        self._inbox = ports.inbox
        self._strings = strings

    async def reset(self, caller: Caller, _words: str) -> Response:
        """Begin a new conversation at this position, where one goes on."""
        place = caller.place
        if not place.conversation:
            return Notice(self._strings.reset_needless)
        if place.position:  # empty: the conversation has no messages yet
            await self._store.reset(place.platform, place.conversation, place.position, by=caller.user)
        return Notice(self._strings.reset_done)

    async def stop(self, caller: Caller, _words: str) -> Response:
        """Stop the answers of the conversation, and one's own in the channel."""
        count = self._inbox.stop_place(caller.place, by=caller.author)
        return Notice(self._strings.stop_done.format(count=count) if count else self._strings.stop_nothing)

    async def help(self, caller: Caller, _words: str) -> Response:
        """One line for each command; those of a message's menu last."""
        typed = [
            f"{caller.spelled(' '.join([each.name, *map(_argument, each.arguments)]))}: {each.description}"
            for each in COMMANDS
            if each.kind is not Kind.ON_MESSAGE
        ]
        menus = [
            self._strings.help_menu.format(label=each.label, description=each.description)
            for each in COMMANDS
            if each.kind is Kind.ON_MESSAGE and caller.place.has_menus
        ]
        return Notice(f"{self._strings.help_intro}\n{bullets(typed + menus)}")


def _argument(argument: Argument) -> str:
    return argument.name.upper() if argument.required else f"[{argument.name.upper()}]"


def unknown_command(word: str, commands: Sequence[Command], caller: Caller, strings: Strings) -> Response:
    """The closest command to an unknown word, or where to find all."""
    shown = literal(word)
    if closest := closest_name(word.lstrip("/!").casefold()[:100], commands):
        return Notice(strings.similar_name.format(word=shown, closest=caller.spelled(closest)))
    return Notice(strings.unknown_name.format(word=shown, help=caller.spelled("help")))
