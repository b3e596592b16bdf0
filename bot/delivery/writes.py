"""Values of one answer's delivery: a desired message, a posted one, and the write between them."""

from __future__ import annotations

from dataclasses import dataclass

from bot.ports import Body, Verb


@dataclass(frozen=True, slots=True)
class DesiredMessage:
    """One message as it should be; `covers` counts the answer's characters posted up to its end."""

    body: Body
    covers: int


@dataclass(frozen=True, slots=True)
class Write:
    """One write toward the desired messages.

    `message` is the platform's id (empty for a new message); `body` is None for a delete. `lookup`: an earlier post or
    start with this key has an unknown outcome, so look it up before posting again. A post without a body is only a
    look-up. `text` is the part that an append or a stop adds.
    """

    verb: Verb
    index: int
    key: str
    message: str = ""
    body: Body | None = None
    covers: int = 0
    lookup: bool = False
    text: str = ""


@dataclass(slots=True)
class OpenStream:
    """A message that takes appends: the text appended so far, and whether a lost append may have added more."""

    text: str
    is_unsure: bool = False


@dataclass(slots=True)
class PostedMessage:
    """Our knowledge of one posted message."""

    key: str
    id: str  # empty: posted, outcome unknown
    body: Body | None  # None: its text is unknown
    sent: Body | None  # the body of its post
    recovered: bool = False  # posted by an earlier process or for an earlier answer, and not edited since
    replaced: bool = False  # still shows an earlier answer, as far as known
    stream: OpenStream | None = None  # None: an ordinary message
