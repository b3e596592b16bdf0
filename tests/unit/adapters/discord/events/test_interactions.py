"""Interactions, parsed into events: presses, choices and forms."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.interactions import ComponentPressed, ModalSubmitted, parse_interaction_event
from adapters.discord.events.message import ChannelInfo, ChannelKind
from adapters.discord.events.parse import PARSE_ERRORS
from adapters.discord.messages.components import components
from bot.ports import Controls


class Directory:
    """One guild, "5", with one channel, "7", in the category "6"."""

    def guild_of(self, channel: str) -> str:
        return "5" if channel == "7" else ""

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        kind = ChannelKind.CHANNEL if guild else ChannelKind.DM
        return ChannelInfo(channel, kind, category="6" if channel == "7" else "")


ADA = {"id": "2", "username": "ada", "global_name": "Ada"}
MEMBER = {"user": ADA, "nick": "Countess", "roles": ["8"], "permissions": "16"}
PRESS: dict[str, Any] = {
    "id": "50",
    "application_id": "1",
    "token": "t0k3n",
    "type": 3,
    "channel_id": "7",
    "guild_id": "5",
    "member": MEMBER,
    "message": {"id": "40", "flags": 0, "components": components(Controls.STOP, "30")},
    "data": {"custom_id": "stop:30", "component_type": 2},
}


def press(**changes: Any) -> ComponentPressed:
    """The only event of a press."""
    [event] = parse_interaction_event(PRESS | changes, Directory())
    assert isinstance(event, ComponentPressed)
    return event


def test_a_press_in_a_guild() -> None:
    """It says who pressed what, on which message and where, and hides its token."""
    event = press()
    to = event.interaction

    assert (event.custom_id, event.label, to.message) == ("stop:30", "Stop", "40")
    assert (to.by.id, to.by.name, to.by.roles, to.by.manages) == ("2", "Countess", frozenset({"8"}), True)
    assert (to.place.workspace, to.place.channel_ids, to.place.conversation) == ("5", ("7", "6"), "")
    assert to.place.position == "50"
    assert "t0k3n" not in repr(event)


def test_a_press_in_a_direct_message() -> None:
    """A DM has no guild and no member; its conversation is the channel's."""
    dm = {name: value for name, value in PRESS.items() if name not in ("guild_id", "member")}
    [event] = parse_interaction_event(dm | {"channel_id": "9", "user": ADA}, Directory())

    assert (event.interaction.by.name, event.interaction.by.manages) == ("Ada", False)
    assert (event.interaction.place.direct, event.interaction.place.conversation) == (True, "discord:9")


@pytest.mark.parametrize(
    ("permissions", "manages"), [("8", True), ("16", True), ("24", True), ("7", False), ("0", False)]
)
def test_who_manages_a_channel(permissions: str, manages: bool) -> None:
    """Administrators do, and members with Manage Channels."""
    assert press(member=MEMBER | {"permissions": permissions}).interaction.by.manages is manages


def test_an_archived_thread() -> None:
    """The event itself names the kind and the parent of a thread missing in guild data."""
    to = press(channel={"id": "7", "type": 11, "parent_id": "3"}).interaction

    assert to.channel == ChannelInfo("7", ChannelKind.THREAD, "3")
    assert to.place.conversation == "discord:7"


def test_a_chosen_option() -> None:
    """The choice of a selection is its value."""
    assert press(data={"custom_id": "retry_with:30", "values": ["small"]}).values == ("small",)


def test_a_submitted_form() -> None:
    """Inputs in labels, a selection's choice, and inputs in rows, as older clients send them."""
    inputs = [
        {"type": 18, "component": {"type": 4, "custom_id": "reason", "value": "too long"}},
        {"type": 18, "component": {"type": 3, "custom_id": "model", "values": ["small"]}},
        {"type": 18, "component": {"type": 3, "custom_id": "persona", "values": []}},
        {"type": 1, "components": [{"type": 4, "custom_id": "old", "value": "row"}]},
        {"type": 10, "content": "words"},
    ]
    [event] = parse_interaction_event(
        PRESS | {"type": 5, "data": {"custom_id": "form:reason", "components": inputs}}, Directory()
    )

    assert isinstance(event, ModalSubmitted)
    assert event.values == {"reason": "too long", "model": "small", "persona": "", "old": "row"}


@pytest.mark.parametrize("change", [{"type": 1}, {"type": 99}, {"data": None}, {"data": {"custom_id": 3}}])
def test_other_interactions_are_skipped(change: dict[str, Any]) -> None:
    """Unknown types, and presses without an id, are no event."""
    assert list(parse_interaction_event(PRESS | change, Directory())) == []


KEYS = st.sampled_from([*sorted(PRESS), "custom_id", "components", "component", "values", "user", "roles", "flags"])
VALUES: st.SearchStrategy[object] = st.sampled_from([3, 5, "3", None, "stop:1", "x", [], -1.5])
JSON = st.recursive(VALUES, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below), max_leaves=8)


@given(st.dictionaries(KEYS, JSON))
def test_any_interaction_is_parsed_or_skipped(changes: dict[str, Any]) -> None:
    """Any JSON is an event, none, or raises one of `PARSE_ERRORS`."""
    with suppress(*PARSE_ERRORS):
        parse_interaction_event(PRESS | changes, Directory())
    with suppress(*PARSE_ERRORS):
        parse_interaction_event(changes, Directory())
