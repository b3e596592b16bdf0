"""The nouns: messages, authors, turns, and a model's deltas.

Frozen values only, without behaviour and without knowledge of their source.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, StrEnum
from functools import cached_property

# --------------------------------------------------------------------------------------------------- what people say


class Role(StrEnum):
    """The speaker of a message, as a model sees it."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """Words: a part of a message, and the delta of the same name on its way from a model."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture somebody attached, downloaded already; `media_type` is an image type such as ``image/png``."""

    name: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """A text file somebody attached, decoded already."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OmittedAttachment:
    """An attachment withheld from the model.

    `why` completes the sentence "`name` was left out: ..." for the reader, in plain words ("it is larger than 10 MB").
    """

    name: str
    why: str


Part = Text | Image | File | OmittedAttachment


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    `name` is the author's display name, empty for our own answers. `id` is the platform's, unique in its channel, and
    empty if the platform has none.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str = ""
    id: str = ""

    @property
    def text(self) -> str:
        """The words of the message without its attachments."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class History:
    """The messages before a question, oldest first.

    `truncated`: there was more, or may have been. `unread` is the cause, for a log, if it could not be read (a failure,
    a timeout, a missing scope); it is empty if only a limit applied.
    """

    messages: tuple[Message, ...] = ()
    truncated: bool = False
    unread: str = ""


# ------------------------------------------------------------------------------------------------------ whom we answer


@dataclass(frozen=True, slots=True)
class Author:
    """A person with a question. Adapters drop bots, our own echo and system messages."""

    id: str
    name: str
    roles: frozenset[str] = frozenset()  # ids of the roles or groups the platform says they are in
    guest: bool = False  # a restricted member (Slack's single- and multi-channel guests)
    external: bool = False  # somebody of another organisation (Slack Connect)
    manages: bool = False  # may manage the channel (Discord) or is an admin of the workspace (Slack)


@dataclass(frozen=True)  # without slots, for the digest: it is asked for dozens of times in a turn
class TurnKey:
    """The identity of a turn: a message delivered twice has the same key.

    `workspace` is Slack's team or Discord's guild; empty for a Discord DM and the playground. `generation` counts the
    answers to one question: 0 is the first, and each "try again" or edit of the question adds one.
    """

    platform: str
    workspace: str
    channel: str
    message: str
    generation: int = 0

    @cached_property
    def digest(self) -> str:
        """24 characters, the same at every delivery and after a restart.

        Short enough for a Discord nonce (25 at most), long enough (120 bits) never to meet another.
        """
        joined = f"{self.platform}\x1f{self.workspace}\x1f{self.channel}\x1f{self.message}"
        if self.generation:
            joined += f"\x1f{self.generation}"
        return base64.b32encode(hashlib.sha256(joined.encode()).digest()[:15]).decode().lower()

    @property
    def question(self) -> TurnKey:
        """The key of the first answer to the same question."""
        return replace(self, generation=0) if self.generation else self

    @property
    def reference(self) -> str:
        """The turn's short name, shown to readers and carried by every log line."""
        return self.digest[:8]


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that asks for an answer.

    `conversation` names its thread, DM or reply chain within the process; turns of one conversation run one after the
    other. `question` is the text; attachments are read from the channel when the turn runs. `channel_ids` are the ids
    for access lists and channel tables, the narrowest first: the thread, its channel, its category. `preface` is
    markdown shown above the answer's text (the question of a command, as a quote); no model sees it. `model` is a name
    in the operator's list, chosen for this answer alone; empty keeps the settings. Without `can_retry` the platform
    cannot read the question again, so no "try again" is offered. `parent` is the channel around a thread, if the key's
    channel is one.
    """

    key: TurnKey
    conversation: str
    author: Author
    question: Message
    channel_ids: tuple[str, ...]
    direct: bool = False  # a DM has one reader, so names are needless
    preface: str = ""
    model: str = ""
    can_retry: bool = True
    parent: str = ""


# ------------------------------------------------------------------------------------------------ what a model sends


@dataclass(frozen=True, slots=True)
class Prompt:
    """A model's input: the system prompt and the messages, oldest first, the question last.

    `model` overrides the configured model, as a channel's table may; empty keeps it.
    """

    system: str
    messages: tuple[Message, ...]
    model: str = ""


class FinishReason(Enum):
    """Why a stream ended, in our terms; `OTHER` is an unknown reason and ends the answer too."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "filtered"
    TOOLS = "tools"
    OTHER = "other"
    # Set by the core alone: an empty answer, for a cause a retry would not change.
    THOUGHT_ONLY = "thought_only"
    TOOLS_ONLY = "tools_only"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's thinking aloud: never part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Retraction:
    """All `Text` so far was reasoning, as later deltas reveal; it is no part of the answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model's refusal in its own words; it replaces the text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Part of a tool call; the core makes none yet."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of an answer, as the server counted them.

    `cached_tokens` are part of the input, `reasoning_tokens` of the output. `model` is the name in the response; `cost`
    is the server's own, in US dollars.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    model: str = ""
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """The server is at work: a comment, encrypted thinking, an empty piece. Nothing of it is to be shown."""


@dataclass(frozen=True, slots=True)
class Announced:
    """The server announced the end of the answer, but its stream is still open: more may come.

    `rest` holds the deltas to append if nothing more comes (half a mark, held back until then).
    """

    reason: FinishReason
    rest: tuple[Delta, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an answer. A stream without one failed, whatever it sent."""

    reason: FinishReason


# An open union: readers ignore unknown kinds.
Delta = Text | Reasoning | Retraction | Refusal | ToolCall | Usage | Activity | Announced | Finish


# --------------------------------------------------------------------------------------------------- how a turn ends


class Ending(Enum):
    """How a turn ended, as its reader sees it."""

    DONE = "done"  # the whole answer
    LENGTH = "length"  # the model was cut at its own limit
    FILTERED = "filtered"  # the model's provider cut it
    LIMIT = "limit"  # it is longer than an answer of this bot may be
    THOUGHT_ONLY = "thought_only"  # the model thought, and gave no answer
    TOOLS_ONLY = "tools_only"  # the model asked for an unavailable tool and gave no answer
    STOPPED = "stopped"  # somebody asked for it
    INTERRUPTED = "interrupted"  # we had to stop
    ABANDONED = "abandoned"  # an earlier process was stopped, and it is too late to go on
    FAILED = "failed"  # no answer could be had; the received text stays
    GONE = "gone"  # the place to write to is there no more
