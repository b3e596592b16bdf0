"""Thinking aloud within an answer's text, told from the answer: what stands in ``<think>`` tags. Pure and incremental.

Many open models think in their text, and a server without a parser for it (Ollama, LM Studio, vLLM without
``--reasoning-parser``) passes that on as it comes. How it is put:

- ``<think>...</think>`` at the very beginning of the answer: DeepSeek R1 and its distilled models, QwQ, Qwen3
  (https://huggingface.co/Qwen/Qwen3-8B, "enable_thinking"; with thinking off it sends the two tags with nothing in
  them). Other models call it ``<thinking>``, ``<thought>`` or ``<reasoning>``, Mistral's Magistral ``[THINK]``,
  Seed-OSS ``<seed:think>``, Kimi's thinking models ``◁think▷``. Another such block may follow it.
- Channels, which gpt-oss has (see `harmony`).
- The same with no ``<think>``, since the prompt's template has put it before what the model writes
  (https://huggingface.co/deepseek-ai/DeepSeek-R1, "Usage Recommendations"; Qwen3's thinking models): only
  ``</think>`` comes, in a line of its own.

The opening tag counts at the beginning alone, after white space, so code or prose that speaks of it later is left as it
is. That a text without one was thinking is known only when the closing tag comes, and it has been passed on by then: it
is taken back (`Retraction`), so that what a reader has seen of it does not stay in the answer. To hold back every
answer until no closing tag can come would be to stream none. So that an answer about such tags is not taken back, the
tag must be alone in its line, in no block of code, and no opening one may have come before it; a server that knows its
model (a reasoning parser) is always the better choice.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Iterator
from enum import Enum, auto

from adapters.openai.harmony import OPENINGS, ChannelSplitter
from adapters.openai.payload import SurrogateJoiner
from bot.conversation import Delta, Reasoning, Retraction, Text

# An opening tag, and what closes it.
TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<thoughts>": "</thoughts>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
}

# A closing tag in a line of its own. Some templates leave a space or a carriage return behind it.
_ALONE = re.compile(rf"^(?:{'|'.join(map(re.escape, TAGS.values()))})[ \t\r]*(?:\n|\Z)", re.MULTILINE)

# An opening tag, or the beginning of one that has attributes.
_OPENING = re.compile("|".join(re.escape(tag[:-1]) for tag in TAGS))
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


class _State(Enum):
    BEGINNING = auto()  # white space so far, and perhaps the beginning of an opening tag
    THINKING = auto()  # between the two tags
    TEXT = auto()  # the answer, or thinking whose opening tag the template took
    AFTER = auto()  # a closing tag has come, white space, and perhaps the beginning of another opening tag
    ANSWER = auto()  # the answer, for certain
    CHANNELS = auto()  # gpt-oss's format, to the end


class ThoughtSplitter:
    """Splits the text of one answer into `Reasoning` and `Text`.

    What cannot be a part of a tag is passed on at once. Of a text without tags nothing is changed.
    """

    def __init__(self) -> None:
        self._state = _State.BEGINNING
        self._channels = ChannelSplitter()
        self._space: list[str] = []  # before the first character that is none
        self._held = ""  # what may be the beginning of a tag
        self._closing = ""  # the tag that ends the thinking
        self._said: list[str] = []  # all `Text` so far, for as long as it may have to be taken back
        self._line_begins = True  # in the state TEXT: whether `_held` begins a line

    @property
    def holds(self) -> bool:
        """Whether something is held back, or may be."""
        return bool(self._held) or self._state is _State.BEGINNING or self._state is _State.CHANNELS

    def feed(self, text: str) -> list[Delta]:
        """The deltas that are known by now."""
        if self._state is _State.TEXT and not (self._held or self._line_begins) and "\n" not in text:  # nearly always
            self._said.append(text)
            return [Text(text)] if text else []
        return list(self._read(text, last=False))

    def flush(self) -> list[Delta]:
        """What was held back, at the end of the answer. Thinking that nothing has ended is no answer."""
        return list(self._read("", last=True))

    def _read(self, text: str, *, last: bool) -> Iterator[Delta]:
        if self._state is _State.BEGINNING:
            text = self._begin(text, last=last)
        if self._state is _State.TEXT:
            told, retracted, text = self._tell(text, last=last)
            if told:
                yield Text(told)
            if retracted:
                yield Retraction()
        if self._state is _State.THINKING or self._state is _State.AFTER:
            text = yield from self._read_thoughts(text, last=last)
        if self._state is _State.CHANNELS:
            yield from self._channels.feed(text, last=last)
        elif self._state is _State.ANSWER and text:
            yield Text(text)

    def _read_thoughts(self, text: str, *, last: bool) -> Generator[Delta, None, str]:
        """What is thought, in one block after the other; then what the answer begins with."""
        while True:
            if self._state is _State.AFTER:
                text = self._begin(text, last=last)
            if self._state is not _State.THINKING:
                return text
            thought, text = self._think(text, last=last)
            if thought:
                yield Reasoning(thought)
            if self._state is _State.THINKING:
                return text

    def _begin(self, text: str, *, last: bool) -> str:
        """What the next state is to read; empty for as long as that is not known."""
        first = self._state is _State.BEGINNING
        if not self._held:
            begun = text.lstrip()
            if first:
                self._space.append(text[: len(text) - len(begun)])
            text = begun
        self._held += text
        for tag, closing in TAGS.items():
            if self._held.startswith(tag):
                self._state, self._closing = _State.THINKING, closing
                text, self._held = self._held.removeprefix(tag), ""
                return text
        if first and self._held.startswith(OPENINGS):
            self._state = _State.CHANNELS
        elif not last and _may_open(self._held, channels=first):  # nothing but white space too
            return ""
        elif first:
            self._state, self._held = _State.TEXT, "".join(self._space) + self._held
        else:
            self._state = _State.ANSWER
        text, self._held = self._held, ""
        return text

    def _think(self, text: str, *, last: bool) -> tuple[str, str]:
        """What was thought, and what comes after the thinking."""
        thought, found, rest = (self._held + text).partition(self._closing)
        self._held = ""
        if found:
            self._state = _State.AFTER
            return thought, rest
        if not last:
            kept = _overlap(thought, self._closing)
            thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
        return thought, ""

    def _tell(self, text: str, *, last: bool) -> tuple[str, bool, str]:
        """What can be shown by now, whether it is taken back with all before it, and what comes after that."""
        if not (self._held or self._line_begins or last) and "\n" not in text:
            self._said.append(text)
            return text, False, ""
        text, self._held = self._held + text, ""
        found = _ALONE.search(text, 0 if self._line_begins else text.find("\n") + 1 or len(text))
        if found is not None and not last and found.end() == len(text) and text[-1:] != "\n":
            found = None  # more may come in its line
        if found is not None:
            self._said.append(text[: found.start()])
            if not _quoted("".join(self._said)):
                retracted = bool("".join(self._said))
                self._state, self._said = _State.AFTER, []
                return text[: found.start()], retracted, text[found.end() :]
            self._state, self._said = _State.ANSWER, []
            return text[: found.start()], False, text[found.start() :]
        kept = 0 if last else self._unsure(text)
        text, self._held = text[: len(text) - kept], text[len(text) - kept :]
        self._said.append(text)
        self._line_begins = text.endswith("\n") if text else self._line_begins
        return text, False, ""

    def _unsure(self, text: str) -> int:
        """How many characters at the end may be a closing tag in its line, or begin one."""
        start = text.rfind("\n") + 1
        line = text[start:]
        if not line or not (start or self._line_begins):
            return 0
        may_be = any(tag.startswith(line) or line.rstrip(" \t\r") == tag for tag in TAGS.values())
        return len(line) if may_be else 0


class Spoken:
    """The text of one streamed answer, as its pieces come: surrogates joined, thinking told from what is said."""

    def __init__(self) -> None:
        self._joiner = SurrogateJoiner()
        self._thoughts = ThoughtSplitter()

    def feed(self, text: str) -> list[Delta]:
        """The deltas that are known by now."""
        text = self._joiner.feed(text)
        return self._thoughts.feed(text) if text else []

    def flush(self) -> list[Delta]:
        """What was held back, at the end of the answer."""
        return [*self._thoughts.feed(self._joiner.flush()), *self._thoughts.flush()]

    def rest(self) -> list[Delta]:
        """What `flush` would give now, while the answer may go on."""
        return copy.deepcopy(self).flush() if self._joiner.holds or self._thoughts.holds else []


def _may_open(held: str, *, channels: bool) -> bool:
    """Whether more text may make an opening of this; `channels` says whether those count."""
    return any(tag.startswith(held) for tag in (*TAGS, *(OPENINGS if channels else ())))


def split(text: str) -> list[Delta]:
    """The deltas of a whole answer's text: what was thought, then what was said, each where there is any."""
    splitter = ThoughtSplitter()
    thought, said = "", ""
    for delta in (*splitter.feed(text), *splitter.flush()):
        match delta:
            case Reasoning(piece):
                thought += piece
            case Text(piece):
                said += piece
            case Retraction():
                thought, said = said, ""
    return [*([Reasoning(thought)] if thought else []), *([Text(said)] if said else [])]


def _quoted(before: str) -> bool:
    """Whether a closing tag after this text is spoken of, and closes nothing."""
    return bool(_OPENING.search(before)) or len(_FENCE.findall(before)) % 2 == 1


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` begin `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
