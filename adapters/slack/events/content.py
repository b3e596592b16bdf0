"""Content of a Slack message beside its text: shared messages, alerts, blocks, transcripts, titles, files. Pure.

JSON in; labelled and bounded text out, in Slack's own format like a message's `text`, so that names can be filled in
later (`events.mentions.plain`). Only `events` uses this module. No input raises.

https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import escape, unescape

from adapters.shared.attachments import NO_ACCESS, NOT_THERE, Attachment
from adapters.shared.context_labels import (
    CUT,
    PART_CHARACTERS,
    PARTS,
    cut,
    joined,
    label,
    linked,
    mapping,
    number,
    objects,
    pruned,
    quoted,
    string,
)
from adapters.shared.json_fields import Json
from adapters.slack.events.block_text import block_text, element_text

# Fields read below `blocks` and `attachments`; the journal stores only these (`journal_fields`).
_NESTED_FIELDS = frozenset(
    """
    accessory actions alt_text attachments author_id author_name author_subname blocks call channel_id channel_name
    channel_id description element elements fallback fallback_text fields files footer format from_url image_url
    is_msg_unfurl is_share label message message_blocks name options original_url placeholder pretext range rows
    service_name style subtitle text timestamp title title_link title_url type url user_id usergroup_id v1 value
    """.split()  # noqa: SIM905 (a list of words)
)
# Fields read of a file, and below them.
_FILE_FIELDS = frozenset(
    """
    alt_txt external_type file_access filetype from id mimetype mode name original_h original_w plain_text pretty_type
    preview size subject subtype title transcription url_private url_private_download vtt
    """.split()  # noqa: SIM905 (a list of words)
)
_NESTED_FILE_FIELDS = frozenset(["content", "has_more", "preview", "status", "transcription"])

# Depth of shared messages read: a shared message may hold an alert, and the alert may be a share.
_MAX_SHARE_DEPTH = 2

# Clients' placeholders for an attachment without text.
_NO_TEXT = frozenset({"[no preview available]", "This content can't be displayed."})

# A mark or an entity torn by a cut.
_TORN = re.compile(rf"(?:<[^<>\n]*|&[a-z]{{0,3}}){re.escape(CUT)}")

# Reasons for a missing file, for readers.
DELETED = "it was deleted"
HIDDEN = "Slack hides it: it is beyond what the workspace's plan keeps"
ELSEWHERE = "it is kept outside of Slack, where the bot cannot read it"
ONLY_TITLE = "only its title is read"
ONLY_TRANSCRIPT = "only its transcript is read"

# The reasons by a file's `mode` and `file_access` (https://docs.slack.dev/reference/objects/file-object).
_REASON_BY_MODE = MappingProxyType(
    {
        "tombstone": DELETED,
        "hidden_by_limit": HIDDEN,
        "external": ELSEWHERE,
        **dict.fromkeys(("quip", "canvas", "list"), ONLY_TITLE),
    }
)
_REASON_BY_ACCESS = MappingProxyType({"access_denied": NO_ACCESS, "file_not_found": NOT_THERE, "restricted": NO_ACCESS})


def extra_text(message: Json) -> str:
    """The visible content of `message` beside its text, without repeating the text."""
    text = string(message, "text")
    return _without_torn_marks(
        joined(
            [
                *_new_lines(text, _unrepeated_blocks(message)),
                *(_attachment(each, text) for each in objects(message, "attachments")),
                *(_file(each) for each in objects(message, "files")),
            ]
        )
    )


def file_text(file: Json) -> str:
    """The visible text of a file beside its contents."""
    return _without_torn_marks(_file(file))


def journal_fields(message: Json) -> dict[str, Any]:
    """The part of a message's content that this module reads, for the journal."""
    content = {
        "blocks": [pruned(block, _NESTED_FIELDS) for block in _unrepeated_blocks(message)],
        "attachments": [
            pruned(each, _NESTED_FIELDS | _FILE_FIELDS | _NESTED_FILE_FIELDS)
            for each in objects(message, "attachments")
        ],
        "files": [pruned(file, _FILE_FIELDS | _NESTED_FILE_FIELDS) for file in objects(message, "files")],
    }
    return {name: value for name, value in content.items() if value}


def _new_lines(text: str, blocks: list[dict[str, Any]]) -> list[str]:
    """The lines of `blocks` without lines contained in `text`; compares the first `PARTS` lines only."""
    known, lines = _letters(text), "\n".join(map(block_text, blocks)).split("\n")
    return [line for line in lines[:PARTS] if not (line.strip() and _letters(line) in known)] + lines[PARTS:]


def _unrepeated_blocks(message: Json) -> list[dict[str, Any]]:
    """Blocks with possibly more content than the text: people's rich text always repeats their text."""
    blocks, by_app = objects(message, "blocks"), bool(string(message, "bot_id")) or "bot_profile" in message
    if by_app or string(message, "subtype") == "bot_message" or not string(message, "text"):
        return blocks
    return [block for block in blocks if string(block, "type") != "rich_text"]


def _without_torn_marks(text: str) -> str:
    return _TORN.sub(CUT, text)


