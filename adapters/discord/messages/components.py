"""The stop button as message components. Presses arrive as `events.parse.StopRequested`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from bot.ports import Body, Controls

# Interaction response without a visible effect (callback type DEFERRED_UPDATE_MESSAGE,
# https://docs.discord.com/developers/interactions/receiving-and-responding).
ACKNOWLEDGED = MappingProxyType({"type": 6})

# Component types and the grey style (https://docs.discord.com/developers/components/reference).
_ROW, _BUTTON, _SECONDARY = 1, 2, 2

# The button's id: this prefix and the question's id. A press returns it, also for a message of an earlier process, and
# before our post is answered, when its message id is still unknown.
STOP_PREFIX = "stop:"


def components(body: Body, question: str) -> list[dict[str, Any]]:
    """All components of a message; an edit replaces them."""
    if not body.controls & Controls.STOP:
        return []
    button = {"type": _BUTTON, "style": _SECONDARY, "label": "Stop", "custom_id": f"{STOP_PREFIX}{question}"}
    return [{"type": _ROW, "components": [button]}]
