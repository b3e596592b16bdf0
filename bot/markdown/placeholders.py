"""What stands in an answer's source for an address that no message can hold, and how it reads.

What belongs here: the mark for it, and the words that a reader sees instead. What does not: finding such addresses
(`bot.markdown.model_text`), and the files that they go into (`bot.delivery.overflow`).

The mark is an address itself, so that markdown reads a link as a link; what it renders as is never longer.
"""

from __future__ import annotations

import re

# Between the number of what was left out and what is known of it: an address's host, a picture's type.
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
    """What the source has in the place of an address; `kind` is ``image`` or ``address``."""
    return f"left-out-{kind}:{number}/{re.sub(r'[^A-Za-z0-9.-]', '', known)[:40]}"


def replace_placeholders(text: str) -> str:
    """A text with a short note for each address that was left out, by the label that it had."""
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
    """What a tag of HTML says that is read in its place."""
    found = _ALT.search(tag)
    return (found.group(1) or found.group(2) or "") if found else ""
