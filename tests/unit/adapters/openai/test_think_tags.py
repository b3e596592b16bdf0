"""What a model thinks in tags within its text: told from the answer, however it is cut into chunks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai import chat_completions, responses
from adapters.openai.payload import EventDecoder
from adapters.openai.think_tags import TAGS, AnswerText, ReasoningSplitter, split_thinking
from bot.conversation import Delta, Reasoning, Retraction, Text
from tests.contracts.model import ask
from tests.integration.openai.test_model import opened
from tests.servers.openai import Answer, Fault, OpenAIDouble

# What makes a difference to where thinking ends, in any order.
BITS = st.sampled_from(
    [
        *TAGS,
        *TAGS.values(),
        "<",
        "</",
        "<thin",
        "k>",
        "think",
        "<seed:",
        "[TH",
        "◁",
        "<|channel|>",
        "<|start|>",
        "<|message|>",
        "<|end|>",
        "analysis",
        "final",
        "\n",
        "\n\n",
        " ",
        "\t",
        "\r",
        "`",
        "```\n",
        "~~~",
        "a",
        "b",
    ]
)
TEXTS = st.lists(st.one_of(BITS, st.text(max_size=5)), max_size=15).map("".join)


def chunks_of(text: str, cuts: Iterable[int]) -> list[str]:
    """The text, cut at these places."""
    at = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(at)]


def fed(chunks: Sequence[str]) -> list[Delta]:
    splitter = ReasoningSplitter()
    return [*(delta for chunk in chunks for delta in splitter.feed(chunk)), *splitter.flush()]


def outcome(deltas: Iterable[Delta]) -> tuple[str, str]:
    """What was thought and what was said, once all has come."""
    thought, said = "", ""
    for delta in deltas:
        match delta:
            case Reasoning(text):
                thought += text
            case Text(text):
                said += text
            case Retraction():
                thought, said = said, ""
    return thought, said


@given(TEXTS, st.lists(st.integers(0, 200), max_size=30))
def test_any_chunking_gives_the_same(text: str, cuts: list[int]) -> None:
    """Where a server cuts its text makes no difference to what is thought and what is said."""
    assert outcome(fed(chunks_of(text, cuts))) == outcome(fed([text])) == outcome(fed(list(text)))
    assert outcome(split_thinking(text)) == outcome(fed([text]))


@given(TEXTS, st.lists(st.integers(0, 200), max_size=30))
def test_the_rest_is_what_the_end_would_give(text: str, cuts: list[int]) -> None:
    """Asked for after any piece, and without a trace in what follows."""
    asked = AnswerText()
    pieces = chunks_of(text, cuts)
    for number, piece in enumerate(pieces, 1):
        asked.feed(piece)
        ended = AnswerText()
        for each in pieces[:number]:
            ended.feed(each)
        assert asked.peek() == ended.flush()


@given(TEXTS, st.lists(st.integers(0, 200), max_size=30))
def test_an_answer_without_tags_is_as_it_was(text: str, cuts: list[int]) -> None:
    """Byte for byte, with its white space, for whoever asks a model that does not think in tags."""
    plain = re.sub(r"(think|thinking|thoughts?|reasoning)>", "thank>", text).replace("THINK]", "THANK]")
    plain = plain.replace("think▷", "thank▷").replace("<|", "<!")
    assert outcome(fed(chunks_of(plain, cuts))) == ("", plain)


@given(TEXTS, st.lists(st.integers(0, 200), max_size=30))
def test_a_few_characters_are_held_back_at_most(text: str, cuts: list[int]) -> None:
    """A reader waits for nothing but what may be a tag: of an answer in progress, no more than one is missing."""
    splitter, read, passed = ReasoningSplitter(), "an answer ", 0
    passed += sum(len(delta.text) for delta in splitter.feed(read) if isinstance(delta, Text))
    for chunk in chunks_of(re.sub("[>▷]", "", text.replace("]", "")), cuts):
        read += chunk
        passed += sum(len(delta.text) for delta in splitter.feed(chunk) if isinstance(delta, Text))
        assert len(read) - passed < max(map(len, TAGS.values()))
        if read[-1] not in "".join((*TAGS, *TAGS.values())):
            assert passed == len(read)


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("<think>They ask.</think>Noon.", "They ask.", "Noon."),
        ("\n <think>\nThey ask.\n</think>\n\n Noon.", "\nThey ask.\n", "Noon."),
        ("<thinking>a </think> b</thinking>\nNoon.", "a </think> b", "Noon."),
        ("<think>\n\n</think>\n\nNoon.", "\n\n", "Noon."),  # Qwen3 with its thinking off
        ("<think>a < b, a </ b", "a < b, a </ b", ""),  # cut while it thought: no answer
        ("<think>one</think>two <think>three</think>", "one", "two <think>three</think>"),
        ("<think>one</think>\n<think>two</think>\nNoon.", "onetwo", "Noon."),
        ("<think>one</think>\n<thin", "one", "<thin"),
        ("<thought>They ask.</thought>Noon.", "They ask.", "Noon."),
        ("<reasoning>\nThey ask.\n</reasoning>\n\nNoon.", "\nThey ask.\n", "Noon."),
        ("[THINK]They ask.[/THINK]Noon.", "They ask.", "Noon."),
        ("They ask.\n[/THINK]\nNoon.", "They ask.\n", "Noon."),
        ("<seed:think>They ask.</seed:think>Noon.", "They ask.", "Noon."),
        ("◁think▷They ask.◁/think▷Noon.", "They ask.", "Noon."),
        ("[THINKING](about) it", "", "[THINKING](about) it"),
        (
            "<|channel|>analysis<|message|>They ask.<|end|><|start|>assistant<|channel|>final<|message|>Noon.",
            "They ask.",
            "Noon.",
        ),
        ("<|channel|>final<|message|>Noon, <b> and <|return|>", "", "Noon, <b> and "),
        ("<|start|>assistant<|channel|>analysis<|message|>Hm.<|end|>\n Noon.", "Hm.", "Noon."),
        ("<|start|>assistant<|message|>Noon.<|return|>", "", "Noon."),
        ("<|channel|>analysis<|message|>Hm", "Hm", ""),
        (
            "<|channel|>commentary to=functions.clock <|constrain|>json<|message|>{}<|call|>",
            "{}",
            "",
        ),
        (
            "<|channel|> is what opens a header, and this answer is about such marks; it goes on for quite a while, "
            * 2,
            "",
            "<|channel|> is what opens a header, and this answer is about such marks; it goes on for quite a while, "
            * 2,
        ),
        ("<|channel|>final, they say", "", "<|channel|>final, they say"),
        ("So <|channel|>final<|message|> is written.", "", "So <|channel|>final<|message|> is written."),
        # The template has opened the tag.
        ("They ask.\nSo:\n</think>\n\nNoon.", "They ask.\nSo:\n", "Noon."),
        ("They ask.\n</think> \r\nNoon.", "They ask.\n", "Noon."),
        ("</think>\n\nNoon.", "", "Noon."),
        ("They ask.\n</think>", "They ask.\n", ""),
        # Spoken of.
        ("Models put <think> first.\n</think>\nends it.", "", "Models put <think> first.\n</think>\nends it."),
        ("Put `</think>` there.", "", "Put `</think>` there."),
        ("So:\n```\nhm\n</think>\nyes\n```", "", "So:\n```\nhm\n</think>\nyes\n```"),
        ("A line\n</think> it is", "", "A line\n</think> it is"),
        ("a\n </think>\nb", "", "a\n </think>\nb"),
        ("<thin", "", "<thin"),
        ("<thinker>", "", "<thinker>"),
        (" \n", "", " \n"),
    ],
)
def test_what_is_thought_and_what_is_said(text: str, thought: str, said: str) -> None:
    """At the beginning alone, or closed in a line of its own; white space after the thinking is dropped."""
    assert outcome(fed([text])) == (thought, said)
    assert outcome(fed(list(text))) == (thought, said)


def test_thinking_is_passed_on_as_it_comes() -> None:
    """It is a sign of life, for whoever watches for silence."""
    splitter = ReasoningSplitter()
    assert splitter.feed("<think>") == []
    assert splitter.feed("So ") == [Reasoning("So ")]
    assert splitter.feed("a </") == [Reasoning("a ")]
    assert splitter.feed("b") == [Reasoning("</b")]
    assert splitter.feed("</think>\n") == []
    assert splitter.feed("\nNoon.") == [Text("Noon.")]


@pytest.mark.slow
def test_a_long_text_costs_no_more_for_each_chunk() -> None:
    """A hundred thousand characters of white space, of thought or of answer are read once, not once for each chunk."""
    for beginning in ("", "<think>", "a"):
        splitter = ReasoningSplitter()
        splitter.feed(beginning)
        for _ in range(20_000):
            splitter.feed("\n   <")
            splitter.feed("\n\n   ")
        held = sum(len(delta.text) for delta in splitter.flush() if isinstance(delta, Text | Reasoning))
        assert held <= max(map(len, TAGS.values()))


@pytest.mark.parametrize("decoder", [chat_completions.ChatDecoder, responses.ResponsesDecoder])
def test_half_an_emoji_and_half_a_tag(decoder: type[EventDecoder]) -> None:
    """Chunks end anywhere: in a surrogate pair and in a tag, and what is held of either comes at the end."""
    reader = decoder()
    deltas: list[Delta] = []
    for piece in ("<thi", "nk>hm \ud83d", "\ude00</th", "ink>\n", "yes \ud83d", "\ude00"):
        event = {"type": "response.output_text.delta", "delta": piece, "choices": [{"delta": {"content": piece}}]}
        deltas += reader.feed(event)
    assert outcome([*deltas, *reader.flush()]) == ("hm \U0001f600", "yes \U0001f600")


# ------------------------------------------------------------------------------------------------- through the client

THOUGHT, SAID = "They ask for the time. ", "It is noon.\n\nOr so."


@pytest.mark.sockets(seconds=20)
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(SAID, reasoning=THOUGHT),
        Answer(SAID, reasoning=THOUGHT, reasoning_field="reasoning"),
        Answer(f"<think>{THOUGHT}</think>\n\n{SAID}"),
        Answer(f"{THOUGHT}\n</think>\n\n{SAID}"),
        Answer(f"[THINK]{THOUGHT}[/THINK]{SAID}"),
        Answer(
            f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}<|return|>"
        ),
    ],
    ids=["reasoning_content", "reasoning", "tags", "closing tag", "brackets", "channels"],
)
async def test_thinking_is_no_part_of_the_answer(api: str, answer: Answer, *, stream: bool) -> None:
    """However a server puts it, over either API, streamed or whole."""
    async with OpenAIDouble(default=answer) as double, opened(double, api=api) as model:
        told = await ask(model, stream=stream)
        thought, said = outcome(told.deltas)
        assert said == SAID
        assert thought.strip() == THOUGHT.strip()
        assert told.finish


@pytest.mark.sockets(seconds=20)
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_stream_that_breaks_while_it_thinks_has_no_text(api: str) -> None:
    """What was thought until then is not taken for an answer."""
    answer = Answer("<think>They ask for the time.</think>Noon.", fault=Fault.END, at=0.4)
    async with OpenAIDouble(default=answer) as double, opened(double, api=api) as model:
        told = await ask(model, stream=True)
        assert told.finish is None
        assert outcome(told.deltas)[1] == ""
