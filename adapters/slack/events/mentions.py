"""Messages addressed to the bot, and mentions in Slack's text format. Pure.

A mention is answered in its thread, or in the thread it starts. In a thread the bot takes part in, messages need no
mention. Direct messages form one conversation; each thread in them is another. In the agent view each message outside a
thread starts one (`events.parse.comes_from_agent_view`). In a group direct message only a mention
addresses the bot. Messages by apps get no answer. A mention arrives as two events
(https://docs.slack.dev/reference/events/app_mention); either is enough.

Text format: https://docs.slack.dev/messaging/formatting-message-text; ``&``, ``<`` and ``>`` are escaped, and angle
brackets hold a link, a mention or a command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from enum import Enum
from types import MappingProxyType
from xml.sax.saxutils import unescape

from adapters.shared.context_labels import format_time
from adapters.slack.events.parse import Event, Identity, MessagePosted, SlackMessage
from bot.conversation import Message, Part, Role, Text
from bot.interactions.commands import Command, Kind
from bot.interactions.typed import MARK, TypedCommand, parse_marked

PLATFORM = "slack"

# Slack's own user (reminders, help).
SLACKBOT = "USLACKBOT"


class Trigger(Enum):
    """Reason for answering a message."""

    MENTION = "mention"
    DIRECT = "direct"
    # A message in a thread; the event does not say whether the bot takes part in it.
    FOLLOW_UP = "follow-up"


@dataclass(frozen=True, slots=True)
class AddressedMessage:
    """A message to the bot; a follow-up is one only if the bot takes part in the thread.

    `thread` is the thread of the answer: empty for a direct message outside a thread, answered in place. `teams` are
    the author's organisations, as far as the event names them.
    """

    channel: str
    message: SlackMessage
    trigger: Trigger
    thread: str
    teams: frozenset[str]
    parent: str  # author of the thread's first message, if the event names one
    is_mention_event: bool  # a plain copy of the message may follow, with more content

    @property
    def conversation(self) -> tuple[str, str]:
        """The channel and the thread in it."""
        return (self.channel, self.thread)

    @property
    def id(self) -> tuple[str, str]:
        """The channel and the message in it."""
        return (self.channel, self.message.ts)

    @property
    def starts_thread(self) -> bool:
        """Whether the message is the first of the answer's thread."""
        return self.thread == self.message.ts


def decide(event: Event | None, me: Identity) -> AddressedMessage | None:
    """The message of an event if it is, or may be, addressed to the bot."""
    if not isinstance(event, MessagePosted):
        return None
    message = event.message
    if message.ours or message.bot or message.user in ("", SLACKBOT):
        return None
    trigger = _trigger(event, me)
    return _addressed(event, trigger) if trigger is not None else None


def known_question(event: Event | None, me: Identity) -> AddressedMessage | None:
    """The message of an event known to be a question, even without a mention; None if it has no words."""
    addressed = decide(event, me)
    if addressed is not None or not isinstance(event, MessagePosted) or event.message.ours:
        return addressed
    return _addressed(event, Trigger.MENTION)


def _addressed(event: MessagePosted, trigger: Trigger) -> AddressedMessage:
    message = event.message
    in_place = trigger is Trigger.DIRECT and not (message.thread or event.in_agent_view)
    return AddressedMessage(
        channel=event.channel,
        message=message,
        trigger=trigger,
        thread="" if in_place else message.thread or message.ts,
        teams=event.teams,
        parent=event.parent,
        is_mention_event=event.is_mention_event,
    )


def _trigger(event: MessagePosted, me: Identity) -> Trigger | None:
    message = event.message
    if event.channel_type == "im":
        return Trigger.DIRECT
    if event.is_mention_event or me.user in mentions(message.text):
        return Trigger.MENTION
    if event.channel_type == "mpim" or message.thread in ("", message.ts):
        return None
    return Trigger.FOLLOW_UP


def conversation_id(team: str, channel: str, thread: str) -> str:
    """A conversation's id in the core; `thread` is empty for direct messages outside threads."""
    return "/".join((PLATFORM, team, *filter(None, (channel, thread))))


# ------------------------------------------------------------------------------------------------------- text format

