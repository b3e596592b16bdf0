"""Rewrite links, images, footnotes, entities and HTML tags for readers with less than CommonMark.

Discord shows entities and tags as typed, and supports links and images only as ``[text](address)``
(https://support.discord.com/hc/en-us/articles/210298617). Slack documents no more for its markdown block
(https://docs.slack.dev/reference/block-kit/blocks/markdown-block). Code is left unchanged. Blocks are the renderers'
job.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bot.markdown import utf16_units
from bot.markdown.emphasis import Edit, apply_edits, emphasis_edits, has_ambiguous_runs
from bot.markdown.inline_parser import InlineParse, parse_inline
from bot.markdown.tables import fenced_lines

# Any rewritten element contains one of these.
_SPECIAL = "[&<"

_FOOTNOTE = re.compile(r"\[\^([^\]\s]{1,32})\]")
_NOTE = re.compile(r"[ ]{0,3}\[\^([^\]\s]{1,32})\]:[ \t]*(.*)")
_IMAGE = re.compile(r"!\[([^\[\]]*)\]\([^()]*\)")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

# https://spec.commonmark.org/0.31.2/#link-reference-definitions, on a line of its own. A footnote's begins with ^.
_DEFINITION = re.compile(
    r"[ ]{0,3}\[(?!\^)([^\[\]]{1,99})\]:[ \t]*<?((?:https?://|data:left-out-)[^\s<>()]+)>?"
    r"[ \t]*(?:\"[^\"]*\"|'[^']*'|\([^()]*\))?[ \t]*"
)
_MAY_BE_DEFINITION = re.compile(r"^[ ]{0,3}\[(?!\^)([^\[\]\n]{1,99})\]:(.*)", re.MULTILINE)
_FULL = re.compile(r"\[(.*)\]\[([^\[\]]*)\]", re.DOTALL)
_SHORTCUT = re.compile(r"\[([^\[\]]{1,99})\](?![\[(:])")

# Keep an ampersand that would form another entity: a reader with entities must not see a different character.
_ENTITY = re.compile(r"(?!&amp;#?\w+;)&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_MARKS = frozenset("*_~`|\\[]<>#-")

# Replacements for tags around a few words; block tags show nothing. Other tags stay, as they may be literal.
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)(?:\s[^<>]*)?/?>")
_TAGS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("b", "strong", "summary"), "**"),
        **dict.fromkeys(("i", "em"), "*"),
        **dict.fromkeys(("s", "del", "strike"), "~~"),
        **dict.fromkeys(("kbd", "code"), "`"),
        **dict.fromkeys(("details", "div", "p", "span", "center", "small", "mark", "u", "ins"), ""),
    }
)
_OPENING_TAGS: Mapping[str, str] = MappingProxyType({"br": "\n", "sup": "^", "sub": "_"})  # H_2O, mc^2

# Slack's own link syntax; models use it in chats.
_SLACK_LINK = re.compile(r"<(https?://[^\s<>|]+|mailto:[^\s<>|]+)\|([^<>|\n]+)>")
_SLACK_LINK_START = re.compile(r"<(?:https?:|mailto:)[^\s<>|]*\|")
_BRACKETS = str.maketrans("[]", "()")

LinkTargets = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InlineStyle:
    """How a platform writes marks and links.

    `applies` is a fast test for text that needs edits. `edits` returns those of a line. `link` writes a link from its
    text, its address and the next character.
    """

    applies: Callable[[str], bool]
    edits: Callable[[str, InlineParse], Sequence[Edit]]
    link: Callable[[str, str], str]


COMMONMARK = InlineStyle(has_ambiguous_runs, emphasis_edits, lambda link, _: link)


def rewrite_inline(text: str, style: InlineStyle = COMMONMARK) -> str:
    """`text` with its inline elements rewritten; lines keep their structure."""
    if not _is_special(text) and not style.applies(text):
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    links, hidden = link_definitions(lines, code)
    shown = (
        line if number in code else rewrite_line(line, links, style)
        for number, line in enumerate(lines)
        if number not in hidden
    )
    return "\n".join(line for line in shown if line is not None).rstrip()


def _is_special(text: str) -> bool:
    return any(sign in text for sign in _SPECIAL)


def rewrite_line(line: str, links: LinkTargets, style: InlineStyle = COMMONMARK) -> str | None:
    """A line, with a footnote's mark where it is one; None where it held nothing but tags."""
    if note := _NOTE.fullmatch(line):
        return f"{superscript(note.group(1))} {rewrite_spans(note.group(2), links, style)}"
    shown = rewrite_spans(line, links, style)
    return shown if shown.strip() or not line.strip() else None


def rewrite_spans(line: str, links: LinkTargets, style: InlineStyle = COMMONMARK) -> str:
    """A line's links, images, marks of footnotes, entities and tags as links, words and marks."""
    if not _is_special(line) and not style.applies(line):
        return line
    out, at = [], 0
    parse = parse_inline(f"{line}\n")
    edits = style.edits(line, parse)
    for start, end in parse.outermost:
        atom = _in_style(_atom(line[start:end], links), line[end : end + 1], style)
        out += [_words(apply_edits(line, edits, at, start), links), atom]
        at = end
    shown = "".join([*out, _words(apply_edits(line, edits, at), links)])
    return shown.replace("\n", " ") if "|" in line else shown  # a table's row stays one


