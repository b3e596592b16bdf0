"""The sentences that an operator may put in the place of ours: the ``[words]`` table of the TOML file.

What belongs here: their names and what each is for. What does not: our own sentences, which are the core's
(``bot/strings.py``; the composition root puts these over them), and one sentence's form (`config.types`).
"""

from __future__ import annotations

from config.types import (
    CutSentence,
    EndingSentence,
    LeftOutSentence,
    MoreSentence,
    SaidWords,
    Sentence,
    SettingsGroup,
    SilentSentence,
    ThinkingSentence,
    setting,
)


class WordsSettings(SettingsGroup):
    """What readers are told, in your words or your language. {reference} is what finds the turn in the log."""

    length: EndingSentence = setting("", "Under an answer that the model cut at its own limit.", default=None)
    filtered: EndingSentence = setting("", "Under one that the model's provider cut.", default=None)
    limit: EndingSentence = setting("", "Under one that is longer than this bot's answers may be.", default=None)
    thought_only: EndingSentence = setting("", "In the place of one that was nothing but thinking.", default=None)
    tools_only: EndingSentence = setting("", "In the place of one that only asked for a tool.", default=None)
    stopped: EndingSentence = setting("", "Under one that a reader stopped.", default=None)
    interrupted: EndingSentence = setting("", "Under one that the bot's end cut, for good.", default=None)
    paused: EndingSentence = setting("", "... and that its next start goes on with.", default=None)
    abandoned: EndingSentence = setting("", "Under one that was found too late to go on with.", default=None)
    cut: EndingSentence = setting("", "Under one that the model's server never finished.", default=None)
    refused: EndingSentence = setting("", "Under one that the chat platform refuses in every form.", default=None)
    failed: EndingSentence = setting("", "In the place of one that could not be had at all.", default=None)
    no_quota: EndingSentence = setting("", "The account with the model's provider is used up.", default=None)
    no_credentials: EndingSentence = setting("", "The model's server refuses the key.", default=None)
    no_model: EndingSentence = setting("", "The model's server does not know the model.", default=None)
    too_long: EndingSentence = setting("", "The conversation is longer than the model takes.", default=None)
    bad_request: EndingSentence = setting("", "The model's server refuses the question.", default=None)
    empty_question: Sentence = setting("", "To a mention without a question.", default=None)
    empty_direct: Sentence = setting("", "To an empty direct message.", default=None)
    busy: SilentSentence = setting("", "To one question too many; empty for silence.", default=None)
    no_access: SilentSentence = setting("", "To who may not ask, in a direct message; empty for silence.", default=None)
    question_cut: CutSentence = setting("", "A question was too long: {characters} were read.", default=None)
    history_cut: Sentence = setting("", "Earlier messages were left out.", default=None)
    history_unread: Sentence = setting("", "Earlier messages could not be read.", default=None)
    left_out: LeftOutSentence = setting("", "An attachment, {name}, was left out: {why}.", default=None)
    left_out_more: MoreSentence = setting("", "After a few of those: {count} more attachments were too.", default=None)
    no_images: Sentence = setting("", "The model takes no images; they were left out.", default=None)
    thinking: ThinkingSentence = setting("", "While a model thinks, where that is shown: {thought}.", default=None)
    rest: Sentence = setting("", "An answer goes on in a file.", default=None)
    code: Sentence = setting("", "Long code is attached whole.", default=None)
    beside: Sentence = setting("", "Pictures and very long links are attached as files.", default=None)
    not_attached: Sentence = setting("", "... and where they could not be.", default=None)
    stop: SaidWords = setting("", "What a reader says, alone in a message, to stop an answer.", default=None)

    def overrides(self) -> dict[str, str | tuple[str, ...]]:
        """What the operator chose, by name."""
        return {name: value for name, value in self if value is not None}
