"""History assembled for a model, and lost posts recognised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.slack.events.parse import SlackMessage
from adapters.slack.history.reader import before, find_post, join_answers, without_later_answers
from bot.conversation import TurnKey


def test_history_is_assembled() -> None:
    """An answer in several messages is one; the growing answer and later messages are left out."""
    ours = "a" * 20
    messages = [
        SlackMessage("1.0", "U1", "q1"),
        SlackMessage("2.0", "UBOT", "a1", ours=True, key="b" * 20 + "1"),
        SlackMessage("3.0", "UBOT", "a2", ours=True, key="b" * 20 + "2"),
        SlackMessage("4.0", "UBOT", "other", ours=True, key="c" * 20 + "1"),
        SlackMessage("5.0", "U1", "the question"),
        SlackMessage("6.0", "U2", "later"),
        SlackMessage("7.0", "UBOT", "late answer", ours=True, key="d" * 20 + "1"),
        SlackMessage("8.0", "UBOT", "being written", ours=True, key=ours + "1"),
        SlackMessage("9.0", "UBOT", "", ours=True, key="e" * 20 + "1"),
    ]
    texts = [each.text for each in join_answers(before(messages, "5.0", ours + "xxxx"))]
    assert texts == ["q1", "a1\na2", "other", "late answer"]


def test_another_answer_does_not_see_what_followed() -> None:
    """Neither the first answer nor answers to later questions; a late answer to an earlier question stays."""
    key = TurnKey("slack", "T1", "C1", "5.000000", 2)

    def answer(ts: str, question: str, generation: int) -> SlackMessage:
        digest = replace(key, message=question, generation=generation).digest
        return SlackMessage(ts, "UBOT", f"to {question}", ours=True, key=f"{digest[:20]}0")

    messages = [
        SlackMessage("1.000000", "U1", "q1"),
        SlackMessage("5.000000", "U1", "the question"),
        answer("6.000000", "5.000000", 0),
        answer("7.000000", "5.000000", 1),
        answer("8.000000", "1.000000", 3),
        SlackMessage("9.000000", "U1", "q9"),
        answer("9.100000", "9.000000", 0),
        SlackMessage("9.200000", "UBOT", "without a key", ours=True),
    ]
    kept = before(without_later_answers(messages, key.message, key), key.message, key.digest)
    assert [each.text for each in kept] == ["q1", "to 1.000000"]


def ours(ts: str, key: str = "") -> SlackMessage:
    return SlackMessage(ts, "UBOT", "", ours=True, key=key)


@pytest.mark.parametrize(
    ("messages", "keyed", "found"),
    [
        ([ours("2.1", "other"), ours("3.1", "key")], frozenset[str](), "3.1"),
        ([ours("2.1", "other"), ours("3.1")], frozenset[str](), None),  # this server has keys, and none matches
        ([SlackMessage("2.1", "U1", ""), ours("3.1"), ours("4.1")], frozenset[str](), "3.1"),
        ([ours("3.1"), ours("4.1")], frozenset({"3.1"}), "4.1"),
        ([ours("3.1")], None, None),  # it may answer another question
        ([ours("3.1", "key")], None, "3.1"),
        ([SlackMessage("2.1", "U1", "")], frozenset[str](), None),
    ],
)
def test_a_lost_post_is_recognised(
    messages: list[SlackMessage], keyed: frozenset[str] | None, found: str | None
) -> None:
    """By its key; on a server without keys, only as our one message without another purpose."""
    assert find_post("key", messages, keyed) == found
