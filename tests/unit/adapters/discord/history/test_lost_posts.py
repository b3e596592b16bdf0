"""The next message of an answer among a channel's messages."""

from __future__ import annotations

import pytest

from adapters.discord.events.message import DiscordMessage
from adapters.discord.history.lost_posts import next_answer_message

ME, QUESTION = "9", DiscordMessage("100", "4", "1")


def ours(message: str, reply_to: str = "100", author: str = ME) -> DiscordMessage:
    return DiscordMessage(message, "4", author, reply_to=reply_to)


@pytest.mark.parametrize(
    ("said", "known", "found"),
    [
        ([], [], None),
        ([ours("101"), ours("102")], [], "101"),
        ([ours("102"), ours("101")], ["101"], "102"),
        ([ours("101"), ours("102")], ["101", "102"], None),
        ([ours("101", reply_to="99")], [], None),  # another answer's
        ([ours("101", reply_to="")], [], None),  # perhaps another answer's: rather none
        ([ours("101", author="8")], [], None),  # another bot's
        ([ours("9")], [], None),  # compared as numbers, and it is older than the question
    ],
)
def test_the_next_message_of_an_answer(said: list[DiscordMessage], known: list[str], found: str | None) -> None:
    """The result is our oldest unknown reply to the question, and never another author's."""
    assert next_answer_message(said, QUESTION, known, bot_id=ME) == found
