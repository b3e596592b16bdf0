"""Plain text of events that differ from an earlier one in nothing but their text. Pure.

The events of one stream repeat some 300 bytes around each word. Comparing these takes a fifth of the time of parsing
them.
"""

from __future__ import annotations

import re

# The key of a delta's text, up to the first character of the text.
_KEY = re.compile(rb'"content"\s*:\s*"')

# Random characters against guesses by length, of OpenAI (``stream_options.include_obfuscation``).
_PADDING = re.compile(rb'"obfuscation"\s*:\s*"')


class EventTemplate:
    """The bytes of a plain-text event around its text, and around its padding if it has any."""

    def __init__(self) -> None:
        self._before: bytes | None = None  # up to the text; None: nothing is learned yet
        self._behind = b""  # from the text's quotation mark to the padding or to the end
        self._end: bytes | None = None  # from the padding's quotation mark on; None without padding

    def learn(self, data: bytes, text: str) -> None:
        """Remember an event known to hold `text` and nothing else of interest, unless its text is not found."""
        key = _KEY.search(data)
        if key is None or data.count(b'"content"') != 1:
            return
        start = key.end()
        end = data.find(b'"', start)
        if _unescaped(data[start:end]) != text:
            return
        padding = _PADDING.search(data, end)
        self._before, self._behind, self._end = data[:start], data[end:], None
        if padding is not None:
            self._behind, self._end = data[end : padding.end()], data[data.find(b'"', padding.end()) :]

    def text(self, data: bytes) -> str:
        """The text of an event like the learned one; empty for any other event."""
        if self._before is None or not data.startswith(self._before):
            return ""
        start = len(self._before)
        end = data.find(b'"', start)
        return _unescaped(data[start:end]) if self._is_alike(data[end:]) else ""

    def _is_alike(self, behind: bytes) -> bool:
        if self._end is None:
            return behind == self._behind
        if not (behind.startswith(self._behind) and behind.endswith(self._end)):
            return False
        return behind[len(self._behind) : len(behind) - len(self._end)].isalnum()


def _unescaped(string: bytes) -> str:
    """The text of a JSON string without escapes; empty for others and for invalid ones."""
    try:
        text = string.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and "\\" not in text else ""