def _letters(text: str) -> str:
    """Letters and digits only, for comparing texts with different marks."""
    return re.sub(r"[\W_]+", "", unescape(text)).casefold()


# -------------------------------------------------------------------------------------------------------- attachments


def _attachment(attachment: Json, text: str, depth: int = 0) -> str:
    """A shared message, a link preview, or an app's attachment (most alerts are one)."""
    address = string(attachment, "from_url") or string(attachment, "original_url")
    if attachment.get("is_share") is True or attachment.get("is_msg_unfurl") is True:
        return quoted(label("shared message", _origin(attachment)), _attachment_text(attachment, depth))
    lines = [
        string(attachment, "pretext"),
        string(attachment, "service_name"),
        string(attachment, "author_name"),
        linked(string(attachment, "title"), string(attachment, "title_link"), text),
        *_attachment_text(attachment, depth),
        *(_field(each) for each in objects(attachment, "fields")),
        *(element_text(each) for each in objects(attachment, "actions")),
        label("picture") if string(attachment, "image_url") else "",
        string(attachment, "footer"),
    ]
    if not any(lines):
        lines = [fallback] if (fallback := string(attachment, "fallback")) not in _NO_TEXT else []
    return quoted(label("link preview" if address else "attachment"), lines)


def _attachment_text(attachment: Json, depth: int) -> list[str]:
    """The text of an attachment: its own, or of its blocks, or of the shared message."""
    blocks = [block_text(each) for each in objects(attachment, "blocks")]
    for shared in objects(attachment, "message_blocks"):
        blocks += [block_text(each) for each in objects(shared, "message", "blocks")]
    text, from_blocks = (
        cut(string(attachment, "text"), PART_CHARACTERS),
        cut("\n".join(filter(None, blocks)), PART_CHARACTERS),
    )
    words = [text, from_blocks]
    if text and from_blocks:
        text_letters, block_letters = _letters(text), _letters(from_blocks)
        words = [from_blocks] if text_letters in block_letters else [text] if block_letters in text_letters else words
    files = [line for each in objects(attachment, "files") for line in (_named(each), _file(each))]
    inner = objects(attachment, "attachments") if depth < _MAX_SHARE_DEPTH else []
    return [*words, *files, *(_attachment(each, text, depth + 1) for each in inner)]


def _origin(attachment: Json) -> str:
    """Author and channel of a shared message."""
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
    """Text missing from a file's contents, or unreadable there: titles, transcripts, beginnings."""
    name, kind = _name(file), string(file, "mode")
    spoken = string(file, "transcription", "preview", "content")
    if spoken:
        more = CUT if mapping(file, "transcription", "preview").get("has_more") is True else ""
        return quoted(label("transcript of", name), [escape(spoken) + more])
    if kind == "email":
        head = label("email", escape(string(file, "subject")) or name)
        return quoted(head, [escape(string(file, "plain_text") or string(file, "preview"))]) or head
    if kind in ("quip", "canvas") or string(file, "filetype") in ("quip", "canvas"):
        return label("canvas", name)
    if kind in ("post", "space", "docs", "list"):
        head = label("list" if kind == "list" else "post", name)
        return quoted(head, [escape(string(file, "preview"))]) or head
    if kind == "external":
        return label(escape(string(file, "pretty_type")) or "file elsewhere", name)
    return ""


def _named(file: Json) -> str:
    """The name of a file in a shared message; empty if `_file` has it already."""
    return "" if _file(file) else label("file", _name(file))


def _name(file: Json) -> str:
    return escape(string(file, "title") or string(file, "name") or string(file, "id"))


def parse_files(message: Json) -> tuple[Attachment, ...]:
    """Files of a message, and of the messages it shares."""
    shared = [file for each in objects(message, "attachments") for file in objects(each, "files")]
    return tuple(attachment for file in (*objects(message, "files"), *shared) for attachment in parse_file(file))


def parse_file(file: Json) -> list[Attachment]:
    """A file object as attachments: itself, and a long transcript (the object holds only its beginning)."""
    preview, vtt = mapping(file, "transcription", "preview"), string(file, "vtt")
    made = _file_attachment(file)
    if not string(preview, "content"):
        return [made]
    made = replace(made, why=made.why or ONLY_TRANSCRIPT)
    has_rest = preview.get("has_more") is True and bool(vtt)
    return [made, Attachment(f"{made.name}.vtt", vtt, "text/vtt")] if has_rest else [made]


def _file_attachment(file: Json) -> Attachment:
    url = string(file, "url_private_download") or string(file, "url_private")
    why = _REASON_BY_MODE.get(string(file, "mode"), "") or _REASON_BY_ACCESS.get(string(file, "file_access"), "")
    is_stub = not why and (string(file, "file_access") == "check_file_info" or not url)
    return Attachment(
        name=string(file, "name") or string(file, "title") or string(file, "id") or "a file",
        url=url,
        media_type=string(file, "mimetype"),
        size=_count(file, "size"),
        width=_count(file, "original_w"),
        height=_count(file, "original_h"),
        lookup=string(file, "id") if is_stub else "",
        why=why,
    )


def _count(file: Json, name: str) -> int:
    return max(number(file, name) or 0, 0)
