"""Notices as private messages, with buttons and a file. Pure.

https://docs.discord.com/developers/components/reference#button: five buttons per row, five rows; an id and a label
have a greatest length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.discord.messages.components import button, row
from adapters.discord.messages.payloads import PINGS_NOBODY
from adapters.discord.messages.renderer import MESSAGE_LIMIT, DiscordMarkdown
from bot.interactions.values import Action, Notice
from bot.markdown import Piece, Splitter, utf16_units

# The id of a notice's button: one of these and the action's id. A button to be confirmed asks its question first.
ACTION_PREFIX, CONFIRM_PREFIX = "act:", "sure:"

# Message flag: only one person sees it (https://docs.discord.com/developers/resources/message, message flags).
EPHEMERAL = 1 << 6

# Greatest numbers and lengths, in characters.
_BUTTONS_PER_ROW, _ROWS = 5, 5
_ID_LENGTH = 100

# Messages for one notice. Without the app in the server, Discord takes five follow-ups
# (https://docs.discord.com/developers/interactions/receiving-and-responding#followup-messages).
MAX_MESSAGES = 5

MARKDOWN = DiscordMarkdown()


def notice_messages(notice: Notice) -> list[dict[str, Any]]:
    """The messages of a notice, in order; the last has its buttons. Empty for an empty notice."""
    texts = _split(notice.text)[:MAX_MESSAGES]
    if not texts and not notice.actions and notice.file is None:
        return []
    messages = [private_message(text) for text in texts or [""]]
    messages[-1] |= {"components": buttons(notice.actions)}
    return messages


def is_cut(text: str) -> bool:
    """Whether a notice's text has no room in its messages."""
    return len(text) > MESSAGE_LIMIT and len(_split(text)) > MAX_MESSAGES


def private_message(text: str, rows: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A message for one person alone, without pings."""
    shown = {"content": text} if text else {}
    return {**shown, "flags": EPHEMERAL, "allowed_mentions": PINGS_NOBODY.to_dict(), "components": list(rows)}


def buttons(actions: Sequence[Action]) -> list[dict[str, Any]]:
    """Rows of buttons. One whose id is too long is left out, like those beyond Discord's number."""
    made = [
        button(f"{CONFIRM_PREFIX if action.confirm else ACTION_PREFIX}{action.id}", action.label, danger=action.danger)
        for action in actions
    ]
    by_id = {one["custom_id"]: one for one in made if len(one["custom_id"]) <= _ID_LENGTH}
    kept = list(by_id.values())[: _BUTTONS_PER_ROW * _ROWS]
    return [row(kept[first : first + _BUTTONS_PER_ROW]) for first in range(0, len(kept), _BUTTONS_PER_ROW)]


def open_button(custom_id: str, label: str) -> list[dict[str, Any]]:
    """A row with one button."""
    return [row([button(custom_id, label)])]


def _split(text: str) -> list[str]:
    """Markdown as texts of at most Discord's length."""
    splitter = Splitter(_size, MESSAGE_LIMIT)
    splitter.feed(text)
    rendered = [MARKDOWN.render(piece) for piece in splitter.pieces()]
    return [one for one in rendered if one.strip()]


def _size(piece: Piece) -> int:
    return utf16_units(piece.closed()) + MARKDOWN.padding(piece)
