"""Inline parser for one paragraph: its unbreakable parts, and its unfinished elements.

It reads CommonMark's inline grammar (https://spec.commonmark.org/0.31.2/#inlines) once, in linear time, as far as a
growing end or a cut needs it. markdown-it-py finds blocks, but neither the source offsets of inline elements nor
missing closings; the tests compare the two.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field

from markdown_it.common.html_re import HTML_TAG_RE

from bot.markdown.delimiter_runs import DelimiterRun, MarkPair, classify_run, match_runs

# An unfinished element is held back for at most this many characters, then shown as is. About a second of a fast
# model's text: more would look like a pause. Links include their address.
LONGEST_HELD = 240

# Emphasis open for more characters than this is a stray mark and is not closed: one asterisk must not put a whole
# paragraph into italics.
LONGEST_SPAN = 400

# The most marks closed at an end; any text with marks reserves room for them.
LONGEST_CLOSING = 12

# Any element starts with one of these characters.
_NEXT = re.compile(r"[\\`!\[\]<*_~&:]")
_TOKEN = re.compile(
    r"\\.?|`+|!\[|(?<!\S)!\Z|\[|\]|<|\*+|_+|~+|&|(?<=(?<![A-Za-z0-9])http):(?=//)|(?<=(?<![A-Za-z0-9])https):(?=//)",
    re.DOTALL,
)
_TICKS = re.compile(r"`+")

# The part after a link's text: (destination "title"), with at most two levels of brackets in the destination.
_DESTINATION = r"(?:<(?:[^<>\\\n]|\\.)*>|(?!<)(?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.|\([^\s()]*\))*\))*)"
_TITLE = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\))"
_LINK_TAIL = re.compile(rf"\([ \t\n]*{_DESTINATION}(?:[ \t\n]+{_TITLE})?[ \t\n]*\)", re.DOTALL)
_HALF_TAIL = re.compile(r"\((?:[^\s()]|\([^\s()]*\)?)*(?:\s+[\"'(][^\"')]*[\"')]?)?\s*")
_BEGUN_TAIL = re.compile(r"\(<?(?:https?://|left-out-)[^\s<>]*\Z")
_LABEL = re.compile(r"\[(?:[^\[\]\\]|\\.)*\]")
_HALF_LABEL = re.compile(r"\[[^\[\]]*")
_AUTOLINK = re.compile(
    r"<(?:https?://[^\s<>|]+\|[^<>|\n]+|[A-Za-z][A-Za-z0-9+.\-]{1,31}:[^\s<>]*|[^\s<>@]+@[^\s<>@]+|[@#!:a][^\s<>]*)>"
)
_HALF_ANGLE = re.compile(r"<(?:[A-Za-z/!?@#:][^<>]*)?")
_HALF_ENTITY = re.compile(r"&#?\w{0,31}")
# Punctuation as wide as two characters ends an address: no address has any, and texts without spaces go on with it.
_ADDRESS = re.compile(
    r"[^\s<>\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
)
_HALF_SCHEME = re.compile(r"(?<![A-Za-z0-9])h(?:t(?:t(?:ps?(?::/?)?)?)?)?\Z")


@dataclass(frozen=True, slots=True)
class InlineParse:
    """The inline elements of one paragraph. All positions are offsets into its text.

    `atoms` (start, end) must not be cut: code, links, angle brackets, URLs. `held` is the start of an undecided
    element, or None. `code` is the backtick run still open at the end, with its offset. `open_spans` are the emphasis
    marks still open, outermost first. `pairs` are matched marks outside link texts; `stray` are unmatched ones. `begun`
    is the start of a URL or link of any length reaching the end: a cut would split it.
    """

    atoms: tuple[tuple[int, int], ...]
    held: int | None
    code: tuple[int, str] | None
    open_spans: tuple[tuple[int, str], ...]
    pairs: tuple[MarkPair, ...] = ()
    stray: tuple[tuple[int, str], ...] = ()
    begun: int | None = None

    @property
    def outermost(self) -> tuple[tuple[int, int], ...]:
        """The atoms in order, without nested ones such as code in a link's text."""
        found: list[tuple[int, int]] = []
        for start, end in sorted(self.atoms, key=lambda atom: (atom[0], -atom[1])):
            if not found or start >= found[-1][1]:
                found.append((start, end))
        return tuple(found)

    @property
    def opening(self) -> str:
        """The open marks in the order of opening."""
        return "".join(mark for _, mark in self.open_spans) + (self.code[1] if self.code else "")

    @property
    def closing(self) -> str:
        """The closing marks of all open spans, innermost first."""
        marks = "".join(mark for _, mark in reversed(self.open_spans))
        return (self.code[1] if self.code else "") + marks


@dataclass(slots=True)
class _Reader:
    """The state of one reading."""

    text: str
    ticks: dict[int, list[int]]
    atoms: list[tuple[int, int]] = field(default_factory=list)
    marks: list[DelimiterRun] = field(default_factory=list)
    brackets: list[tuple[int, int]] = field(default_factory=list)  # where, and how many marks came before
    held: int | None = None
    code: tuple[int, str] | None = None
    begun: int | None = None

    def near(self, at: int, longest: int = LONGEST_HELD) -> bool:
        """Whether an element at `at` is close enough to the end to wait for."""
        return len(self.text) - at <= longest


