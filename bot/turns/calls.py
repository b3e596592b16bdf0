"""The model calls of one turn, for the ledger."""

from __future__ import annotations

from dataclasses import replace

from bot.completion import Attempt
from bot.conversation import Delta, Prompt, Reasoning, Refusal, Retraction, Text, Usage
from bot.turns.hooks import ModelCall


class ModelCalls:
    """Collects the calls from the deltas of a turn. `ended` returns them.

    With `keeps_text`, `text` is the answer of the last call.
    """

    def __init__(self) -> None:
        self.keeps_text = False
        self._texts: list[str] = []
        self._is_refusal = False  # the present call's text is a refusal
        self._calls: list[ModelCall] = []
        self._prompt_characters = 0
        # Of the present call; attributes, since nearly every delta adds to them.
        self._answer_characters = self._reasoning_characters = 0

    def prompted(self, prompt: Prompt) -> None:
        """The next calls send this prompt."""
        words = sum(len(message.text) for message in prompt.messages)
        self._prompt_characters = len(prompt.system) + words

    def record(self, delta: Delta | Attempt) -> None:
        """Record a delta of the present call, or the beginning of the next."""
        if type(delta) is Text:
            self._add(delta.text)
        elif type(delta) is Reasoning:
            self._reasoning_characters += len(delta.text)
        elif isinstance(delta, Attempt):
            self._close()
            self._texts.clear()
            self._is_refusal = False
            self._calls.append(ModelCall(delta.model, None, self._prompt_characters, 0))
        elif isinstance(delta, Refusal):
            if not self._is_refusal:  # it replaces the text so far
                self._is_refusal = True
                self._texts.clear()
            self._add(delta.text)
        elif isinstance(delta, Retraction):
            self._texts.clear()
        elif isinstance(delta, Usage) and self._calls:
            self._calls[-1] = replace(self._calls[-1], usage=delta)

    def _add(self, text: str) -> None:
        self._answer_characters += len(text)
        if self.keeps_text:
            self._texts.append(text)

    @property
    def text(self) -> str:
        """The answer of the last call, if kept."""
        return "".join(self._texts)

    def ended(self) -> tuple[ModelCall, ...]:
        """All calls, the last one perhaps interrupted."""
        self._close()
        return tuple(self._calls)

    def _close(self) -> None:
        answer, reasoning = self._answer_characters, self._reasoning_characters
        if self._calls and (answer or reasoning):
            self._calls[-1] = replace(self._calls[-1], answer_characters=answer, reasoning_characters=reasoning)
        self._answer_characters = self._reasoning_characters = 0
