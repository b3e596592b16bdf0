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
    MAX_PART_CHARACTERS,
    TRUNCATED,
    join_parts,
    label,
    quote,
    titled_link,
    truncate,
)
from adapters.shared.json_fields import MAX_OBJECTS, Json, number_at, object_at, objects_at, select_fields, string_at
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
_TORN = re.compile(rf"(?:<[^<>\n]*|&[a-z]{{0,3}}){re.escape(TRUNCATED)}")

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
    text = string_at(message, "text")
    return _without_torn_marks(
        join_parts(
            [
                *_new_lines(text, _unrepeated_blocks(message)),
                *(_attachment(each, text) for each in objects_at(message, "attachments")),
                *(_file(each) for each in objects_at(message, "files")),
            ]
        )
    )


def file_text(file: Json) -> str:
    """The visible text of a file beside its contents."""
    return _without_torn_marks(_file(file))


def journal_fields(message: Json) -> dict[str, Any]:
    """The part of a message's content that this module reads, for the journal."""
    content = {
        "blocks": [select_fields(block, _NESTED_FIELDS) for block in _unrepeated_blocks(message)],
        "attachments": [
            select_fields(each, _NESTED_FIELDS | _FILE_FIELDS | _NESTED_FILE_FIELDS)
            for each in objects_at(message, "attachments")
        ],
        "files": [select_fields(file, _FILE_FIELDS | _NESTED_FILE_FIELDS) for file in objects_at(message, "files")],
    }
    return {name: value for name, value in content.items() if value}


def _new_lines(text: str, blocks: list[dict[str, Any]]) -> list[str]:
    """The lines of `blocks` without lines contained in `text`; compares the first `MAX_OBJECTS` lines only."""
    known, lines = _letters(text), "\n".join(map(block_text, blocks)).split("\n")
    shown = [line for line in lines[:MAX_OBJECTS] if not (line.strip() and _letters(line) in known)]
    return shown + lines[MAX_OBJECTS:]


def _unrepeated_blocks(message: Json) -> list[dict[str, Any]]:
    """Blocks with possibly more content than the text: people's rich text always repeats their text."""
    blocks, by_app = objects_at(message, "blocks"), bool(string_at(message, "bot_id")) or "bot_profile" in message
    if by_app or string_at(message, "subtype") == "bot_message" or not string_at(message, "text"):
        return blocks
    return [block for block in blocks if string_at(block, "type") != "rich_text"]


def _without_torn_marks(text: str) -> str:
    return _TORN.sub(TRUNCATED, text)


def _letters(text: str) -> str:
    """Letters and digits only, for comparing texts with different marks."""
    return re.sub(r"[\W_]+", "", unescape(text)).casefold()


# -------------------------------------------------------------------------------------------------------- attachments


def _attachment(attachment: Json, text: str, depth: int = 0) -> str:
    """A shared message, a link preview, or an app's attachment (most alerts are one)."""
    address = string_at(attachment, "from_url") or string_at(attachment, "original_url")
    if attachment.get("is_share") is True or attachment.get("is_msg_unfurl") is True:
        return quote(label("shared message", _origin(attachment)), _attachment_text(attachment, depth))
    lines = [
        string_at(attachment, "pretext"),
        string_at(attachment, "service_name"),
        string_at(attachment, "author_name"),
        titled_link(string_at(attachment, "title"), string_at(attachment, "title_link"), text),
        *_attachment_text(attachment, depth),
        *(_field(each) for each in objects_at(attachment, "fields")),
        *(element_text(each) for each in objects_at(attachment, "actions")),
        label("picture") if string_at(attachment, "image_url") else "",
        string_at(attachment, "footer"),
    ]
    if not any(lines):
        lines = [fallback] if (fallback := string_at(attachment, "fallback")) not in _NO_TEXT else []
    return quote(label("link preview" if address else "attachment"), lines)


