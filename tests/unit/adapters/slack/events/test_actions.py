"""Interactive payloads are parsed into frozen values, whatever arrives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack.events.actions import ButtonValue, Origin, parse_form, parse_origin, parse_press, parse_value

pytestmark = pytest.mark.quick

Json = dict[str, Any]

PRESS: Json = {
    "type": "block_actions",
    "user": {"id": "U1", "team_id": "T1"},
    "container": {"type": "message", "message_ts": "2.1", "channel_id": "C1", "thread_ts": "1.1", "is_ephemeral": True},
    "channel": {"id": "C1"},
    "trigger_id": "t",
    "response_url": "https://hooks.slack.com/x",
    "actions": [{"type": "button", "action_id": "a", "value": "v"}],
}
ORIGIN = Origin("U1", "C1", "1.1", "2.1", "T1", "t", "https://hooks.slack.com/x")


def form_of(**values: Json) -> Json:
    blocks = [{"type": "input", "block_id": name, "optional": name == "more"} for name in ("words", "more")]
    view = {"private_metadata": ButtonValue("f", "C1", "1.1", "2.1").dump(), "blocks": blocks}
    return {"type": "view_submission", "user": {"id": "U1"}, "view": {**view, "state": {"values": values}}}


def typed(text: str | None) -> Json:
    return {"value": {"type": "plain_text_input", "value": text}}


def test_a_press_of_a_private_message_has_its_thread_from_the_container() -> None:
    """A payload of an ephemeral message lacks the message; its container names channel, thread and message."""
    press = parse_press(PRESS)
    assert press is not None
    assert (press.origin, press.action, press.value) == (ORIGIN, "a", "v")


def test_a_slash_command_has_flat_fields() -> None:
    """The origin of a slash command is read from fields of other names."""
    command = {"user_id": "U1", "channel_id": "C1", "team_id": "T1", "trigger_id": "t", "response_url": "u"}
    assert parse_origin(command) == Origin("U1", "C1", "", "", "T1", "t", "u")


def test_a_chosen_option_is_a_value() -> None:
    """A menu's value is that of its chosen option."""
    action = {"type": "static_select", "action_id": "a", "selected_option": {"value": "v"}}
    press = parse_press({**PRESS, "actions": [action]})
    assert press is not None
    assert press.value == "v"


def test_a_form_names_its_empty_required_inputs() -> None:
    """White space is no content; an optional input may be empty."""
    for text, missing in ((" ", ("words",)), (None, ("words",)), ("yes", ())):
        form = parse_form(form_of(words=typed(text), more=typed(None)))
        assert form is not None
        assert (form.missing, form.form.id, form.origin.channel) == (missing, "f", "C1")


@pytest.mark.parametrize("payload", [{}, {"actions": [{}]}, {**PRESS, "actions": []}, {**PRESS, "user": None}])
def test_a_payload_without_a_person_or_an_action_is_no_press(payload: Json) -> None:
    """Nothing is made of half a payload."""
    assert parse_press(payload) is None
    assert parse_form(payload) is None


IDS = st.text(min_size=1, max_size=90)
PLACES = st.text(alphabet="CDU0123456789.", max_size=40)


@given(IDS, PLACES, PLACES, PLACES)
def test_a_value_comes_back(id_: str, channel: str, thread: str, message: str) -> None:
    """A value survives its way through Slack, and fits into a button and a form."""
    value = ButtonValue(id_, channel, thread, message)
    assert parse_value(value.dump()) == value
    assert len(value.dump()) <= 2_000


NAMES = st.sampled_from(
    """type user id team_id channel container message ts thread_ts message_ts channel_id actions action_id value view
    selected_option private_metadata state values blocks block_id optional trigger_id response_url user_id""".split()  # noqa: SIM905 (a list of words)
)
LEAVES = st.one_of(
    st.text(max_size=8), st.none(), st.integers(), st.booleans(), st.sampled_from(["input", '{"id": "f"}', '{"id": 1}'])
)
JSON = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
        max_leaves=12,
    ),
    max_size=8,
)


@settings(max_examples=50)
@given(JSON)
def test_any_payload_is_parsed(payload: Json) -> None:
    """Whatever arrives, parsing raises nothing, and every field has its type."""
    for parsed in (parse_press(payload), parse_form(payload)):
        assert parsed is None or parsed.origin.user
    assert all(isinstance(getattr(parse_origin(payload), name), str) for name in ("user", "channel", "thread"))


@given(st.text(max_size=40))
def test_any_text_is_a_value_or_none(text: str) -> None:
    """Values of other apps' buttons are none of ours."""
    value = parse_value(text)
    assert value is None or value.id
