"""Messages addressed to the bot, and their text for the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.events.content import parse_files
from adapters.slack.events.mentions import AddressedMessage, Trigger, decide, to_model_message
from adapters.slack.events.pages import SlackUser, parse_user
from adapters.slack.events.parse import Identity, SlackMessage, order, parse_event, parse_message
from adapters.slack.history.users import is_external, to_author
from bot.conversation import OmittedAttachment, Role, Text

ME = Identity(team="T1", user="UBOT", bot="B0BOT", enterprise="E1")


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "message", "channel": "C1", "user": "U1", "text": "hi", "ts": "5.000100", **fields}


@pytest.mark.parametrize(
    ("fields", "trigger", "thread"),
    [
        ({"type": "app_mention"}, Trigger.MENTION, "5.000100"),
        ({"type": "app_mention", "thread_ts": "4.0"}, Trigger.MENTION, "4.0"),
        ({"text": "<@UBOT> hi"}, Trigger.MENTION, "5.000100"),
        ({"text": "<@UBOT|bot> hi", "channel_type": "mpim"}, Trigger.MENTION, "5.000100"),
        ({"thread_ts": "4.0"}, Trigger.FOLLOW_UP, "4.0"),
        ({"thread_ts": "4.0", "subtype": "thread_broadcast"}, Trigger.FOLLOW_UP, "4.0"),
        ({"channel": "D1", "channel_type": "im"}, Trigger.DIRECT, ""),
        ({"channel": "D1"}, Trigger.DIRECT, ""),
        ({"channel": "D1", "app_context": {"entities": []}}, Trigger.DIRECT, "5.000100"),
        ({"channel": "D1", "app_context": {}, "thread_ts": "4.0"}, Trigger.DIRECT, "4.0"),
        ({"channel": "D1", "assistant_thread": {"action_token": "1"}}, Trigger.DIRECT, "5.000100"),
        ({"channel": "D1", "app_context": "none"}, Trigger.DIRECT, ""),
        ({"channel": "D1", "channel_type": "im", "thread_ts": "4.0"}, Trigger.DIRECT, "4.0"),
        ({"channel": "D1", "channel_type": "im", "subtype": "file_share"}, Trigger.DIRECT, ""),
        ({"channel": "D1", "subtype": "me_message"}, Trigger.DIRECT, ""),
    ],
)
def test_addressed(fields: dict[str, Any], trigger: Trigger, thread: str) -> None:
    """Mentions, direct messages and follow-ups, each with the thread of its answer."""
    addressed = decide(parse_event(event(**fields), ME), ME)
    assert addressed is not None
    assert (addressed.trigger, addressed.thread) == (trigger, thread)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ts": ""},
        {"type": "reaction_added"},
        {"user": "UBOT", "channel": "D1"},
        {"user": "U2", "bot_id": "B0BOT", "channel": "D1"},
        {"bot_id": "B2", "channel": "D1"},
        {"bot_profile": {}, "channel": "D1"},
        {"subtype": "bot_message", "channel": "D1"},
        {"subtype": "message_changed", "hidden": True, "message": event(), "channel": "D1"},
        {"subtype": "message_deleted", "channel": "D1"},
        {"subtype": "channel_join", "text": "<@UBOT> has joined"},
        {"user": "USLACKBOT", "channel": "D1"},
        {"user": "", "channel": "D1"},
        {"thread_ts": "4.0", "channel_type": "mpim"},
        {"thread_ts": "5.000100"},
        {"channel": ""},
    ],
)
def test_not_addressed(fields: dict[str, Any]) -> None:
    """Apps, our own messages, edits, joins, and conversations among people."""
    assert decide(parse_event(event(**fields), ME), ME) is None


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["type", "channel", "user", "text", "ts", "thread_ts", "subtype", "bot_id", "files", "blocks", "metadata"]


@given(st.dictionaries(st.sampled_from([*FIELDS, "team", "user_profile", "channel_type"]), json))
def test_any_event_is_decided(fields: dict[str, Any]) -> None:
    """A field of any shape leaves a decision."""
    for given_event in (fields, event(**fields), event(**{**fields, "type": "app_mention"})):
        addressed = decide(parse_event(given_event, ME), ME)
        assert addressed is None or isinstance(addressed, AddressedMessage)


@given(st.dictionaries(st.text(max_size=15), json))
def test_any_user_is_parsed(fields: dict[str, Any]) -> None:
    """A user object may lack anything."""
    assert parse_user({"user": fields}, "U1").name


def test_files() -> None:
    """Attachments with any number of fields; a deleted one says so."""
    files = [{"id": "F1", "url_private": "https://f.example/1"}, {"mode": "tombstone"}, "nonsense"]
    files += [{"name": "a.png", "mimetype": "image/png", "size": 9, "original_w": 3, "url_private_download": "u"}]
    first, stone, second = parse_files({"files": files})
    assert (first.name, first.url, first.size) == ("F1", "https://f.example/1", 0)
    assert (second.name, second.media_type, second.size, second.width) == ("a.png", "image/png", 9, 3)
    assert stone.why == "it was deleted"
    assert parse_files({"files": "x"}) == ()


@pytest.mark.parametrize(
    ("person", "said", "external"),
    [
        (SlackUser("U1", "a"), set(), False),
        (SlackUser("U1", "a"), {"T1"}, False),
        (SlackUser("U1", "a"), {"E1"}, False),
        (SlackUser("U1", "a"), {"T9"}, True),
        (SlackUser("U1", "a", stranger=True), {"T1"}, True),
        (SlackUser("U1", "a", teams=frozenset({"T1"})), {"T1"}, False),
        (SlackUser("U1", "a", teams=frozenset({"T9"})), set(), True),
        (SlackUser("U1", "a", teams=frozenset({"T9", "E1"})), {"T9"}, False),
        (SlackUser("U1", "a", teams=frozenset({"T9", "E9"})), {"T9"}, True),
    ],
)
def test_external_users(person: SlackUser, said: set[str], external: bool) -> None:
    """Another organisation is neither our workspace nor our enterprise."""
    assert is_external(person, frozenset(said), ME) is external


@pytest.mark.parametrize("field", ["is_admin", "is_owner", "is_primary_owner"])
@pytest.mark.parametrize("team", ["T1", "T9"])
def test_admins_of_our_workspace_manage_it(field: str, team: str) -> None:
    """An admin or owner of the workspace manages it; another organisation's admin manages nothing here."""
    user = parse_user({"user": {"id": "U1", "name": "ann", "team_id": team, field: True}}, "U1")
    assert to_author(user, frozenset(), ME).manages is (team == "T1")
    assert not to_author(SlackUser("U1", "ann", teams=frozenset({"T1"})), frozenset(), ME).manages


