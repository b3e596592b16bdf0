"""Message content besides text: tables, and JSON of any shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.content import FIELDS, extra_text, pruned_content
from adapters.discord.events.message import DiscordMessage
from adapters.discord.events.parse import parse_message
from adapters.shared.context_labels import MAX_MESSAGE_CHARACTERS

Json = dict[str, Any]


def told(message: Json, source: str = "") -> str:
    return extra_text(message, lambda text: text, source=source)


EMBED = {
    "type": "rich",
    "author": {"name": "CI"},
    "title": "Build failed",
    "url": "https://ci.example/7",
    "description": "main is red",
    "fields": [{"name": "Step", "value": "test"}],
    "footer": {"text": "now"},
    "image": {"url": "https://ci.example/graph.png"},
}
POLL = {
    "question": {"text": "Where do we eat?"},
    "answers": [
        {"answer_id": 1, "poll_media": {"text": "Pizza", "emoji": {"name": "🍕"}}},
        {"answer_id": 2, "poll_media": {"text": "Sushi"}},
    ],
}
VOTES = {"is_finalized": True, "answer_counts": [{"id": 1, "count": 1, "me_voted": False}]}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "hi"}, ""),
        (
            {"message_snapshots": [{"message": {"content": "Moved to Friday 18:00."}}]},
            "[forwarded message]\n> Moved to Friday 18:00.",
        ),
        (
            {"message_snapshots": [{"message": {"content": "", "attachments": [{"filename": "a.png"}]}}]},
            "[forwarded message]\n> [file: a.png]",
        ),
        (
            {"message_snapshots": [{"message": {"embeds": [{"title": "T", "description": "D"}]}}]},
            "[forwarded message]\n> [embed]\n> > T\n> > D",
        ),
        (
            {"embeds": [EMBED]},
            "[embed]\n> CI\n> Build failed (https://ci.example/7)\n> main is red\n> Step: test\n> now\n> [picture]",
        ),
        (
            {
                "content": "see https://a.example/x",
                "embeds": [{"type": "link", "url": "https://a.example/x", "title": "The page", "description": "About"}],
            },
            "[link preview]\n> The page\n> About",
        ),
        ({"content": "https://a.example", "embeds": [{"type": "link", "url": "https://a.example"}]}, ""),
        (
            {"embeds": [{"type": "gifv", "url": "https://g.example/1", "title": "Cat"}]},
            "[GIF]\n> Cat (https://g.example/1)",
        ),
        ({"poll": POLL}, "[poll: Where do we eat?]\n> 🍕 Pizza\n> Sushi"),
        ({"poll": POLL | {"results": VOTES}}, "[poll, ended: Where do we eat?]\n> 🍕 Pizza: 1 vote\n> Sushi: 0 votes"),
        ({"sticker_items": [{"id": "1", "name": "Wave", "format_type": 1}]}, "[sticker: Wave]"),
        ({"stickers": [{"id": "1", "name": "Old"}]}, "[sticker: Old]"),
        (
            {"interaction_metadata": {"type": 2, "user": {"username": "ada"}}, "interaction": {"name": "weather"}},
            "[answer to a command: /weather of ada]",
        ),
        (
            {
                "flags": 1 << 15,
                "components": [
                    {
                        "type": 17,
                        "components": [
                            {"type": 10, "content": "# Deploy"},
                            {
                                "type": 9,
                                "components": [{"type": 10, "content": "v2 is live"}],
                                "accessory": {"type": 2, "label": "Undo"},
                            },
                            {"type": 12, "items": [{"media": {"url": "x"}, "description": "a graph"}]},
                            {"type": 1, "components": [{"type": 2, "label": "Docs", "url": "https://d.test"}]},
                            {
                                "type": 1,
                                "components": [{"type": 3, "options": [{"label": "A"}]}],
                            },
                        ],
                    }
                ],
            },
            "# Deploy\nv2 is live\n[button: Undo]\n[picture: a graph]\n[button: Docs (https://d.test)]\n[menu: A]",
        ),
    ],
)
def test_content_besides_text(message: Json, text: str) -> None:
    """Forwards, embeds, polls, stickers, components and commands are told with a label, each once."""
    assert told(message) == text


def test_where_a_forward_comes_from() -> None:
    """A forward names its channel if the name is known."""
    assert told({"message_snapshots": [{"message": {"content": "hi"}}]}, "#general").startswith(
        "[forwarded message: from #general]"
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *FIELDS,
                    *(
                        "message",
                        "content",
                        "title",
                        "url",
                        "fields",
                        "name",
                        "value",
                        "type",
                        "components",
                        "accessory",
                    ),
                    *("items", "question", "answers", "text", "poll_media", "results", "answer_counts", "id", "count"),
                    *("user", "username", "attachments", "filename", "embeds", "label", "options", "mentions"),
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "content"]), VALUES))
def test_any_json_gives_bounded_content(message: Json) -> None:
    """No JSON raises an error or exceeds the limit per message."""
    assert len(told(message)) <= MAX_MESSAGE_CHARACTERS


@given(st.dictionaries(st.sampled_from([*FIELDS, "content"]), VALUES))
def test_stored_fields_give_the_same_content(message: Json) -> None:
    """The stored fields give the same content as all fields."""
    kept = {name: pruned_content(value) if name in FIELDS else value for name, value in message.items()}

    assert told(kept) == told(message)


def test_a_very_long_or_deep_message_is_bounded() -> None:
    """Neither ten embeds of 6,000 characters nor a thousand containers in each other are too much."""
    deep: Json = {"type": 10, "content": "bottom"}
    for _ in range(1_000):
        deep = {"type": 17, "components": [deep]}
    assert len(told({"embeds": [{"description": "x" * 6_000}] * 10})) <= MAX_MESSAGE_CHARACTERS
    assert told({"components": [deep]}) == ""
    assert len(json.dumps(pruned_content([deep]))) < 1_000


ASKED: Json = {"id": "100", "channel_id": "7", "author": {"id": "2"}, "content": "", "mentions": []}
FORWARD: Json = {
    "message_reference": {"type": 1, "channel_id": "8", "message_id": "50"},
    "message_snapshots": [
        {
            "message": {
                "content": "<@4> <#8>",
                "mentions": [{"id": "4", "username": "bob"}],
                "attachments": [{"filename": "a.txt", "url": "https://x/a", "size": 3}],
            }
        }
    ],
}


def read(message: Json) -> DiscordMessage:
    return parse_message(message, bot_id="1", name_of=lambda sign, target: "rooms" if target == "8" else "")


def test_a_forward_is_read_with_its_files_and_names() -> None:
    """A forward's mentions are names, its files are files of the message, and it replies to nobody."""
    seen = read(ASKED | FORWARD)

    assert seen.extra_text == "[forwarded message: from #rooms]\n> @bob #rooms\n> [file: a.txt]"
    assert [each.name for each in seen.attachments] == ["a.txt"]
    assert (seen.reply_to, seen.mentions) == ("", frozenset())


def test_our_own_messages_have_no_extra_text() -> None:
    """Our own buttons are no words of the conversation."""
    button = {"components": [{"type": 1, "components": [{"type": 2, "label": "Stop"}]}]}

    assert read(ASKED | button).extra_text == "[button: Stop]"
    assert read(ASKED | button | {"author": {"id": "1"}}).extra_text == ""
