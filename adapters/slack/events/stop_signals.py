"""What readers tell without words: a reaction or Slack's own button that asks to stop, and a message taken away. Pure.

What belongs here: events that are no messages of anybody, as plain values. What does not: words, even those that ask to
stop (`asked`; the core knows them), and what is done about any of it (`hearing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.slack.events.parse import Identity, mapping, string

# Reactions that ask to stop, by Slack's names: the signs that mean nothing else beside an answer that is being written.
# A raised hand greets as often as it stops, so it is not among them. The second line has names that Slack takes for the
# first line's too, or that servers which only speak like Slack use.
STOP_REACTIONS = frozenset(
    """octagonal_sign no_entry no_entry_sign x negative_squared_cross_mark black_square_for_stop
    stop_sign stop_button stop cross_mark""".split()  # noqa: SIM905 (a list of words)
)


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody (`by`) asks to stop.

    `messages` are the questions or messages of answers that this may be about; `thread` is a whole thread that it is
    about, or None.
    """

    channel: str
    by: str
    messages: tuple[str, ...] = ()
    thread: str | None = None


def parse_stop(event: Mapping[str, Any], me: Identity) -> StopRequested | None:
    """Whether an event asks to stop. What we do ourselves never does."""
    by = string(event, "user")
    if not by or by == me.user:
        return None
    match string(event, "type"):
        case "reaction_added":
            return _stop_of_reaction(event, by)
        case "agent_session_stopped":
            return _stop_of_session(event, by)
    return None


def _stop_of_reaction(event: Mapping[str, Any], by: str) -> StopRequested | None:
    """https://docs.slack.dev/reference/events/reaction_added; a name may end in a skin tone."""
    item = mapping(event, "item")
    channel, ts = string(item, "channel"), string(item, "ts")
    name = string(event, "reaction").partition("::")[0]
    if name not in STOP_REACTIONS or string(item, "type") not in ("message", "") or not (channel and ts):
        return None
    return StopRequested(channel, by, messages=(ts,))


def _stop_of_session(event: Mapping[str, Any], by: str) -> StopRequested | None:
    """https://docs.slack.dev/reference/events/agent_session_stopped; in a direct message, the thread is the question.

    Slack says which of our streaming messages it has stopped itself; there are none where answers are edited.
    """
    channel, thread = string(event, "channel"), string(event, "thread_ts")
    streaming = event.get("streaming_message_ts")
    given = [ts for ts in streaming if isinstance(ts, str)] if isinstance(streaming, list) else []
    if not channel:
        return None
    return StopRequested(channel, by, messages=tuple(filter(None, (thread, *given))), thread=thread)


def parse_deletion(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """The channel and the ts of a message that is there no more, if that is what an event tells.

    https://docs.slack.dev/reference/events/message/message_deleted. The first message of a thread with replies is not
    deleted but changed, to a tombstone (https://github.com/slack-edge/slack-edge/pull/10).
    """
    channel, subtype = string(event, "channel"), string(event, "subtype")
    if string(event, "type") != "message" or not channel:
        return None
    ts = ""
    if subtype == "message_deleted":
        ts = string(event, "deleted_ts") or string(mapping(event, "previous_message"), "ts")
    elif subtype == "message_changed" and string(mapping(event, "message"), "subtype") == "tombstone":
        ts = string(mapping(event, "message"), "ts")
    return (channel, ts) if ts else None
