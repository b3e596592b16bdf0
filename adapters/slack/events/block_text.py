"""The text of other authors' blocks, in Slack's own format like a message's `text`. Pure; no input raises.

Block kinds: https://docs.slack.dev/reference/block-kit/blocks. Our own answers are read back as markdown
(`events.own_answer`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from adapters.shared.context_labels import MAX_PART_CHARACTERS, label, titled_link, truncate
from adapters.shared.json_fields import Json, object_at, objects_at, string_at, string_field

# Deepest nesting of elements read; Slack nests four deep.
_MAX_DEPTH = 8

# Rows of a table read; Slack takes a hundred.
_MAX_ROWS = 100


def block_text(block: Json, depth: int = 0) -> str:
    """Text and labels of a block, or of a table's cell (a block too)."""
    kind = string_at(block, "type")
    if depth > _MAX_DEPTH:
        return ""
    if kind == "rich_text":
        return _lines([_rich(each, depth + 1) for each in objects_at(block, "elements")])
    if kind == "table":
        rows = block.get("rows")
        return _lines([_row(row, depth) for row in rows[:_MAX_ROWS]]) if isinstance(rows, list) else ""
    return _BLOCKS.get(kind, _titled)(block)


def _section(block: Json) -> str:
    fields = [_text({"text": each}) for each in objects_at(block, "fields")]
    return _lines([_text(block), *fields, element_text(object_at(block, "accessory"))])


def _elements(block: Json) -> str:
    return _lines([element_text(each) for each in objects_at(block, "elements")])


def _picture(block: Json) -> str:
    return label("picture", string_at(block, "title", "text") or string_at(block, "alt_text"))


def _video(block: Json) -> str:
    return _lines([_titled(block), label("video", string_at(block, "alt_text"))])


def _input(block: Json) -> str:
    return _lines([string_at(block, "label", "text"), element_text(object_at(block, "element"))])


def _call(block: Json) -> str:
    return label("call", string_at(block, "call", "v1", "name"))


def _titled(block: Json) -> str:
    """The text of a block of unknown kind, from the usual fields."""
    names = ("title", "subtitle", "text", "description", "author_name")
    return _lines([string_at(block, name) or string_at(block, name, "text") for name in names])


def _row(row: object, depth: int) -> str:
    cells = objects_at({"row": row}, "row")
    return " | ".join((string_at(cell, "text") or block_text(cell, depth + 1)).replace("\n", " ") for cell in cells)


_BLOCKS: Mapping[str, Callable[[Json], str]] = MappingProxyType(
    {
        **dict.fromkeys(("section", "header", "markdown"), _section),
        **dict.fromkeys(("context", "actions", "context_actions"), _elements),
        "image": _picture,
        "video": _video,
        "input": _input,
        "call": _call,
        "divider": lambda _: "",
    }
)


def _text(holder: Json) -> str:
    return string_at(holder, "text") or string_at(holder, "text", "text")


def element_text(element: Json) -> str:
    """A control by its label, or a piece of text or a picture in a context."""
    match string_at(element, "type"):
        case "":
            return ""
        case "mrkdwn" | "plain_text":
            return string_at(element, "text")
        case "image":
            return label("picture", string_at(element, "alt_text"))
        case "button" | "workflow_button":
            return label("button", titled_link(_text(element), string_at(element, "url")))
    options = [string_at(each, "text", "text") or string_at(each, "text") for each in objects_at(element, "options")]
    words = ", ".join(filter(None, [string_at(element, "placeholder", "text"), *options]))
    return label("menu", words) if words else ""


def _lines(lines: list[str]) -> str:
    return "\n".join(filter(None, lines))


# ---------------------------------------------------------------------------------------------------------- rich text


def _rich(element: Json, depth: int = 0) -> str:
    """An element of rich text in Slack's own format (https://docs.slack.dev/reference/block-kit/blocks/rich-text-block)."""
    if depth > _MAX_DEPTH:
        return ""
    kind, inner = string_at(element, "type"), [_rich(each, depth + 1) for each in objects_at(element, "elements")]
    if kind == "rich_text_list":
        return "\n".join(f"- {item}" for item in inner)
    if kind == "rich_text_preformatted":
        return "```\n" + "".join(inner) + "\n```"
    if kind == "rich_text_quote":
        return "> " + "".join(inner).replace("\n", "\n> ")
    return "".join(inner) if inner else _rich_leaf(element, kind)


def _rich_leaf(element: Json, kind: str) -> str:
    text = string_field(element, "text")  # not stripped: spaces at its ends count
    if kind in _LEAVES:
        return _LEAVES[kind](element, text)
    return truncate(text.replace("<", "&lt;").replace(">", "&gt;"), MAX_PART_CHARACTERS)


def _link(element: Json, text: str) -> str:
    url = string_at(element, "url")
    return f"<{url}|{text}>" if text else f"<{url}>"


def _date(element: Json, _text: str) -> str:
    stamp = element.get("timestamp")
    return f"<!date^{stamp}^{string_at(element, 'format')}|{string_at(element, 'fallback') or stamp}>"


_LEAVES: Mapping[str, Callable[[Json, str], str]] = MappingProxyType(
    {
        "link": _link,
        "user": lambda element, _: f"<@{string_at(element, 'user_id')}>",
        "channel": lambda element, _: f"<#{string_at(element, 'channel_id')}>",
        "usergroup": lambda element, _: f"<!subteam^{string_at(element, 'usergroup_id')}>",
        "broadcast": lambda element, _: f"<!{string_at(element, 'range')}>",
        "date": _date,
        "emoji": lambda element, _: f":{string_at(element, 'name')}:",
        "color": lambda element, _: string_at(element, "value"),
    }
)
