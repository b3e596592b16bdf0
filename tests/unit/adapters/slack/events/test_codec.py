"""Events in the journal: dumped and loaded, an event means the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.events.codec import dump, load
from adapters.slack.events.mentions import decide
from adapters.slack.events.parse import Identity, MessagePosted, parse_event

ME = Identity(team="T1", user="UBOT", bot="B0BOT")

Json = dict[str, Any]

QUESTIONS: list[Json] = [
    {"type": "app_mention", "channel": "C1", "user": "U1", "text": "<@UBOT> hi", "ts": "1.1"},
    {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "text": "and?", "ts": "2.1"}
    | {"thread_ts": "1.1", "parent_user_id": "U1"},
    {"type": "message", "channel": "D1", "channel_type": "im", "user": "U1", "text": "hi", "ts": "1.1"},
    {"type": "message", "channel": "D1", "channel_type": "im", "user": "U1", "text": "hi", "ts": "1.1"}
    | {"app_context": {"entities": [{"type": "slack#/types/channel_id", "value": "C1"}]}},
    {"type": "message", "channel": "C1", "user": "U1", "text": "<@UBOT> \ud83d", "ts": "1.1", "source_team": "T9"},
    {"type": "message", "channel": "D1", "user": "U1", "text": "", "ts": "1.1"}
    | {"attachments": [{"is_share": True, "author_name": "Ann", "text": "moved", "files": [{"id": "F1"}]}]},
    {"type": "message", "channel": "D1", "user": "U1", "text": "", "ts": "1.1"}
    | {
        "blocks": [
            {
                "type": "rich_text",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "hi"}]}],
            }
        ]
    },
    {"type": "message", "channel": "D1", "user": "U1", "text": "", "ts": "1.1"}
    | {
        "files": [
            {"id": "F1", "mode": "file_access", "file_access": "check_file_info"},
            {"id": "F2", "name": "clip.mp4"}
            | {
                "transcription": {"status": "complete", "preview": {"content": "hello", "has_more": True}},
                "vtt": "https://v",
            },
        ]
    },
    {"type": "message", "subtype": "file_share", "channel": "D1", "user": "U1", "text": "", "ts": "1.1"}
    | {"files": [{"name": "a.txt", "mimetype": "text/plain", "size": 7, "url_private": "https://files.slack.com/a"}]},
]

WORDS = st.one_of(st.text(max_size=8), st.none(), st.integers(), st.booleans())
NAMES = st.sampled_from(
    [
        *("type", "channel", "user", "text", "ts", "thread_ts", "subtype", "files", "hidden", "item", "reaction"),
        *("message", "previous_message", "deleted_ts", "streaming_message_ts", "channel_type", "bot_id"),
        *("attachments", "blocks", "elements", "title", "fields", "value", "is_share", "mode", "transcription"),
        *("app_context", "assistant_thread", "team", "user_team"),
        *("preview", "content", "file_access", "id", "message_blocks", "rows", "accessory", "author_name"),
    ]
)
VALUES = st.recursive(
    st.one_of(
        WORDS,
        st.sampled_from(["message", "reaction_added", "agent_session_stopped", "x", "message_deleted", "rich_text"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
EVENTS = st.dictionaries(NAMES, VALUES, max_size=8)


def posted(event: Json) -> MessagePosted:
    parsed = parse_event(event, ME)
    assert isinstance(parsed, MessagePosted)
    return parsed


@pytest.mark.parametrize("event", QUESTIONS)
def test_a_stored_question_is_complete(event: Json) -> None:
    """A loaded event addresses the bot like the original."""
    addressed = decide(posted(event), ME)
    assert addressed is not None
    assert decide(load(dump(event), ME), ME) == addressed
    assert dump(event).isascii()


@given(EVENTS)
def test_any_event_means_the_same_once_loaded(event: Json) -> None:
    """The stored form of any event is decided like the event."""
    parsed = parse_event(event, ME)
    if isinstance(parsed, MessagePosted) and (addressed := decide(parsed, ME)) is not None:
        assert decide(load(dump(event), ME), ME) == addressed


@given(st.dictionaries(st.sampled_from(["text", "files", "blocks", "attachments", "thread_ts", "team"]), VALUES))
def test_any_direct_message_means_the_same_once_loaded(fields: Json) -> None:
    """The same for messages addressed to the bot, with any content."""
    event = {"type": "message", "channel": "D1", "user": "U1", "ts": "1.1", **fields}
    assert decide(load(dump(event), ME), ME) == decide(posted(event), ME) is not None


@given(st.text(max_size=60))
def test_any_text_is_loaded(text: str) -> None:
    """Other text in a journal does no harm."""
    assert decide(load(text, ME), ME) is None


def test_only_needed_fields_are_stored() -> None:
    """Tokens, metadata, ids of blocks, and copies of the text in blocks are not written down."""
    copy = {"type": "rich_text", "elements": [{"type": "text", "text": "secret"}]}
    shared = {"text": "seen", "bot_id": "secret", "blocks": [{"type": "header", "block_id": "secret"}]}
    event = {**QUESTIONS[0], "blocks": [copy], "attachments": [shared], "metadata": "secret", "token": "secret"}
    assert "seen" in dump(event)
    assert "secret" not in dump(event)


def test_the_older_stored_form_is_loaded() -> None:
    """An earlier version's entry, with fewer fields of a file, means the same."""
    file = {"id": "F1", "name": "a.txt", "mimetype": "text/plain", "url_private": "https://files.slack.com/a"}
    event = {**QUESTIONS[2], "files": [file]}
    assert decide(load(json.dumps({"event": event}), ME), ME) == decide(posted(event), ME)
