"""The ``[words]`` table: the operator's sentences for readers, in place of ours in ``bot/strings.py``.

The sentences stay in the core; None selects the core's.
"""

from __future__ import annotations

from typing import Any

from config.command_sentences import LABEL, TITLE, HandlerSentences, Phrases, phrase
from config.declarations import SettingsGroup, setting
from config.types import (
    AnsweredBySentence,
    CommandSentence,
    CutSentence,
    EndingSentence,
    LeftOutSentence,
    MoreSentence,
    QuotaSentence,
    Sentence,
    SilentSentence,
    StopWords,
    ThinkingSentence,
)


def sentence(use: str) -> Any:  # noqa: ANN401 (it stands where a value of any type is declared)
    """Declare one sentence by its `use`; it has no environment variable."""
    return setting("", use, default=None)


class FileSentences(SettingsGroup):
    """About files, reasoning and the stop word."""

    thinking: ThinkingSentence = sentence("The reasoning preview, if shown: {thought}.")
    rest: Sentence = sentence("The answer continues in a file.")
    code: Sentence = sentence("Long code is attached as a file.")
    beside: Sentence = sentence("Pictures and very long links are attached as files.")
    not_attached: Sentence = sentence("Pictures or very long links could not be attached.")
    stop: StopWords = sentence("Words of a reader to stop an answer, alone in a message.")


class QuestionSentences(SettingsGroup):
    """About a question, its history and its attachments."""

    empty_question: Sentence = sentence("Reply to a mention without a question.")
    empty_direct: Sentence = sentence("Reply to an empty direct message.")
    busy: SilentSentence = sentence("Reply to a question beyond the queue; empty for silence.")
    no_access: SilentSentence = sentence("Reply to users without access, in a direct message; empty for silence.")
    question_cut: CutSentence = sentence("The question was too long: {characters} were read.")
    history_cut: Sentence = sentence("Earlier messages were left out.")
    history_unread: Sentence = sentence("Earlier messages could not be read.")
    left_out: LeftOutSentence = sentence("An attachment, {name}, was left out: {why}.")
    left_out_more: MoreSentence = sentence("After several of these: {count} more attachments were left out.")
    no_images: Sentence = sentence("The model accepts no images; they were left out.")
    answered_by: AnsweredBySentence = sentence("Below the answer of a fallback model, {label}: {missing} failed.")


class RetrySentences(SettingsGroup):
    """About another answer to the same question."""

    kept: Sentence = sentence("A new answer came to no text, and the earlier one stays.")
    retry_others: Sentence = sentence("Somebody else may not have the question answered again.")
    retry_running: Sentence = sentence("The question is being answered already.")
    retry_unknown: Sentence = sentence("The answer is too old to be made again.")
    retry_gone: Sentence = sentence("The question was deleted.")
    retry_no_answer: Sentence = sentence("The answer was deleted.")
    retry_model: Sentence = sentence("The chosen model was removed.")
    retry_unread: Sentence = sentence("The question could not be read again.")
    retry_limit: Sentence = sentence("A quota is used up, and its notice was shown before.")
    stopping: Sentence = sentence("The bot is stopping, and takes no request.")


class RejectionSentences(SettingsGroup):
    """In place of an answer, if the model's server rejects the request."""

    no_quota: EndingSentence = sentence("The account at the model's provider is used up.")
    no_credentials: EndingSentence = sentence("The model's server rejects the key.")
    no_model: EndingSentence = sentence("The model's server does not know the model.")
    too_long: EndingSentence = sentence("The conversation is longer than the model's context.")
    bad_request: EndingSentence = sentence("The model's server rejects the question.")


class EndingSentences(SettingsGroup):
    """Below an answer, or in place of one."""

    length: EndingSentence = sentence("Below an answer cut at the model's length limit.")
    filtered: EndingSentence = sentence("Below an answer cut by the provider's content filter.")
    limit: EndingSentence = sentence("Below an answer cut at this bot's length limit.")
    thought_only: EndingSentence = sentence("In place of an answer with reasoning only.")
    tools_only: EndingSentence = sentence("In place of an answer with a tool call only.")
    stopped: EndingSentence = sentence("Below an answer stopped by a reader.")
    interrupted: EndingSentence = sentence("Below an answer interrupted by shutdown, for good.")
    paused: EndingSentence = sentence("Below an answer interrupted by shutdown; the next start completes it.")
    abandoned: EndingSentence = sentence("Below an interrupted answer too old to complete.")
    cut: EndingSentence = sentence("Below an answer never finished by the model's server.")
    refused: EndingSentence = sentence("Below an answer rejected by the chat platform in every form.")
    failed: EndingSentence = sentence("In place of an answer that failed.")


