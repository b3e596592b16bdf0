"""Every sentence of our own that a reader may see, in one place, so that an operator can change or translate them.

What belongs here: plain words. What does not: an exception's text, a platform's mark-up, or when a sentence is used.
`{reference}` is the turn's short name, which the operator finds in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from bot.conversation import Ending, Message
from bot.errors import RejectionReason
from bot.markdown import grapheme_boundary, single_line

# A line of ours is no longer than this, in characters, whatever stands in its braces: a message has room for several.
LONGEST_LINE = 700


class FilledSentence(str):
    """A sentence with foreign words in its braces, as plain text; `escaped` writes it for a platform."""

    __slots__ = ("_foreign", "_sentence")
    _sentence: str
    _foreign: Mapping[str, str]

    def __new__(cls, sentence: str, **foreign: str) -> Self:
        """The sentence with the words in it, flattened."""
        line = super().__new__(cls, _filled(sentence, foreign, single_line))
        line._sentence, line._foreign = sentence, foreign
        return line

    def escaped(self, escaped: Callable[[str], str]) -> str:
        """The same with the foreign words `escaped`, and nothing else."""
        return _filled(self._sentence, self._foreign, escaped)


def _filled(sentence: str, foreign: Mapping[str, str], written: Callable[[str], str]) -> str:
    line = sentence.format(**{name: written(words) for name, words in foreign.items()}) if foreign else sentence
    if len(line) <= LONGEST_LINE:
        return line
    end = grapheme_boundary(line[:LONGEST_LINE], LONGEST_LINE - 1)
    return line[:end].rstrip("\\ ") + "…"


@dataclass(frozen=True, slots=True)
class Strings:
    """The sentences. Those of the first group end an answer, those of the second stand in its place or beside it."""

    length: str = "The answer was cut here: the model reached its length limit."
    filtered: str = "The answer was cut here by the model provider's content filter."
    limit: str = "The answer was cut here: it reached this bot's own length limit."
    thought_only: str = "The model thought about this and then gave no answer. Please ask again. (ref {reference})"
    tools_only: str = "The model asked for a tool that it does not have, and gave no answer. (ref {reference})"
    stopped: str = "Stopped."
    interrupted: str = "Interrupted: the bot had to stop. Please ask again. (ref {reference})"
    # In the place of `interrupted`, where another process will find the turn and go on with it.
    paused: str = "Interrupted: the bot is being restarted, and will go on. (ref {reference})"
    abandoned: str = "The bot was stopped in the middle of this answer. Please ask again. (ref {reference})"
    cut: str = "The answer was cut here: the model stopped responding. Please try again. (ref {reference})"
    # The platform, and not the model, would take no more of it in any form.
    refused: str = "The answer could not be shown in full: the chat platform refused its text. (ref {reference})"
    failed: str = "No answer could be had from the model. Please try again later. (ref {reference})"
    no_quota: str = "The bot's account with its model provider is used up. Please tell its operator. (ref {reference})"
    no_credentials: str = "The bot may not use its model just now. Please tell its operator. (ref {reference})"
    no_model: str = "The bot's model is not available. Please tell its operator. (ref {reference})"
    too_long: str = (
        "This conversation is longer than the model can take. Please start a new one, or ask with less text."
    )
    bad_request: str = "The model could not take this question as it is. (ref {reference})"

    empty_question: str = "Yes? Ask me something in the same message as the mention."
    # The same to an empty direct message, where nobody is mentioned.
    empty_direct: str = "Yes? Write me a question, or send me a file with one."
    busy: str = "I am still busy with earlier questions here. Please ask again in a moment."
    no_access: str = "I am not set up to answer you. Please ask whoever runs this bot."
    question_cut: str = "Your message is longer than I can read; I read its first {characters} characters."
    history_cut: str = "Earlier messages were left out: this conversation is longer than I can read."
    history_unread: str = "I could not read the earlier messages here, so this answers the question without them."
    left_out: str = "{name} was left out: {why}."
    left_out_more: str = "… and {count} more were left out."
    no_images: str = "The model cannot see images: this answer was made without them."
    rest: str = "The rest of the answer is in the attached file."
    code: str = "Code that is longer than a message is attached as a file."
    beside: str = "Pictures, and links that are longer than a message, are attached as files."
    not_attached: str = "Pictures, or links that are longer than a message, were left out."

    # While a model thinks aloud and its answer has not begun, where the operator has that shown.
    thinking: str = "Thinking: {thought}"

    # What a reader says to stop an answer in the same conversation: alone in a message, whatever its case.
    stop: tuple[str, ...] = ("stop",)

    def is_stop(self, question: Message) -> bool:
        """Whether a message only asks to stop."""
        return question.text.strip().rstrip("!.").strip().casefold() in self.stop

    def ending(self, ending: Ending, reference: str, reason: RejectionReason | None, *, partial: bool) -> str:
        """What stands under an answer that ended like this; empty for a whole one.

        `partial` tells whether some of the answer is shown, `reason` why a model's server declined.
        """
        declined = {
            RejectionReason.QUOTA: self.no_quota,
            RejectionReason.CREDENTIALS: self.no_credentials,
            RejectionReason.MODEL: self.no_model,
            RejectionReason.SETUP: self.no_model,
            RejectionReason.CONTEXT: self.too_long,
            # Asked again without them it should have been answered (`bot.prompt_reduction`): the rest is refused as
            # well.
            RejectionReason.IMAGES: self.bad_request,
            RejectionReason.IMAGE: self.bad_request,
            RejectionReason.TOO_MANY_IMAGES: self.bad_request,
            RejectionReason.REQUEST: self.bad_request,
        }
        sentence = {
            Ending.DONE: "",
            Ending.GONE: "",
            Ending.LENGTH: self.length,
            Ending.FILTERED: self.filtered,
            Ending.LIMIT: self.limit,
            Ending.THOUGHT_ONLY: self.thought_only,
            Ending.TOOLS_ONLY: self.tools_only,
            Ending.STOPPED: self.stopped,
            Ending.INTERRUPTED: self.interrupted,
            Ending.ABANDONED: self.abandoned,
            Ending.FAILED: self.cut if partial else self.failed,
        }[ending]
        if ending is Ending.FAILED and reason is not None:
            sentence = declined[reason]
        return sentence.format(reference=reference)
