"""Separates reasoning in ``<think>`` tags from the text of an answer. Pure and incremental.

Many open models reason in their text. A server without a parser for it (Ollama, LM Studio, vLLM without
``--reasoning-parser``) passes the text on unchanged. The formats:

- ``<think>...</think>`` at the very beginning of the answer: DeepSeek R1 and its distilled models, QwQ, Qwen3
  (https://huggingface.co/Qwen/Qwen3-8B, "enable_thinking"; with thinking off it sends the two tags with nothing in
  them). Other models use ``<thinking>``, ``<thought>`` or ``<reasoning>``, Mistral's Magistral ``[THINK]``,
  Seed-OSS ``<seed:think>``, Kimi's thinking models ``◁think▷``. Another such block may follow it.
- The channels of gpt-oss (see `harmony`).
- The same without ``<think>``, because the prompt's template already ends with it
  (https://huggingface.co/deepseek-ai/DeepSeek-R1, "Usage Recommendations"; Qwen3's thinking models): only
  ``</think>`` arrives, in a line of its own.

The opening tag counts only at the beginning, after white space, so later code or prose about it stays unchanged.

Without an opening tag, reasoning is recognized only at the closing tag. By then we have passed it on as text, so a
`Retraction` removes it from the answer. Holding back every answer until no closing tag can come would mean no
streaming. To protect an answer about such tags, the closing tag must be alone in its line, outside of code blocks, and
without an opening tag before it. A server with a reasoning parser for its model is always the better choice.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Iterator
from enum import Enum, auto
from types import MappingProxyType

from adapters.openai.harmony import OPENINGS, ChannelSplitter
from adapters.openai.payload import SurrogateJoiner
from bot.conversation import Delta, Reasoning, Retraction, Text

# Opening tags and their closing tags.
TAGS = MappingProxyType(
    {
        "<think>": "</think>",
        "<thinking>": "</thinking>",
        "<thought>": "</thought>",
        "<thoughts>": "</thoughts>",
        "<reasoning>": "</reasoning>",
        "<seed:think>": "</seed:think>",
        "[THINK]": "[/THINK]",
        "◁think▷": "◁/think▷",
    }
)

# A closing tag in a line of its own. Some templates leave a space or a carriage return behind it.
_CLOSING_LINE = re.compile(rf"^(?:{'|'.join(map(re.escape, TAGS.values()))})[ \t\r]*(?:\n|\Z)", re.MULTILINE)

# An opening tag, possibly with attributes.
_OPENING = re.compile("|".join(re.escape(tag[:-1]) for tag in TAGS))
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


class _State(Enum):
    BEGINNING = auto()  # white space so far, possibly part of an opening tag
    THINKING = auto()  # between the two tags
    TEXT = auto()  # the answer, or reasoning without an opening tag
    AFTER = auto()  # after a closing tag: white space, possibly part of another opening tag
    ANSWER = auto()  # certainly the answer
    CHANNELS = auto()  # gpt-oss's format, to the end


class ReasoningSplitter:
    """Splits the text of one answer into `Reasoning` and `Text`.

    Text outside a possible tag is passed on at once. Text without tags stays unchanged.
    """

    def __init__(self) -> None:
        self._state = _State.BEGINNING
        self._channels = ChannelSplitter()
        self._space: list[str] = []  # leading white space
        self._pending = ""  # a possible partial tag
        self._closing = ""  # the closing tag of the current block
        self._emitted: list[str] = []  # all `Text` so far, while a retraction is possible
        self._at_line_start = True  # in the state TEXT: whether `_pending` begins a line

    @property
    def has_pending(self) -> bool:
        """Whether text may be held back."""
        return bool(self._pending) or self._state is _State.BEGINNING or self._state is _State.CHANNELS

    def feed(self, text: str) -> list[Delta]:
        """The deltas known so far."""
        if (
            self._state is _State.TEXT and not (self._pending or self._at_line_start) and "\n" not in text
        ):  # nearly always
            self._emitted.append(text)
            return [Text(text)] if text else []
        return list(self._read(text, last=False))

    def flush(self) -> list[Delta]:
        """The held-back text, at the end of the answer. Reasoning without a closing tag is not part of the answer."""
        return list(self._read("", last=True))

    def _read(self, text: str, *, last: bool) -> Iterator[Delta]:
        if self._state is _State.BEGINNING:
            text = self._begin(text, last=last)
        if self._state is _State.TEXT:
            shown, retracted, text = self._scan_text(text, last=last)
            if shown:
                yield Text(shown)
            if retracted:
                yield Retraction()
        if self._state is _State.THINKING or self._state is _State.AFTER:
            text = yield from self._read_reasoning(text, last=last)
        if self._state is _State.CHANNELS:
            yield from self._channels.feed(text, last=last)
        elif self._state is _State.ANSWER and text:
            yield Text(text)

    def _read_reasoning(self, text: str, *, last: bool) -> Generator[Delta, None, str]:
        """Yield the reasoning of consecutive blocks; return the beginning of the answer."""
        while True:
            if self._state is _State.AFTER:
                text = self._begin(text, last=last)
            if self._state is not _State.THINKING:
                return text
            reasoning, text = self._scan_reasoning(text, last=last)
            if reasoning:
                yield Reasoning(reasoning)
            if self._state is _State.THINKING:
                return text

    def _begin(self, text: str, *, last: bool) -> str:
        """Choose the next state and return its input; empty while undecided."""
        first = self._state is _State.BEGINNING
        if not self._pending:
            begun = text.lstrip()
            if first:
                self._space.append(text[: len(text) - len(begun)])
            text = begun
        self._pending += text
        for tag, closing in TAGS.items():
            if self._pending.startswith(tag):
                self._state, self._closing = _State.THINKING, closing
                text, self._pending = self._pending.removeprefix(tag), ""
                return text
        if first and self._pending.startswith(OPENINGS):
            self._state = _State.CHANNELS
        elif not last and _may_open(self._pending, channels=first):  # nothing but white space too
            return ""
        elif first:
            self._state, self._pending = _State.TEXT, "".join(self._space) + self._pending
        else:
            self._state = _State.ANSWER
        text, self._pending = self._pending, ""
        return text

    def _scan_reasoning(self, text: str, *, last: bool) -> tuple[str, str]:
        """The reasoning, and the text after its block."""
        reasoning, found, rest = (self._pending + text).partition(self._closing)
        self._pending = ""
        if found:
            self._state = _State.AFTER
            return reasoning, rest
        if not last:
            partial = _overlap(reasoning, self._closing)
            reasoning, self._pending = reasoning[: len(reasoning) - partial], reasoning[len(reasoning) - partial :]
        return reasoning, ""

    def _scan_text(self, text: str, *, last: bool) -> tuple[str, bool, str]:
        """The text to show now, whether it is retracted with all text before it, and the input after it."""
        if not (self._pending or self._at_line_start or last) and "\n" not in text:
            self._emitted.append(text)
            return text, False, ""
        text, self._pending = self._pending + text, ""
        found = _CLOSING_LINE.search(text, 0 if self._at_line_start else text.find("\n") + 1 or len(text))
        if found is not None and not last and found.end() == len(text) and text[-1:] != "\n":
            found = None  # its line may continue
        if found is not None:
            self._emitted.append(text[: found.start()])
            if not _is_quoted("".join(self._emitted)):
                retracted = bool("".join(self._emitted))
                self._state, self._emitted = _State.AFTER, []
                return text[: found.start()], retracted, text[found.end() :]
            self._state, self._emitted = _State.ANSWER, []
            return text[: found.start()], False, text[found.start() :]
        partial = 0 if last else self._partial_tag(text)
        text, self._pending = text[: len(text) - partial], text[len(text) - partial :]
        self._emitted.append(text)
        self._at_line_start = text.endswith("\n") if text else self._at_line_start
        return text, False, ""

    def _partial_tag(self, text: str) -> int:
        """The number of characters at the end of `text` that may belong to a closing tag in its own line."""
        start = text.rfind("\n") + 1
        line = text[start:]
        if not line or not (start or self._at_line_start):
            return 0
        may_be = any(tag.startswith(line) or line.rstrip(" \t\r") == tag for tag in TAGS.values())
        return len(line) if may_be else 0


class AnswerText:
    """The text of one streamed answer: joins surrogates and separates reasoning."""

    def __init__(self) -> None:
        self._joiner = SurrogateJoiner()
        self._splitter = ReasoningSplitter()

    def feed(self, text: str) -> list[Delta]:
        """The deltas known so far."""
        text = self._joiner.feed(text)
        return self._splitter.feed(text) if text else []

    def flush(self) -> list[Delta]:
        """The held-back deltas, at the end of the answer."""
        return [*self._splitter.feed(self._joiner.flush()), *self._splitter.flush()]

    def peek(self) -> list[Delta]:
        """The result of `flush` at this point, without changing the state."""
        return copy.deepcopy(self).flush() if self._joiner.has_pending or self._splitter.has_pending else []


def _may_open(held: str, *, channels: bool) -> bool:
    """Whether `held` may be the beginning of an opening tag, or with `channels` of a channel mark."""
    return any(tag.startswith(held) for tag in (*TAGS, *(OPENINGS if channels else ())))


def split_thinking(text: str) -> list[Delta]:
    """The deltas of a complete text: its reasoning, then the answer, unless empty."""
    splitter = ReasoningSplitter()
    reasoning, answer = "", ""
    for delta in (*splitter.feed(text), *splitter.flush()):
        match delta:
            case Reasoning(piece):
                reasoning += piece
            case Text(piece):
                answer += piece
            case Retraction():
                reasoning, answer = answer, ""
    return [*([Reasoning(reasoning)] if reasoning else []), *([Text(answer)] if answer else [])]


def _is_quoted(before: str) -> bool:
    """Whether a closing tag after this text is only quoted."""
    return bool(_OPENING.search(before)) or len(_FENCE.findall(before)) % 2 == 1


def _overlap(text: str, tag: str) -> int:
    """The number of characters at the end of `text` that begin `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
