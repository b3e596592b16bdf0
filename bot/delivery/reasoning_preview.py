"""A preview of the model's reasoning until its answer begins: a few words, in one line without markup or links."""

from __future__ import annotations

import re

from bot.delivery.notices import Notices
from bot.delivery.writes import DesiredMessage, Write
from bot.ports import Body, Channel, Verb

# Longest preview, in characters: two or three lines of small print on a phone.
MAX_PREVIEW_LENGTH = 120

# Characters of the reasoning kept: a few sentences of any length.
_MAX_RECENT = 600

# A heading, as in reasoning summaries: ``**Looking at the dates**``, ``## Dates``.
_HEADING = re.compile(r"^[ \t]*(?:\*\*([^*\n]{2,}?)\*\*:?|#{1,6}[ \t]+([^\n]+?))[ \t]*$", re.MULTILINE)

# Boundaries between sentences; in Chinese and Japanese without white space.
_END = re.compile("(?<=[.!?…])\\s+|(?<=[\u3002\uff01\uff1f])|\\s*\\n\\s*")

# Shortest meaningful sentence, unlike "Hmm.", "e.g." or a list number. Characters.
_MIN_SENTENCE = 12

_LINK = re.compile(r"\w*://\S*")
_BULLET = re.compile(r"^\s*(?:[-+*>#]+|\d{1,3}[.)])\s+")

# Markup or mention characters on any platform.
_MARKUP = str.maketrans(dict.fromkeys("*`~|#<>[]\\@", "") | {"_": " "})


class ReasoningPreview:
    """The most recent reasoning text. Memory and work do not grow with its length."""

    def __init__(self) -> None:
        self._recent = ""
        self._cut = False  # the kept text begins in the middle

    def feed(self, text: str) -> None:
        """Append reasoning text."""
        self._cut = self._cut or len(self._recent) + len(text) > _MAX_RECENT
        self._recent = (self._recent + text[-_MAX_RECENT:])[-_MAX_RECENT:]

    def clear(self) -> None:
        """Start again with another attempt."""
        self._recent, self._cut = "", False

    @property
    def line(self) -> str:
        """The current heading, else the last whole sentence, else all text; may be empty."""
        *_, heading = ["", *(first or second for first, second in _HEADING.findall(self._recent))]
        if plain := _plain(heading):
            return _shortened(plain)
        ended = _END.split(self._recent)[int(self._cut) : -1]  # drop the first part if its beginning is missing
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
    is_text = write.verb in {Verb.START, Verb.APPEND, Verb.STOP}
    return write.body is not None and not (is_text or write.covers or write.lookup)


def _plain(text: str) -> str:
    """Plain words in one line."""
    text = _LINK.sub("…", _BULLET.sub("", text).translate(_MARKUP))  # in this order: removing markup may create a link
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