def test_a_message_for_the_model() -> None:
    """Names for ids, our own words unchanged, attachments beside the text."""
    assert to_model_message(SlackMessage("1.0", "U1", "hi <@U2>"), {"U1": "Ann", "U2": "Bob"}, ()).text == "hi @Bob"
    ours = to_model_message(SlackMessage("1.0", "UBOT", "a &lt; <b>", ours=True), {}, ())
    assert (ours.role, ours.text, ours.name) == (Role.ASSISTANT, "a &lt; <b>", "")
    left = OmittedAttachment("x.zip", "it is no text")
    assert to_model_message(SlackMessage("1.0", "U1", ""), {}, (left,)).parts == (left,)
    assert to_model_message(SlackMessage("1.0", "U1", ""), {}, ()).parts == (Text(""),)
    assert to_model_message(SlackMessage("1.0", "U1", "x", name="Robot"), {}, ()).name == "Robot"


def test_other_programs_are_part_of_a_thread() -> None:
    """Another app's message is context, under its name."""
    message = parse_message(event(user=None, bot_id="B7", subtype="bot_message", username="Deploys"), ME)
    assert message is not None
    assert (message.bot, message.ours, message.name, message.user) == (True, False, "Deploys", "B7")


def test_times_are_ordered_as_numbers() -> None:
    """Ids of messages are times; a malformed one comes first."""
    assert sorted(["10.000001", "9.999999", "x", "9.5"], key=order) == ["x", "9.5", "9.999999", "10.000001"]
