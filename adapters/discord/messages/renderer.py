"""Render model output and notices as Discord's markdown.

Discord supports less than CommonMark (https://support.discord.com/hc/en-us/articles/210298617): three levels of
headings with ``#``, but no tables, rules, images, footnotes or reference links; HTML is shown as harmless text.
Unsupported syntax is replaced by supported syntax. It works on whole lines (`rewrite_spans` on their content), so that
a rendered line stays the same as the answer grows. Only a table's columns move with its rows, and a reference link
becomes a link once its address arrives.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from typing_extensions import override

from adapters.discord.messages.inline_renderer import DISCORD, mark_padding
from bot.markdown import Piece, Renderer, escape_markdown, single_line, utf16_units
from bot.markdown.emphasis import strip_emphasis_spaces
from bot.markdown.inline_rewrite import LinkTargets, link_definitions, link_padding, rewrite_line, rewrite_spans
from bot.markdown.normalise import normalise
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.plain_blocks import block_padding, is_empty_quote, simplify_fences, simplify_quote
from bot.markdown.small_print import escape_small_print, small_print_padding
from bot.markdown.table_text import max_text_length, table_as_text
from bot.markdown.tables import Table, fenced_lines, find_tables, may_have_fences

# UTF-16 units per message (https://docs.discord.com/developers/resources/message#create-message).
MESSAGE_LIMIT = 2000

# Discord's small print (https://support.discord.com/hc/en-us/articles/210298617). Only our own lines start with it at
# the end of a message, and `history` removes them.
SMALL_PRINT = "-# "

# Replacement of a rule.
_RULE_LINE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 12

_DEEP_HEADING = re.compile(r"([ \t>]*)#{4,6}[ \t]+(?:#{1,6}[ \t]+)*(.+?)[ \t]*#*[ \t]*")
_CLOSED_HEADING = re.compile(r"([ \t>]*#{1,3}[ \t]+.*?)(?:[ \t]+#+)+[ \t]*")
_RULE = re.compile(r"[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})")
_UNDERLINE = re.compile(r"[ ]{0,3}(={2,}|-{2,})[ \t]*")
_PLAIN_LINE = re.compile(r"(?![ \t]*(?:[-*+>|#]|\d{1,9}[.)]|```|~~~)|[ ]{4}|\t)[ ]{0,3}(\S.*)")
_TASK = re.compile(r"^([ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+)\[([ xX])\](?=[ \t])")
_BULLET = re.compile(r"^([ \t>]*)(?:\+|(\d{1,9})\))(?=[ \t])")

# A line that may become a rule with its line break.
_MAY_BE_RULE = re.compile(r"\n[ ]{0,3}[-*_][-*_ \t]*(?=\n)")


class DiscordMarkdown(Renderer):
    """Most of CommonMark passes unchanged. Each write disables pings itself (`allowed_mentions`)."""

    @override
    def render(self, piece: Piece) -> str:
        return escape_small_print(render_markdown(piece.closed()))

    @override
    def padding(self, piece: Piece) -> int:
        text = piece.closed()
        added = small_print_padding(text)
        added += len(_RULE_LINE) * len(_MAY_BE_RULE.findall(f"\n{text}")) + len("image") * text.count("![](")
        added += link_padding(text) + _padding(text)
        if "|" not in text:
            return added
        lines = text.split("\n")
        for table in find_tables(lines):
            written = utf16_units("\n".join(lines[table.line : table.line + table.lines]))
            added += max(max_text_length(table) - written, 0)
        return added

    @override
    def notice(self, line: str) -> str:
        return SMALL_PRINT + normalise(line)

    @override
    def escape(self, text: str) -> str:
        return escape_markdown(single_line(text))


def _padding(text: str) -> int:
    """Upper bound of characters added by marks, quotes and code blocks."""
    has_code = may_have_fences(text)
    if not has_code and ">" not in text:
        return mark_padding(text)
    lines = text.split("\n")
    code = fenced_lines(lines) if has_code else frozenset()
    words = "\n".join("" if number in code else line for number, line in enumerate(lines)) if code else text
    return mark_padding(words) + block_padding(text, lines, code)


def render_markdown(text: str) -> str:
    """CommonMark as Discord's markdown."""
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
        elif level := _setext_level(lines, number, code):
            out.extend(_line(f"{'#' * level} {line.strip()}", links, last=False))
            number += 1
        elif is_empty_quote(line) and not _quote_continues(lines, number):
            pass
        else:
            out.extend(_line(simplify_quote(line), links, last=number == len(lines) - 1))
        number += 1
    return replace_placeholders("\n".join(out).rstrip().lstrip("\n"))


def _quote_continues(lines: Sequence[str], number: int) -> bool:
    """Whether the next line belongs to a quote with content."""
    return any(not is_empty_quote(line) for line in itertools.takewhile(_is_quoted, lines[number + 1 :]))


def _is_quoted(line: str) -> bool:
    return line.lstrip(" ").startswith(">")


def _table(table: Table, links: LinkTargets) -> str:
    text = table_as_text(replace(table, prefix="> ") if len(table.prefix) > 1 else table)
    if text.startswith(("```", ">```", "> ```")):
        return text
    return "\n".join(rewrite_spans(line, links, DISCORD) for line in text.split("\n"))


def _setext_level(lines: Sequence[str], number: int, code: frozenset[int]) -> int:
    """The level of a setext heading, from the line below; 0 if it is none.

    Only a paragraph of one line counts: in a longer one, the intended line is ambiguous.
    """
    alone = number == 0 or not lines[number - 1].strip() or number - 1 in code
    if not alone or number + 1 >= len(lines) or not _PLAIN_LINE.fullmatch(lines[number]):
        return 0
    below = _UNDERLINE.fullmatch(lines[number + 1])
    return 0 if below is None else (1 if below.group(1)[0] == "=" else 2)


def _line(line: str, links: LinkTargets, *, last: bool) -> Iterator[str]:
    """A line outside code. A rule at the end of a message is dropped: no text follows it."""
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
    if (len(line) - len(line.rstrip("\\"))) % 2:  # a hard line break; Discord breaks at the newline anyway
        line = line[:-1]
    # Discord's list items begin with a dash, an asterisk, or a number and a dot.
    line = _BULLET.sub(lambda item: f"{item.group(1)}{item.group(2)}." if item.group(2) else f"{item.group(1)}-", line)
    line = _TASK.sub(lambda task: task.group(1) + ("☐" if task.group(2) == " " else "☑"), line)
    shown = rewrite_line(line, links, DISCORD)
    if shown is not None:
        yield shown.replace("\n", "\n> ") if line.startswith("> ") else shown  # continue the quote after the line break


def without_small_print(text: str) -> str:
    """The model's text in an earlier message of ours, without our lines at its end."""
    lines = text.rstrip().split("\n")
    while lines and (lines[-1].startswith(SMALL_PRINT) or not lines[-1].strip()):
        lines.pop()
    return strip_emphasis_spaces("\n".join(lines))
