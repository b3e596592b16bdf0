"""What a message shows beside its text, as labelled lines for a model: the tools that both platforms write them with.

What belongs here: reading JSON of any shape without a fault, labels, quotes and bounds. What does not: which fields a
platform sends (`discord.beside`, `slack.beside`). All pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

# The longest part (an embed, a forward, a block) and the most of all parts of one message, in characters. A forward is
# as long as a message of Discord's may be, and an alert seldom longer than a screen; a history takes some 24,000.
PART_CHARACTERS = 4_000
MESSAGE_CHARACTERS = 8_000

# A label stands in one line; names and titles in it are cut to this, in characters.
LABEL_CHARACTERS = 300

# Parts of one kind that are read, the first ones: platforms allow ten embeds and fifty blocks, but a paragraph of rich
# text has a part for each link and name.
PARTS = 200

# How deep JSON is kept; Discord nests components eleven deep, Slack the rich text of a shared message twelve.
DEPTH = 16

# Stands where text was cut.
CUT = " [...]"


# ----------------------------------------------------------------------------------------------------------- reading


def string(data: object, *path: str) -> str:
    """The string at a path of names in JSON, stripped; empty where there is none."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data.strip() if isinstance(data, str) else ""


def number(data: object, *path: str) -> int | None:
    """The whole number at a path of names in JSON; None where there is none."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, int) and not isinstance(data, bool) else None


def mapping(data: object, *path: str) -> Mapping[str, Any]:
    """The object at a path of names in JSON; empty where there is none."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def objects(data: object, *path: str) -> list[dict[str, Any]]:
    """The first objects of the list at a path of names in JSON, at most `PARTS`."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return [each for each in data[:PARTS] if isinstance(each, dict)] if isinstance(data, list) else []


def pruned(value: object, names: Collection[str], depth: int = DEPTH) -> Any:  # noqa: ANN401 (JSON of any shape)
    """`value` with only these names in its objects, and nothing below `depth`: what is worth writing down."""
    if isinstance(value, dict) and depth:
        return {name: pruned(each, names, depth - 1) for name, each in value.items() if name in names}
    if isinstance(value, list) and depth:
        return [pruned(each, names, depth - 1) for each in value]
    return None if isinstance(value, dict | list) else value


# ----------------------------------------------------------------------------------------------------------- writing


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning and a sign that it was cut; never longer than `limit`."""
    return text if len(text) <= limit else text[: max(limit - len(CUT), 0)] + CUT[:limit]


def in_line(text: str) -> str:
    """`text` in one line, short enough for a label."""
    return cut(" ".join(text.split()), LABEL_CHARACTERS)


def label(what: str, detail: str = "") -> str:
    """A line that says what follows, or what there is: ``[sticker: Wave]``."""
    detail = in_line(detail)
    return f"[{what}: {detail}]" if detail else f"[{what}]"


def quoted(head: str, lines: Iterable[str]) -> str:
    """`head` and below it the lines, each marked as quoted; empty where there are no lines. Bounded."""
    text = cut("\n".join(filter(None, lines)), PART_CHARACTERS)
    return f"{head}\n" + "\n".join(f"> {line}" for line in text.split("\n")) if text.strip() else ""


def joined(parts: Iterable[str]) -> str:
    """All parts of a message that say something, one below the other, bounded."""
    return cut("\n".join(filter(None, parts)), MESSAGE_CHARACTERS)


def since(shown: str, told: str) -> str:
    """What a message shows more than it was told with: previews of links come later."""
    if shown == told:
        return ""
    rest = shown.removeprefix(f"{told}\n")
    return shown if rest.startswith(">") else rest  # a part that grew is told again, with its label


def linked(title: str, url: str, known: str = "") -> str:
    """A title and its address, which is left out where it stands in `known` already."""
    if not url or url in known or url == title:
        return title
    return f"{title} ({url})" if title else url


def moment(seconds: float, zone: tzinfo, form: str) -> str:
    """A point in time as `form` (strftime) in a time zone; empty where no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, zone).strftime(form)
    except (ValueError, OverflowError, OSError):
        return ""
