"""What a message of Slack's shows beside its text: shared messages, alerts, blocks, transcripts, titles. Pure.

What belongs here: JSON in; labelled and bounded text out, in Slack's own format like a message's `text`, so that names
are put in later (`mrkdwn.plain`); and what of that JSON is worth keeping. What does not: blocks (`words`), and files
(`files`). Nothing here raises, whatever it is given.

https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.shared.context_labels import (
    CUT,
    PART_CHARACTERS,
    PARTS,
    cut,
    joined,
    label,
    linked,
    mapping,
    objects,
    pruned,
    quoted,
    string,
)
from adapters.slack.events.block_text import block_words, element_words
from adapters.slack.messages.mrkdwn import escaped, unescaped

Json = Mapping[str, Any]

# Fields below `blocks` and `attachments` that are read here. Read by `needed`.
_BELOW = frozenset(
    """
    accessory actions alt_text attachments author_id author_name author_subname blocks call channel_id channel_name
    channel_id description element elements fallback fallback_text fields files footer format from_url image_url
    is_msg_unfurl is_share label message message_blocks name options original_url placeholder pretext range rows
    service_name style subtitle text timestamp title title_link title_url type url user_id usergroup_id v1 value
    """.split()  # noqa: SIM905 (a list of words)
)
_FILE_BELOW = frozenset(["content", "has_more", "preview", "status", "transcription"])

# How many shares of shares are told: a shared message may hold an alert, which may be a share.
_SHARES = 2

# What clients put in the place of an attachment without any text.
_NO_TEXT = frozenset({"[no preview available]", "This content can't be displayed."})

# A mark or an entity that a cut went through.
_TORN = re.compile(rf"(?:<[^<>\n]*|&[a-z]{{0,3}}){re.escape(CUT)}")


def beside(message: Json) -> str:
    """All that `message` shows beside its text, as far as that does not say it already."""
    text = string(message, "text")
    return _whole(
        joined(
            [
                *_lines_beside(text, blocks_read(message)),
                *(_attachment(each, text) for each in objects(message, "attachments")),
                *(_file(each) for each in objects(message, "files")),
            ]
        )
    )


def _lines_beside(text: str, blocks: list[dict[str, Any]]) -> list[str]:
    """The lines of blocks, without those of the first `PARTS` lines that `text` contains."""
    known, lines = _bare(text), "\n".join(map(block_words, blocks)).split("\n")
    return [line for line in lines[:PARTS] if not (line.strip() and _bare(line) in known)] + lines[PARTS:]


def of_file(file: Json) -> str:
    """What a file shows beside its contents."""
    return _whole(_file(file))


def blocks_read(message: Json) -> list[dict[str, Any]]:
    """The blocks of a message that may say more than its text: what people write, the text says whole."""
    blocks, by_bot = objects(message, "blocks"), bool(string(message, "bot_id")) or "bot_profile" in message
    if by_bot or string(message, "subtype") == "bot_message" or not string(message, "text"):
        return blocks
    return [block for block in blocks if string(block, "type") != "rich_text"]


def needed(message: Json) -> dict[str, Any]:
    """The fields of a message that are read here, without what is not."""
    kept = {
        "blocks": [pruned(block, _BELOW) for block in blocks_read(message)],
        "attachments": [pruned(each, _BELOW | FILE_FIELDS | _FILE_BELOW) for each in objects(message, "attachments")],
    }
    return {name: value for name, value in kept.items() if value}


# The fields of a file that are read, here and in `files`.
FILE_FIELDS = frozenset(
    """
    alt_txt external_type file_access filetype from id mimetype mode name original_h original_w plain_text pretty_type
    preview size subject subtype title transcription url_private url_private_download vtt
    """.split()  # noqa: SIM905 (a list of words)
)


def needed_of_file(file: Json) -> dict[str, Any]:
    """The same of one file."""
    kept: dict[str, Any] = pruned(file, FILE_FIELDS | _FILE_BELOW)
    return kept


def _whole(text: str) -> str:
    return _TORN.sub(CUT, text)


def _bare(text: str) -> str:
    """Only letters and digits, to compare what differs in marks."""
    return re.sub(r"[\W_]+", "", unescaped(text)).casefold()


# -------------------------------------------------------------------------------------------------------- attachments


def _attachment(attachment: Json, text: str, depth: int = 0) -> str:
    """A shared message, the preview of a link, or what a bot attached: most alerts are that."""
    address = string(attachment, "from_url") or string(attachment, "original_url")
    if attachment.get("is_share") is True or attachment.get("is_msg_unfurl") is True:
        return quoted(label("shared message", _origin(attachment)), _words_of(attachment, depth))
    lines = [
        string(attachment, "pretext"),
        string(attachment, "service_name"),
        string(attachment, "author_name"),
        linked(string(attachment, "title"), string(attachment, "title_link"), text),
        *_words_of(attachment, depth),
        *(_field(each) for each in objects(attachment, "fields")),
        *(element_words(each) for each in objects(attachment, "actions")),
        label("picture") if string(attachment, "image_url") else "",
        string(attachment, "footer"),
    ]
    if not any(lines):
        lines = [fallback] if (fallback := string(attachment, "fallback")) not in _NO_TEXT else []
    return quoted(label("link preview" if address else "attachment"), lines)


def _words_of(attachment: Json, depth: int) -> list[str]:
    """The words of an attachment: its blocks, those of the message that it shares, or its text."""
    blocks = [block_words(each) for each in objects(attachment, "blocks")]
    for shared in objects(attachment, "message_blocks"):
        blocks += [block_words(each) for each in objects(shared, "message", "blocks")]
    text, said = cut(string(attachment, "text"), PART_CHARACTERS), cut("\n".join(filter(None, blocks)), PART_CHARACTERS)
    words = [text, said]
    if text and said:
        bare_text, bare_said = _bare(text), _bare(said)
        words = [said] if bare_text in bare_said else [text] if bare_said in bare_text else words
    files = [line for each in objects(attachment, "files") for line in (_named(each), _file(each))]
    inner = objects(attachment, "attachments") if depth < _SHARES else []
    return [*words, *files, *(_attachment(each, text, depth + 1) for each in inner)]


def _origin(attachment: Json) -> str:
    """Who said a shared message, and where."""
    author, channel = string(attachment, "author_id"), string(attachment, "channel_id")
    who = (
        string(attachment, "author_name") or string(attachment, "author_subname") or (f"<@{author}>" if author else "")
    )
    where = string(attachment, "channel_name") or (f"<#{channel}>" if channel else "")
    where = where if where.startswith("<") or not where else f"#{where.removeprefix('#')}"
    return " ".join(filter(None, [f"of {who}" if who else "", f"in {where}" if where else ""]))


def _field(field: Json) -> str:
    name, value = string(field, "title"), string(field, "value")
    return f"{name}: {value}" if name and value else name or value


# -------------------------------------------------------------------------------------------------------------- files


def _file(file: Json) -> str:
    """What a file shows that its contents do not say, or that cannot be read: titles, transcripts, beginnings."""
    name, kind = _name(file), string(file, "mode")
    spoken = string(file, "transcription", "preview", "content")
    if spoken:
        more = CUT if mapping(file, "transcription", "preview").get("has_more") is True else ""
        return quoted(label("transcript of", name), [escaped(spoken) + more])
    if kind == "email":
        head = label("email", escaped(string(file, "subject")) or name)
        return quoted(head, [escaped(string(file, "plain_text") or string(file, "preview"))]) or head
    if kind in ("quip", "canvas") or string(file, "filetype") in ("quip", "canvas"):
        return label("canvas", name)
    if kind in ("post", "space", "docs", "list"):
        head = label("list" if kind == "list" else "post", name)
        return quoted(head, [escaped(string(file, "preview"))]) or head
    if kind == "external":
        return label(escaped(string(file, "pretty_type")) or "file elsewhere", name)
    return ""


def _named(file: Json) -> str:
    """A file of a shared message by its name; what `_file` names as well needs none."""
    return "" if _file(file) else label("file", _name(file))


def _name(file: Json) -> str:
    return escaped(string(file, "title") or string(file, "name") or string(file, "id"))
