"""The phases of a reply, and the only transitions between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class Phase(Enum):
    """Where a reply stands."""

    WAITING = "waiting"  # no text of the answer yet; a reasoning preview may show
    STREAMING = "streaming"  # text arrives
    ANNOUNCED = "announced"  # the server announced the end; more may still arrive
    ENDED = "ended"  # no more text; the last writes are due
    FROZEN = "frozen"  # posted messages stay as they are, and a notice is added
    DONE = "done"  # everything desired is posted
    FAILED = "failed"  # nothing can be written any more


class Event(Enum):
    """Changes that move a reply from phase to phase."""

    TEXT = "text"
    RESTARTED = "restarted"  # another attempt begins; posted text stays until the new text is as long
    RETRACTED = "retracted"  # the text so far was reasoning
    ANNOUNCED = "announced"
    ENDED = "ended"
    FROZEN = "frozen"  # the platform rejected the text, or a reader deleted a message
    COMPLETED = "completed"
    FAILED = "failed"


TRANSITIONS: Mapping[Phase, Mapping[Event, Phase]] = MappingProxyType(
    {
        Phase.WAITING: {
            Event.TEXT: Phase.STREAMING,
            Event.RESTARTED: Phase.WAITING,
            Event.RETRACTED: Phase.WAITING,
            Event.ENDED: Phase.ENDED,
            Event.FROZEN: Phase.FROZEN,
            Event.FAILED: Phase.FAILED,
        },
        Phase.STREAMING: {
            Event.TEXT: Phase.STREAMING,
            Event.RESTARTED: Phase.STREAMING,
            Event.RETRACTED: Phase.WAITING,
            Event.ANNOUNCED: Phase.ANNOUNCED,
            Event.ENDED: Phase.ENDED,
            Event.FROZEN: Phase.FROZEN,
            Event.FAILED: Phase.FAILED,
        },
        Phase.ANNOUNCED: {
            Event.TEXT: Phase.STREAMING,
            Event.RESTARTED: Phase.STREAMING,
            Event.RETRACTED: Phase.WAITING,
            Event.ANNOUNCED: Phase.ANNOUNCED,
            Event.ENDED: Phase.ENDED,
            Event.FROZEN: Phase.FROZEN,
            Event.FAILED: Phase.FAILED,
        },
        Phase.ENDED: {
            Event.FROZEN: Phase.FROZEN,
            Event.COMPLETED: Phase.DONE,
            Event.FAILED: Phase.FAILED,
        },
        Phase.FROZEN: {
            Event.FROZEN: Phase.FROZEN,  # another message was deleted
            Event.COMPLETED: Phase.DONE,
            Event.FAILED: Phase.FAILED,
        },
        Phase.DONE: {},
        Phase.FAILED: {},
    }
)

# A reply in one of these takes more text.
OPEN = frozenset({Phase.WAITING, Phase.STREAMING, Phase.ANNOUNCED})


class IllegalTransition(RuntimeError):
    """A bug: an event in a phase where it cannot happen."""


def transition(phase: Phase, event: Event) -> Phase:
    """The phase after an event. Raises `IllegalTransition`."""
    try:
        return TRANSITIONS[phase][event]
    except KeyError:
        raise IllegalTransition(f"{event.value} in phase {phase.value}") from None
