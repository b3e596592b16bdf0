"""The model's markdown for Slack, without pings, and back. Pure.

A ``markdown`` block takes standard markdown with tables, tasks and rules
(https://docs.slack.dev/reference/block-kit/blocks/markdown-block). Other constructs are rewritten in it: links by
reference, footnotes, entities, HTML. Slack's own syntax for pings works in any plain text: ``<!channel>``,
``<@U123>``, ``<!subteam^S1>``, ``<#C123>`` (https://docs.slack.dev/messaging/formatting-message-text). A zero-width
space after the ``<`` breaks it, in code as well, since clients may differ there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import override

from adapters.slack.messages.block_count import CHARACTERS_PER_BLOCK, max_blocks
from bot.markdown import Piece, Renderer, escape_markdown, single_line, utf16_units
from bot.markdown.emphasis import ZERO_WIDTH_SPACE, emphasis_padding, strip_emphasis_spaces
from bot.markdown.inline_rewrite import link_padding, rewrite_inline, slack_link_padding
from bot.markdown.normalise import normalise
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.tables import fenced_lines

# An invisible character inside the underscore of our own small print; models never write it, so it identifies the line
# when an answer is read back. Not before the underscore: an underscore between two such characters opens nothing.
NOTICE_MARK = "\u2063"

# Ids have capitals and digits only, so Java's ``List<@NonNull T>`` does not match.
_PING = re.compile(
    r"<(?=(?:@[UWB][A-Z0-9]+|#[CGD][A-Z0-9]+|!(?i:channel|here|everyone|group|subteam|date)\b)[^<>\n]*>)"
)
# The possible start of a ping in unfinished text: each may become a character longer.
_PING_START = re.compile(r"<[@#!]")
_DEFUSED = re.compile(rf"<{ZERO_WIDTH_SPACE}(?=[@#!])")
# The mark as an entity, since Slack may read entities; and at the start of a line of code, as Slack may see lines.
_MARK_ENTITY = re.compile(r"&(?:#0*8291|#[xX]0*2063|InvisibleComma|ic);")
_CODE_START = re.compile(rf"(?:\A|[\r\x0b\x0c\x85\u2028\u2029])[\s_>{NOTICE_MARK}]*{NOTICE_MARK}")
_ANGLES = str.maketrans("<>", "\u2039\u203a")
_NOTICE = re.compile(rf"^_?{NOTICE_MARK}.*$\n*", re.MULTILINE)  # Slack may have read the underscores already


@dataclass(frozen=True, slots=True)
class SlackMarkdown(Renderer):
    """For a ``markdown`` block.

    `expands`: Slack counts the blocks it makes of the text, so each takes at least `CHARACTERS_PER_BLOCK`.
    """

    expands: bool = False

    @override
    def render(self, piece: Piece) -> str:
        return escape_pings(without_marks(replace_placeholders(rewrite_inline(piece.closed()))))

    @override
    def padding(self, piece: Piece) -> int:
        # Called for each candidate cut.
        has_definitions = "]:" in piece.source
        links = link_padding(piece.closed()) if has_definitions else slack_link_padding(piece.source)
        added = (
            links
            + emphasis_padding(piece.continuation.header + piece.source)
            + len("image") * piece.source.count("![](")
            + len(_PING_START.findall(piece.source + piece.continuation.header))
        )
        # A line makes at most one block, so a text of long lines needs no count.
        if not self.expands or (piece.source.count("\n") + 1) * CHARACTERS_PER_BLOCK <= len(piece.source) // 2:
            return added
        return max(added, max_blocks(piece) * CHARACTERS_PER_BLOCK - utf16_units(piece.closed()))

    @override
    def notice(self, line: str) -> str:
        return f"_{NOTICE_MARK}{escape_pings(normalise(line))}_"

    @override
    def escape(self, text: str) -> str:
        """Replaces Slack's angle brackets, escaped or not."""
        return escape_markdown(single_line(text).translate(_ANGLES))


def without_marks(text: str) -> str:
    """A model's text without lines that look like our own small print.

    The invisible mark is removed; in a block of code only at the start of a line.
    """
    if NOTICE_MARK not in text and "&" not in text:
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    return "\n".join(
        _CODE_START.sub(_without_mark, line) if number in code else _MARK_ENTITY.sub("", line.replace(NOTICE_MARK, ""))
        for number, line in enumerate(lines)
    )


def _without_mark(found: re.Match[str]) -> str:
    return found.group().replace(NOTICE_MARK, "")


def escape_pings(text: str) -> str:
    """`text` without pings."""
    return _PING.sub(f"<{ZERO_WIDTH_SPACE}", text)


def strip_our_markup(rendered: str) -> str:
    """The model's words in one rendered message: without our own lines and the changes of `escape_pings`."""
    return strip_emphasis_spaces(_DEFUSED.sub("<", _NOTICE.sub("", rendered))).strip("\n")
