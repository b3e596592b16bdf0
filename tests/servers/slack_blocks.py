"""What Slack makes of a markdown block before it counts blocks, as far as it is known.

What belongs here: the expansion, by a CommonMark parser of its own, so that it shares no rule with the program. What
does not: what is refused (`tests.servers.slack`).
"""

from __future__ import annotations

from itertools import groupby
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
