"""Commands typed in the page's box, and its forms: events for `bot.interactions`, and the place of a page's reader."""

from __future__ import annotations

import re
from types import MappingProxyType

from adapters.playground.protocol import AskRequest, SubmitRequest
from adapters.playground.state import ChannelState, PlaygroundMessage, PlaygroundState
from bot.conversation import Author
from bot.interactions.commands import Command, Kind, find_command
from bot.interactions.typed import arguments_in
from bot.interactions.values import CommandInvoked, FormSubmitted, Place

# A command is a word of letters alone after a slash: a path such as /etc/hosts begins a question.
_COMMAND = re.compile(r"/([A-Za-z]+)(?:\s+(.*))?", re.DOTALL)


def as_question(text: str) -> str:
    """The text to ask: without the command in front of a question."""
    command, words = _parse(text)
    return words if command is not None and command.kind is Kind.QUESTION and words else text


def is_command(text: str) -> bool:
    """Whether a text is a command, known or not, to be answered to its page alone."""
    command, words = _parse(text)
    return _COMMAND.fullmatch(text) is not None and not (
        command is not None and command.kind is Kind.QUESTION and words
    )


def invocation(request: AskRequest, place: Place) -> CommandInvoked:
    """A typed command as an event."""
    match = _COMMAND.fullmatch(request.text)
    word, words = (match[1], match[2] or "") if match else ("", "")
    command = find_command(word)
    arguments = arguments_in(words, command.arguments) if command else {}
    return CommandInvoked(word, Author(request.name, request.name), place, MappingProxyType(arguments))


def submission(request: SubmitRequest, place: Place) -> FormSubmitted:
    """A form or a button as an event."""
    return FormSubmitted(request.id, Author(request.name, request.name), place, request.values)


def place_at(message: PlaygroundMessage | None, channel: ChannelState, state: PlaygroundState) -> Place:
    """The place of a reader: in the conversation of a message, if there is one."""
    return Place(
        "playground",
        "",
        channel.name,
        conversation=message.conversation if message is not None else "",
        channel_ids=(channel.name,),
        position=state.new_id(),
        has_menus=False,
    )


def _parse(text: str) -> tuple[Command | None, str]:
    match = _COMMAND.fullmatch(text)
    return (find_command(match[1]), (match[2] or "").strip()) if match else (None, "")
