"""A body as Slack's blocks and text, and our own answer read back from them. Pure.

A markdown block's tables are shown as tables by Slack itself, where they stand, with the links and emphasis in their
cells (https://docs.slack.dev/reference/block-kit/blocks/markdown-block, "Tables: Renders as a formatted table"). So no
``table`` block is made here: a last write that turned one into another would cost a permit and show nothing better, and
of those a message may hold one. They are only read, since Slack may return them for what we wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.slack.messages.mrkdwn import cut_to_bytes, escaped, from_markdown, unescaped
from adapters.slack.messages.renderer import strip_our_markup
from adapters.slack.messages.tables import grid, with_tables_as_text
from bot.markdown import utf16_units

# All markdown blocks of one message may hold 12,000 characters
# (https://docs.slack.dev/reference/block-kit/blocks/markdown-block). Slack does not say in which unit, nor whether
# before or after its own escaping; 11,800 were seen to work (https://github.com/pymc-labs/daimon/pull/106). Read by
# `channel`.
MARKDOWN_LIMIT = 11_500

# What is added where a table becomes text goes up to here: the 11,800 above.
_LONGEST = 11_800

# `text` stands for the blocks in notifications and for clients that show none. 4,000 characters are refused on an edit,
# and clients count bytes to be safe (https://github.com/openclaw/openclaw/pull/128613).
TEXT_BYTES = 3_000


def with_blocks(text: str, *, tables: int | None = None) -> dict[str, Any]:
    """`text`, rendered markdown, as the arguments of a write: one block, and a text that cannot ping.

    `tables` is how many stay tables, where not all do; the others are shown as text.
    """
    text = with_tables_as_text(text, after=tables, limit=_LONGEST, measure=utf16_units) if tables is not None else text
    return {
        "text": cut_to_bytes(escaped(text), TEXT_BYTES),
        "blocks": [{"type": "markdown", "text": text}],
    }


def without_blocks(text: str) -> dict[str, Any]:
    """The same where blocks are refused; the empty list takes old blocks away."""
    return {"text": from_markdown(text), "blocks": []}


def own_answer(message: Mapping[str, Any]) -> str:
    """What the model had said, from one of our messages as Slack returns it: from the blocks, whole.

    Slack may return a markdown block as the ``rich_text`` that it made of it; its words are taken then.
    """
    attached = [block for each in _list(message.get("attachments")) for block in _tables(each)]
    blocks = [*_list(message.get("blocks")), *attached]
    found = [words for block in blocks if (words := _words(block)).strip()]
    if found:
        return strip_our_markup("\n\n".join(found))
    return strip_our_markup(unescaped(_text(message.get("text"))))


def _words(block: Any) -> str:  # noqa: ANN401 (what the wire holds)
    if not isinstance(block, dict):
        return ""
    match block.get("type"):
        case "markdown":
            return _text(block.get("text"))
        case "section":
            return unescaped(_inner_text(block))
        case "header":
            return f"## {_inner_text(block)}"
        case "rich_text":
            return "\n".join(_rich(element) for element in _list(block.get("elements")))
    return {"divider": "---", "table": _table(block)}.get(_text(block.get("type")), "")


def _inner_text(block: Mapping[str, Any]) -> str:
    inner = block.get("text")
    return _text(inner.get("text")) if isinstance(inner, dict) else ""


def _table(block: Mapping[str, Any]) -> str:
    rows = [[_cell(cell) for cell in _list(row)] for row in _list(block.get("rows"))]
    columns = _list(block.get("column_settings"))
    return grid(rows, [_text(each.get("align")) if isinstance(each, dict) else "" for each in columns])


def _cell(cell: Any) -> str:  # noqa: ANN401 (what the wire holds)
    """A cell of a table block: ``raw_text`` or ``rich_text``."""
    return _text(cell.get("text")) or _words(cell) if isinstance(cell, dict) else ""


def _tables(attachment: Any) -> list[Any]:  # noqa: ANN401 (what the wire holds)
    """The tables in an attachment: Slack has kept a message's table there."""
    blocks = _list(attachment.get("blocks")) if isinstance(attachment, dict) else []
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == "table"]


def _rich(element: Any) -> str:  # noqa: ANN401 (what the wire holds)
    return _rich_object(element) if isinstance(element, dict) else ""


def _rich_object(element: Mapping[str, Any]) -> str:
    inner = _list(element.get("elements"))
    match element.get("type"):
        case "rich_text_list":
            return "\n".join(f"- {_rich(item)}" for item in inner)
        case "rich_text_preformatted":
            return "```\n" + "".join(_rich(item) for item in inner) + "\n```"
        case "rich_text_quote":
            return "> " + "".join(_rich(item) for item in inner).replace("\n", "\n> ")
        case "link":
            return _text(element.get("text")) or _text(element.get("url"))
        case "emoji":
            return f":{_text(element.get('name'))}:"
    return "".join(_rich(item) for item in inner) if inner else _text(element.get("text"))


def _list(value: Any) -> list[Any]:  # noqa: ANN401 (what the wire holds)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:  # noqa: ANN401 (what the wire holds)
    return value if isinstance(value, str) else ""
