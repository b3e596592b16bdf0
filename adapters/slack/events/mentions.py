"""Is this event a question to us? Pure: an event's fields in, what is asked out.

The rules. A mention is answered in its thread, or in the thread that it starts. In a thread that we take part in, what
people say is for us without a mention. A direct message is one conversation; a thread in it is another. In a group
direct message we are only spoken to by a mention. Nothing that a program wrote is answered. A mention arrives as two
events (https://docs.slack.dev/reference/events/app_mention), and either is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from adapters.slack.events.parse import Identity, SlackMessage, parse_message, string
from adapters.slack.messages.mrkdwn import mentions

# Slack speaks through this user itself (reminders, help).
SLACKBOT = "USLACKBOT"


class Trigger(Enum):
    """What makes a message a question."""

    MENTION = "mention"
    DIRECT = "direct"
    # Only if the thread is one that we take part in, which the event does not say.
    FOLLOW_UP = "follow-up"


@dataclass(frozen=True, slots=True)
class AddressedMessage:
    """A message that is, or may be, for us.

    `thread` is where the answer goes: empty for a direct message outside a thread, answered in place. `teams` are the
    organisations that the event says its author belongs to.
    """

    channel: str
    said: SlackMessage
    why: Trigger
    thread: str
    teams: frozenset[str]
    parent: str  # who began the thread, where the event says so
    is_mention_event: bool  # the message may come a second time, as a plain one, which says more of it

    @property
    def conversation(self) -> tuple[str, str]:
        """The channel and the thread in it."""
        return (self.channel, self.thread)

    @property
    def starts_thread(self) -> bool:
        """Whether the thread of the answer begins with this very message."""
        return self.thread == self.said.ts


def decide(event: Mapping[str, Any], me: Identity) -> AddressedMessage | None:
    """What an event asks of us; None where it asks nothing."""
    kind, channel = string(event, "type"), string(event, "channel")
    if kind not in ("app_mention", "message") or not channel:
        return None
    said = parse_message(event, me)
    if said is None or said.ours or said.bot or said.user in ("", SLACKBOT):
        return None
    why = _why(kind, string(event, "channel_type") or _type_of(channel), said, me)
    if why is None:
        return None
    in_place = why is Trigger.DIRECT and not said.thread
    return AddressedMessage(
        channel=channel,
        said=said,
        why=why,
        thread="" if in_place else said.thread or said.ts,
        teams=_teams(event),
        parent=string(event, "parent_user_id"),
        is_mention_event=kind == "app_mention",
    )


def _why(kind: str, channel_type: str, said: SlackMessage, me: Identity) -> Trigger | None:
    if channel_type == "im":
        return Trigger.DIRECT
    if kind == "app_mention" or me.user in mentions(said.text):
        return Trigger.MENTION
    if channel_type == "mpim" or said.thread in ("", said.ts):
        return None
    return Trigger.FOLLOW_UP


def _type_of(channel: str) -> str:
    # app_mention events carry no channel_type; ids of direct messages begin with a D.
    return "im" if channel.startswith("D") else "channel"


def _teams(event: Mapping[str, Any]) -> frozenset[str]:
    """Ids of teams or enterprises. `user_team` and `source_team` come with messages of Slack Connect channels."""
    return frozenset(filter(None, (string(event, name) for name in ("team", "user_team", "source_team"))))
