"""Placeholders for addresses too long for any message, and the notes readers see instead.

A placeholder is an address itself: markdown still reads a link as a link. Its note is never longer than the
placeholder. `bot.markdown.model_text` finds such addresses; `bot.delivery.extracted_files` stores them.
"""

from __future__ import annotations

import re

# A number, then a hint: the host of an address or the type of a picture.
_MARK = r"left-out-(?:image|address):\d+/[A-Za-z0-9.-]*"
_PARTS = re.compile(r"left-out-(image|address):(\d+)/([A-Za-z0-9.-]*)")
_TITLE = r"(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?"
_LINK = re.compile(rf"!?\[([^\[\]]*)\]\(\s*<?{_MARK}>?{_TITLE}\s*\)")
_TAG = re.compile(rf"<[A-Za-z][^<>]*?{_MARK}[^<>]*>")
_ALT = re.compile(r"\b(?:alt|title)\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)')")
_BARE = re.compile(rf"<?(?:data:|https?://|([@#!:]|a:|/))?{_MARK}>?")

PICTURE = "\N{FRAME WITH PICTURE}"
LINK = "\N{LINK SYMBOL}"


def placeholder(kind: str, number: int, known: str) -> str:
    """The text that replaces an address in the source; `kind` is ``image`` or ``address``."""
    return f"left-out-{kind}:{number}/{re.sub(r'[^A-Za-z0-9.-]', '', known)[:40]}"


def replace_placeholders(text: str) -> str:
    """`text` with each placeholder replaced by a short note with the label of its link."""
    if "left-out-" not in text:
        return text
    for _ in range(2):  # an image may be a link's label
        text = _LINK.sub(lambda found: _describe(found.group(), found.group(1)), text)
    text = _TAG.sub(lambda found: _describe(found.group(), _alternative(found.group())), text)
    return _BARE.sub(lambda found: _describe(found.group(), "", found.group(1) or ""), text)


def _describe(source: str, label: str, sign: str = "") -> str:
    parts = _PARTS.search(source)
    assert parts is not None
    kind, number, known = parts.groups()
    if kind == "image":
        return f"{PICTURE} {label or 'image'}"
    if not label and known:
        label = f"{sign}{known}\N{HORIZONTAL ELLIPSIS}"
    return f"{label} ({LINK} {number})".lstrip()


def _alternative(tag: str) -> str:
    """The `alt` or `title` text of an HTML tag; empty if it has none."""
    found = _ALT.search(tag)
    return (found.group(1) or found.group(2) or "") if found else ""
