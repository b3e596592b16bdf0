"""Message content besides text, as labelled, bounded lines: forwards, embeds, polls, stickers, components, commands.

Fields: https://docs.discord.com/developers/resources/message. Pure; malformed JSON gives fewer lines, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.shared.context_labels import join_parts, label, quote, titled_link
from adapters.shared.json_fields import number_at, object_at, objects_at, select_fields, string_at

# Message reference type of a forward. The forwarded message is copied into `message_snapshots`.
FORWARD = 1

# Message fields with such content, and the names of the fields nested in them; `pruned_content` keeps only these.
FIELDS = (
    *("message_snapshots", "embeds", "poll", "sticker_items", "stickers", "components"),
    *("interaction", "interaction_metadata"),
)
_BELOW = frozenset(
    """
    accessory answer_counts answer_id answers attachments author components content content_type count description
    embeds emoji fields filename footer global_name height id image is_finalized items label member mentions message
    name nick options placeholder poll poll_media provider question results size sticker_items text title type url
    user username value width
    """.split()  # noqa: SIM905 (a list of words)
)

# Embed types Discord creates from a link.
_PREVIEWS = frozenset({"link", "article", "video", "image", "gifv"})

# Maximum depth for components and snapshots; Discord nests three deep.
_DEPTH = 6

# Component types (https://docs.discord.com/developers/components/reference).
_BUTTON, _TEXT, _THUMBNAIL, _FILE = 2, 10, 11, 13
_SELECTS = frozenset({3, 5, 6, 7, 8})

ReadText = Callable[[str], str]  # replaces mentions by names


def extra_text(message: Mapping[str, Any], read_text: ReadText, *, source: str = "") -> str:
    """Everything a message shows besides its text. `source` names the channel of a forward; empty if unknown."""
    return join_parts(
        [
            _command(message),
            *(_snapshot(each, read_text, source) for each in objects_at(message, "message_snapshots")),
            *_parts(message, read_text),
        ]
    )


def pruned_content(value: object) -> Any:  # noqa: ANN401 (JSON of any shape)
    """The value of one of `FIELDS` without unused fields, for the journal."""
    return select_fields(value, _BELOW)


def snapshots(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages in a forward."""
    return [object_at(each, "message") for each in objects_at(message, "message_snapshots")]


def _parts(message: Mapping[str, Any], read_text: ReadText) -> list[str]:
    """Components, embeds, poll and stickers of a message or snapshot."""
    text = string_at(message, "content")
    return [
        *_components(message, read_text),
        *(_embed(each, read_text, text) for each in objects_at(message, "embeds")),
        _poll(object_at(message, "poll")),
        *(label("sticker", string_at(each, "name")) for each in _stickers(message)),
    ]


def _stickers(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects_at(message, "sticker_items") or objects_at(message, "stickers")


def _snapshot(snapshot: Mapping[str, Any], read_text: ReadText, source: str) -> str:
    message = object_at(snapshot, "message")
    files = [label("file", string_at(each, "filename")) for each in objects_at(message, "attachments")]
    lines = [read_text(string_at(message, "content")), *_parts(message, read_text), *files]
    return quote(label("forwarded message", f"from {source}" if source else ""), lines)


def _command(message: Mapping[str, Any]) -> str:
    """The command another bot's message answers, with its user; Discord shows both above the answer."""
    command = object_at(message, "interaction_metadata") or object_at(message, "interaction")
    name = string_at(message, "interaction", "name") or string_at(command, "name")
    user = object_at(command, "user")
    user_name = string_at(user, "global_name") or string_at(user, "username")
    if not (name or user_name):
        return ""
    parts = [f"/{name}" if name else "", f"of {user_name}" if user_name else ""]
    return label("answer to a command", " ".join(filter(None, parts)))


# ------------------------------------------------------------------------------------------------------------- embeds


def _embed(embed: Mapping[str, Any], read_text: ReadText, text: str) -> str:
    """An embed. URLs already in `text` are left out."""
    kind = string_at(embed, "type")
    url = string_at(embed, "url")
    lines = [
        string_at(embed, "provider", "name"),
        titled_link(read_text(string_at(embed, "author", "name")), string_at(embed, "author", "url"), text),
        titled_link(read_text(string_at(embed, "title")), url, text),
        read_text(string_at(embed, "description")),
        *(_field(each, read_text) for each in objects_at(embed, "fields")),
        read_text(string_at(embed, "footer", "text")),
    ]
    pictured = any(object_at(embed, name) for name in ("image", "video"))
    if pictured and kind not in ("gifv", "video"):
        lines.append(label("picture", string_at(embed, "image", "description")))
    head = "embed"
    if kind in _PREVIEWS and url:
        head = {"gifv": "GIF", "image": "picture", "video": "video"}.get(kind, "link preview")
    return quote(label(head), lines)


def _field(field: Mapping[str, Any], read_text: ReadText) -> str:
    name, value = read_text(string_at(field, "name")), read_text(string_at(field, "value"))
    return f"{name}: {value}" if name and value else name or value


# -------------------------------------------------------------------------------------------------------------- polls


def _poll(poll: Mapping[str, Any]) -> str:
    question, results = string_at(poll, "question", "text"), object_at(poll, "results")
    counts = {number_at(each, "id"): number_at(each, "count") for each in objects_at(results, "answer_counts")}
    answers = [_answer(each, counts, counted=bool(results)) for each in objects_at(poll, "answers")]
    if not question and not any(answers):
        return ""
    head = label("poll, ended" if results.get("is_finalized") is True else "poll", question)
    return quote(head, answers) or head


def _answer(answer: Mapping[str, Any], counts: Mapping[int | None, int | None], *, counted: bool) -> str:
    """An answer with its votes. If the poll has counts, a missing one means zero."""
    media = object_at(answer, "poll_media")
    text = " ".join(filter(None, [string_at(media, "emoji", "name"), string_at(media, "text")]))
    votes = counts.get(number_at(answer, "answer_id"), 0 if counted else None)
    if not text or votes is None:
        return text
    return f"{text}: {votes} {'vote' if votes == 1 else 'votes'}"


# --------------------------------------------------------------------------------------------------------- components


def _components(holder: Mapping[str, Any], read_text: ReadText, depth: int = 0) -> list[str]:
    """Texts and labels of components, top to bottom."""
    if depth > _DEPTH:
        return []
    lines: list[str] = []
    for each in objects_at(holder, "components"):
        lines += [_component(each, read_text), *_components(each, read_text, depth + 1)]
        lines += [_component(object_at(each, "accessory"), read_text)]
        lines += [label("picture", string_at(item, "description")) for item in objects_at(each, "items")]
    return [line for line in lines if line]


def _component(component: Mapping[str, Any], read_text: ReadText) -> str:
    kind = number_at(component, "type")
    if kind == _TEXT:
        return read_text(string_at(component, "content"))
    if kind == _BUTTON:
        return label("button", titled_link(string_at(component, "label"), string_at(component, "url")))
    if kind in _SELECTS:
        options = [string_at(each, "label") for each in objects_at(component, "options")]
        return label("menu", ", ".join(filter(None, [string_at(component, "placeholder"), *options])))
    if kind == _FILE:
        return label("file", string_at(component, "name"))
    return label("picture", string_at(component, "description")) if kind == _THUMBNAIL else ""
