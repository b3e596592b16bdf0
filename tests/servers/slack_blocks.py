"""What Slack makes of a markdown block before it counts blocks, as far as it is known; and which blocks it refuses.

What belongs here: the expansion, by a CommonMark parser of its own, so that it shares no rule with the program; and the
rules of blocks and views. What does not: what is refused for another reason (`tests.servers.slack`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

from markdown_it import MarkdownIt

_PARSER: Final = MarkdownIt("commonmark").enable("table").enable("strikethrough")

# Top-level elements that join into one block where they stand side by side.
_JOINED: Final = frozenset({"paragraph_open", "html_block"})


def expanded(blocks: list[dict[str, Any]]) -> int:
    """How many blocks a message has once its markdown blocks are expanded."""
    return sum(_count(str(block["text"])) if block.get("type") == "markdown" else 1 for block in blocks)


def _count(text: str) -> int:
    kinds = [token.type for token in _PARSER.parse(text) if token.level == 0 and token.nesting >= 0]
    named = ("text" if kind in _JOINED else kind for kind in kinds)
    return sum(1 if kind == "text" else len(list(run)) for kind, run in groupby(named))


# ---------------------------------------------------------------------------------------------------------- validation

# Blocks of each surface (https://docs.slack.dev/reference/block-kit/blocks): forms and the Home take no markdown.
_EVERYWHERE: Final = frozenset({"section", "divider", "image", "actions", "context", "header", "input", "rich_text"})
MESSAGE_BLOCKS: Final = _EVERYWHERE | {"markdown", "table", "context_actions", "file", "video"}
VIEW_BLOCKS: Final = _EVERYWHERE | {"video"}
# All texts of a message together (https://github.com/slackapi/bolt-js/issues/2509).
_LONGEST_MESSAGE: Final = 13_200


class Refused(Exception):
    """A call is answered ``{"ok": false, "error": ...}``."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


def check_blocks(blocks: list[dict[str, Any]], known: frozenset[str], *, explains: bool = True) -> None:
    """Refuse blocks as Slack does: unknown types, repeated ids, texts of a wrong length.

    `explains`: the answer names the fault, as Slack's usually does.
    """
    ids: set[str] = set()
    for index, block in enumerate(blocks):
        fault = _fault(block, known, ids)
        if fault:
            messages = [f"[ERROR] {fault} [json-pointer:/blocks/{index}]"] if explains else []
            raise Refused("invalid_blocks", response_metadata={"messages": messages})
    if "markdown" in known and _characters(blocks) > _LONGEST_MESSAGE:
        raise Refused("msg_blocks_too_long")


def _characters(value: object) -> int:
    if isinstance(value, dict):
        return sum(_characters(each) for name, each in value.items() if name not in ("type", "block_id", "action_id"))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0


def _fault(block: dict[str, Any], known: frozenset[str], ids: set[str]) -> str:
    kind, block_id = block.get("type"), block.get("block_id")
    if kind not in known:
        return f"unsupported type: {kind}"
    if block_id is not None and (not 0 < len(block_id) <= 255 or block_id in ids):
        return "invalid block_id"
    ids.add(block_id or "")
    ids.discard("")
    check = _BLOCK_CHECKS.get(str(kind))
    return check(block) if check is not None else ""


def _elements_fault(block: dict[str, Any], most: int, known: set[str]) -> str:
    elements = block.get("elements") or []
    if not 1 <= len(elements) <= most:
        return f"no more than {most} items allowed" if elements else "must have at least 1 items"
    actions = [each.get("action_id") for each in elements if "action_id" in each]
    if len(set(actions)) < len(actions) or not all(0 < len(each) <= 255 for each in actions):
        return "action_id is not unique"
    return next((fault for each in elements if (fault := _element_fault(each, known))), "")


