"""Interactions as frozen values: the events from a platform, and the responses to them.

Adapters parse their payloads into events, and render responses. All ids are the platform's, as in `TurnKey`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from bot.conversation import Author, TurnKey

# -------------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody acts.

    `conversation` and `channel_ids` are those of a `Turn` asked here; `conversation` is empty in a channel where each
    mention starts one. `position` is the id of a message, or of this moment, in the order of the channel's message ids.
    `command_prefix` precedes a command's name as people type it here, as in ``/tickertape help`` or ``!help``.
    `has_menus` tells whether messages have a menu with the commands of `Kind.ON_MESSAGE`.
    `parent` is the channel around a thread, if `channel` is one.
    The formats show the name of a person or a channel by its id, in private words.
    """

    platform: str
    workspace: str
    channel: str
    conversation: str = ""
    channel_ids: tuple[str, ...] = ()
    direct: bool = False
    position: str = ""
    command_prefix: str = "/"
    has_menus: bool = True
    person_format: str = "{id}"
    channel_format: str = "{id}"
    parent: str = ""


class Vote(StrEnum):
    """A reader's opinion of an answer."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class RetryPressed:
    """Somebody wants another answer to `question`, in the same messages.

    `message` is the message with the button. `model` is a name in the operator's list; empty keeps the chosen one.
    """

    question: TurnKey  # of generation 0
    message: str
    by: Author
    place: Place
    model: str = ""


@dataclass(frozen=True, slots=True)
class VoteCast:
    """Somebody voted on the answer to `question`; the last vote of a person counts."""

    question: TurnKey  # of generation 0
    message: str
    vote: Vote
    by: Author
    place: Place


@dataclass(frozen=True, slots=True)
class QuestionEdited:
    """The words of a message changed, and it addresses the bot now.

    Adapters drop edits that add only a preview, a pin or an embed, and edits to an empty text. `age` is the time from
    the message's post to the edit, in seconds.
    """

    question: TurnKey  # of generation 0
    conversation: str
    by: Author
    age: float


@dataclass(frozen=True, slots=True)
class CommandInvoked:
    """Somebody invoked a command of `bot.interactions.commands`.

    `arguments` holds the given ones by name. A command typed as text arrives with its words in the argument ``text``
    if the command has one, else in order of its arguments.
    """

    command: str
    by: Author
    place: Place
    arguments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class FormSubmitted:
    """Somebody submitted a form, or pressed a button of a `Notice` or a `Panel`.

    `id` is that of the `Form` or the `Action`; `values` holds the inputs by field name.
    """

    id: str
    by: Author
    place: Place
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


# ----------------------------------------------------------------------------------------------------------- responses


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a field."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a form: a selection if it has `choices`, else text.

    `value` is the present one. Lengths are in characters. Slack takes at most 100 choices, Discord 25; a label has at
    most 45 characters.
    """

    name: str
    label: str
    value: str = ""
    choices: tuple[Choice, ...] = ()
    required: bool = False
    multiline: bool = False
    max_length: int = 1_000


@dataclass(frozen=True, slots=True)
class Form:
    """A form to fill in, shown to one person: a modal. At most five fields; `title` has at most 24 characters.

    `id` comes back in `FormSubmitted`: at most 90 characters, and enough to handle the form after a restart.
    """

    id: str
    title: str
    fields: tuple[Field, ...]
    submit: str = "Save"
    intro: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """A button under a notice or in a panel; a press arrives as `FormSubmitted` with this `id`.

    `confirm` is a question to ask first; empty asks none. `danger` marks an action without undo.
    """

    id: str
    label: str
    confirm: str = ""
    danger: bool = False


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file for one person: an export."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """Words for one person alone, as markdown. Empty text shows nothing.

    `names` are the ids in the text in the formats of a `Place`; no other id shows a name.
    """

    text: str = ""
    actions: tuple[Action, ...] = ()
    file: PrivateFile | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """A page of one person's own: Slack's App Home. `sections` are markdown."""

    sections: tuple[str, ...]
    actions: tuple[Action, ...] = ()


Response = Notice | Form

NOTHING = Notice()
