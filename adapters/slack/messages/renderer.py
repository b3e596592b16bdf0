"""Slack's way of reading markdown: what the model wrote, made harmless, and back again.

A ``markdown`` block takes standard markdown, its tables, tasks and rules too, as it comes
(https://docs.slack.dev/reference/block-kit/blocks/markdown-block); what its list does not have is written with what it
has: links by reference, footnotes, entities, HTML. What must not come through is Slack's own syntax for
pings, which works in plain text anywhere: ``<!channel>``, ``<@U123>``, ``<!subteam^S1>``, ``<#C123>``
(https://docs.slack.dev/messaging/formatting-message-text). A zero-width space after the ``<`` ends it, in code as well,
where nobody can say for sure what a client does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.slack.messages.block_count import CHARACTERS, blocks_of
from bot.markdown import Piece, escape_markdown, single_line, utf16_units
from bot.markdown.emphasis import ZERO_WIDTH_SPACE, emphasis_padding, strip_emphasis_spaces
from bot.markdown.inline_rewrite import link_padding, rewrite_inline, slack_link_padding
from bot.markdown.normalise import normalise
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.tables import fenced_lines

# Stands inside the underscore of our own small print, where no reader sees it and no model writes it, so that the line
# is known as ours when an answer is read back. Not before it: an underscore between two such characters opens nothing.
NOTICE_MARK = "\u2063"

# Ids are capitals and digits, so that Java's ``List<@NonNull T>`` is left alone.
_PING = re.compile(
    r"<(?=(?:@[UWB][A-Z0-9]+|#[CGD][A-Z0-9]+|!(?i:channel|here|everyone|group|subteam|date)\b)[^<>\n]*>)"
)
# Where one could begin, for as long as it is not known: each may become a character longer.
_PING_START = re.compile(r"<[@#!]")
_DEFUSED = re.compile(rf"<{ZERO_WIDTH_SPACE}(?=[@#!])")
# The mark by its entities, which Slack may read; and at the beginning of a line of code, or where Slack may see one.
_MARK_ENTITY = re.compile(r"&(?:#0*8291|#[xX]0*2063|InvisibleComma|ic);")
_CODE_START = re.compile(rf"(?:\A|[\r\x0b\x0c\x85\u2028\u2029])[\s_>{NOTICE_MARK}]*{NOTICE_MARK}")
_ANGLES = str.maketrans("<>", "\u2039\u203a")
_NOTICE = re.compile(rf"^_?{NOTICE_MARK}.*$\n*", re.MULTILINE)  # Slack may have read the underscores already


@dataclass(frozen=True, slots=True)
class SlackMarkdown:
    """For a ``markdown`` block.

    `expands` says that Slack counts the blocks that it makes of it; each then takes `CHARACTERS` at the least.
    """

    expands: bool = False

    def render(self, piece: Piece) -> str:
        """See `bot.markdown.Renderer`."""
        return escape_pings(without_marks(replace_placeholders(rewrite_inline(piece.closed()))))

    def padding(self, piece: Piece) -> int:
        """See `bot.markdown.Renderer`."""
        # Asked at every look for a cut.
        has_definitions = "]:" in piece.source
        links = link_padding(piece.closed()) if has_definitions else slack_link_padding(piece.source)
        added = (
            links
            + emphasis_padding(piece.continuation.header + piece.source)
            + len("image") * piece.source.count("![](")
            + len(_PING_START.findall(piece.source + piece.continuation.header))
        )
        # No line is more than one block, so a text of long lines need not be looked at.
        if not self.expands or (piece.source.count("\n") + 1) * CHARACTERS <= len(piece.source) // 2:
            return added
        return max(added, blocks_of(piece) * CHARACTERS - utf16_units(piece.closed()))

    def notice(self, line: str) -> str:
        """See `bot.markdown.Renderer`."""
        return f"_{NOTICE_MARK}{escape_pings(normalise(line))}_"

    def escape(self, text: str) -> str:
        """See `bot.markdown.Renderer`. Slack's angle brackets are removed, escaped or not."""
        return escape_markdown(single_line(text).translate(_ANGLES))


def without_marks(text: str) -> str:
    """A model's text, in which no line can be taken for one of ours.

    The mark shows nothing, so it is left out; in a block of code it stays wherever it does not begin a line.
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
    """`text`, in which nothing pings."""
    return _PING.sub(f"<{ZERO_WIDTH_SPACE}", text)


def strip_our_markup(rendered: str) -> str:
    """The model's text of one rendered message: without our own lines, and as it was before `escape_pings`."""
    return strip_emphasis_spaces(_DEFUSED.sub("<", _NOTICE.sub("", rendered))).strip("\n")