def parse_inline(text: str) -> InlineParse:
    """Parse one paragraph's text, with a possibly unfinished end."""
    reader = _Reader(text, _runs_of_ticks(text))
    at = 0
    while (match := _NEXT.search(text, at)) is not None and reader.held is None and reader.code is None:
        token = _TOKEN.match(text, match.start())
        at = _step(reader, token.group(), token.start(), token.end()) if token else match.end()
    held = reader.held
    if reader.code is None:
        waiting = [where for where, _ in reader.brackets if reader.near(where) and not _in_word(text, where)]
        scheme = _HALF_SCHEME.search(text, max(len(text) - 8, 0))
        starts = [*waiting[:1], *([scheme.start()] if scheme else []), *([held] if held is not None else [])]
        held = min(starts, default=None)
    pairs, left = match_runs(reader.marks)
    open_spans = tuple(
        (mark.at, mark.character * mark.remaining)
        for mark in left
        if mark.opens and reader.near(mark.at, LONGEST_SPAN) and not _is_operator(text, mark)
    )
    stray = tuple((mark.at, mark.character * mark.remaining) for mark in reader.marks if mark.remaining)
    return InlineParse(tuple(reader.atoms), held, reader.code, _bounded(open_spans), tuple(pairs), stray, reader.begun)


def _bounded(open_spans: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    """The innermost of `open_spans`, as many as may be closed."""
    room, kept = LONGEST_CLOSING, []
    for at, mark in reversed(open_spans):
        room -= len(mark)
        if room < 0:
            break
        kept.append((at, mark))
    return tuple(reversed(kept))


def _step(reader: _Reader, kind: str, start: int, end: int) -> int:
    """Read one token; returns where to go on."""
    match kind[0]:
        case "`":
            end = _code(reader, kind, start, end)
        case "]":
            end = _bracket(reader, end)
        case "<":
            end = _angle(reader, start)
        case ":":
            end = _address(reader, start)
        case "*" | "_" | "~":
            _mark(reader, kind, start, end)
        case "[" | "!" if kind.endswith("["):
            reader.brackets.append((start, len(reader.marks)))
        case "&":
            reader.held = start if _HALF_ENTITY.fullmatch(reader.text, start) else None
        case _ if len(kind) == 1:
            reader.held = start  # a backslash or the start of an image at the very end
    return end


def _runs_of_ticks(text: str) -> dict[int, list[int]]:
    """Where runs of backticks start, by their length."""
    runs: dict[int, list[int]] = {}
    if "`" in text:
        for match in _TICKS.finditer(text):
            runs.setdefault(len(match.group()), []).append(match.start())
    return runs


def _code(reader: _Reader, run: str, start: int, end: int) -> int:
    starts = reader.ticks.get(len(run), [])
    following = bisect_left(starts, end)
    if following < len(starts):
        close = starts[following] + len(run)
        # At the very end it may still grow, and then it closes nothing.
        reader.atoms.append((start, close))
        return close
    if end == len(reader.text):
        reader.held = start
    elif reader.near(start, LONGEST_SPAN) and len(run) <= LONGEST_CLOSING:
        reader.code = (start, run)
    return end


def _bracket(reader: _Reader, end: int) -> int:
    """A closing bracket: a link, the beginning of one, or a bracket."""
    if not reader.brackets:
        return end
    start, marks = reader.brackets.pop()
    text, stop = reader.text, end
    rest = text[end : end + 1]
    if rest == "(" and (tail := _LINK_TAIL.match(text, end)):
        stop = tail.end()
        del reader.marks[marks:]  # spans opened in a link's text stay there
    elif rest == "[" and (tail := _LABEL.match(text, end)):
        stop = tail.end()
    elif reader.near(start) and (
        not rest
        or (rest == "(" and _HALF_TAIL.fullmatch(text, end))
        or (rest == "[" and _HALF_LABEL.fullmatch(text, end))
    ):
        reader.held = start if not _in_word(text, start) or rest else None
        return len(text) if reader.held is not None else end
    else:
        if rest == "(" and reader.begun is None and _BEGUN_TAIL.match(text, end):
            reader.begun = start
        return end
    reader.atoms.append((start, stop))
    return stop


def _angle(reader: _Reader, start: int) -> int:
    text = reader.text
    if found := _AUTOLINK.match(text, start) or HTML_TAG_RE.match(text[start : start + 1000]):
        stop = found.end() if found.re is _AUTOLINK else start + found.end()
        reader.atoms.append((start, stop))
        return stop
    if reader.near(start) and _HALF_ANGLE.fullmatch(text, start):
        reader.held = start
    return start + 1


def _address(reader: _Reader, colon: int) -> int:
    """A bare URL: half of it would link elsewhere."""
    start = reader.text.rindex("h", 0, colon)
    address = _ADDRESS.match(reader.text, colon)
    end = address.end() if address else colon + 1
    if reader.brackets and (closing := reader.text.find("](", start, end)) > 0:  # it is a link's text
        end = closing
    reader.atoms.append((start, end))
    if end == len(reader.text):
        reader.held = start if reader.near(start) else None
        reader.begun = start if reader.begun is None else reader.begun
    return end


def _mark(reader: _Reader, run: str, start: int, end: int) -> None:
    if end == len(reader.text):
        reader.held = start  # its meaning depends on the next characters
        return
    character = run[0]
    left = len(run) - len(run) % 2 if character == "~" else len(run)
    if not left:
        return
    before, after = reader.text[start - 1] if start else " ", reader.text[end]
    reader.marks.append(classify_run(before, after, at=end - left, character=character, length=left))


def _is_operator(text: str, mark: DelimiterRun) -> bool:
    """Whether a mark stands between two letters or figures of ours, or before a bracket: 5*3, 2**(n - 1)."""
    return _in_word(text, mark.at) and text[mark.at + mark.remaining : mark.at + mark.remaining + 1].isascii()


def _in_word(text: str, at: int) -> bool:
    """Whether `at` is within a word of letters and digits, such as 5*3 or a[0]: no markup there."""
    return at > 0 and text[at - 1].isascii() and text[at - 1].isalnum()
