"""The model's conversation, assembled from cached messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.discord.events.message import DiscordMessage
from adapters.discord.history.assembly import channel_history, group_answers, messages_of, reply_chain
from adapters.discord.history.cache import (
    MessageCache,
)
from bot.conversation import Message, Role, Text

ME = "1"


def said(number: int, text: str = "", **fields: Any) -> DiscordMessage:
    return DiscordMessage(**{"id": str(number), "channel": "7", "author": "2", "name": "Ada", "text": text, **fields})


def ours(number: int, text: str, reply_to: int) -> DiscordMessage:
    return said(number, text, author=ME, name="", bot=True, reply_to=str(reply_to))


def holding(*seen: DiscordMessage) -> MessageCache:
    cache = MessageCache()
    cache.add_read(seen)
    return cache


def test_a_chain_goes_back_to_its_root() -> None:
    """The reply chain contains all messages of our answers, and no unrelated ones."""
    cache = holding(
        said(10, "root"),
        said(11, "beside"),
        ours(12, "part one", 10),
        ours(13, "part two", 10),
        said(14, reply_to="12"),
    )

    groups, more = reply_chain(cache, said(20, reply_to="14"), bot_id=ME, limit=10)

    assert [[one.id for one in group] for group in groups] == [["10"], ["12", "13"], ["14"]]
    assert not more


def test_a_chain_is_cut_at_the_limit_and_says_so() -> None:
    """The newest of a long chain are kept."""
    cache = holding(said(10), said(11, reply_to="10"), said(12, reply_to="11"))

    groups, more = reply_chain(cache, said(20, reply_to="12"), bot_id=ME, limit=2)

    assert ([group[0].id for group in groups], more) == (["11", "12"], True)


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Nonsense from a server does not hang the bot."""
    cache = holding(said(10, reply_to="11"), said(11, reply_to="10"))

    assert len(reply_chain(cache, said(20, reply_to="11"), bot_id=ME, limit=100)[0]) == 2


def test_a_channel_history_ends_at_the_question() -> None:
    """Messages after the question are left out, except answers to earlier questions."""
    cached = [said(10, "a"), said(11, "b"), said(12, "c"), ours(13, "to a", 10), said(14, "d"), ours(15, "x", 11)]

    groups, more = channel_history(cached, said(11, "b"), bot_id=ME, limit=10, from_start=True)

    assert ([[one.id for one in group] for group in groups], more) == ([["10"], ["13"]], False)


def test_a_channel_history_reports_truncation() -> None:
    """A history is truncated if its limit or the cache cuts off its beginning."""
    cached = [said(10), said(11), said(12)]
    assert channel_history(cached, said(20), bot_id=ME, limit=2, from_start=True)[1]
    assert not channel_history(cached, said(20), bot_id=ME, limit=3, from_start=True)[1]
    assert channel_history(cached, said(20), bot_id=ME, limit=3, from_start=False)[1]


def test_answers_are_grouped_and_system_messages_left_out() -> None:
    """Messages of one answer form one message, even with others in between; system messages are left out."""
    cached = [said(10, "q"), ours(11, "one", 10), said(12, "!"), ours(13, "two", 10), said(14, "joined", kind=7)]

    groups, _ = channel_history(cached, said(20), bot_id=ME, limit=10, from_start=True)

    assert [messages_of(group, bot_id=ME)[0].text for group in groups] == ["q", "one\ntwo", "!"]
    assert group_answers([], bot_id=ME) == []


def test_messages_of_the_model() -> None:
    """User messages have names; ours have neither names nor small print, and no parts if no text remains."""
    assert messages_of([said(10, "hi")], bot_id=ME)[0] == Message(Role.USER, (Text("hi"),), "Ada", "10")
    [whole] = messages_of([ours(11, "one", 10), ours(12, "two\n-# cut", 10)], bot_id=ME)
    assert whole == Message(Role.ASSISTANT, (Text("one\ntwo"),), id="11")
    assert messages_of([ours(13, "-# it failed", 10)], bot_id=ME)[0].parts == ()


def test_an_answer_to_a_command_begins_with_its_question() -> None:
    """The quote above such an answer is the person's question, and its later messages belong to it."""
    first = replace(ours(20, "> why \\*so\\*?\n\nBecause", 0), reply_to="", kind=20, name="Ada")
    groups = group_answers([said(10, "talk"), first, ours(21, "of that.", 20)], bot_id=ME)
    question, answer = messages_of(groups[1], bot_id=ME)

    assert [len(group) for group in groups] == [1, 2]
    assert (question.role, question.text, question.name) == (Role.USER, "why *so*?", "Ada")
    assert (answer.role, answer.text) == (Role.ASSISTANT, "Because\nof that.")
    assert question.id == answer.id == "20"
