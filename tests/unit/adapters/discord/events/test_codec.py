"""Questions in the journal: there and back."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.codec import dump, load
from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import PARSE_ERRORS, MessagePosted, parse_message

Json = dict[str, Any]


def stored(data: Json, channel: ChannelInfo, *, asks: bool) -> str:
    """A question as a process writes it to its journal."""
    message = DiscordMessage(data["id"], data["channel_id"], data["author"]["id"])
    return dump(MessagePosted(message, channel, BotIdentity("9"), data), asks=asks)


def test_the_stored_fields_are_the_parsed_ones() -> None:
    """A stored question has every field the parser reads, and no other."""
    message: Json = {"id": "5", "channel_id": "4", "author": {"id": "1"}, "content": "hi", "embeds": [{"url": "x"}]}
    message |= {"member": {"nick": "Ada", "roles": ["8"], "flags": 16}, "mentions": [{"id": "9", "username": "bob"}]}
    message |= {"message_reference": {"type": 0, "message_id": "3", "channel_id": "4"}, "mention_roles": ["8"]}
    message |= {"attachments": [{"filename": "a", "url": "u", "content_type": "t", "size": 1, "width": 2, "height": 3}]}
    told = message | {"nonce": "7", "reactions": [{"count": 1}], "author": {"id": "1", "avatar": "secret"}}
    told["mentions"] = [{"id": "9", "username": "bob", "primary_guild": {"tag": "secret"}}]
    place = ChannelInfo("4", ChannelKind.THREAD, "3", "2")
    kept = load(stored({**told, "referenced_message": {**told, "id": "4"}}, place, asks=False))

    assert kept.message == {**message, "referenced_message": {**message, "id": "4"}}
    assert (kept.channel, kept.asks) == (place, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["place", "message", "id"]), inner),
    max_leaves=12,
)


@given(st.text(max_size=40) | JSON.map(json.dumps))
def test_unreadable_text_raises(event: str) -> None:
    """Text from another version or of unknown origin raises one of `PARSE_ERRORS`."""
    with suppress(*PARSE_ERRORS):
        load(event)


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


@pytest.mark.parametrize("shown", [FORWARD, {"embeds": [EMBED]}, {"poll": POLL}, {"sticker_items": [{"name": "Wave"}]}])
def test_a_stored_question_is_parsed_the_same(shown: Json) -> None:
    """A recovered question is the same, including its embeds and forwards."""
    place = ChannelInfo("7", ChannelKind.DM)
    event = ASKED | shown | {"referenced_message": ASKED | {"id": "99"} | shown}
    kept = load(
        dump(MessagePosted(read(event), place, BotIdentity("1"), event | {"nonce": "secret"}), asks=True)
    ).message

    assert read(dict(kept)) == read(event)
    assert read(kept["referenced_message"]) == read(event["referenced_message"])
    assert "secret" not in json.dumps(kept)


def test_an_earlier_version_s_event_is_read() -> None:
    """A question stored by an earlier version, without these fields, is readable."""
    older = json.dumps(
        {"asks": True, "place": {"id": "7", "kind": "DM", "parent": "", "category": ""}, "message": ASKED}
    )

    assert read(dict(load(older).message)) == read(ASKED)
