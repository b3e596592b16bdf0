"""Build a prompt from a history and a question, within limits. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.conversation import File, History, Message, OmittedAttachment, Part, Prompt, Role, Text, Turn
from bot.role_alternation import WITHOUT_WORDS, is_blank
from bot.strings import FilledSentence, Strings

# More digits than any platform's id has; Python refuses to convert thousands.
_ID_DIGITS = 40

# Lines about omitted attachments: a few make the point, and the answer stands above them.
_LEFT_OUT_LINES = 4

# Characters of a prompt for each token of a model's context: half of the context at four characters a token (English
# text), and all of it in a script with two. The rest is for the answer.
CHARACTERS_PER_TOKEN = 2


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """How much a model is given. Newest messages are kept."""

    messages: int = 25  # a thread's last two dozen messages contain what a question refers to
    characters: int = 24_000  # of history: about 6,000 tokens, within every current model's context
    question_characters: int = 32_000  # longer questions are cut, and their author is told

    def within(self, context: int, used: int) -> PromptLimits:
        """The limits for a context of so many tokens (0: unknown), if so many characters are used already."""
        room = max(context * CHARACTERS_PER_TOKEN - used, 0)
        return replace(self, characters=min(self.characters, room)) if context else self


@dataclass(frozen=True, slots=True)
class PromptOverride:
    """How the bot speaks in one place: its system prompt (a template) and its model (empty: the configured one)."""

    system: str = ""
    model: str = ""

    def completed_by(self, chosen: PromptOverride) -> PromptOverride:
        """The same with everything that `chosen` sets."""
        return PromptOverride(chosen.system or self.system, chosen.model or self.model)


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """The operator's choices. `by_channel` holds the overrides of channel tables, by channel id.

    `contexts` holds the known contexts of models in tokens, by the name in a prompt.
    """

    default: PromptOverride
    by_channel: Mapping[str, PromptOverride] = field(default_factory=dict)
    limits: PromptLimits = field(default_factory=PromptLimits)
    contexts: Mapping[str, int] = field(default_factory=dict)

    def override_for(self, turn: Turn) -> PromptOverride:
        """The narrowest override for these channels, completed by the default."""
        own = next((self.by_channel[id_] for id_ in turn.channel_ids if id_ in self.by_channel), PromptOverride())
        return self.default.completed_by(own)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt, and notices about omitted parts for the reader."""

    prompt: Prompt
    notices: tuple[str, ...]  # of the question, for each answer
    history_cut: bool  # whether earlier messages were left out; a conversation is notified once


def prepare(
    turn: Turn,
    history: History,
    prompting: PromptConfig,
    strings: Strings,
    now: datetime,
    *,
    chosen: PromptOverride = PromptOverride(),
) -> Prepared:
    """Build the model's input. `chosen` in chat precedes the channel's override."""
    limits = prompting.limits
    override = prompting.override_for(turn).completed_by(chosen)
    question, was_cut = _shortened(_worded(turn.question), limits.question_characters)
    system = _system(override.system, turn, now)
    limits = limits.within(prompting.contexts.get(override.model, 0), len(system) + _size(question))
    kept, dropped = _newest([message for message in history.messages if not is_blank(message)], limits)
    notices = _left_out(question, strings)
    if was_cut:
        notices.append(strings.question_cut.format(characters=f"{limits.question_characters:,}"))
    messages = [*kept, question]
    if not turn.direct:
        messages = [_with_name(message) for message in messages]
    prompt = Prompt(system, tuple(messages), override.model)
    return Prepared(prompt, tuple(notices), history_cut=dropped or (history.truncated and not history.unread))


def messages_after(history: History, position: str) -> History:
    """The history of the conversation begun at `position` (an id of the channel's messages); all of it if empty.

    A message whose id has no known order is kept; see `is_before`.
    """
    if _position(position) is None:
        return history
    messages = tuple(each for each in history.messages if each.id != position and not is_before(each.id, position))
    return replace(history, messages=messages, truncated=history.truncated and len(messages) == len(history.messages))


