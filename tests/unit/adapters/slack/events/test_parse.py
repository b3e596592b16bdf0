"""Slack's JSON as events and values: tables, and JSON of any shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.events.content import extra_text, parse_files
from adapters.slack.events.pages import parse_file_info, parse_message_page, parse_share, parse_user, parse_user_groups
from adapters.slack.events.parse import (
    ChannelNotice,
    Event,
    Identity,
    MessageChanged,
    MessageDeleted,
    MessagePosted,
    StopRequested,
    is_plain,
    parse_event,
)

Json = dict[str, Any]

ME = Identity(team="T1", user="UBOT", bot="B0BOT")

MENTION = {"type": "app_mention", "channel": "C1", "user": "U1", "text": "<@UBOT> hi", "ts": "1.1"}
EDIT = {"user": "U1", "text": "edited", "ts": "1.1"}


def as_stop(event: Json) -> StopRequested | None:
    parsed = parse_event(event, ME)
    return parsed if isinstance(parsed, StopRequested) else None


def as_deletion(event: Json) -> tuple[str, str] | None:
    parsed = parse_event(event, ME)
    return (parsed.channel, parsed.ts) if isinstance(parsed, MessageDeleted) else None


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (MENTION, MessagePosted),
        ({**MENTION, "type": "message"}, MessagePosted),
        ({**MENTION, "type": "message", "user": "UBOT"}, MessagePosted),
        ({"type": "message", "channel": "C1", "subtype": "message_changed", "message": EDIT}, MessageChanged),
        ({"type": "message", "channel": "C1", "subtype": "message_changed", "message": {}}, ChannelNotice),
        ({"type": "message", "channel": "C1", "subtype": "message_deleted", "deleted_ts": "1.1"}, MessageDeleted),
        ({"type": "message", "channel": "C1", "subtype": "message_deleted"}, ChannelNotice),
        ({**MENTION, "type": "message", "subtype": "channel_join"}, ChannelNotice),
        ({**MENTION, "subtype": "channel_join"}, type(None)),
        ({**MENTION, "channel": ""}, type(None)),
        ({"type": "app_home_opened", "user": "U1", "channel": "D1"}, type(None)),
        ({}, type(None)),
    ],
)
def test_kinds_of_events(event: Json, kind: type[Event | None]) -> None:
    """Each payload becomes one kind of event, or none."""
    assert isinstance(parse_event(event, ME), kind)


def test_a_mention_as_a_value() -> None:
    """A mention event has no channel type, but Slack's ids tell it."""
    event = parse_event({**MENTION, "team": "T1", "source_team": "T9", "parent_user_id": "U2"}, ME)
    assert isinstance(event, MessagePosted)
    assert (event.channel_type, event.teams, event.parent) == ("channel", frozenset({"T1", "T9"}), "U2")
    assert (event.is_mention_event, event.message.user, event.message.files) == (True, "U1", ())


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
        (MENTION, None),
    ],
)
def test_stop_requests(event: Json, stop: StopRequested | None) -> None:
    """A few reactions and Slack's own button ask to stop."""
    assert as_stop(event) == stop


CHANGE = {"type": "message", "channel": "C1", "hidden": True, "ts": "9.9"}


@pytest.mark.parametrize(
    ("event", "deletion"),
    [
        ({**CHANGE, "subtype": "message_deleted", "deleted_ts": "1.1"}, ("C1", "1.1")),
        ({**CHANGE, "subtype": "message_deleted", "previous_message": {"ts": "1.1"}}, ("C1", "1.1")),
        ({**CHANGE, "subtype": "message_changed", "message": {"subtype": "tombstone", "ts": "1.1"}}, ("C1", "1.1")),
        ({**CHANGE, "subtype": "message_changed", "message": {"text": "edited", "ts": "1.1"}}, None),
        (MENTION, None),
    ],
)
def test_deletions(event: Json, deletion: tuple[str, str] | None) -> None:
    """A deletion, or the tombstone of a thread's first message."""
    assert as_deletion(event) == deletion


EDITED = {"user": "U1", "ts": "1.5"}
BEFORE = {"type": "message", "user": "U1", "text": "one", "ts": "1.1"}


@pytest.mark.parametrize(
    ("now", "before", "reworded", "other_files"),
    [
        ({"text": "two", "edited": EDITED}, BEFORE, True, False),
        ({"text": "two"}, BEFORE, True, False),
        ({"attachments": [{"title": "A page"}]}, BEFORE, False, False),
        ({"edited": EDITED}, BEFORE, False, False),
        ({"edited": EDITED}, {}, None, False),
        ({"files": [{"id": "F1"}]}, BEFORE, False, True),
        ({"files": [{"id": "F1", "thumb": "x"}]}, {**BEFORE, "files": [{"id": "F1"}]}, False, False),
    ],
)
def test_edits(now: Json, before: Json, reworded: bool | None, other_files: bool) -> None:
    """Other words or other files are an edit; a preview, a pin and a file's progress are not."""
    event = {**CHANGE, "subtype": "message_changed", "message": {**BEFORE, **now}, "previous_message": before}
    change = parse_event(event, ME)
    assert isinstance(change, MessageChanged)
    assert (change.is_reworded, change.has_other_files) == (reworded, other_files)


@pytest.mark.parametrize("message", [{**BEFORE, "hidden": True}, {**BEFORE, "subtype": "channel_join"}, {}])
def test_changes_without_words_are_no_edits(message: Json) -> None:
    """A change of a hidden message or of Slack's own report carries no message."""
    event = {**CHANGE, "subtype": "message_changed", "message": message, "previous_message": BEFORE}
    assert parse_event(event, ME) == ChannelNotice("C1")


WORDS = st.one_of(st.text(max_size=8), st.none(), st.integers(), st.booleans())
NAMES = st.sampled_from(
    """type channel user text ts thread_ts subtype files hidden item reaction message previous_message deleted_ts
    streaming_message_ts bot_id blocks attachments metadata messages response_metadata next_cursor file shares public
    profile enterprise_user teams usergroups id handle name bot_profile is_restricted""".split()  # noqa: SIM905 (a list of words)
)
KINDS = st.sampled_from(["message", "app_mention", "reaction_added", "agent_session_stopped", "message_changed", "x"])
JSON = st.dictionaries(
    NAMES,
    st.recursive(
        WORDS | KINDS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
        max_leaves=12,
    ),
    max_size=8,
)


@given(JSON)
def test_any_event_is_parsed(event: Json) -> None:
    """Whatever arrives, parsing raises nothing."""
    parse_event(event, ME)


@given(JSON)
def test_any_answer_is_parsed(data: Json) -> None:
    """The same for answers of the Web API."""
    assert parse_user(data, "U1").id == "U1"
    assert len(parse_message_page(data, ME).messages) <= 3
    assert parse_file_info(data).files
    assert "" not in parse_user_groups(data)
    assert parse_share(data, "C1", "") is None or isinstance(parse_share(data, "C1", ""), str)


@given(JSON)
def test_a_plain_message_has_no_further_content(message: Json) -> None:
    """A message recognised as plain has no text beside its own, and no files."""
    if is_plain(message):
        assert (extra_text(message), parse_files(message)) == ("", ())
