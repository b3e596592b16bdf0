"""Commands typed as text: ``model gpt-5`` after a slash command, ``!model gpt-5`` in a message. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bot.interactions.commands import Argument, Command, Kind, find_command

# Similarity of a word to a command's name, from 0 to 1, below which nobody would recognise it.
_SIMILAR = 0.5

# A word in quotes; phones write curly ones.
_QUOTED = re.compile(r"""\A(?:"([^"]*)"|'([^']*)'|[\u201c\u201e\u201d]([^\u201c\u201d]*)[\u201c\u201d])(?=\s|\Z)""")
# Before a command in a message.
MARK = "!"
# The first word of a message, as a command.
_MARKED = re.compile(r"\A\s*!([^\s!]+)(?:\s+|\Z)")


@dataclass(frozen=True, slots=True)
class TypedCommand:
    """A command with its arguments; `words` is all text after its name."""

    command: Command
    words: str = ""
    arguments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """Text that begins with no command. Without text, `word` is empty."""

    word: str = ""


def parse_command(text: str, commands: Sequence[Command]) -> TypedCommand | UnknownCommand:
    """The command at the start of `text`, in any case; a leading ``/`` or ``!`` is ignored."""
    word, rest = _split(text)
    command = find_command(word.lstrip("/!"), commands)
    if command is None:
        return UnknownCommand(word)
    return TypedCommand(command, rest, MappingProxyType(arguments_in(rest, command.arguments)))


def parse_marked(text: str, commands: Sequence[Command]) -> TypedCommand | None:
    """The command of a message like ``!model gpt-5``; None for ordinary text, such as ``!important``."""
    found = _MARKED.match(text)
    if found is None or (command := find_command(found[1], commands)) is None:
        return None
    rest = text[found.end() :].strip()
    return TypedCommand(command, rest, MappingProxyType(arguments_in(rest, command.arguments)))


def arguments_in(words: str, arguments: Sequence[Argument]) -> dict[str, str]:
    """The values in `words` by the names of `arguments`, in order.

    Each takes a word or a quoted text; the last, and one called ``text``, takes all the rest.
    """
    values: dict[str, str] = {}
    rest = words.strip()
    for number, argument in enumerate(arguments, start=1):
        if not rest:
            break
        if number == len(arguments) or argument.name == "text":
            values[argument.name] = _unquoted(rest)
            break
        values[argument.name], rest = _next_value(rest)
    return {name: value for name, value in values.items() if value}


def closest_name(word: str, commands: Sequence[Command]) -> str:
    """The most similar name of a command; empty if none is similar."""
    names = [command.name for command in commands if command.kind is not Kind.ON_MESSAGE]
    if not word:
        return ""
    starting = [name for name in names if name.startswith(word)]
    return (starting or difflib.get_close_matches(word, names, n=1, cutoff=_SIMILAR) or [""])[0]


def _split(text: str) -> tuple[str, str]:
    word, _, rest = text.strip().partition(" ")
    if any(character.isspace() for character in word):  # a line break ends the word too
        word, rest = text.strip().split(maxsplit=1)
    return word, rest.strip()


def _next_value(words: str) -> tuple[str, str]:
    quoted = _QUOTED.match(words)
    if quoted is not None:
        return _content(quoted), words[quoted.end() :].strip()
    return _split(words)


def _unquoted(words: str) -> str:
    quoted = _QUOTED.match(words)
    return _content(quoted) if quoted is not None and quoted.end() == len(words) else words


def _content(quoted: re.Match[str]) -> str:
    return next(group for group in quoted.groups() if group is not None).strip()