def _in_style(atom: str, following: str, style: InlineStyle) -> str:
    """A link as the platform shows it, with the marks in its text; other atoms stay."""
    if not atom.startswith("[") or not atom.endswith(")") or "](" not in atom:
        return atom
    text, _, address = atom[1:].rpartition("](")
    if style.applies(text):
        text = apply_edits(text, style.edits(text, parse_inline(f"{text}\n")))
    return style.link(f"[{text}]({address}", following)


def convert_slack_links(text: str) -> str:
    """`text` with Slack's links as markdown links; code is unchanged."""
    if "|" not in text or not _SLACK_LINK.search(text):
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    return "\n".join(line if number in code else _with_links(line) for number, line in enumerate(lines))


def _with_links(line: str) -> str:
    if not _SLACK_LINK.search(line):
        return line
    out, at = [], 0
    for start, end in parse_inline(f"{line}\n").outermost:
        slack = _SLACK_LINK.fullmatch(line[start:end])
        out += [line[at:start], _from_slack(*slack.groups()) if slack else line[start:end]]
        at = end
    return "".join([*out, line[at:]])


def _from_slack(address: str, label: str) -> str:
    label = label.strip()
    if not label or label in {address, address.removeprefix("mailto:")}:
        return label or address
    return f"[{label.translate(_BRACKETS)}]({address})"


def superscript(name: str) -> str:
    """A footnote's name, small where it is a number."""
    return name.translate(_SUPERSCRIPTS) if name.isdecimal() and name.isascii() else f"({name})"


def _words(text: str, links: LinkTargets) -> str:
    text = _FOOTNOTE.sub(lambda found: superscript(found.group(1)), text)
    if links and "[" in text:
        text = _SHORTCUT.sub(lambda found: _linked(found.group(), found.group(1), found.group(1), links), text)
    return _ENTITY.sub(_character, text) if "&" in text else text


def _atom(atom: str, links: LinkTargets) -> str:
    """A link, an image, code, a tag or an address. An image is a link; within a link it is its words."""
    if atom.startswith("![") and atom.endswith(")"):
        return atom.replace("![](", "[image](", 1).removeprefix("!")
    if atom.startswith("![") and links and _FULL.fullmatch(atom[1:]):
        atom = atom[1:]
    if atom.startswith("["):
        atom = _IMAGE.sub(lambda image: image.group(1) or "image", atom)
        full = _FULL.fullmatch(atom) if links else None
        label = (full.group(2) or full.group(1)) if full else ""
        return _linked(atom, full.group(1), label, links) if full and label.casefold() in links else _plain(atom)
    if atom.startswith("<!--"):
        return ""
    if slack := _SLACK_LINK.fullmatch(atom):
        return _from_slack(slack.group(1), slack.group(2))
    if tag := _TAG.fullmatch(atom):
        name = tag.group(2).lower()
        closing = "" if name in _OPENING_TAGS else atom
        return _TAGS.get(name, closing if tag.group(1) else _OPENING_TAGS.get(name, atom))
    return atom


def _plain(atom: str) -> str:
    """Replace footnote marks in adjacent brackets without an address. Links are unchanged."""
    return atom if atom.endswith(")") else _FOOTNOTE.sub(lambda found: superscript(found.group(1)), atom)


def _character(entity: re.Match[str]) -> str:
    """The character of an entity, escaped if it is a mark. Unknown entities stay."""
    shown = html.unescape(entity.group())
    if shown == entity.group() or not shown.isprintable():
        return " " if shown.isspace() else entity.group()
    return f"\\{shown}" if shown in _MARKS - {"<", ">"} else shown


# ------------------------------------------------------------------------------------------------ links by reference


def link_definitions(lines: Sequence[str], code: Collection[int]) -> tuple[LinkTargets, frozenset[int]]:
    """Addresses by label, and the lines of pure link definitions, hidden from readers.

    A definition without any reference stays visible: it may be content.
    """
    found: dict[str, str] = {}
    hidden: set[int] = set()
    named = ""
    for number, line in enumerate(lines):
        match = _DEFINITION.fullmatch(line) if number not in code and "]:" in line else None
        if match is None:
            continue
        named = named or "\n".join(lines).casefold()
        label = match.group(1).casefold()
        found.setdefault(label, match.group(2))
        if named.count(f"[{label}]") > named.count(f"[{label}]:"):
            hidden.add(number)
    return found, frozenset(hidden)


def slack_link_padding(text: str) -> int:
    """At most how much longer Slack's links become."""
    return len(_SLACK_LINK_START.findall(text)) if "|" in text else 0


def link_padding(text: str) -> int:
    """At most how much longer a text becomes by its definitions, in UTF-16 units; only ever grows with it."""
    room = slack_link_padding(text)
    if "]:" not in text:
        return room
    folded = text.casefold()
    return room + sum(
        folded.count(f"[{match.group(1).casefold()}]") * (utf16_units(match.group(2)) + 4)
        for match in _MAY_BE_DEFINITION.finditer(text)
    )


def _linked(written: str, text: str, label: str, links: LinkTargets) -> str:
    address = links.get(label.casefold())
    return f"[{text}]({address})" if address else written
