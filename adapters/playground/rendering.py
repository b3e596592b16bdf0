"""Markdown rendered as safe HTML, and the playground's markdown.

Every text of a model or a reader becomes HTML here and nowhere else. Nothing is trusted: raw HTML is text, images
become links (so that no foreign server learns about readers), and links lead to the web or to mail only, in a new
window without a referrer. The page's Content-Security-Policy is a second barrier (`adapters.playground.routes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token
from typing_extensions import override

from bot.markdown import Piece, Renderer, escape_markdown, single_line
from bot.markdown.emphasis import add_emphasis_spaces, emphasis_padding
from bot.markdown.inline_rewrite import convert_slack_links, slack_link_padding
from bot.markdown.normalise import normalise
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.small_print import escape_small_print, small_print_padding

# Allowed link targets: the web and mail. Everything else (javascript:, data:, file:, a path on this server) stays text.
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)

# Attributes of every link: https://html.spec.whatwg.org/multipage/links.html#linkTypes
_LINK_ATTRIBUTES = MappingProxyType({"rel": "noopener noreferrer nofollow", "target": "_blank"})

# The longest rendered text, in characters; a longer one is shown as typed. Markdown's worst cases grow faster than
# their length. A message of an answer has at most 2,000.
RENDERED_CHARACTERS = 4_000

# The start of a line of small print, as in Discord
# (https://support.discord.com/hc/en-us/articles/210298617).
SMALL_PRINT = "-# "

# The task mark of a list item (https://github.github.com/gfm/#task-list-items-extension-).
_TASK = re.compile(r"^\[([ xX])\](?=\s)")

# h1 and h2 belong to the page, so a message's headings start at h3.
_HEADING_SHIFT = 2


class PlaygroundMarkdown(Renderer):
    """CommonMark with tables, and Discord's small print; `to_html` turns it into HTML."""

    @override
    def render(self, piece: Piece) -> str:
        return escape_small_print(replace_placeholders(add_emphasis_spaces(convert_slack_links(piece.closed()))))

    @override
    def padding(self, piece: Piece) -> int:
        more = emphasis_padding(piece.continuation.header + piece.source) + slack_link_padding(piece.source)
        return more + small_print_padding(piece.closed())

    @override
    def notice(self, line: str) -> str:
        return SMALL_PRINT + normalise(line)

    @override
    def escape(self, text: str) -> str:
        return escape_markdown(single_line(text))


def to_html(source: str) -> str:
    """A message as HTML, with markdown's elements only: no script, no style, no foreign resource."""
    if len(source) > RENDERED_CHARACTERS:
        return f'<p class="plain">{escapeHtml(source)}</p>'
    environment: dict[str, object] = {}
    tokens = [_safe(token) for token in _PARSER.parse(source, environment)]
    return str(_PARSER.renderer.render(tokens, _PARSER.options, environment))


def without_small_print(text: str) -> str:
    """An answer without the bot's own notices at its end, as the model receives it."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or lines[-1].startswith(SMALL_PRINT)):
        lines.pop()
    return "\n".join(lines)


def _safe(token: Token) -> Token:
    """A block token, made safe for rendering."""
    if token.type == "inline" and token.children is not None:
        for first in token.children[:1]:
            first.content = _TASK.sub(lambda task: "☐" if task.group(1) == " " else "☑", first.content)
        token.children = list(_safe_inline(token.children))
    if token.type.startswith("heading_"):
        token.tag = f"h{min(int(token.tag[1:]) + _HEADING_SHIFT, 6)}"
    style = token.attrs.pop("style", None)  # a table's alignment becomes a class: the page's policy forbids styles
    if style is not None:
        token.attrSet("class", "align-" + str(style).rpartition(":")[2].strip())
    if token.type in {"fence", "code_block"}:
        _label_code(token)
    return token


def _label_code(token: Token) -> None:
    """Make a code block scrollable by keyboard, with a language label."""
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    token.type, token.meta = "code_figure", {"language": language}


def _safe_inline(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens of one line: links made safe, images turned into links (inside a link, into text)."""
    within = 0
    for token in tokens:
        within += token.nesting if token.type.startswith("link_") else 0
        if token.type == "link_open":
            token.attrs = {"href": str(token.attrs["href"]), **_LINK_ATTRIBUTES}
        if token.type != "image":
            yield token
            continue
        opening = Token("link_open", "a", 1, attrs={"href": str(token.attrs["src"]), **_LINK_ATTRIBUTES})
        words = Token("text", "", 0, content=f"\N{FRAME WITH PICTURE} {token.content or 'image'}")
        yield from (words,) if within else (opening, words, Token("link_close", "a", -1))


def _render_code(tokens: Sequence[Token], index: int, *_: object) -> str:
    token = tokens[index]
    language = escapeHtml(str(token.meta["language"]))
    label = f' data-language="{language}"' if language else ""
    return f'<pre tabindex="0"{label}><code>{escapeHtml(token.content)}</code></pre>\n'


def _small_print(state: StateBlock, start: int, _end: int, silent: bool) -> bool:  # noqa: FBT001 (markdown-it's rule)
    """Block rule: a line of small print is its own paragraph, even directly after another."""
    begin = state.bMarks[start] + state.tShift[start]
    line = state.src[begin : state.eMarks[start]]
    if state.is_code_block(start) or not line.startswith(SMALL_PRINT):
        return False
    if silent:
        return True
    state.line = start + 1
    state.push("paragraph_open", "p", 1).attrSet("class", "small-print")
    inline = state.push("inline", "", 0)
    inline.content, inline.children = line.removeprefix(SMALL_PRINT).strip(), []
    state.push("paragraph_close", "p", -1)
    return True


class _Parser(MarkdownIt):
    """CommonMark with tables and strikethrough; a single line break stays a line break, as in a chat."""

    def __init__(self) -> None:
        super().__init__("js-default", {"html": False, "linkify": False, "typographer": False, "breaks": True})
        ends: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
        self.block.ruler.before("paragraph", "small_print", _small_print, ends)
        self.add_render_rule("code_figure", lambda _, *arguments: _render_code(*arguments))

    def validateLink(self, url: str) -> bool:  # noqa: N802 (markdown-it's name)
        """Whether a link target is allowed; otherwise the link stays text."""
        return _SAFE_LINK.match(url) is not None


# The parser keeps its state in `environment`, so one instance serves the process.
_PARSER = _Parser()
