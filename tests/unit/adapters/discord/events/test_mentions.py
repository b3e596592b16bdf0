"""Decisions about messages, and turns built from them: tables."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.discord.events.mentions import Decision, build_turn, decide
from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind, DiscordMessage
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey

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
    """Mentions, replies to us, threads with us and DMs get answers; bots, system messages and we do not."""
    assert decide(seen, ME, place, participates=participates, replied_to_us=replied_to_us) is expected


def test_what_a_turn_is() -> None:
    """The turn has channel ids from the narrowest on, the author with roles, and the question without its mention."""
    seen = said(name="Ada", text="@Bot hi", question_text="hi", roles=frozenset({"3"}), channel="8")

    assert build_turn(seen, THREAD, conversation="8") == Turn(
        key=TurnKey("discord", "5", "8", "100"),
        conversation="discord:8",
        author=Author("2", "Ada", frozenset({"3"})),
        question=Message(Role.USER, (Text("hi"),), "Ada", "100"),
        channel_ids=("8", "7", "70"),
        parent="7",
        direct=False,
    )


def test_a_question_without_words_has_no_parts() -> None:
    """An empty mention is passed on as empty: the core answers it."""
    assert build_turn(said(), DIRECT, conversation="9").question.parts == ()
