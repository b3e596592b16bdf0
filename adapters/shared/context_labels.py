"""Labels, quotes and bounds for message content beside the text (embeds, forwards, blocks), as lines for a model. Pure.

Each platform's `events/content` chooses the fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

# Limits of one part (an embed, a forward, a block) and of all parts of one message, in characters. A forward is at most
# as long as a Discord message, and an alert seldom longer than a screen; a history takes some 24,000.
PART_CHARACTERS = 4_000
MESSAGE_CHARACTERS = 8_000

# Limit of names and titles in a label, which is one line. Characters.
LABEL_CHARACTERS = 300

# Limit of parts of one kind: platforms allow ten embeds and fifty blocks, but a paragraph of rich text has a part for
# each link and name.
PARTS = 200

# Nesting depth of stored JSON. Discord nests components eleven deep, Slack the rich text of a shared message twelve.
DEPTH = 16

# Marks cut text.
CUT = " [...]"


# ----------------------------------------------------------------------------------------------------------- reading


def string(data: object, *path: str) -> str:
    """The string at a path of field names, stripped; empty if missing."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data.strip() if isinstance(data, str) else ""


def number(data: object, *path: str) -> int | None:
    """The integer at a path of field names; None if missing."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, int) and not isinstance(data, bool) else None


def mapping(data: object, *path: str) -> Mapping[str, Any]:
    """The object at a path of field names; empty if missing."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def objects(data: object, *path: str) -> list[dict[str, Any]]:
    """The objects in the list at a path of field names, among its first `PARTS` entries."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return [each for each in data[:PARTS] if isinstance(each, dict)] if isinstance(data, list) else []


def pruned(value: object, names: Collection[str], depth: int = DEPTH) -> Any:  # noqa: ANN401 (JSON of any shape)
    """`value` with only these field names and nothing below `depth`, for storage."""
    if isinstance(value, dict) and depth:
        return {name: pruned(each, names, depth - 1) for name, each in value.items() if name in names}
    if isinstance(value, list) and depth:
        return [pruned(each, names, depth - 1) for each in value]
    return None if isinstance(value, dict | list) else value


# ----------------------------------------------------------------------------------------------------------- writing


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning with a mark; at most `limit` characters."""
    return text if len(text) <= limit else text[: max(limit - len(CUT), 0)] + CUT[:limit]


def in_line(text: str) -> str:
    """`text` in one line, cut for a label."""
    return cut(" ".join(text.split()), LABEL_CHARACTERS)


def label(what: str, detail: str = "") -> str:
    """A label line, such as ``[sticker: Wave]``."""
    detail = in_line(detail)
    return f"[{what}: {detail}]" if detail else f"[{what}]"


def quoted(head: str, lines: Iterable[str]) -> str:
    """`head` above the quoted lines; empty without lines. Bounded."""
    text = cut("\n".join(filter(None, lines)), PART_CHARACTERS)
    return f"{head}\n" + "\n".join(f"> {line}" for line in text.split("\n")) if text.strip() else ""


def joined(parts: Iterable[str]) -> str:
    """All non-empty parts of a message, one below the other. Bounded."""
    return cut("\n".join(filter(None, parts)), MESSAGE_CHARACTERS)


def since(shown: str, told: str) -> str:
    """The content added to a message since it was first read: link previews arrive later."""
    if shown == told:
        return ""
    rest = shown.removeprefix(f"{told}\n")
    return shown if rest.startswith(">") else rest  # repeat a part that has grown, with its label


def linked(title: str, url: str, known: str = "") -> str:
    """A title with its URL; the URL is omitted if `known` contains it."""
    if not url or url in known or url == title:
        return title
    return f"{title} ({url})" if title else url


def moment(seconds: float, zone: tzinfo, form: str) -> str:
    """A timestamp formatted with `form` (strftime) in a time zone; empty if out of range."""
    try:
        return datetime.fromtimestamp(seconds, zone).strftime(form)
    except (ValueError, OverflowError, OSError):
        return ""