_ANGLE = re.compile(r"<([^<>]*)>")
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>", re.IGNORECASE)
# Channels and groups without a name; people are looked up with a name as well (`mentions`).
_CHANNEL = re.compile(r"<#([A-Z0-9]+)\|?>")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]+)\|?>")
_DATE_TOKEN = re.compile(r"\{(\w+)\}")
# Parts of a date by Slack's names, as strftime formats.
_DATES = MappingProxyType(
    {
        "date_num": "%Y-%m-%d",
        "date_slash": "%Y/%m/%d",
        "date": "%d %B %Y",
        "date_pretty": "%d %B %Y",
        "date_short": "%d %b %Y",
        "date_short_pretty": "%d %b %Y",
        "date_long": "%A, %d %B %Y",
        "date_long_pretty": "%A, %d %B %Y",
        "day_divider_pretty": "%A, %d %B %Y",
        "time": "%H:%M %Z",
        "time_secs": "%H:%M:%S %Z",
        "ago": "%d %B %Y %H:%M %Z",
    }
)


def mentions(text: str) -> frozenset[str]:
    """Ids of the people mentioned in `text`."""
    return frozenset(_MENTION.findall(text))


def without_mention(text: str, user: str) -> str:
    """`text` without mentions of `user` (the bot) and the white space around them."""
    pattern = rf"[ \t]*<@{re.escape(user)}(?:\|[^<>]*)?>[ \t]*"
    return re.sub(pattern, " ", text).strip()


def channels_in(text: str) -> frozenset[str]:
    """Ids of the channels mentioned in `text` without a name."""
    return frozenset(_CHANNEL.findall(text))


def groups_in(text: str) -> frozenset[str]:
    """Ids of the user groups mentioned in `text` without a name."""
    return frozenset(_GROUP.findall(text))


def plain(text: str, names: Mapping[str, str], zone: tzinfo = UTC) -> str:
    """`text` as its readers see it: names for ids, labels for links, characters for entities, dates in `zone`.

    `names` are names of people, channels and user groups by id; an unknown id stands for itself.
    """

    def shown(match: re.Match[str]) -> str:
        target, _, label = match.group(1).partition("|")
        match target[:1]:
            case "@":
                return "@" + (names.get(target[1:]) or label.removeprefix("@") or target[1:])
            case "#":
                return "#" + (label.removeprefix("#") or names.get(target[1:]) or target[1:])
            case "!":
                return _command(target[1:], label, names, zone)
        return _link(target, label)

    return unescape(_ANGLE.sub(shown, text))


def _link(target: str, label: str) -> str:
    address = target.removeprefix("mailto:").removeprefix("tel:")
    if label and target.startswith("tel:"):
        return label
    return address if not label or label == target or target.endswith(label) else f"{label} ({address})"


def _command(target: str, label: str, names: Mapping[str, str], zone: tzinfo) -> str:
    """The text after ``<!``: a date, a user group, or a broadcast (``here``, ``channel``, ``everyone``)."""
    kind, _, rest = target.partition("^")
    if kind == "date":
        return _date(rest, label, zone)
    if kind == "subteam":
        return "@" + (label.removeprefix("@") or names.get(rest) or rest)
    return "@" + (label.removeprefix("@") or kind)


def _date(date: str, fallback: str, zone: tzinfo) -> str:
    """A date in its own format, or its fallback, or an ordinary format.

    https://docs.slack.dev/messaging/formatting-message-text#date-formatting; "today" and "ago" would be wrong later.
    """
    timestamp, _, form = date.partition("^")
    form = form.partition("^")[0] or "{date} {time}"  # a third part is an address
    try:
        seconds = float(timestamp)
    except ValueError:
        return fallback or "a date"
    written = _DATE_TOKEN.sub(lambda token: format_time(seconds, zone, _DATES.get(token[1], _DATES["date"])), form)
    return written.strip() if format_time(seconds, zone, "%Y") else fallback or "a date"


def to_model_message(
    message: SlackMessage, names: Mapping[str, str], parts: Sequence[Part], zone: tzinfo = UTC
) -> Message:
    """A message for the model; `parts` are its attachments, `names` has the names of all ids in it."""
    words = message.text if message.ours else plain(message.shown, names, zone)
    text = (Text(words),) if words.strip() or not parts else ()
    # An app's message may carry a name of its own; readers see it instead of the account's name.
    name = message.name or names.get(message.user) if message.bot else names.get(message.user) or message.name
    return Message(
        role=Role.ASSISTANT if message.ours else Role.USER,
        parts=(*text, *parts),
        name="" if message.ours else name or message.user,
        id=message.ts,
    )


# ---------------------------------------------------------------------------------------------- commands in messages


def marked_command(text: str, me: str, commands: Sequence[Command]) -> TypedCommand | None:
    """The command at the start of a message's text, in Slack's format and without mentions of user `me` (the bot).

    None for a question, and for the command that is one. Slack has no slash commands in threads, hence the mark.
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
