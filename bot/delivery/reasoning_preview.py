"""What a reader is told of a model's thinking aloud, while its answer has not begun: a few of its words, in one line.

What belongs here: which words, without mark-up, links or anything else that a platform would act on. What does not:
when the line is written and what it gives way to (`bot.delivery.reply`, `bot.delivery.scheduler`), the sentence around
it (`bot.strings`).
"""

from __future__ import annotations

import re

from bot.delivery.notices import Notices
from bot.delivery.reconciler import DesiredMessage, Write
from bot.ports import Body, Channel

# The longest line of thought, in characters: what a telephone shows in two or three lines of small print.
MAX_PREVIEW_LENGTH = 120

# Of the thinking, so many of the last characters are kept: some sentences, whatever their length.
_MAX_RECENT = 600

# A heading, as summaries have them before each of their parts: ``**Looking at the dates**``, ``## Dates``.
_HEADING = re.compile(r"^[ \t]*(?:\*\*([^*\n]{2,}?)\*\*:?|#{1,6}[ \t]+([^\n]+?))[ \t]*$", re.MULTILINE)

# Where one thought ends and the next begins; in Chinese and Japanese, without white space.
_END = re.compile("(?<=[.!?…])\\s+|(?<=[\u3002\uff01\uff1f])|\\s*\\n\\s*")

# What is shorter is no sentence that says anything: "Hmm.", "e.g.", a number of a list. Characters.
_MIN_SENTENCE = 12

_LINK = re.compile(r"\w*://\S*")
_BULLET = re.compile(r"^\s*(?:[-+*>#]+|\d{1,3}[.)])\s+")

# What is mark-up somewhere, or calls somebody.
_MARKUP = str.maketrans(dict.fromkeys("*`~|#<>[]\\@", "") | {"_": " "})


class ReasoningPreview:
    """The end of what a model has thought aloud so far; memory and work do not grow with its length."""

    def __init__(self) -> None:
        self._recent = ""
        self._cut = False  # whether what is kept begins in the middle

    def feed(self, text: str) -> None:
        """Take in more of the thinking."""
        self._cut = self._cut or len(self._recent) + len(text) > _MAX_RECENT
        self._recent = (self._recent + text[-_MAX_RECENT:])[-_MAX_RECENT:]

    def clear(self) -> None:
        """The thinking begins anew."""
        self._recent, self._cut = "", False

    @property
    def line(self) -> str:
        """The present heading, or else the last whole sentence, or else all there is; empty where that is nothing."""
        *_, heading = ["", *(first or second for first, second in _HEADING.findall(self._recent))]
        if plain := _plain(heading):
            return _shortened(plain)
        ended = _END.split(self._recent)[int(self._cut) : -1]  # what is cut has lost its beginning
        sentences = [plain for part in ended if len(plain := _plain(part)) >= _MIN_SENTENCE]
        if sentences:
            return _shortened(sentences[-1])
        return _shortened(_plain(self._recent), begun=not self._cut)


class PreviewMessage:
    """The message that shows the preview until the answer begins."""

    def __init__(self, channel: Channel, notices: Notices, *, is_enabled: bool) -> None:
        """Not `is_enabled` for a recovered answer: its text may be posted already."""
        self._channel = channel
        self._notices = notices
        self._preview = ReasoningPreview() if is_enabled else None
        self.is_shown = False  # the posted message is a preview

    @property
    def is_enabled(self) -> bool:
        """Whether previews are shown at all."""
        return self._preview is not None

    @property
    def line(self) -> str:
        """The line to show; empty if there is none."""
        return self._preview.line if self._preview is not None else ""

    def feed(self, text: str) -> None:
        """Append reasoning text."""
        if self._preview is not None:
            self._preview.feed(text)

    def restart(self) -> None:
        """Forget the reasoning of an earlier attempt."""
        if self._preview is not None:
            self._preview.clear()

    def disable(self) -> None:
        """Show no more previews in this answer."""
        self._preview = None

    def messages(self, *, is_frozen: bool) -> list[DesiredMessage]:
        """The preview as the only desired message; empty if there is nothing to show, or messages are frozen."""
        if is_frozen or not (line := self.line):
            return []
        caps = self._channel.caps
        notice = caps.renderer.notice(self._notices.strings.thinking.format(thought=line))
        return [DesiredMessage(Body("", notice), 0)] if caps.measure(notice) <= caps.limit else []


def is_notice_only(write: Write) -> bool:
    """Whether a write shows no text of the answer: before its end, a preview."""
    return write.body is not None and not (write.covers or write.lookup)


def _plain(text: str) -> str:
    """Words alone, in one line."""
    text = _LINK.sub("…", _BULLET.sub("", text).translate(_MARKUP))  # in this order: what is left may make a link
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _shortened(text: str, *, begun: bool = True) -> str:
    """At most `MAX_PREVIEW_LENGTH` characters, cut at a word: the first, or the last if the beginning is missing."""
    if len(text) <= MAX_PREVIEW_LENGTH:
        return text
    room = MAX_PREVIEW_LENGTH - 1
    if begun:
        head, _, _ = text[: room + 1].rpartition(" ")
        return f"{head or text[:room]}…"
    _, _, tail = text[-room - 1 :].partition(" ")
    return f"…{tail or text[-room:]}"