def is_before(id_: str, position: str) -> bool:
    """Whether a message is older than a position in its channel; false if the ids have no common order.

    Ids are decimal numbers in order of time: Discord's snowflakes, Slack's seconds with a fraction. A prefix up to a
    hyphen names a series of ids of its own, as in the playground.
    """
    first, second = _position(id_), _position(position)
    return first is not None and second is not None and first[0] == second[0] and first < second


def _position(id_: str) -> tuple[str, int, int] | None:
    series, _, number = id_.rpartition("-")
    whole, _, fraction = number.partition(".")
    if not (_is_number(whole) and (_is_number(fraction) or not fraction)):
        return None
    return series, int(whole), int(fraction.ljust(6, "0"))


def _is_number(text: str) -> bool:
    """Whether a text is digits, and few enough for a number: ids have at most 20."""
    return text.isascii() and text.isdecimal() and len(text) <= _ID_DIGITS


def is_empty(turn: Turn) -> bool:
    """Whether nothing was asked: no word and no attachment."""
    return is_blank(turn.question)


def halved(history: Sequence[Message]) -> list[Message]:
    """The newer half of a history, by its size; of a single long message the beginning."""
    limits = PromptLimits(len(history), sum(map(_size, history)) // 2)
    newer = _newest(history, limits)[0]
    return newer if len(newer) < len(history) or limits.characters else newer[(len(newer) + 1) // 2 :]


def _worded(question: Message) -> Message:
    """The question; a bare mention gets words, since it asks about the messages above."""
    return replace(question, parts=(Text(WITHOUT_WORDS),)) if is_blank(question) else question


def _system(template: str, turn: Turn, now: datetime) -> str:
    """Fill in {date}, {time}, {timezone} and {platform}; other braces are the operator's own and stay."""
    values = {
        "{date}": now.strftime("%A, %d %B %Y"),
        "{time}": now.strftime("%H:%M"),
        "{timezone}": now.tzname() or "UTC",
        "{platform}": turn.key.platform.capitalize(),
    }
    for name, value in values.items():
        template = template.replace(name, value)
    return sys.intern(template.strip())  # kept once for all turns of the same minute


def _newest(messages: Sequence[Message], limits: PromptLimits) -> tuple[list[Message], bool]:
    """The newest messages within both limits, oldest first, and whether any was dropped."""
    kept: list[Message] = []
    room = limits.characters
    for message in reversed(messages):
        if len(kept) == limits.messages:
            return kept[::-1], True
        if _size(message) > room:
            # Of the newest a part is better than nothing; of an older one it would only confuse.
            return kept[::-1] or ([_shortened(message, room)[0]] if room else []), True
        kept.append(message)
        room -= _size(message)
    return kept[::-1], False


def _size(message: Message) -> int:
    return sum(len(part.text) for part in message.parts if isinstance(part, Text | File))


def _shortened(message: Message, characters: int) -> tuple[Message, bool]:
    """The message with its text and text files cut to the given characters in all, and whether anything was cut."""
    parts: list[Part] = []
    room, was_cut = characters, False
    for part in message.parts:
        if isinstance(part, Text | File):
            was_cut = was_cut or len(part.text) > room
            part = replace(part, text=part.text[:room])  # noqa: PLW2901 (the same part, shorter)
            room -= len(part.text)
        parts.append(part)
    return replace(message, parts=tuple(parts)), was_cut


def _left_out(message: Message, strings: Strings) -> list[str]:
    """A notice for each omitted attachment, except the last ones of many."""
    omitted = [part for part in message.parts if isinstance(part, OmittedAttachment)]
    listed = omitted if len(omitted) <= _LEFT_OUT_LINES else omitted[: _LEFT_OUT_LINES - 1]
    lines: list[str] = [FilledSentence(strings.left_out, name=part.name, why=part.why) for part in listed]
    if more := len(omitted) - len(listed):
        lines.append(strings.left_out_more.format(count=more))
    return lines


def _with_name(message: Message) -> Message:
    """In a group, each message names its author; our own answers do not."""
    if message.role is not Role.USER or not message.name:
        return message
    name = " ".join(message.name.split())
    return replace(
        message, parts=(Text(f"{name}: {message.text}"), *(p for p in message.parts if not isinstance(p, Text)))
    )
