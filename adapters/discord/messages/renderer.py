"""Discord's markdown: how a piece of an answer, and a line of our own, are written for it.

Discord reads less than CommonMark (https://support.discord.com/hc/en-us/articles/210298617): three levels of headings
that begin with ``#``, no tables, no rules, no images, no footnotes, no links by reference; HTML is shown as text, which
is harmless. What it would show as syntax becomes what it can show. It works on whole lines (`rewrite_spans` on
their content), so that what was written for a line stays as the answer grows; only a table's columns move with its
rows, and a link by reference becomes one when its address comes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from adapters.discord.messages.inline_renderer import DISCORD, room_for_marks
from bot.markdown import Piece, escape_markdown, single_line, utf16_units
from bot.markdown.emphasis import strip_emphasis_spaces
from bot.markdown.inline_rewrite import LinkTargets, link_definitions, link_padding, rewrite_line, rewrite_spans
from bot.markdown.normalise import normalise
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.plain_blocks import block_padding, is_empty_quote, simplify_fences, simplify_quote
from bot.markdown.small_print import escape_small_print, small_print_padding
from bot.markdown.table_text import max_text_length, table_as_text
from bot.markdown.tables import Table, fenced_lines, find_tables, may_have_fences

# UTF-16 units in one message's text (https://docs.discord.com/developers/resources/message#create-message).
MESSAGE_LIMIT = 2000

# What Discord shows as small print (https://support.discord.com/hc/en-us/articles/210298617). Only our own lines begin
# with it at the end of a message: `history` leaves them out again.
SMALL_PRINT = "-# "

# What stands for a rule.
_RULE_LINE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 12

_DEEP_HEADING = re.compile(r"([ \t>]*)#{4,6}[ \t]+(?:#{1,6}[ \t]+)*(.+?)[ \t]*#*[ \t]*")
_CLOSED_HEADING = re.compile(r"([ \t>]*#{1,3}[ \t]+.*?)(?:[ \t]+#+)+[ \t]*")
_RULE = re.compile(r"[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})")
_UNDERLINE = re.compile(r"[ ]{0,3}(={2,}|-{2,})[ \t]*")
_PLAIN_LINE = re.compile(r"(?![ \t]*(?:[-*+>|#]|\d{1,9}[.)]|```|~~~)|[ ]{4}|\t)[ ]{0,3}(\S.*)")
_TASK = re.compile(r"^([ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+)\[([ xX])\](?=[ \t])")
_BULLET = re.compile(r"^([ \t>]*)(?:\+|(\d{1,9})\))(?=[ \t])")

# A line that may be shown as a rule, once it has its end.
_MAY_BE_RULE = re.compile(r"\n[ ]{0,3}[-*_][-*_ \t]*(?=\n)")


class DiscordMarkdown:
    """Discord reads most of CommonMark as it comes; mentions are kept from pinging by what goes along with a write."""

    def render(self, piece: Piece) -> str:
        """See `Renderer`."""
        return escape_small_print(rendered(piece.closed()))

    def padding(self, piece: Piece) -> int:
        """See `Renderer`."""
        text = piece.closed()
        more = small_print_padding(text)
        more += len(_RULE_LINE) * len(_MAY_BE_RULE.findall(f"\n{text}")) + len("image") * text.count("![](")
        more += link_padding(text) + _room(text)
        if "|" not in text:
            return more
        lines = text.split("\n")
        for table in find_tables(lines):
            written = utf16_units("\n".join(lines[table.line : table.line + table.lines]))
            more += max(max_text_length(table) - written, 0)
        return more

    def notice(self, line: str) -> str:
        """See `Renderer`."""
        return SMALL_PRINT + normalise(line)

    def escape(self, text: str) -> str:
        """See `Renderer`."""
        return escape_markdown(single_line(text))


def _room(text: str) -> int:
    """At most how much longer marks, quotes and blocks of code become."""
    has_code = may_have_fences(text)
    if not has_code and ">" not in text:
        return room_for_marks(text)
    lines = text.split("\n")
    code = fenced_lines(lines) if has_code else frozenset()
    words = "\n".join("" if number in code else line for number, line in enumerate(lines)) if code else text
    return room_for_marks(words) + block_padding(text, lines, code)


def rendered(text: str) -> str:
    """Markdown as Discord shows it."""
    lines = text.split("\n")
    found = {table.line: table for table in find_tables(lines)} if "|" in text else {}
    code = fenced_lines(lines) if may_have_fences(text) else frozenset()
    blocks = simplify_fences(lines, code) if code else {}
    links, hidden = link_definitions(lines, code)
    out: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if number in hidden:
            pass
        elif number in code:
            out.append(blocks[number])
        elif number in found:
            out.append(_table(found[number], links))
            number += found[number].lines - 1
        elif underline := _underline_of(lines, number, code):
            out.extend(_line(f"{'#' * underline} {line.strip()}", links, last=False))
            number += 1
        elif is_empty_quote(line) and not _goes_on_quoted(lines, number):
            pass
        else:
            out.extend(_line(simplify_quote(line), links, last=number == len(lines) - 1))
        number += 1
    return replace_placeholders("\n".join(out).rstrip().lstrip("\n"))


def _goes_on_quoted(lines: Sequence[str], number: int) -> bool:
    """Whether the line after one is of a quote that shows something."""
    return any(not is_empty_quote(line) for line in itertools.takewhile(_is_quoted, lines[number + 1 :]))


def _is_quoted(line: str) -> bool:
    return line.lstrip(" ").startswith(">")


def _table(table: Table, links: LinkTargets) -> str:
    text = table_as_text(replace(table, prefix="> ") if len(table.prefix) > 1 else table)
    if text.startswith(("```", ">```", "> ```")):
        return text
    return "\n".join(rewrite_spans(line, links, DISCORD) for line in text.split("\n"))


def _underline_of(lines: Sequence[str], number: int, code: frozenset[int]) -> int:
    """The level of the heading that a line is by the line under it; 0 if it is none.

    Only a paragraph of one line is taken for one: of a longer one, nobody knows which line is meant.
    """
    alone = number == 0 or not lines[number - 1].strip() or number - 1 in code
    if not alone or number + 1 >= len(lines) or not _PLAIN_LINE.fullmatch(lines[number]):
        return 0
    below = _UNDERLINE.fullmatch(lines[number + 1])
    return 0 if below is None else (1 if below.group(1)[0] == "=" else 2)


def _line(line: str, links: LinkTargets, *, last: bool) -> Iterator[str]:
    """A line that is not code, as Discord shows it; a rule at the end of a message parts it from nothing."""
    if _RULE.fullmatch(line):
        if not last:
            yield _RULE_LINE
        return
    if deep := _DEEP_HEADING.fullmatch(line):
        words = rewrite_spans(deep.group(2), links, DISCORD)
        yield deep.group(1) + (words if "**" in words else f"**{words}**")
        return
    if closed := _CLOSED_HEADING.fullmatch(line):
        line = closed.group(1)
    if (len(line) - len(line.rstrip("\\"))) % 2:  # breaks the line, as the line break after it does here
        line = line[:-1]
    # Discord's items begin with a dash, an asterisk, or a number and a dot.
    line = _BULLET.sub(lambda item: f"{item.group(1)}{item.group(2)}." if item.group(2) else f"{item.group(1)}-", line)
    line = _TASK.sub(lambda task: task.group(1) + ("☐" if task.group(2) == " " else "☑"), line)
    shown = rewrite_line(line, links, DISCORD)
    if shown is not None:
        yield shown.replace("\n", "\n> ") if line.startswith("> ") else shown  # a break in a quote does not end it


def without_small_print(text: str) -> str:
    """An earlier message of ours without the lines of our own at its end: the model's words only."""
    lines = text.rstrip().split("\n")
    while lines and (lines[-1].startswith(SMALL_PRINT) or not lines[-1].strip()):
        lines.pop()
    return strip_emphasis_spaces("\n".join(lines))
