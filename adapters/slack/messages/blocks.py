"""A body as Slack's blocks and text. Pure.

Slack shows a markdown block's tables in place, with links and emphasis in their cells
(https://docs.slack.dev/reference/block-kit/blocks/markdown-block, "Tables: Renders as a formatted table"). So we make
no ``table`` blocks: a message may hold only one, and a final write for it would cost a permit and show nothing better.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from adapters.slack.messages.mrkdwn import cut_to_bytes, from_markdown
from adapters.slack.messages.tables import with_tables_as_text
from bot.markdown import utf16_units

# The markdown blocks of one message may hold 12,000 characters together
# (https://docs.slack.dev/reference/block-kit/blocks/markdown-block). Slack names no unit, and does not say whether it
# counts before or after its own escaping; 11,800 were seen to work (https://github.com/pymc-labs/daimon/pull/106).
MARKDOWN_LIMIT = 11_500

# The limit if a table converted to text needs more room: the 11,800 above.
_EXTENDED_LIMIT = 11_800

# `text` replaces the blocks in notifications and simple clients. An edit may have at most 4,000 characters, and other
# bots count bytes to be safe (https://github.com/openclaw/openclaw/pull/128613).
TEXT_BYTES = 3_000


def with_blocks(text: str, *, tables: int | None = None) -> dict[str, Any]:
    """Rendered markdown as the arguments of a write: one block, and a text without pings.

    `tables` limits the number of tables; further ones become text.
    """
    text = (
        with_tables_as_text(text, after=tables, limit=_EXTENDED_LIMIT, measure=utf16_units)
        if tables is not None
        else text
    )
    return {
        "text": cut_to_bytes(escape(text), TEXT_BYTES),
        "blocks": [{"type": "markdown", "text": text}],
    }


def without_blocks(text: str) -> dict[str, Any]:
    """The same without blocks; the empty list removes old ones."""
    return {"text": from_markdown(text), "blocks": []}
