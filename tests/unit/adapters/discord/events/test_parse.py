"""Discord's JSON as event objects and readable text: tables and properties."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import (
    EVENT_NAMES,
    PARSE_ERRORS,
    MessageChanged,
    MessageDeleted,
    MessagePosted,
    parse_event,
    parse_message,
    readable,
    without_mention,
)
from adapters.shared.attachments import Attachment


@pytest.mark.parametrize(
    ("raw", "question"),
    [
        ("<@1> hello", "hello"),
        ("<@!1>, hello", "hello"),
        ("hello <@1>", "hello"),
        ("<@1>", ""),
        (" <@1> <@1>  hi <@1> ", "hi"),
        ("ask <@1> about it", "ask <@1> about it"),
        ("<@12> hello", "<@12> hello"),
        ("<@1>\nline\n\nline", "line\n\nline"),
    ],
)
def test_the_address_is_not_part_of_the_question(raw: str, question: str) -> None:
    """Our mention goes where it only addresses us, and stays where it is part of a sentence."""
    assert without_mention(raw, "1") == question


@pytest.mark.parametrize(
    ("raw", "question"),
    [
        ("<@&99>", ""),
        ("<@&99> hello", "hello"),
        ("<@1> <@&99>", ""),
        ("hello <@&99>", "hello"),
        ("<@&98> hello", "<@&98> hello"),
    ],
)
def test_our_own_role_addresses_us_too(raw: str, question: str) -> None:
    """Users often mention the bot's managed role instead of the bot."""
    assert without_mention(raw, "1", frozenset({"99"})) == question


NAMES = {("@", "2"): "Ada", ("@&", "3"): "devs", ("#", "7"): "general"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<@2> <@!2> <@&3> <#7>", "@Ada @Ada @devs #general"),
        ("<@9> <@!9> <@&9> <#9>", "@unknown-user @unknown-user @unknown-role #unknown"),
        ("<:party:123> <a:dance:456>", ":party: :dance:"),
        ("<t:1700000000>", "14 November 2023 23:13 CET"),
        ("<t:1700000000:t> <t:1700000000:T>", "23:13 CET 23:13:20 CET"),
        ("<t:1700000000:d> <t:1700000000:D>", "14 November 2023 14 November 2023"),
        ("<t:1700000000:F>", "Tuesday, 14 November 2023 23:13 CET"),
        ("<t:1700000000:R>", "14 November 2023 23:13 CET"),
        ("<t:1700000000:z>", "14 November 2023 23:13 CET"),
        ("<t:-1>", "01 January 1970 00:59 CET"),
        ("<t:99999999999999>", "Invalid Date"),
        ("</cmd:1> </a b:2> </a b c:3>", "/cmd /a b /a b c"),
        (
            "<id:customize> <id:browse> <id:guide> <id:linked-roles:5>",
            "Channels & Roles Browse Channels Server Guide Linked Roles",
        ),
        ("<id:nonsense>", "<id:nonsense>"),
        ("<https://a.example/b> <mailto:a@b.example>", "https://a.example/b a@b.example"),
        ("`<@2>` ```\n<#7>\n``` <@2>", "`<@2>` ```\n<#7>\n``` @Ada"),
        ("a < b > c <t:> </:1> <#>", "a < b > c <t:> </:1> <#>"),
    ],
)
def test_marks_are_readable(raw: str, text: str) -> None:
    """Mentions, times, commands, emoji and links read as people see them, in the operator's time zone."""
    zone = timezone(timedelta(hours=1), "CET")

    assert readable(raw, lambda sign, target: NAMES.get((sign, target), ""), zone) == text


@given(st.text(alphabet="<>@!&#:/tTaRid0123456789`~ \n", max_size=60))
def test_any_marks_are_read(raw: str) -> None:
    """No known mark remains outside code."""
    text = readable(raw, lambda sign, target: "")

    if "`" not in raw:
        assert re.search(r"<@!?\d+>|<@&\d+>|<#\d+>|<t:\d{1,17}>", text) is None


FULL: dict[str, Any] = {
    "id": "100",
    "channel_id": "7",
    "guild_id": "5",
    "author": {"id": "2", "username": "ada", "global_name": "Ada L"},
    "member": {"nick": "Ada", "roles": ["3"], "flags": 0},
    "content": "<@1> ask <@4> in <#8>",
    "mentions": [{"id": "1", "username": "bot"}, {"id": "4", "username": "bob", "member": {"nick": "Bob"}}],
    "mention_roles": ["99"],
    "type": 19,
    "message_reference": {"message_id": "50", "channel_id": "7"},
    "attachments": [{"id": "1", "filename": "a.png", "url": "https://x/a", "size": 5, "width": 2, "height": 3}],
}


def test_a_full_message() -> None:
    """Every used field of a message is parsed."""
    assert parse_message(
        FULL, bot_id="1", name_of=lambda sign, target: "rooms" if target == "8" else ""
    ) == DiscordMessage(
        id="100",
        channel="7",
        author="2",
        guild="5",
        name="Ada",
        text="@bot ask @Bob in #rooms",
        question_text="ask @Bob in #rooms",
        kind=19,
        reply_to="50",
        mentions=frozenset({"1", "4", "99"}),
        roles=frozenset({"3"}),
        attachments=(Attachment("a.png", "https://x/a", "", 5, 2, 3),),
    )


