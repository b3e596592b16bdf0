"""Slack's own text format, both ways: what people write, and what is shown where blocks are not.

https://docs.slack.dev/messaging/formatting-message-text: ``&``, ``<`` and ``>`` are escaped, and what stands between
angle brackets is a link, a mention or a command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from adapters.slack.grids import with_tables_as_text

# chat.update refuses a `text` of more than 4,000 characters (its error msg_too_long); counted after escaping.
TEXT_LIMIT = 4000

_ANGLE = re.compile(r"<([^<>]*)>")
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_ITALIC = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])")
_STRUCK = re.compile(r"~~(?=\S)(.+?)(?<=\S)~~")
_BULLET = re.compile(r"^([ \t]*)[-*+](?=[ \t])", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n]+)\]\((https?://[^\s()<>]+)\)")
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


def escaped(text: str) -> str:
    """`text` with nothing in it that Slack takes for a command."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescaped(text: str) -> str:
    """The reverse of `escaped`."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def mentions(text: str) -> frozenset[str]:
    """The ids of the people that `text` mentions."""
    return frozenset(_MENTION.findall(text))


def without_mention(text: str, user: str) -> str:
    """`text` without mentions of `user` (ourselves), and without the white space that they leave."""
    pattern = rf"[ \t]*<@{re.escape(user)}(?:\|[^<>]*)?>[ \t]*"
    return re.sub(pattern, " ", text).strip()


def plain(text: str, names: Mapping[str, str]) -> str:
    """What somebody wrote, as they saw it: names for ids, labels for links, characters for entities.

    `names` are display names by user id; an id that is not among them stands for itself.
    """

    def seen(match: re.Match[str]) -> str:
        target, _, label = match.group(1).partition("|")
        match target[:1]:
            case "@":
                return "@" + (names.get(target[1:]) or label or target[1:])
            case "#":
                return "#" + (label or target[1:])
            case "!":
                return label or "@" + target[1:].partition("^")[0]
        if not label or label == target or target.endswith(label):
            return target.removeprefix("mailto:").removeprefix("tel:")
        return f"{label} ({target})"

    return unescaped(_ANGLE.sub(seen, text))


def from_markdown(text: str) -> str:
    """Markdown as mrkdwn, escaped, for a message without blocks.

    Not longer than `TEXT_LIMIT` if the escaped text is not, nor ever longer than that otherwise.

    Only what differs and is plain to see: headings, emphasis, items, links, tables; code is left alone.
    """
    parts = _CODE.split(with_tables_as_text(text, limit=TEXT_LIMIT, measure=_escaped_length))
    return "".join(escaped(part) if index % 2 else _inline(part) for index, part in enumerate(parts))


def _escaped_length(text: str) -> int:
    return len(escaped(text))


def _inline(text: str) -> str:
    text = _BULLET.sub("\\1\N{BULLET}", escaped(text))
    # Italics first: Slack's bold is what CommonMark's italics are.
    text = _BOLD.sub(r"*\2*", _HEADING.sub(_bold, _ITALIC.sub(r"_\1_", _STRUCK.sub(r"~\1~", text))))
    return _LINK.sub(r"<\2|\1>", text)


def _bold(heading: re.Match[str]) -> str:
    """A heading is a bold line; what was bold in it needs no marks of its own."""
    return f"*{heading.group(1).replace('**', '').replace('__', '')}*"


def cut_to_bytes(text: str, limit: int) -> str:
    """The escaped `text`, cut to `limit` UTF-8 bytes: at a character, and not inside an entity."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return _whole_entities(data[:limit].decode(errors="ignore"))


def _whole_entities(text: str) -> str:
    ampersand = text.rfind("&", max(len(text) - len("&amp;") + 1, 0))
    return text[:ampersand] if ampersand >= 0 and ";" not in text[ampersand:] else text
