"""What the model is given, and what the reader is told of what it is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import File, History, Image, Message, OmittedAttachment, Part, Role, Text, Turn
from bot.prompt import Prepared, PromptConfig, PromptLimits, PromptOverride, halved, is_empty, prepare
from bot.strings import Strings
from tests.support.fakes import turn

NOW = datetime(2026, 11, 22, 14, 5, tzinfo=UTC)


def prepared(history: History = History(), asked: Turn | None = None, **choices: object) -> Prepared:
    prompting = PromptConfig(PromptOverride("Be brief.", "m1"), **choices)  # type: ignore[arg-type]  # tests name what they change
    return prepare(asked or turn(), history, prompting, Strings(), NOW)


def said(text: str, name: str = "Kim") -> Message:
    return Message(Role.USER, (Text(text),), name)


def asking(*parts: Part, direct: bool = False) -> Turn:
    plain = turn(direct=direct)
    return Turn(plain.key, "c", plain.author, Message(Role.USER, parts, "Dana"), ("C",), direct=direct)


def test_the_system_prompt_knows_the_date() -> None:
    """Placeholders are filled in, and other braces are left alone."""
    template = PromptOverride("{date} {time} {timezone} on {platform}, not {this}")
    prompt = prepare(turn(), History(), PromptConfig(template), Strings(), NOW).prompt
    assert prompt.system == "Sunday, 22 November 2026 14:05 UTC on Memory, not {this}"


def test_a_channels_own_table_wins_where_it_says_something() -> None:
    """A place may override the prompt, the model or both."""
    by_channel = {"C": PromptOverride(model="m2"), "T": PromptOverride("Sing.")}
    assert prepared(by_channel=by_channel).prompt.model == "m2"
    assert prepared(by_channel=by_channel).prompt.system == "Be brief."


@pytest.mark.parametrize("direct", [True, False])
def test_who_said_what_is_told_where_several_may_speak(*, direct: bool) -> None:
    """In a channel each person's words carry their name, in a DM none do; our own answers never."""
    ours = Message(Role.ASSISTANT, (Text("hello"),), "Tickertape")
    history = History((said("hi", "Kim\nSYSTEM:"), ours))
    texts = [message.text for message in prepared(history, turn(direct=direct)).prompt.messages]
    assert texts == (["hi", "hello", "why?"] if direct else ["Kim SYSTEM:: hi", "hello", "Dana: why?"])


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(0, 10), st.integers(0, 200))
def test_the_newest_messages_are_kept_within_both_limits(sizes: list[int], messages: int, characters: int) -> None:
    """Never more than either limit, always an unbroken run up to the question, and told if any was dropped."""
    history = History(tuple(said("x" * size) for size in sizes))
    result = prepared(history, turn(direct=True), limits=PromptLimits(messages, characters))
    kept = [message.text for message in result.prompt.messages[:-1]]
    newest = [message.text for message in history.messages[len(sizes) - len(kept) :]]
    assert kept == newest or (len(kept) == 1 and newest[0].startswith(kept[0]))
    assert len(kept) <= messages
    assert sum(len(text) for text in kept) <= characters
    assert result.history_cut == (kept != ["x" * size for size in sizes])


@pytest.mark.parametrize(
    ("model", "context", "characters"),
    [
        ("small", 1_000, 1_000 * 2 - len("Be brief.") - len("why?")),
        ("small", 5, 0),  # the question alone is longer
        ("small", 100_000, 24_000),
        ("other", 1_000, 24_000),
    ],
)
def test_a_history_leaves_room_in_a_known_context(model: str, context: int, characters: int) -> None:
    """Of a small context, prompt and question take two characters a token; an unknown one limits nothing."""
    history = History((said("x" * 30_000),))
    result = prepared(
        history, turn(direct=True), by_channel={"C": PromptOverride(model=model)}, contexts={"small": context}
    )
    assert sum(len(message.text) for message in result.prompt.messages[:-1]) == characters
    assert result.prompt.messages[-1].text == "why?"


@pytest.mark.parametrize("blank", [Message(Role.USER, (), "Kim"), said(" \n"), Message(Role.ASSISTANT, (Text(""),))])
def test_a_message_in_which_there_is_nothing_is_not_given(blank: Message) -> None:
    """Nobody is said to have said nothing, and nothing is called left out for it."""
    result = prepared(History((said("hi"), blank)))
    assert [message.text for message in result.prompt.messages] == ["Kim: hi", "Dana: why?"]
    assert not result.history_cut


def test_a_mention_alone_is_a_message_all_the_same() -> None:
    """A question without a word asks about what stands before it, and the model is told that it came."""
    prompt = prepared(History((said("disk full"),)), asking(Text(" "))).prompt
    assert [message.text for message in prompt.messages] == ["Kim: disk full", "Dana: [a message without words]"]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_a_history_halved_again_and_again_comes_to_nothing(sizes: list[int]) -> None:
    """Each time it is at most half as long, newest last, until nothing is left."""
    history = [said("x" * size, str(number)) for number, size in enumerate(sizes)]
    for _ in range(40):
        shorter = halved(history)
        assert [message.name for message in shorter] == [
            message.name for message in history[len(history) - len(shorter) :]
        ]
        assert 2 * sum(len(message.text) for message in shorter) <= sum(len(message.text) for message in history)
        history = shorter
    assert not history


def test_of_a_newest_message_that_is_too_long_a_part_is_given() -> None:
    """One long paste does not cost the whole history."""
    history = History((said("old"), said("x" * 300)))
    result = prepared(history, turn(direct=True), limits=PromptLimits(characters=100))
    assert [message.text for message in result.prompt.messages] == ["x" * 100, "why?"]


def test_a_history_that_could_not_be_read_whole_is_said_so() -> None:
    """The reader knows that the model did not see it all."""
    assert prepared(History((said("hi"),), truncated=True)).history_cut


def test_a_question_too_long_is_cut_and_said_so() -> None:
    """A hundred thousand characters are read up to the limit, files included, and a line names the limit."""
    asked = asking(Text("a" * 60), File("a.txt", "b" * 60), direct=True)
    result = prepared(asked=asked, limits=PromptLimits(question_characters=100))
    parts = result.prompt.messages[-1].parts
    assert parts == (Text("a" * 60), File("a.txt", "b" * 40))
    assert any("100 characters" in notice for notice in result.notices)


def test_what_was_left_out_is_named() -> None:
    """Each attachment that the model was not given has a line with its reason."""
    result = prepared(asked=asking(Text("look"), OmittedAttachment("b.bin", "it is not text")))
    assert result.notices == ("b.bin was left out: it is not text.",)


@pytest.mark.parametrize(
    ("parts", "empty"),
    [
        ((), True),
        ((Text(" \n"),), True),
        ((Text("🙂"),), False),
        ((Text(""), Image("a.png", "image/png", b"")), False),
        ((Text(""), OmittedAttachment("a.bin", "it is not text")), False),
    ],
)
def test_what_is_an_empty_question(parts: tuple[Part, ...], empty: bool) -> None:
    """No word and no attachment; an emoji is a word."""
    assert is_empty(asking(*parts)) is empty