def test_the_least_message() -> None:
    """An id, a channel and an author are enough; without a list of mentions, the text is searched."""
    data = {"id": "100", "channel_id": "7", "author": {"id": "2"}, "content": "<@1> hi"}

    seen = parse_message(data, bot_id="1", name_of=lambda sign, target: "")

    assert seen == DiscordMessage(
        "100", "7", "2", name="somebody", text="@unknown-user hi", question_text="hi", mentions=frozenset({"1"})
    )


def test_a_nickname_is_used_in_a_forward_too() -> None:
    """A forward lists mentioned users without their nicknames; those of the message itself come first."""
    snapshot = {"message": {"content": "<@4>", "mentions": [{"id": "4", "username": "bob"}]}}

    seen = parse_message({**FULL, "message_snapshots": [snapshot]}, bot_id="1", name_of=lambda sign, target: "")

    assert (seen.question_text, seen.extra_text) == ("ask @Bob in #unknown", "[forwarded message]\n> @Bob")


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"webhook_id": "6"}, "bot", True),
        ({"author": {"id": "2", "bot": True}}, "bot", True),
        ({"author": {"id": "2", "system": True}}, "bot", True),
        ({"member": {"flags": 1 << 4}}, "guest", True),
        ({"member": {}}, "name", "Ada L"),
        ({"message_reference": {"type": 1, "message_id": "50"}}, "reply_to", ""),
        ({"message_reference": None}, "reply_to", ""),
        ({"content": None}, "text", ""),
        ({"attachments": None}, "attachments", ()),
    ],
)
def test_special_messages(change: dict[str, Any], field: str, value: object) -> None:
    """Webhooks and bots are told apart from people, guests from members, a forward from a reply."""
    seen = parse_message({**FULL, **change}, bot_id="1", name_of=lambda sign, target: "")

    assert getattr(seen, field) == value


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(FULL)), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), json))
def test_any_message_is_parsed_or_skipped(change: dict[str, Any]) -> None:
    """Any JSON is parsed as a message, or raises one of `PARSE_ERRORS`."""
    with suppress(*PARSE_ERRORS):
        parse_message({**FULL, **change}, bot_id="1", name_of=lambda sign, target: "")


class Names:
    """A directory of one guild, "5", with one channel, "7"."""

    zone = UTC

    def identity(self, guild: str) -> BotIdentity:
        return BotIdentity("1", frozenset({"99"}) if guild else frozenset())

    def guild_of(self, channel: str) -> str:
        return "5" if channel == "7" else ""

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        return ChannelInfo(channel, ChannelKind.CHANNEL if guild else ChannelKind.DM)

    def name_of(self, guild: str, sign: str, target: str) -> str:
        return {("5", "@&", "3"): "devs", ("5", "#", "7"): "general"}.get((guild, sign, target), "")


@pytest.mark.parametrize(
    ("name", "data", "events"),
    [
        ("MESSAGE_DELETE", {"id": "2", "channel_id": "7"}, [MessageDeleted("7", "2", "5")]),
        ("MESSAGE_DELETE", {"id": "2", "channel_id": "9", "guild_id": "8"}, [MessageDeleted("9", "2", "8")]),
        ("MESSAGE_DELETE", {"id": "2", "channel_id": "9"}, [MessageDeleted("9", "2")]),
        (
            "MESSAGE_DELETE_BULK",
            {"ids": ["2", "3"], "channel_id": "7"},
            [MessageDeleted("7", "2", "5"), MessageDeleted("7", "3", "5")],
        ),
        ("MESSAGE_UPDATE", {"id": "2", "channel_id": "7"}, [MessageChanged("7", "2", "1")]),
        ("MESSAGE_UPDATE", {"id": "2", "channel_id": "7", "author": {"id": "1"}, "content": "ours"}, []),
        (
            "MESSAGE_UPDATE",
            {"id": "2", "channel_id": "7", "content": "<@&3> <#7>", "embeds": [], "attachments": []},
            [MessageChanged("7", "2", "1", "@devs #general", "", ())],
        ),
        (
            "MESSAGE_UPDATE",
            {
                "id": "2",
                "channel_id": "7",
                "message_reference": {"type": 1, "channel_id": "7", "message_id": "3"},
                "message_snapshots": [{"message": {"content": "moved"}}],
            },
            [MessageChanged("7", "2", "1", None, "[forwarded message: from #general]\n> moved")],
        ),
    ],
)
def test_gateway_events(name: str, data: dict[str, Any], events: list[object]) -> None:
    """Deletions, edits and presses become one event each, with the guild of a known channel."""
    assert list(parse_event(name, data, Names())) == events


def test_a_posted_message() -> None:
    """A new message comes with its channel, the bot's identity in its guild, and the message it replies to."""
    older = {"id": "50", "channel_id": "7", "author": {"id": "1"}, "content": "before"}

    [event] = parse_event("MESSAGE_CREATE", FULL | {"referenced_message": older}, Names())

    assert isinstance(event, MessagePosted)
    assert (event.message.id, event.channel.id, event.bot.roles) == ("100", "7", frozenset({"99"}))
    assert event.replied_to == DiscordMessage("50", "7", "1", "5", "somebody", "before", "before")


@given(st.sampled_from(EVENT_NAMES), st.dictionaries(st.sampled_from([*sorted(FULL), "ids", "embeds"]), json))
def test_any_event_is_parsed_or_skipped(name: str, data: dict[str, Any]) -> None:
    """No JSON raises an error other than those the gateway skips."""
    with suppress(*PARSE_ERRORS):
        parse_event(name, data, Names())
