"""Every sentence shown to users, for operators to change or translate.

Plain text only: no exception texts and no platform's markup. `{reference}` is the turn's short name, as in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from bot.conversation import Ending, Message
from bot.errors import RejectionReason
from bot.interactions.strings import HandlerStrings
from bot.markdown import grapheme_boundary, single_line

# Maximum length of a sentence with its braces filled, in characters: a message must hold several.
MAX_SENTENCE_LENGTH = 700


class FilledSentence(str):
    """A sentence with untrusted values in its braces, as plain text; `escaped` renders it for a platform."""

    __slots__ = ("_sentence", "_values")
    _sentence: str
    _values: Mapping[str, str]

    def __new__(cls, sentence: str, **values: str) -> Self:
        """Fill in the values, each reduced to a single line."""
        line = super().__new__(cls, _filled(sentence, values, single_line))
        line._sentence, line._values = sentence, values
        return line

    def escaped(self, escape: Callable[[str], str]) -> str:
        """The sentence with only the values escaped by `escape`."""
        return _filled(self._sentence, self._values, escape)


def _filled(sentence: str, values: Mapping[str, str], convert: Callable[[str], str]) -> str:
    line = sentence.format(**{name: convert(value) for name, value in values.items()}) if values else sentence
    if len(line) <= MAX_SENTENCE_LENGTH:
        return line
    end = grapheme_boundary(line[:MAX_SENTENCE_LENGTH], MAX_SENTENCE_LENGTH - 1)
    return line[:end].rstrip("\\ ") + "…"


@dataclass(frozen=True)
class EndingStrings:
    """Below an answer that is not complete."""

    length: str = "The answer was cut here: the model reached its length limit."
    filtered: str = "The answer was cut here by the model provider's content filter."
    limit: str = "The answer was cut here: it reached this bot's own length limit."
    thought_only: str = "The model thought about this and then gave no answer. Please ask again. (ref {reference})"
    tools_only: str = "The model asked for a tool that it does not have, and gave no answer. (ref {reference})"
    stopped: str = "Stopped."
    interrupted: str = "Interrupted: the bot had to stop. Please ask again. (ref {reference})"
    # Replaces `interrupted` if another process will continue the turn.
    paused: str = "Interrupted: the bot is being restarted, and will go on. (ref {reference})"
    abandoned: str = "The bot was stopped in the middle of this answer. Please ask again. (ref {reference})"
    cut: str = "The answer was cut here: the model stopped responding. Please try again. (ref {reference})"
    # The platform, not the model, rejected the rest in every form.
    refused: str = "The answer could not be shown in full: the chat platform refused its text. (ref {reference})"
    failed: str = "No answer could be had from the model. Please try again later. (ref {reference})"


@dataclass(frozen=True)
class RejectionStrings:
    """In place of an answer if the model's server rejects the request."""

    no_quota: str = "The bot's account with its model provider is used up. Please tell its operator. (ref {reference})"
    no_credentials: str = "The bot may not use its model just now. Please tell its operator. (ref {reference})"
    no_model: str = "The bot's model is not available. Please tell its operator. (ref {reference})"
    too_long: str = (
        "This conversation is longer than the model can take. Please start a new one, or ask with less text."
    )
    bad_request: str = "The model could not take this question as it is. (ref {reference})"

    def rejection(self, reason: RejectionReason) -> str:
        """The sentence for a rejection, with its braces."""
        return {
            RejectionReason.QUOTA: self.no_quota,
            RejectionReason.CREDENTIALS: self.no_credentials,
            RejectionReason.MODEL: self.no_model,
            RejectionReason.SETUP: self.no_model,
            RejectionReason.CONTEXT: self.too_long,
            # A second request without the images should have succeeded (`bot.prompt_reduction`): the server rejects the
            # rest as well.
            RejectionReason.IMAGES: self.bad_request,
            RejectionReason.IMAGE: self.bad_request,
            RejectionReason.TOO_MANY_IMAGES: self.bad_request,
            RejectionReason.REQUEST: self.bad_request,
        }[reason]


@dataclass(frozen=True)
class RetryStrings:
    """About another answer to the same question. All but the first are private."""

    # Behind an answer that stays, and before the sentence for the new one's ending.
    kept: str = "There is no new answer, so the earlier one stays."
    retry_others: str = "Only the person who asked, or an admin, can have this answered again."
    retry_running: str = "This question is being answered already."
    retry_unknown: str = "I do not remember this answer any more. Please ask again."
    retry_gone: str = "The question was deleted, so I cannot answer it again."
    retry_no_answer: str = "The answer was deleted, so I cannot make it again. Please ask again."
    retry_model: str = "This model is no longer offered. Please choose another one."
    retry_unread: str = "I could not read the question just now. Please try again in a moment."
    retry_limit: str = "You have reached your limit for now, so I cannot answer this."
    stopping: str = "I am being restarted. Please try again in a moment."