def _element_fault(element: dict[str, Any], known: set[str]) -> str:
    kind = element.get("type")
    if kind not in known | {"static_select"}:
        return f"unsupported element: {kind}"
    match kind:
        case "button":
            return _button_fault(element, 75) or _confirm_fault(element.get("confirm"))
        case "feedback_buttons":
            return _button_fault(element["positive_button"], 75) or _button_fault(element["negative_button"], 75)
        case "static_select":
            return _menu_fault(element)
        case "plain_text_input":
            longest = element.get("max_length", 3_000)
            return "" if len(element.get("initial_value", "")) <= longest <= 3_000 else "invalid max_length"
    return ""


def _button_fault(button: dict[str, Any], longest: int) -> str:
    hint = button.get("accessibility_label", "-")
    if not 0 < len(hint) <= 75 or len(button.get("value", "")) > 2_000:
        return "must be less than 2001 characters"
    if button.get("style", "danger") not in ("primary", "danger"):
        return "invalid style"
    return _text_fault(button.get("text"), longest, plain=True)


def _confirm_fault(confirm: dict[str, Any] | None) -> str:
    lengths = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
    faults = [_text_fault((confirm or {}).get(name), longest) for name, longest in lengths.items()]
    return next(filter(None, faults), "") if confirm is not None else ""


def _menu_fault(menu: dict[str, Any]) -> str:
    options = menu.get("options") or []
    if not 1 <= len(options) <= 100:
        return "no more than 100 items allowed" if options else "must have at least 1 items"
    if not all(0 < len(each.get("value", "")) <= 150 for each in options):
        return "invalid value of an option"
    if menu.get("initial_option") is not None and menu["initial_option"] not in options:
        return "initial_option is not an option"
    texts = [_text_fault(each.get("text"), 75) for each in options]
    return next(filter(None, texts), "") or _text_fault(
        menu.get("placeholder", {"type": "plain_text", "text": "-"}), 150
    )


def _text_fault(text: object, longest: int, *, plain: bool = False) -> str:
    if not isinstance(text, dict) or text.get("type") not in ({"plain_text"} if plain else {"plain_text", "mrkdwn"}):
        return "missing or invalid text object"
    return "" if 0 < len(text.get("text", "")) <= longest else f"must be less than {longest + 1} characters"


_BLOCK_CHECKS: Final[Mapping[str, Callable[[dict[str, Any]], str]]] = MappingProxyType(
    {
        "section": lambda block: _text_fault(block.get("text"), 3_000) if "text" in block else "",
        "header": lambda block: _text_fault(block.get("text"), 150),
        "actions": lambda block: _elements_fault(block, 25, {"button", "static_select", "overflow"}),
        "context_actions": lambda block: _elements_fault(block, 5, {"feedback_buttons", "icon_button"}),
        "input": lambda block: (
            _text_fault(block.get("label"), 2_000) or _element_fault(block["element"], {"plain_text_input"})
        ),
    }
)


def check_view(view: dict[str, Any]) -> None:
    """Refuse a view as Slack does (https://docs.slack.dev/reference/views/modal-views)."""
    blocks = view.get("blocks") or []
    titles = [view[name] for name in ("title", "submit", "close") if name in view]
    lengths = len(view.get("private_metadata", "")) <= 3_000 and len(view.get("callback_id", "")) <= 255
    has_inputs = any(block.get("type") == "input" for block in blocks)
    is_modal = view.get("type") == "modal"
    if view.get("type") not in ("modal", "home") or (is_modal and "title" not in view) or not lengths:
        raise Refused("invalid_arguments")
    if any(_text_fault(title, 24, plain=True) for title in titles) or (
        is_modal and has_inputs and "submit" not in view
    ):
        raise Refused("invalid_arguments")
    if not len(blocks) <= 100:
        raise Refused("invalid_blocks", response_metadata={"messages": ["[ERROR] no more than 100 items allowed"]})
    check_blocks(blocks, VIEW_BLOCKS)