def _attachment_text(attachment: Json, depth: int) -> list[str]:
    """The text of an attachment: its own, or of its blocks, or of the shared message."""
    blocks = [block_text(each) for each in objects_at(attachment, "blocks")]
    for shared in objects_at(attachment, "message_blocks"):
        blocks += [block_text(each) for each in objects_at(shared, "message", "blocks")]
    text, from_blocks = (
        truncate(string_at(attachment, "text"), MAX_PART_CHARACTERS),
        truncate("\n".join(filter(None, blocks)), MAX_PART_CHARACTERS),
    )
    words = [text, from_blocks]
    if text and from_blocks:
        text_letters, block_letters = _letters(text), _letters(from_blocks)
        words = [from_blocks] if text_letters in block_letters else [text] if block_letters in text_letters else words
    files = [line for each in objects_at(attachment, "files") for line in (_named(each), _file(each))]
    inner = objects_at(attachment, "attachments") if depth < _MAX_SHARE_DEPTH else []
    return [*words, *files, *(_attachment(each, text, depth + 1) for each in inner)]


def _origin(attachment: Json) -> str:
    """Author and channel of a shared message."""
    author, channel = string_at(attachment, "author_id"), string_at(attachment, "channel_id")
    who = (
        string_at(attachment, "author_name")
        or string_at(attachment, "author_subname")
        or (f"<@{author}>" if author else "")
    )
    where = string_at(attachment, "channel_name") or (f"<#{channel}>" if channel else "")
    where = where if where.startswith("<") or not where else f"#{where.removeprefix('#')}"
    return " ".join(filter(None, [f"of {who}" if who else "", f"in {where}" if where else ""]))


def _field(field: Json) -> str:
    name, value = string_at(field, "title"), string_at(field, "value")
    return f"{name}: {value}" if name and value else name or value


# -------------------------------------------------------------------------------------------------------------- files


def _file(file: Json) -> str:
    """Text missing from a file's contents, or unreadable there: titles, transcripts, beginnings."""
    name, kind = _name(file), string_at(file, "mode")
    spoken = string_at(file, "transcription", "preview", "content")
    if spoken:
        more = TRUNCATED if object_at(file, "transcription", "preview").get("has_more") is True else ""
        return quote(label("transcript of", name), [escape(spoken) + more])
    if kind == "email":
        head = label("email", escape(string_at(file, "subject")) or name)
        return quote(head, [escape(string_at(file, "plain_text") or string_at(file, "preview"))]) or head
    if kind in ("quip", "canvas") or string_at(file, "filetype") in ("quip", "canvas"):
        return label("canvas", name)
    if kind in ("post", "space", "docs", "list"):
        head = label("list" if kind == "list" else "post", name)
        return quote(head, [escape(string_at(file, "preview"))]) or head
    if kind == "external":
        return label(escape(string_at(file, "pretty_type")) or "file elsewhere", name)
    return ""


def _named(file: Json) -> str:
    """The name of a file in a shared message; empty if `_file` has it already."""
    return "" if _file(file) else label("file", _name(file))


def _name(file: Json) -> str:
    return escape(string_at(file, "title") or string_at(file, "name") or string_at(file, "id"))


def parse_files(message: Json) -> tuple[Attachment, ...]:
    """Files of a message, and of the messages it shares."""
    shared = [file for each in objects_at(message, "attachments") for file in objects_at(each, "files")]
    return tuple(attachment for file in (*objects_at(message, "files"), *shared) for attachment in parse_file(file))


def parse_file(file: Json) -> list[Attachment]:
    """A file object as attachments: itself, and a long transcript (the object holds only its beginning)."""
    preview, vtt = object_at(file, "transcription", "preview"), string_at(file, "vtt")
    made = _file_attachment(file)
    if not string_at(preview, "content"):
        return [made]
    made = replace(made, why=made.why or ONLY_TRANSCRIPT)
    has_rest = preview.get("has_more") is True and bool(vtt)
    return [made, Attachment(f"{made.name}.vtt", vtt, "text/vtt")] if has_rest else [made]


def _file_attachment(file: Json) -> Attachment:
    url = string_at(file, "url_private_download") or string_at(file, "url_private")
    why = _REASON_BY_MODE.get(string_at(file, "mode"), "") or _REASON_BY_ACCESS.get(string_at(file, "file_access"), "")
    is_stub = not why and (string_at(file, "file_access") == "check_file_info" or not url)
    return Attachment(
        name=string_at(file, "name") or string_at(file, "title") or string_at(file, "id") or "a file",
        url=url,
        media_type=string_at(file, "mimetype"),
        size=_count(file, "size"),
        width=_count(file, "original_w"),
        height=_count(file, "original_h"),
        lookup=string_at(file, "id") if is_stub else "",
        why=why,
    )


def _count(file: Json, name: str) -> int:
    return max(number_at(file, name) or 0, 0)
