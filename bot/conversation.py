"""The nouns: what is said, by whom, where, and what a model sends back.

Frozen values only. Nothing here does anything, waits for anything or knows where it came from.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from enum import Enum, StrEnum

# --------------------------------------------------------------------------------------------------- what people say


class Role(StrEnum):
    """Who speaks, as a model is told it."""

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
    """An attachment that the model is not given.

    `why` completes the sentence "`name` was left out: ..." for the reader, in plain words ("it is larger than 10 MB").
    """

    name: str
    why: str


Part = Text | Image | File | OmittedAttachment


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, as the model will be told of it.

    `name` is the display name of who said it (empty for our own answers). `id` is the platform's, unique in its
    channel; it is empty where the platform has none.
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
    """What was said before a question, oldest first.

    `truncated` says that there was more, or may have been. `unread` names the cause, for a log, where it could not be
    read (a failure, a time-out, a missing scope); else a limit kept it from us.
    """

    messages: tuple[Message, ...] = ()
    truncated: bool = False
    unread: str = ""


# ------------------------------------------------------------------------------------------------------ whom we answer


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks. Only people get this far: adapters drop bots, our own echo and system messages themselves."""

    id: str
    name: str
    roles: frozenset[str] = frozenset()  # ids of the roles or groups the platform says they are in
    guest: bool = False  # a restricted member (Slack's single- and multi-channel guests)
    external: bool = False  # somebody of another organisation (Slack Connect)


@dataclass(frozen=True, slots=True)
class TurnKey:
    """What makes a turn one turn: the same message, delivered twice, has the same key.

    `workspace` is Slack's team or Discord's guild; empty for a Discord DM and the playground.
    """

    platform: str
    workspace: str
    channel: str
    message: str

    @property
    def digest(self) -> str:
        """24 characters, the same at every delivery and after a restart.

        Short enough for a Discord nonce (25 at most), long enough (120 bits) never to meet another.
        """
        joined = f"{self.platform}\x1f{self.workspace}\x1f{self.channel}\x1f{self.message}"
        return base64.b32encode(hashlib.sha256(joined.encode()).digest()[:15]).decode().lower()

    @property
    def reference(self) -> str:
        """The short name of the turn that a reader may be shown and that every log line of it carries."""
        return self.digest[:8]


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that asks for an answer.

    `conversation` names what the turn belongs to (a thread, a DM, a chain of replies) within the process: turns with
    the same name are answered one after the other. `question` holds the words; what is attached is read from the
    channel when the turn is answered. `channel_ids` are the ids that an access list or a channel's table may
    name, the narrowest first: the thread, its channel, its category.
    """

    key: TurnKey
    conversation: str
    author: Author
    question: Message
    channel_ids: tuple[str, ...]
    direct: bool = False  # a DM: nobody else reads it, so nobody needs to be told who said what


# ------------------------------------------------------------------------------------------------ what a model sends


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is given: the system's words and the messages, oldest first, the question last.

    `model` overrides the configured one (a channel's table may name another); empty means the configured one.
    """

    system: str
    messages: tuple[Message, ...]
    model: str = ""


class FinishReason(Enum):
    """Why a stream ended, in our words; `OTHER` is one that we do not know and treat as an end all the same."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "filtered"
    TOOLS = "tools"
    OTHER = "other"
    # Said by the core alone, of an answer without a word that asking again would not mend.
    THOUGHT_ONLY = "thought_only"
    TOOLS_ONLY = "tools_only"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's thinking aloud: never part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Retraction:
    """All `Text` of this answer so far was thinking aloud, as only what follows tells: it is no part of the answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model's own words for not answering, which arrive beside the text and stand in its place."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A piece of a call that the model would like made; nothing in the core makes one yet."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that an answer cost, as the server counted them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Activity:
    """The server is at work: a comment, encrypted thinking, an empty piece. Nothing of it is to be shown."""


@dataclass(frozen=True, slots=True)
class Announced:
    """The server has announced the end of the answer, and its stream has not ended yet: more may come all the same.

    `rest` are the deltas that belong behind what was sent if nothing more comes (half a mark, held back until then).
    """

    reason: FinishReason
    rest: tuple[Delta, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an answer. A stream that stops without one has failed, whatever it sent."""

    reason: FinishReason


# An open union: whoever reads it passes over the kinds that it does not know.
Delta = Text | Reasoning | Retraction | Refusal | ToolCall | Usage | Activity | Announced | Finish


# --------------------------------------------------------------------------------------------------- how a turn ends


class Ending(Enum):
    """The honest state in which a turn leaves what the reader sees."""

    DONE = "done"  # the whole answer
    LENGTH = "length"  # the model was cut at its own limit
    FILTERED = "filtered"  # the model's provider cut it
    LIMIT = "limit"  # it is longer than an answer of this bot may be
    THOUGHT_ONLY = "thought_only"  # the model thought, and gave no answer
    TOOLS_ONLY = "tools_only"  # the model asked for a tool that it has not, and gave no answer
    STOPPED = "stopped"  # somebody asked for it
    INTERRUPTED = "interrupted"  # we had to stop
    ABANDONED = "abandoned"  # an earlier process was stopped, and it is too late to go on
    FAILED = "failed"  # the answer could not be had; what was received stays
    GONE = "gone"  # the place to write to is there no more
