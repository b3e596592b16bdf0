"""Our own posted answer, read back as the model's markdown. Pure."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import unescape

from adapters.shared.json_fields import Json, as_list, as_object, list_field, object_field, string_field
from adapters.slack.messages.renderer import strip_our_markup
from adapters.slack.messages.tables import grid


def own_answer(message: Json) -> str:
    """The model's words in one of our messages, from its blocks.

    Slack may return a markdown block as the ``rich_text`` it made of it; then its words are taken.
    """
    attached = [block for each in list_field(message, "attachments") for block in _tables(as_object(each))]
    blocks = [as_object(block) for block in (*list_field(message, "blocks"), *attached)]
    found = [words for block in blocks if (words := _words(block)).strip()]
    if found:
        return strip_our_markup("\n\n".join(found))
    return strip_our_markup(unescape(string_field(message, "text")))


def _words(block: Json) -> str:
    match block.get("type"):
        case "markdown":
            return string_field(block, "text")
        case "section":
            return unescape(_inner_text(block))
        case "header":
            return f"## {_inner_text(block)}"
        case "rich_text":
            return "\n".join(_rich_text(as_object(element)) for element in list_field(block, "elements"))
    return {"divider": "---", "table": _table(block)}.get(string_field(block, "type"), "")


def _inner_text(block: Json) -> str:
    return string_field(object_field(block, "text"), "text")


def _table(block: Json) -> str:
    rows = [[_cell(cell) for cell in as_list(row)] for row in list_field(block, "rows")]
    return grid(rows, [string_field(as_object(each), "align") for each in list_field(block, "column_settings")])


def _cell(cell: Any) -> str:  # noqa: ANN401 (JSON of any shape)
    """A cell of a table block: ``raw_text`` or ``rich_text``."""
    return string_field(as_object(cell), "text") or _words(as_object(cell))


def _tables(attachment: Json) -> list[Json]:
    """Tables in an attachment: Slack has stored a message's table there."""
    return [block for block in map(as_object, list_field(attachment, "blocks")) if block.get("type") == "table"]


def _rich_text(element: Json) -> str:
    inner = [_rich_text(as_object(each)) for each in list_field(element, "elements")]
    match element.get("type"):
        case "rich_text_list":
            return "\n".join(f"- {item}" for item in inner)
        case "rich_text_preformatted":
            return "```\n" + "".join(inner) + "\n```"
        case "rich_text_quote":
            return "> " + "".join(inner).replace("\n", "\n> ")
        case "link":
            return string_field(element, "text") or string_field(element, "url")
        case "emoji":
            return f":{string_field(element, 'name')}:"
    return "".join(inner) if inner else string_field(element, "text")
