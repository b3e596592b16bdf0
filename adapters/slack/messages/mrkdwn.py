"""Markdown as mrkdwn, Slack's own text format, for messages without blocks. Pure.

https://docs.slack.dev/messaging/formatting-message-text. `events.mentions` reads the format.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from xml.sax.saxutils import escape

from adapters.slack.messages.tables import with_tables_as_text
from bot.markdown.delimiter_runs import MarkPair
from bot.markdown.emphasis import ZERO_WIDTH_SPACE, Edit, apply_edits, strip_emphasis_spaces
from bot.markdown.inline_parser import InlineParse, parse_inline
from bot.markdown.plain_blocks import simplify_blocks

# chat.update refuses a `text` of more than 4,000 characters (msg_too_long), counted after escaping.
TEXT_LIMIT = 4000

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_UNDERLINED = re.compile(r"(?:\A|(?<=\n\n))([^\s>#*+|\-\d][^\n]*)\n[ ]{0,3}(?:={2,}|-{2,})[ \t]*$", re.MULTILINE)
_MARKS = re.compile(r"[*_~]")
_MARKED_TEXT = re.compile(r"\[[^\[\]]*[*_~][^\[\]]*\]")
_RULE = re.compile(r"^[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$", re.MULTILINE)
_TASK = re.compile(r"^([ \t]*(?:\N{BULLET}|\d{1,9}[.)])[ \t]+)\[([ xX])\](?=[ \t])", re.MULTILINE)
_BULLET = re.compile(r"^([ \t]*)[-*+](?=[ \t])", re.MULTILINE)
# An address has brackets in pairs only; it may stand between angle brackets (escaped by then), and have a title. The
# removed and the moved parts contain no code (`_CODE_PLACEHOLDER`).
_LINK = re.compile(
    r"!?\[([^\[\]\n]+)\]"
    r"\((?:&lt;)?(https?://(?:[^\s()<>&\0]|&amp;|\([^\s()<>\0]*\))+)(?:&gt;)?(?:[ \t]+\"[^\"\n\0]*\")?\)"
)
_AUTOLINK = re.compile(r"&lt;(https?://(?:[^\s<>&|]|&amp;)+)&gt;")
_MAIL = re.compile(r"&lt;([\w.+\-]+@[\w\-]+\.[\w.\-]+)&gt;")

# Placeholder for code while the text around it is converted; Slack accepts no NUL, so no text contains it.
_CODE_PLACEHOLDER = "\0"
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


def escaped_length(text: str) -> int:
    """Characters of `text`, escaped; within `TEXT_LIMIT`, `from_markdown` is too."""
    return len(escape(text))


def from_markdown(text: str) -> str:
    """Markdown as mrkdwn, escaped, for a message without blocks.

    The result fits into `TEXT_LIMIT` if the escaped text does; otherwise it is no longer than the escaped text.
    Converts the visible differences: headings, emphasis, items, links, tables. Code stays as it is.
    """
    text = text.replace(_CODE_PLACEHOLDER, "\N{REPLACEMENT CHARACTER}")
    text = with_tables_as_text(text, limit=TEXT_LIMIT, measure=escaped_length)
    plain = simplify_blocks(text)
    text = plain if escaped_length(plain) <= max(escaped_length(text), TEXT_LIMIT) else text
    parts = _CODE.split(text)
    code = [escape(part) for part in parts[1::2]]
    shown = _joined(_inline(_CODE_PLACEHOLDER.join(parts[::2]), apart=True), code)
    return (
        shown if len(shown) <= TEXT_LIMIT else _joined(_inline(_CODE_PLACEHOLDER.join(parts[::2]), apart=False), code)
    )


def _joined(words: str, code: Sequence[str]) -> str:
    """`words` with the code in place of its placeholders."""
    return "".join(part for pair in zip_longest(words.split(_CODE_PLACEHOLDER), code, fillvalue="") for part in pair)


def _inline(text: str, *, apart: bool) -> str:
    text = _BULLET.sub("\\1\N{BULLET}", _RULE.sub("---", _UNDERLINED.sub(r"# \1", escape(text))))
    text = _TASK.sub(lambda task: task.group(1) + ("☐" if task.group(2) == " " else "☑"), text)
    text = "\n".join(_emphasised(line, apart=apart) for line in strip_emphasis_spaces(text).split("\n"))
    return _MAIL.sub(r"\1", _AUTOLINK.sub(r"<\1>", _LINK.sub(r"<\2|\1>", _HEADING.sub(_bold, text))))


def _emphasised(line: str, *, apart: bool) -> str:
    """A line with Slack's emphasis: ``*`` bold, ``_`` italic, ``~`` struck, none of them doubled.

    Slack reads a mark within a word, or beside Chinese or Japanese punctuation, as a letter. With `apart`, a zero-width
    space separates such a mark.
    """
    if not _MARKS.search(line):
        return line
    reading = parse_inline(f"{line}\n")
    edits: list[Edit] = []
    strong = _strong(reading.pairs)
    bold = len(line) if _HEADING.match(line) else -1  # end of the bold text; nested bold needs no marks
    for pair in sorted(reading.pairs, key=lambda each: each.start):
        start, end = pair.start, pair.end + pair.length
        if (pair.start, pair.end) in strong:
            mark, bold = "" if pair.end < bold else "*", max(bold, pair.end)
        elif _is_multiplied(line, pair, reading):
            continue
        else:
            mark = "~" if pair.character == "~" else "_"
        before = ZERO_WIDTH_SPACE if mark and apart and _joins(line[:start][-1:]) else ""
        after = ZERO_WIDTH_SPACE if mark and apart and _joins(line[end : end + 1]) else ""
        edits += [(start, start + pair.length, before + mark), (pair.end, end, mark + after)]
    for start, _ in reading.outermost:
        if line.startswith("[", start) and (text := _MARKED_TEXT.match(line, start)):
            edits.append((start + 1, text.end() - 1, _emphasised(text.group()[1:-1], apart=apart)))
    return apply_edits(line, edits)


def _strong(pairs: Sequence[MarkPair]) -> set[tuple[int, int]]:
    """Start and end of bold text; of three marks together, the outer one is bold in Slack."""
    found = {(pair.start, pair.end) for pair in pairs if pair.length == 2 and pair.character != "~"}
    outer = {(pair.start, pair.end) for pair in pairs if pair.length == 1 and (pair.start + 1, pair.end - 2) in found}
    return (found - {(start + 1, end - 2) for start, end in outer}) | outer


def _is_multiplied(line: str, pair: MarkPair, reading: InlineParse) -> bool:
    """Whether two asterisks are operators or wildcards: within words and numbers, or with others between."""
    if pair.character != "*":
        return False
    neighbours = line[: pair.start][-1:] + line[pair.end + 1 : pair.end + 2]
    stands_in_word = any(character.isascii() and character.isalnum() for character in neighbours)
    return stands_in_word or any(pair.start < at < pair.end and run[0] == "*" for at, run in reading.stray)


def _joins(character: str) -> bool:
    """Whether Slack reads a mark beside `character` as a letter."""
    return character.isalnum() or (character != "" and unicodedata.east_asian_width(character) in "WF")


def _bold(heading: re.Match[str]) -> str:
    """A heading as a bold line; nested bold needs no marks."""
    return f"*{heading.group(1).replace('**', '').replace('__', '')}*"


def cut_to_bytes(text: str, limit: int) -> str:
    """The escaped `text`, cut to `limit` UTF-8 bytes, between characters and outside entities."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return whole_entities(data[:limit].decode(errors="ignore"))


def whole_entities(text: str) -> str:
    """The start of an escaped text, without an entity torn at its end."""
    ampersand = text.rfind("&", max(len(text) - len("&amp;") + 1, 0))
    return text[:ampersand] if ampersand >= 0 and ";" not in text[ampersand:] else text
