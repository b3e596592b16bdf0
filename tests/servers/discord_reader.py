"""How Discord's clients read a message's text: the words, and what each stands in.

Written after reimplementations that are tested against the clients (https://github.com/brussell98/discord-markdown):
each rule is tried where the text stands, and marks are matched as they come, without CommonMark's flanking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Seen = tuple[str, frozenset[str]]  # text, and what it stands in

_QUOTE = re.compile(r"( *>>> +(?P<rest>[\s\S]*))|( *>(?!>>) +[^\n]*(\n *>(?!>>) +[^\n]*)*\n?)")
_BLOCK = re.compile(r"```(?:([a-z0-9_+\-.#]+?)\n)?\n*([^\n][^\0]*?)\n*```", re.IGNORECASE)
_HEADING = re.compile(r" *(#{1,3})\s+([^\n]+?)#*\s*(?:\n|\Z)")
_CODE = re.compile(r"(`+)([\s\S]*?[^`])\1(?!`)")
_ESCAPE = re.compile(r"\\([^0-9A-Za-z\s])")
_LINK = re.compile(r"\[((?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*)\]\(\s*<?(https?://(?:\([^)]*\)|[^\s\\])*?)>?\s*\)")
_ANGLED = re.compile(r"<(https?://[^\s>]+)>")
_URL = re.compile(r"https?://[^\s<]+[^<.,:;\"'\]\s]")
_SPANS = {
    "u": re.compile(r"__((?:\\[\s\S]|[^\\])+?)__(?!_)"),
    "strong": re.compile(r"\*\*((?:\\[\s\S]|[^\\])+?)\*\*(?!\*)"),
    "em": re.compile(
        r"_((?:__|\\[\s\S]|[^\\_])+?)_(?![A-Za-z0-9_])|\*(?=\S)((?:\*\*|\\[\s\S]|\s+(?:\\[\s\S]|[^*\s\\]|\*\*)|[^\s*\\])+?)\*(?!\*)"
    ),
    "s": re.compile(r"~~([\s\S]+?)~~(?!_)"),
    "spoiler": re.compile(r"\|\|([\s\S]+?)\|\|"),
}


def read(text: str, around: frozenset[str] = frozenset()) -> list[Seen]:
    """Everything that is seen of a message, in order."""
    found: list[Seen] = []
    for seen, where in _read(text, around, at_line=True):
        if found and found[-1][1] == where:
            found[-1] = (found[-1][0] + seen, where)
        else:
            found.append((seen, where))
    return found


def words_in(text: str, kind: str) -> str:
    """What stands in marks of a kind."""
    return "".join(seen for seen, where in read(text) if kind in where)


def visible(text: str) -> str:
    """All that is seen, without what it stands in."""
    return "".join(seen for seen, _ in read(text))


def _read(text: str, around: frozenset[str], *, at_line: bool) -> Iterator[Seen]:
    at = 0
    while at < len(text):
        fresh = text[at - 1] == "\n" if at else at_line
        for end, seen in _rules(text, at, around, fresh=fresh):
            yield from seen
            at = end
            break
        else:
            yield text[at], around
            at += 1


def _rules(text: str, at: int, around: frozenset[str], *, fresh: bool) -> Iterator[tuple[int, list[Seen]]]:
    """The rules that apply at a place, the first one first: where each ends, and what is seen of it."""
    if fresh and "quote" not in around and (quote := _QUOTE.match(text, at)):
        inner = quote.group("rest")
        if inner is None:
            inner = re.sub(r"^ *> ?", "", quote.group(), flags=re.MULTILINE)
        yield quote.end(), read(inner, around | {"quote"})
    if block := _BLOCK.match(text, at):
        yield block.end(), [(block.group(2), around | {"block", f"language {block.group(1) or ''}"})]
    if fresh and (heading := _HEADING.match(text, at)):
        yield heading.end(), [*read(heading.group(2), around | {f"h{len(heading.group(1))}"}), ("\n", around)]
    if escape := _ESCAPE.match(text, at):
        yield escape.end(), [(escape.group(1), around)]
    if code := _CODE.match(text, at):
        yield code.end(), [(code.group(2), around | {"code"})]
    if (link := _LINK.match(text, at)) and not re.search(r"https?://", link.group(1)):
        yield link.end(), read(link.group(1), around | {f"link {link.group(2)}"})
    if address := _ANGLED.match(text, at) or _URL.match(text, at):
        shown = address.group(1) if address.re is _ANGLED else address.group()
        yield address.end(), [(shown, around | {f"link {shown}"})]
    matches = [(kind, match) for kind, rule in _SPANS.items() if (match := rule.match(text, at))]
    if matches:
        # The longest wins; of those as long, an emphasis before a strong one, and that before what underlines.
        order = ["em", "strong", "u", "s", "spoiler"]
        kind, match = max(matches, key=lambda each: (each[1].end(), -order.index(each[0])))
        yield match.end(), read(next(group for group in match.groups() if group is not None), around | {kind})
