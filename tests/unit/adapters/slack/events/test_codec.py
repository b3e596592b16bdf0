"""What is kept of an event, and what readers tell without words: pure rules, as tables and on random input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.events.codec import dump, load
from adapters.slack.events.mentions import decide
from adapters.slack.events.parse import Identity, SlackMessage
from adapters.slack.events.stop_signals import StopRequested, parse_deletion, parse_stop
from adapters.slack.history.reader import posted_with

ME = Identity(team="T1", user="UBOT", bot="B0BOT")

Json = dict[str, Any]

QUESTIONS: list[Json] = [
    {"type": "app_mention", "channel": "C1", "user": "U1", "text": "<@UBOT> hi", "ts": "1.1"},
    {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "text": "and?", "ts": "2.1"}
    | {"thread_ts": "1.1", "parent_user_id": "U1"},
    {"type": "message", "channel": "D1", "channel_type": "im", "user": "U1", "text": "hi", "ts": "1.1"},
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


@pytest.mark.parametrize("event", QUESTIONS)
def test_a_question_is_kept_whole(event: Json) -> None:
    """What is read again asks the same as the event did."""
    asked = decide(event, ME)
    assert asked is not None
    assert decide(load(dump(event)), ME) == asked
    assert dump(event).isascii()


@given(EVENTS)
def test_any_event_asks_the_same_again(event: Json) -> None:
    """Whatever an event says, what is kept of it is read as the event was."""
    assert decide(load(dump(event)), ME) == decide(event, ME)


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    """A journal that holds something else harms nobody."""
    assert decide(load(text), ME) is None


def test_no_more_is_kept_than_is_needed() -> None:
    """What says nothing to a reader (tokens, metadata, ids of blocks, a text's copy in blocks) is not written down."""
    copy = {"type": "rich_text", "elements": [{"type": "text", "text": "secret"}]}
    shared = {"text": "seen", "bot_id": "secret", "blocks": [{"type": "header", "block_id": "secret"}]}
    event = {**QUESTIONS[0], "blocks": [copy], "attachments": [shared], "metadata": "secret", "token": "secret"}
    assert "seen" in dump(event)
    assert "secret" not in dump(event)


def test_the_older_form_of_what_is_kept_is_read() -> None:
    """What an earlier version wrote down, with fewer fields of a file, asks the same."""
    file = {"id": "F1", "name": "a.txt", "mimetype": "text/plain", "url_private": "https://files.slack.com/a"}
    event = {**QUESTIONS[2], "files": [file]}
    assert decide(load(json.dumps({"event": event})), ME) == decide(event, ME)


REACTION = {"type": "reaction_added", "user": "U1", "item": {"type": "message", "channel": "C1", "ts": "1.1"}}
SESSION = {"type": "agent_session_stopped", "user": "U1", "channel": "C1", "thread_ts": "1.1"}


@pytest.mark.parametrize(
    ("event", "stop"),
    [
        ({**REACTION, "reaction": "octagonal_sign"}, StopRequested("C1", "U1", ("1.1",))),
        ({**REACTION, "reaction": "no_entry::skin-tone-2"}, StopRequested("C1", "U1", ("1.1",))),
        ({**REACTION, "reaction": "thumbsup"}, None),
        ({**REACTION, "reaction": "x", "user": "UBOT"}, None),
        ({**REACTION, "reaction": "x", "item": {"type": "file", "file": "F1"}}, None),
        ({**SESSION, "streaming_message_ts": ["1.2"]}, StopRequested("C1", "U1", ("1.1", "1.2"), thread="1.1")),
        ({**SESSION, "thread_ts": None}, StopRequested("C1", "U1", (), thread="")),
        (QUESTIONS[0], None),
    ],
)
def test_who_asks_to_stop(event: Json, stop: StopRequested | None) -> None:
    """A few signs of people, and Slack's own button."""
    assert parse_stop(event, ME) == stop


CHANGE = {"type": "message", "channel": "C1", "hidden": True, "ts": "9.9"}


@pytest.mark.parametrize(
    ("event", "gone"),
    [
        ({**CHANGE, "subtype": "message_deleted", "deleted_ts": "1.1"}, ("C1", "1.1")),
        ({**CHANGE, "subtype": "message_deleted", "previous_message": {"ts": "1.1"}}, ("C1", "1.1")),
        ({**CHANGE, "subtype": "message_changed", "message": {"subtype": "tombstone", "ts": "1.1"}}, ("C1", "1.1")),
        ({**CHANGE, "subtype": "message_changed", "message": {"text": "edited", "ts": "1.1"}}, None),
        (QUESTIONS[0], None),
    ],
)
def test_what_was_taken_away(event: Json, gone: tuple[str, str] | None) -> None:
    """A deletion, or the tombstone of a thread's first message."""
    assert parse_deletion(event) == gone


@given(EVENTS)
def test_no_event_breaks_the_reading_of_signs(event: Json) -> None:
    """Whatever comes, it is a sign or none."""
    parse_stop(event, ME)
    parse_deletion(event)


def ours(ts: str, key: str = "") -> SlackMessage:
    return SlackMessage(ts, "UBOT", "", ours=True, key=key)


@pytest.mark.parametrize(
    ("said", "keyed", "found"),
    [
        ([ours("2.1", "other"), ours("3.1", "key")], frozenset[str](), "3.1"),
        ([ours("2.1", "other"), ours("3.1")], frozenset[str](), None),  # keys are told here, and none is ours
        ([SlackMessage("2.1", "U1", ""), ours("3.1"), ours("4.1")], frozenset[str](), "3.1"),
        ([ours("3.1"), ours("4.1")], frozenset({"3.1"}), "4.1"),
        ([ours("3.1")], None, None),  # it may answer somebody else
        ([ours("3.1", "key")], None, "3.1"),
        ([SlackMessage("2.1", "U1", "")], frozenset[str](), None),
    ],
)
def test_a_lost_post_is_told_from_others(
    said: list[SlackMessage], keyed: frozenset[str] | None, found: str | None
) -> None:
    """By its key; and where the server tells none, only as a message of ours of which nothing else is known."""
    assert posted_with("key", said, keyed) == found
