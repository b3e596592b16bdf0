"""Commands in messages to the bot (``!model gpt-5``): Slack has no slash commands in threads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.slack.events.mentions import plain, without_mention
from adapters.slack.events.places import MARK
from bot.conversation import Message, Text
from bot.interactions.commands import Command, Kind
from bot.interactions.typed import TypedCommand, parse_marked


def marked_command(text: str, me: str, commands: Sequence[Command]) -> TypedCommand | None:
    """The command of a message's text in Slack's format, mentions of user `me` (the bot) left out.

    None for a question, and for the command that is one.
    """
    if MARK not in text:  # nearly every message
        return None
    typed = parse_marked(plain(without_mention(text, me), {}), commands)
    return None if typed is None or typed.command.kind is Kind.QUESTION else typed


def asked(question: Message, commands: Sequence[Command]) -> Message:
    """A question without the command's name before it."""
    typed = parse_marked(question.text, commands)
    if typed is None or typed.command.kind is not Kind.QUESTION:
        return question
    others = tuple(part for part in question.parts if not isinstance(part, Text))
    words = (Text(typed.words),) if typed.words or not others else ()
    return replace(question, parts=(*words, *others))
