"""A body as Slack's blocks and text, and our own answer read back from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.slack.dialect import said_by_model
from adapters.slack.mrkdwn import cut_to_bytes, escaped, from_markdown, unescaped

# All markdown blocks of one message may hold 12,000 characters
# (https://docs.slack.dev/reference/block-kit/blocks/markdown-block). Slack does not say in which unit, nor whether
# before or after its own escaping; 11,800 were seen to work (https://github.com/pymc-labs/daimon/pull/106). Read by
# `channel`.
MARKDOWN_LIMIT = 11_500

# `text` stands for the blocks in notifications and for clients that show none. 4,000 characters are refused on an edit,
# and clients count bytes to be safe (https://github.com/openclaw/openclaw/pull/128613).
TEXT_BYTES = 3_000


def with_blocks(text: str) -> dict[str, Any]:
    """`text`, rendered markdown, as the arguments of a write: one block, and a text that cannot ping."""
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
    found = [words for block in _list(message.get("blocks")) if (words := _words(block)).strip()]
    if found:
        return said_by_model("\n\n".join(found))
    return said_by_model(unescaped(_text(message.get("text"))))


def _words(block: Any) -> str:  # noqa: ANN401 (what the wire holds)
    if not isinstance(block, dict):
        return ""
    if block.get("type") == "markdown":
        return _text(block.get("text"))
    if block.get("type") == "section" and isinstance(block.get("text"), dict):
        return unescaped(_text(block["text"].get("text")))
    if block.get("type") == "rich_text":
        return "\n".join(_rich(element) for element in _list(block.get("elements")))
    return ""


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
