"""Commands as plain values: name, arguments, permission. Handlers are `bot.interactions.service`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

# Longest description of a command or an argument, in characters
# (https://docs.discord.com/developers/interactions/application-commands#application-command-object).
DESCRIPTION_LENGTH = 100


class Permission(Enum):
    """Who may invoke a command."""

    EVERYONE = auto()
    ADMINS = auto()


class Kind(Enum):
    """How a command is invoked and answered."""

    CALL = auto()  # `Interactions.invoke` responds privately
    QUESTION = auto()  # its text is a question; the adapter builds a turn, visible to all
    ON_MESSAGE = auto()  # the same, from a message's menu: the message is the question, or where a summary begins


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. `choices` names a dynamic list: ``models``, ``personas`` or nothing.

    `is_open` allows other texts than the choices.
    """

    name: str
    description: str
    required: bool = False
    choices: str = ""
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `name` is a lower-case word, `label` its title in a message's menu."""

    name: str
    description: str
    arguments: tuple[Argument, ...] = ()
    permission: Permission = Permission.EVERYONE
    kind: Kind = Kind.CALL
    label: str = ""


COMMANDS: tuple[Command, ...] = (
    Command(
        "ask",
        "Ask a question; everyone here sees the answer",
        (Argument("question", "Your question", required=True),),
        kind=Kind.QUESTION,
    ),
    Command("model", "Choose the model of your answers", (Argument("name", "A model", choices="models"),)),
    Command(
        "persona",
        "Choose how the bot speaks to you",
        (Argument("name", "A persona, or your own words", choices="personas", is_open=True),),
    ),
    Command("reset", "Start a new conversation here"),
    Command("stop", "Stop the answers being written here"),
    Command("usage", "Show your questions, tokens and cost"),
    Command("settings", "Show and change the settings that apply here"),
    Command("privacy", "Show, export or delete your stored data"),
    Command("help", "Show the commands"),
    Command("answer", "Answer a message", kind=Kind.ON_MESSAGE, label="Answer this"),
    Command("summarize", "Summarize a conversation from a message on", kind=Kind.ON_MESSAGE, label="Summarize"),
)


def find_command(name: str, commands: Sequence[Command] = COMMANDS) -> Command | None:
    """The command that can be typed under this name, in any case; None for any other word."""
    name = name.casefold()
    return next((each for each in commands if each.name == name and each.kind is not Kind.ON_MESSAGE), None)
