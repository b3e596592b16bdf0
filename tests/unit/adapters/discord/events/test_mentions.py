"""Who is answered in Discord and what a message becomes: tables and properties, no I/O."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.mentions import Decision, build_turn, decide
from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import parse_message, readable, without_mention
from adapters.discord.messages.renderer import DiscordMarkdown, without_small_print
from adapters.shared.attachments import Attachment
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey
from bot.markdown import utf16_units

ME = BotIdentity("1", frozenset({"99"}))
CHANNEL = ChannelInfo("7", ChannelKind.CHANNEL, category="70")
THREAD = ChannelInfo("8", ChannelKind.THREAD, parent="7", category="70")
DIRECT = ChannelInfo("9", ChannelKind.DM)


def said(**fields: Any) -> DiscordMessage:
    return DiscordMessage(**{"id": "100", "channel": "7", "author": "2", "guild": "5", **fields})


@pytest.mark.parametrize(
    ("seen", "place", "participates", "replied_to_us", "expected"),
    [
        (said(mentions=frozenset({"1"})), CHANNEL, None, None, Decision.ANSWER),
        (said(mentions=frozenset({"99"})), CHANNEL, None, None, Decision.ANSWER),
        (said(mentions=frozenset({"2"})), CHANNEL, None, None, Decision.IGNORE),
        (said(), CHANNEL, None, None, Decision.IGNORE),
        (said(reply_to="50"), CHANNEL, None, True, Decision.ANSWER),
        (said(reply_to="50"), CHANNEL, None, False, Decision.IGNORE),
        (said(reply_to="50"), CHANNEL, None, None, Decision.NEEDS_LOOKUP),
        (said(reply_to="50", mentions=frozenset({"1"})), CHANNEL, None, False, Decision.ANSWER),
        (said(), THREAD, True, None, Decision.ANSWER),
        (said(), THREAD, False, None, Decision.IGNORE),
        (said(), THREAD, None, None, Decision.NEEDS_LOOKUP),
        (said(reply_to="50"), THREAD, None, True, Decision.ANSWER),
        (said(mentions=frozenset({"1"})), THREAD, False, None, Decision.ANSWER),
        (said(), DIRECT, None, None, Decision.ANSWER),
        (said(bot=True, mentions=frozenset({"1"})), CHANNEL, None, None, Decision.IGNORE),
        (said(bot=True), DIRECT, None, None, Decision.IGNORE),
        (said(author="1"), DIRECT, None, None, Decision.IGNORE),
        (said(kind=7, mentions=frozenset({"1"})), CHANNEL, None, None, Decision.IGNORE),
        (said(kind=19, reply_to="50"), CHANNEL, None, True, Decision.ANSWER),
    ],
)
def test_who_is_answered(
    seen: DiscordMessage, place: ChannelInfo, participates: bool | None, replied_to_us: bool | None, expected: Decision
) -> None:
    """A mention, a reply to us, a thread that is ours and a DM are answered; bots, the system and we are not."""
    assert decide(seen, ME, place, participates=participates, replied_to_us=replied_to_us) is expected


def test_what_a_turn_is() -> None:
    """The turn names its place from the narrowest on, who asks with their roles, and the question without address."""
    seen = said(name="Ada", text="@Bot hi", question_text="hi", roles=frozenset({"3"}), channel="8")

    assert build_turn(seen, THREAD, conversation="8") == Turn(
        key=TurnKey("discord", "5", "8", "100"),
        conversation="discord:8",
        author=Author("2", "Ada", frozenset({"3"})),
        question=Message(Role.USER, (Text("hi"),), "Ada", "100"),
        channel_ids=("8", "7", "70"),
        direct=False,
    )


def test_a_question_without_words_has_no_parts() -> None:
    """An empty mention is passed on as empty: the core answers it."""
    assert build_turn(said(), DIRECT, conversation="9").question.parts == ()


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
    """People often pick the role that Discord made for the bot in place of the bot."""
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
    """Whatever is written between angle brackets, it is read, and no known mark is left outside of code."""
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
    """Every field of Discord's message that we use is read."""
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
    """An id, a channel and an author are enough; a server that leaves out the list of mentions is read all the same."""
    data = {"id": "100", "channel_id": "7", "author": {"id": "2"}, "content": "<@1> hi"}

    seen = parse_message(data, bot_id="1", name_of=lambda sign, target: "")

    assert seen == DiscordMessage(
        "100", "7", "2", name="somebody", text="@unknown-user hi", question_text="hi", mentions=frozenset({"1"})
    )


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
def test_a_messages_odd_sides(change: dict[str, Any], field: str, value: object) -> None:
    """Webhooks and bots are told apart from people, guests from members, a forward from a reply."""
    seen = parse_message({**FULL, **change}, bot_id="1", name_of=lambda sign, target: "")

    assert getattr(seen, field) == value


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(FULL)), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), json))
def test_no_json_breaks_the_parser_in_an_unknown_way(change: dict[str, Any]) -> None:
    """Whatever a server sends for a message is read, or refused with what the caller passes over."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        parse_message({**FULL, **change}, bot_id="1", name_of=lambda sign, target: "")


@given(st.text())
def test_length_is_counted_in_utf16(text: str) -> None:
    """The measure is Discord's: UTF-16 units."""
    encodable = text.encode("utf-16-le", "surrogatepass")

    assert utf16_units(text) == len(encodable) // 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("answer", "answer"),
        ("answer\n-# cut at the model's limit", "answer"),
        ("answer\n\n-# one\n-# two\n", "answer"),
        ("-# only ours", ""),
        ("-# the model's own\nanswer", "-# the model's own\nanswer"),
        ("", ""),
    ],
)
def test_small_print_is_left_out(text: str, words: str) -> None:
    """Our own lines at the end of an answer are not the model's words."""
    assert without_small_print(text) == words


def test_a_notice_is_small_print() -> None:
    """What `notice` writes, `without_small_print` takes away."""
    assert without_small_print("answer\n" + DiscordMarkdown().notice("cut")) == "answer"
