"""Labels, quotes and bounds for message content beside the text (embeds, forwards, blocks), as lines for a model. Pure.

Each platform's `events/content` chooses the fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo

# Limits of one part (an embed, a forward, a block) and of all parts of one message, in characters. A forward is at most
# as long as a Discord message, and an alert seldom longer than a screen; a history takes some 24,000.
MAX_PART_CHARACTERS = 4_000
MAX_MESSAGE_CHARACTERS = 8_000

# Limit of names and titles in a label, which is one line. Characters.
MAX_LABEL_CHARACTERS = 300

# Marks cut text.
TRUNCATED = " [...]"


def truncate(text: str, limit: int) -> str:
    """`text`, or its beginning with a mark; at most `limit` characters."""
    return text if len(text) <= limit else text[: max(limit - len(TRUNCATED), 0)] + TRUNCATED[:limit]


def one_line(text: str) -> str:
    """`text` in one line, cut for a label."""
    return truncate(" ".join(text.split()), MAX_LABEL_CHARACTERS)


def label(kind: str, detail: str = "") -> str:
    """A label line, such as ``[sticker: Wave]``."""
    detail = one_line(detail)
    return f"[{kind}: {detail}]" if detail else f"[{kind}]"


def quote(head: str, lines: Iterable[str]) -> str:
    """`head` above the quoted lines; empty without lines. Bounded."""
    text = truncate("\n".join(filter(None, lines)), MAX_PART_CHARACTERS)
    return f"{head}\n" + "\n".join(f"> {line}" for line in text.split("\n")) if text.strip() else ""


def join_parts(parts: Iterable[str]) -> str:
    """All non-empty parts of a message, one below the other. Bounded."""
    return truncate("\n".join(filter(None, parts)), MAX_MESSAGE_CHARACTERS)


def added_text(current: str, earlier: str) -> str:
    """The content added to a message since it was first read: link previews arrive later."""
    if current == earlier:
        return ""
    rest = current.removeprefix(f"{earlier}\n")
    return current if rest.startswith(">") else rest  # repeat a part that has grown, with its label


def titled_link(title: str, url: str, known: str = "") -> str:
    """A title with its URL; the URL is omitted if `known` contains it."""
    if not url or url in known or url == title:
        return title
    return f"{title} ({url})" if title else url


def format_time(seconds: float, zone: tzinfo, pattern: str) -> str:
    """A timestamp formatted with `pattern` (strftime) in a time zone; empty if out of range."""
    try:
        return datetime.fromtimestamp(seconds, zone).strftime(pattern)
    except (ValueError, OverflowError, OSError):
        return ""
