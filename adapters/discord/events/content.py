"""What a message of Discord's shows beside its text: forwards, embeds, polls, stickers, components, commands. Pure.

What belongs here: JSON in, labelled and bounded text out (https://docs.discord.com/developers/resources/message), and
what of that JSON is worth keeping. What does not: the text itself (`seen`). Nothing here raises, whatever it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.shared.context_labels import joined, label, linked, mapping, number, objects, pruned, quoted, string

# A reference of this type is a forward; its message is in `message_snapshots`, since it may be anywhere.
FORWARD = 1

# Fields of a message that hold what is read here, and the fields below them. Read by `needed`.
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

# Kinds of embeds that Discord makes of a link by itself.
_PREVIEWS = frozenset({"link", "article", "video", "image", "gifv"})

# How deep components and snapshots are looked into; Discord nests three deep.
_DEPTH = 6

# Kinds of components (https://docs.discord.com/developers/components/reference).
_BUTTON, _TEXT, _FILE = 2, 10, 13
_SELECTS = frozenset({3, 5, 6, 7, 8})

Readable = Callable[[str], str]


def beside(message: Mapping[str, Any], readable: Readable, *, source: str = "") -> str:
    """All that `message` shows beside its text. `source` is where a forward comes from, as far as that is known."""
    return joined(
        [
            _command(message),
            *(_snapshot(each, readable, source) for each in objects(message, "message_snapshots")),
            *_parts(message, readable),
        ]
    )


def needed(value: object) -> Any:  # noqa: ANN401 (JSON of any shape)
    """`value`, one of the `FIELDS`, without what is not read here."""
    return pruned(value, _BELOW)


def snapshots(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages that a forward carries."""
    return [mapping(each, "message") for each in objects(message, "message_snapshots")]


def _parts(message: Mapping[str, Any], readable: Readable) -> list[str]:
    """What a message, or a snapshot of one, shows beside its text and files."""
    text = string(message, "content")
    return [
        *_components(message, readable),
        *(_embed(each, readable, text) for each in objects(message, "embeds")),
        _poll(mapping(message, "poll")),
        *(label("sticker", string(each, "name")) for each in _stickers(message)),
    ]


def _stickers(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects(message, "sticker_items") or objects(message, "stickers")


def _snapshot(snapshot: Mapping[str, Any], readable: Readable, source: str) -> str:
    message = mapping(snapshot, "message")
    files = [label("file", string(each, "filename")) for each in objects(message, "attachments")]
    lines = [readable(string(message, "content")), *_parts(message, readable), *files]
    return quoted(label("forwarded message", f"from {source}" if source else ""), lines)


def _command(message: Mapping[str, Any]) -> str:
    """Which command of whom another bot answers; Discord shows it above the answer."""
    asked = mapping(message, "interaction_metadata") or mapping(message, "interaction")
    name = string(message, "interaction", "name") or string(asked, "name")
    user = mapping(asked, "user")
    who = string(user, "global_name") or string(user, "username")
    if not (name or who):
        return ""
    return label(
        "answer to a command", " ".join(filter(None, [f"/{name}" if name else "", f"of {who}" if who else ""]))
    )


# ------------------------------------------------------------------------------------------------------------- embeds


def _embed(embed: Mapping[str, Any], readable: Readable, text: str) -> str:
    """An embed; an address that stands in the `text` already is not told twice."""
    kind = string(embed, "type")
    url = string(embed, "url")
    lines = [
        string(embed, "provider", "name"),
        linked(readable(string(embed, "author", "name")), string(embed, "author", "url"), text),
        linked(readable(string(embed, "title")), url, text),
        readable(string(embed, "description")),
        *(_field(each, readable) for each in objects(embed, "fields")),
        readable(string(embed, "footer", "text")),
    ]
    pictured = any(mapping(embed, name) for name in ("image", "video"))
    if pictured and kind not in ("gifv", "video"):
        lines.append(label("picture", string(embed, "image", "description")))
    head = "embed"
    if kind in _PREVIEWS and url:
        head = {"gifv": "GIF", "image": "picture", "video": "video"}.get(kind, "link preview")
    return quoted(label(head), lines)


def _field(field: Mapping[str, Any], readable: Readable) -> str:
    name, value = readable(string(field, "name")), readable(string(field, "value"))
    return f"{name}: {value}" if name and value else name or value


# -------------------------------------------------------------------------------------------------------------- polls


def _poll(poll: Mapping[str, Any]) -> str:
    question, results = string(poll, "question", "text"), mapping(poll, "results")
    counts = {number(each, "id"): number(each, "count") for each in objects(results, "answer_counts")}
    answers = [_answer(each, counts, told=bool(results)) for each in objects(poll, "answers")]
    if not question and not any(answers):
        return ""
    head = label("poll, ended" if results.get("is_finalized") is True else "poll", question)
    return quoted(head, answers) or head


def _answer(answer: Mapping[str, Any], counts: Mapping[int | None, int | None], *, told: bool) -> str:
    """An answer and its votes; where counts are told, one that is not among them has none."""
    media = mapping(answer, "poll_media")
    text = " ".join(filter(None, [string(media, "emoji", "name"), string(media, "text")]))
    votes = counts.get(number(answer, "answer_id"), 0 if told else None)
    if not text or votes is None:
        return text
    return f"{text}: {votes} {'vote' if votes == 1 else 'votes'}"


# --------------------------------------------------------------------------------------------------------- components


def _components(holder: Mapping[str, Any], readable: Readable, depth: int = 0) -> list[str]:
    """The texts and labels of components, from top to bottom."""
    if depth > _DEPTH:
        return []
    lines: list[str] = []
    for each in objects(holder, "components"):
        lines += [_component(each, readable), *_components(each, readable, depth + 1)]
        lines += [_component(mapping(each, "accessory"), readable)]
        lines += [label("picture", string(item, "description")) for item in objects(each, "items")]
    return [line for line in lines if line]


def _component(component: Mapping[str, Any], readable: Readable) -> str:
    kind = number(component, "type")
    if kind == _TEXT:
        return readable(string(component, "content"))
    if kind == _BUTTON:
        return label("button", linked(string(component, "label"), string(component, "url")))
    if kind in _SELECTS:
        options = [string(each, "label") for each in objects(component, "options")]
        return label("menu", ", ".join(filter(None, [string(component, "placeholder"), *options])))
    if kind == _FILE:
        return label("file", string(component, "name"))
    return label("picture", string(component, "description")) if kind == 11 else ""