@dataclass(frozen=True)
class QuestionStrings:
    """About a question, its history and its attachments."""

    empty_question: str = "Yes? Ask me something in the same message as the mention."
    # The same for a direct message, which contains no mention.
    empty_direct: str = "Yes? Write me a question, or send me a file with one."
    busy: str = "I am still busy with earlier questions here. Please ask again in a moment."
    no_access: str = "I am not set up to answer you. Please ask whoever runs this bot."
    question_cut: str = "Your message is longer than I can read; I read its first {characters} characters."
    history_cut: str = "Earlier messages were left out: this conversation is longer than I can read."
    history_unread: str = "I could not read the earlier messages here, so this answers the question without them."
    left_out: str = "{name} was left out: {why}."
    left_out_more: str = "… and {count} more were left out."
    no_images: str = "The model cannot see images: this answer was made without them."
    answered_by: str = "Answered by {label}, because {missing} did not respond."


@dataclass(frozen=True)
class FileStrings:
    """About files, the reasoning preview and the stop word."""

    rest: str = "The rest of the answer is in the attached file."
    code: str = "Code that is longer than a message is attached as a file."
    beside: str = "Pictures, and links that are longer than a message, are attached as files."
    not_attached: str = "Pictures, or links that are longer than a message, were left out."

    # The reasoning preview before the answer begins, if the operator enables it.
    thinking: str = "Thinking: {thought}"

    # Words to stop an answer: alone in a message of the same conversation, in any case.
    stop: tuple[str, ...] = ("stop",)


@dataclass(frozen=True)
class CommandStrings:
    """Private lines about commands and menus, and the questions they ask. `{command}` is the slash command's name."""

    no_command: str = "Write a command after `{command}`: `{command} help` shows them all."
    not_invited: str = "I cannot write here. Please invite me to this conversation first, then try again."
    not_now: str = "That did not work. Please try again in a moment."
    nothing_to_answer: str = "There is nothing to answer in this message."
    not_answered: str = "Your question was not answered: a limit was reached, or it was stopped."
    answering: str = "I am answering this message."
    answered_before: str = "I have an answer to this message already."
    # The question of "Summarize" in a message's menu, for the model.
    summarize: str = "Summarize this conversation: its main points, its decisions, and the questions still open."


@dataclass(frozen=True)
class ControlStrings:
    """Labels of the controls below an answer, and private lines about buttons and forms."""

    stop_label: str = "Stop"
    retry_label: str = "Try again"
    retry_with_label: str = "Try again with…"
    not_stopped: str = "There is nothing to stop here: the answer has ended, or you may not stop it."
    done: str = "Done."
    confirm: str = "Are you sure?"
    form_ready: str = "The form is ready."
    form_open: str = "Open the form"
    form_gone: str = "This form is no longer open. Please start again."
    form_refused: str = "The form cannot be shown here."


@dataclass(frozen=True)
class PressStrings:
    """Labels of votes, and private lines about presses that failed."""

    form_late: str = "The form could not be opened in time. Please try again."
    vote_up_label: str = "Good answer"
    vote_down_label: str = "Bad answer"
    unknown_person: str = "I cannot look up your account right now. Please try again in a minute."
    press_failed: str = "That did not work. Please try again."
    file_sent: str = "The file is in your direct messages with me."
    file_failed: str = "The file could not be sent to you here. Please ask for it in a direct message to me."


@dataclass(frozen=True)
class QuotaStrings:
    """In place of an answer if a limit is reached. `{limit}` is "4 questions a day", `{until}` a time."""

    quota_user: str = "You have reached your limit of {limit}. You can ask again from {until}."
    quota_channel: str = "This channel has reached its limit of {limit}. You can ask again here from {until}."
    quota_workspace: str = "Everyone here together has reached the limit of {limit}. You can ask again from {until}."


@dataclass(frozen=True)
class FeedbackStrings:
    """Private lines about votes, and the form for a reason."""

    vote_recorded: str = "Thank you: your vote is recorded."
    vote_failed: str = "Your vote could not be stored. Please try again later."
    reason_title: str = "What went wrong?"
    reason_label: str = "Reason (optional)"
    reason_recorded: str = "Thank you: your reason is recorded."
    reason_late: str = "Your vote has changed since then, so the reason was not stored."


@dataclass(frozen=True)
class Strings(
    QuotaStrings,
    PressStrings,
    FeedbackStrings,
    EndingStrings,
    RejectionStrings,
    RetryStrings,
    QuestionStrings,
    FileStrings,
    ControlStrings,
    CommandStrings,
    HandlerStrings,
):
    """All sentences. Their names are the keys of the ``[words]`` table."""

    def is_stop(self, question: Message) -> bool:
        """Whether a message is only a stop word."""
        return question.text.strip().rstrip("!.").strip().casefold() in self.stop

    def ending(self, ending: Ending, reference: str, reason: RejectionReason | None, *, partial: bool) -> str:
        """The line below an answer with this ending; empty for a complete one.

        `partial` means that part of the answer is shown. `reason` is set if the model's server rejected the request.
        """
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
            sentence = self.rejection(reason)
        return sentence.format(reference=reference)
