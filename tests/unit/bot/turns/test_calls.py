"""The model calls of one turn, for the ledger."""

from __future__ import annotations

from bot.completion import Attempt
from bot.conversation import Reasoning, Refusal, Retraction, Text, Usage
from bot.turns.calls import ModelCalls


def recorded(*deltas: Attempt | Text | Refusal | Reasoning | Retraction | Usage) -> ModelCalls:
    """The calls after these deltas, with the answer's text."""
    calls = ModelCalls()
    calls.keeps_text = True
    for delta in deltas:
        calls.record(delta)
    return calls


def test_each_attempt_is_a_call_and_the_last_has_the_text() -> None:
    """An interrupted call keeps its characters for an estimate; a usage belongs to its own call."""
    usage = Usage(3, 2)
    calls = recorded(
        Attempt(1, streamed=True, model="a"),
        Text("lost "),
        Attempt(2, streamed=True, model="a"),
        Reasoning("hm"),
        Text("kept"),
        usage,
    )
    first, second = calls.ended()
    assert (first.answer_characters, first.usage) == (5, None)
    assert (second.answer_characters, second.reasoning_characters, second.usage) == (4, 2, usage)
    assert calls.text == "kept"


def test_a_refusal_in_pieces_replaces_the_text_once() -> None:
    """All its pieces are the answer, and count."""
    calls = recorded(Attempt(1, streamed=True), Text("Well, "), Refusal("I cannot "), Refusal("say."))
    assert calls.text == "I cannot say."
    assert calls.ended()[0].answer_characters == len("Well, I cannot say.")


def test_retracted_text_is_no_answer() -> None:
    """It was reasoning: the text after it is all there is."""
    assert recorded(Attempt(1, streamed=True), Text("thinking"), Retraction(), Text("so")).text == "so"