class CommandSentences(SettingsGroup):
    """About commands and menus, for one reader alone, and the questions they ask."""

    no_command: CommandSentence = sentence("Reply to {command} (the slash command) without a word.")
    not_invited: Sentence = sentence("Reply to a command where the bot may not write.")
    not_now: Sentence = sentence("Reply to a command or a button that failed.")
    nothing_to_answer: Sentence = sentence('Reply to "Answer this" on a message without content.')
    not_answered: Sentence = sentence("Reply to a question by command that ends without an answer.")
    answering: Sentence = sentence('Reply to "Answer this", once the answer begins in the channel.')
    answered_before: Sentence = sentence('Reply to "Answer this" on a message with an answer.')
    summarize: Sentence = sentence("The model's instruction for \"Summarize\" in a message's menu.")


class ControlSentences(SettingsGroup):
    """Labels below an answer, at most 80 characters each, and lines for one reader alone about buttons and forms."""

    stop_label: Sentence = sentence("The button of a running answer.")
    retry_label: Sentence = sentence("The button for another answer.")
    retry_with_label: Sentence = sentence("The menu of models for another answer.")
    not_stopped: Sentence = sentence("Reply to a press of the stop button without effect.")
    done: Sentence = sentence("Reply to a command or a form without words of its own.")
    confirm: Sentence = sentence("The question before an action, if its own is forgotten.")
    form_ready: Sentence = sentence("A form cannot open by itself now.")
    form_open: Sentence = sentence("The button that opens it.")
    form_gone: Sentence = sentence("The form behind that button is forgotten.")
    form_refused: Sentence = sentence("The platform refuses a form.")


class PressSentences(SettingsGroup):
    """Labels of votes, and private lines about presses that failed."""

    form_late: Sentence = sentence("Slack: a form that could not be opened within three seconds.")
    vote_up_label: Sentence = sentence("Slack: thumbs up.")
    vote_down_label: Sentence = sentence("Slack: thumbs down.")
    unknown_person: Sentence = sentence("Slack: a press by somebody whose account cannot be looked up.")
    press_failed: Sentence = sentence("Slack: a press that could not be handled.")
    file_sent: Sentence = sentence("Slack: a private file was sent.")
    file_failed: Sentence = sentence("Slack: a private file could not be sent.")


class QuotaSentences(SettingsGroup):
    """In place of an answer, if a limit is reached."""

    quota_user: QuotaSentence = sentence("The author's {limit} is reached, {until} the next period.")
    quota_channel: QuotaSentence = sentence("The same, for a channel.")
    quota_workspace: QuotaSentence = sentence("The same, for a workspace.")


class FeedbackSentences(Phrases):
    """About votes, for one reader alone."""

    vote_recorded: Sentence = sentence("Reply to a vote.")
    vote_failed: Sentence = sentence("Reply to a vote that could not be stored.")
    reason_title: str | None = phrase("Title of the form after a thumbs down, at most 24 characters.", limit=TITLE)
    reason_label: str | None = phrase("Label of its field, at most 45 characters.", limit=LABEL)
    reason_recorded: Sentence = sentence("Reply to the form.")
    reason_late: Sentence = sentence("Reply to the form after another vote.")


# The last base comes first in the documents.
class WordsSettings(
    FeedbackSentences,
    QuotaSentences,
    HandlerSentences,
    CommandSentences,
    ControlSentences,
    PressSentences,
    FileSentences,
    QuestionSentences,
    RetrySentences,
    RejectionSentences,
    EndingSentences,
):
    """Sentences for readers, in your words or language. {reference} identifies the turn in the log."""

    def overrides(self) -> dict[str, str | tuple[str, ...]]:
        """Return the operator's sentences by name."""
        return {name: value for name, value in self if value is not None}
