"""Commands of Discord as events and as journal text."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.codec import dump_command, is_command, load_command
from adapters.discord.events.commands import ChannelAccess, CommandUsed, CompletionRequested, parse_command_event
from adapters.discord.events.message import ChannelInfo, ChannelKind
from adapters.discord.events.parse import PARSE_ERRORS
from bot.conversation import Author

VIEW, SEND, HISTORY, THREADS, ADMINISTRATOR = 1 << 10, 1 << 11, 1 << 16, 1 << 38, 1 << 3
ALL, NONE = ChannelAccess(sees=True, reads=True, posts=True), ChannelAccess(sees=False, reads=False, posts=False)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


class Directory:
    """Guild data with a thread 7 in channel 5."""

    def guild_of(self, channel: str) -> str:
        return "1" if channel in ("5", "7") else ""

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        if channel == "7":
            return ChannelInfo("7", ChannelKind.THREAD, "5")
        return ChannelInfo(channel, ChannelKind.CHANNEL if guild else ChannelKind.DM)


def payload(**fields: Any) -> dict[str, Any]:
    """An invocation of /ask in a server."""
    user = {"id": "3", "username": "ada", "global_name": "Ada"}
    options = [{"type": 3, "name": "question", "value": "why?"}]
    return {
        "id": "100",
        "application_id": "9",
        "type": 2,
        "token": "secret",
        "channel_id": "5",
        "guild_id": "1",
        "member": {"user": user, "nick": "Countess", "roles": ["8"], "permissions": str(1 << 4)},
        "app_permissions": str(VIEW | SEND | HISTORY),
        "authorizing_integration_owners": {"0": "1"},
        "context": 0,
        "data": {"id": "50", "name": "ask", "type": 1, "options": options},
    } | fields


def used(**fields: Any) -> CommandUsed:
    [event] = parse_command_event(payload(**fields), Directory())
    assert isinstance(event, CommandUsed)
    return event


def test_an_invocation() -> None:
    """Who, where, which command, with what; and no secret in its repr."""
    event = used()

    assert (event.name, event.type, dict(event.arguments), event.access) == ("ask", 1, {"question": "why?"}, ALL)
    assert event.interaction.by == Author("3", "Countess", frozenset({"8"}), manages=True)
    assert (event.interaction.guild, event.interaction.channel.id) == ("1", "5")
    assert "secret" not in repr(event)


@pytest.mark.parametrize(
    ("fields", "access"),
    [
        ({"app_permissions": None}, ALL),
        ({"app_permissions": str(ADMINISTRATOR)}, ALL),
        ({"app_permissions": str(VIEW | HISTORY)}, ChannelAccess(sees=True, reads=True, posts=False)),
        ({"app_permissions": str(VIEW | SEND)}, ChannelAccess(sees=True, reads=False, posts=True)),
        ({"app_permissions": str(SEND | HISTORY)}, NONE),
        ({"channel_id": "7"}, ChannelAccess(sees=True, reads=True, posts=False)),
        ({"channel_id": "7", "app_permissions": str(VIEW | HISTORY | THREADS)}, ALL),
        ({"authorizing_integration_owners": {"1": "3"}}, NONE),
        ({"authorizing_integration_owners": {"1": "3", "0": "1"}}, ALL),
    ],
)
def test_the_bots_access_in_a_server(fields: dict[str, Any], access: ChannelAccess) -> None:
    """By its permissions in the channel; a person who brought it along gives it none."""
    assert used(**fields).access == access


@pytest.mark.parametrize(("context", "access"), [(1, ALL), (2, NONE)])
def test_the_bots_access_in_a_direct_message(context: int, access: ChannelAccess) -> None:
    """In its own it may write; those of other people are closed to it."""
    user = {"id": "3", "username": "ada"}
    owners = {"1": "3"}
    fields = {"guild_id": None, "channel_id": "6", "member": None, "user": user}
    assert used(context=context, authorizing_integration_owners=owners, **fields).access == access


def test_other_interactions_are_no_commands() -> None:
    """Buttons and forms are parsed elsewhere."""
    assert parse_command_event(payload(type=3, data={"custom_id": "stop:1"}), Directory()) == ()


def test_a_completion_names_its_argument() -> None:
    """The one that somebody types."""
    options = [{"name": "a", "value": "x"}, {"name": "b", "value": "ty", "focused": True}]
    [event] = parse_command_event(payload(type=4, data={"name": "model", "options": options}), Directory())

    assert isinstance(event, CompletionRequested)
    assert (event.name, event.argument, event.typed) == ("model", "b", "ty")


@given(st.text(max_size=50), st.sampled_from(["5", "7", "6"]))
def test_a_command_is_read_back_from_the_journal(question: str, channel: str) -> None:
    """Everything that its answer needs survives a restart, and nothing else of a menu's message."""
    target = {"id": "4", "content": "why?", "referenced_message": {"id": "3"}}
    shown = {**target, "nonce": "7", "referenced_message": {"id": "3", "reactions": []}}
    event = replace(used(channel_id=channel), target=shown)
    text = dump_command(event, question)
    stored = load_command(text)

    assert is_command(text)
    assert not is_command('{"asks":true,"place":{}}')
    assert (stored.question, stored.event.interaction.token) == (question, event.interaction.token)
    assert (stored.event.interaction.by, stored.event.access) == (event.interaction.by, event.access)
    assert (stored.event.interaction.channel, stored.event.target) == (event.interaction.channel, target)


@given(st.dictionaries(st.sampled_from(sorted(payload())), JSON, max_size=4), JSON)
def test_malformed_payloads_raise_only_what_is_caught(fields: dict[str, Any], data: Any) -> None:
    """Whatever a server sends, an event is parsed, or one of the known errors is raised."""
    for changed in (payload(**fields), payload(data={"name": "ask", "options": data, "resolved": data})):
        with suppress(*PARSE_ERRORS):
            parse_command_event(changed, Directory())
        with suppress(*PARSE_ERRORS):
            load_command(json.dumps(data))
