"""The order of roles that every server takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai import OpenAIOptions, chat_completions, responses
from bot.conversation import File, Image, Message, OmittedAttachment, Part, Prompt, Role, Text
from bot.role_alternation import BEGINS_WITH_ANSWER, WITHOUT_WORDS, alternating, is_blank
from tests.servers.requests import messages_of, out_of_order

PICTURE = Image("cat.png", "image/png", b"\x89PNG")


def user(text: str, *more: Part, name: str = "") -> Message:
    return Message(Role.USER, (Text(text), *more), name)


def ours(text: str) -> Message:
    return Message(Role.ASSISTANT, (Text(text),))


PARTS = st.one_of(
    st.sampled_from(["", " ", "\n", "a", "b c"]).map(Text),
    st.sampled_from([PICTURE, File("a.txt", ""), OmittedAttachment("b.bin", "it is not text")]),
)
MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(Role),
        st.lists(PARTS, max_size=3).map(tuple),
        st.sampled_from(["", "Kim", "Dana"]),
    ),
    max_size=12,
)


@given(MESSAGES)
def test_any_conversation_alternates(messages: list[Message]) -> None:
    """A user's first and last, roles by turns, none of them empty; and no part that is seen is lost or moved."""
    result = alternating(messages)
    assert [message.role for message in result] == [Role.USER, Role.ASSISTANT] * (len(result) // 2) + [Role.USER]
    assert not any(map(is_blank, result))
    stand_ins = {Text(BEGINS_WITH_ANSWER), Text(WITHOUT_WORDS)}
    kept = [(message.role, part) for message in result for part in message.parts if part not in stand_ins]
    assert kept == [(message.role, part) for message in messages if not is_blank(message) for part in message.parts]
    assert alternating(result) == result


@pytest.mark.parametrize("images", [True, False])
@given(messages=MESSAGES, system=st.sampled_from(["", " ", "Be brief."]))
def test_any_request_is_in_order(images: bool, messages: list[Message], system: str) -> None:
    """Over both APIs, with images and without, the strictest server has nothing to say against the order."""
    prompt, options = Prompt(system, tuple(messages)), OpenAIOptions("m", images=images)
    for request in (chat_completions.request_body, responses.request_body):
        assert out_of_order(request(options, prompt, stream=True, usage=True)) == ""


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user("Kim: a"), user("Dana: b")], ["Kim: a\nDana: b"]),
        ([user("a"), ours("b"), ours("c"), user("d")], ["a", "b\nc", "d"]),
        ([user(" "), user("a")], ["a"]),
        ([ours("b"), user("c")], [BEGINS_WITH_ANSWER, "b", "c"]),
        ([user("a"), ours(""), user("c")], ["a\nc"]),
        ([user("a"), ours("b")], ["a", "b", WITHOUT_WORDS]),
        ([], [WITHOUT_WORDS]),
    ],
)
def test_what_becomes_of_each(messages: list[Message], expected: list[str]) -> None:
    """Neighbours are joined, empty ones dropped; an answer that comes first stays, after a word that says so."""
    assert [message.text for message in alternating(messages)] == expected


def test_a_picture_stays_with_its_words() -> None:
    """In a message of two people, each picture is behind the words of who posted it."""
    body = chat_completions.request_body(
        OpenAIOptions("m"), Prompt("", (user("Kim: look", PICTURE), user("Dana: nice"))), stream=False, usage=False
    )
    (message,) = messages_of(body)
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "text"]
    assert [part.get("text") for part in message["content"]] == ["Kim: look", None, "Dana: nice"]


def test_names_stay_where_they_are_one_persons() -> None:
    """A message joined of one person's keeps the name, one of several people's has none."""
    (same,) = alternating([user("a", name="Kim"), user("b", name="Kim")])
    (mixed,) = alternating([user("a", name="Kim"), user("b", name="Dana")])
    assert (same.name, mixed.name) == ("Kim", "")
