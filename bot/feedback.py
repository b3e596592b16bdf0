"""Votes on answers, and the reasons for a thumbs down: a part of `bot.interactions.service`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from typing_extensions import override

from bot.conversation import Turn
from bot.interactions.service import FEEDBACK_PREFIX, FeedbackPart
from bot.interactions.values import Field, Form, FormSubmitted, Notice, Response, Vote, VoteCast
from bot.records import RecordsUnavailable, VoteRecord, VoteStore
from bot.records_backlog import RecordsBacklog
from bot.strings import Strings
from bot.telemetry import UsageRecorder
from bot.turns.hooks import AnswerKeeper

log = logging.getLogger(__name__)

# The name of the form's only field, and its longest text in characters: some paragraphs.
REASON = "reason"
REASON_LENGTH = 1_000


class KeptAnswers(AnswerKeeper):
    """Stores the texts of answers beside their votes."""

    def __init__(self, store: VoteStore, backlog: RecordsBacklog, wall_clock: Callable[[], datetime]) -> None:
        self._store = store
        self._backlog = backlog
        self._wall_clock = wall_clock

    @override
    async def keep(self, turn: Turn, text: str) -> None:
        # Votes name the question.
        keep = partial(self._store.keep_answer, turn.key.question.digest, text, self._wall_clock().timestamp())
        try:
            await keep()
        except RecordsUnavailable:
            self._backlog.add(keep)


class Feedback(FeedbackPart):
    """Stores votes. Everyone who sees an answer may vote."""

    def __init__(
        self, store: VoteStore, recorder: UsageRecorder, strings: Strings, wall_clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._strings = strings
        self._wall_clock = wall_clock

    @override
    async def vote(self, event: VoteCast) -> Response:
        question, strings = event.question, self._strings
        vote = VoteRecord(
            question.platform,
            question.workspace,
            question.channel,
            event.message,
            event.by.id,
            event.vote,
            self._wall_clock().timestamp(),
            question.digest,
        )
        try:
            await self._store.record_vote(vote)
        except RecordsUnavailable:
            log.warning("vote not stored", extra={"turn": question.reference})
            return Notice(strings.vote_failed)
        self._recorder.voted(question.platform, event.vote)
        if event.vote is Vote.UP:
            return Notice(strings.vote_recorded)
        field = Field(REASON, strings.reason_label, multiline=True, max_length=REASON_LENGTH)
        return Form(FEEDBACK_PREFIX + question.digest, strings.reason_title, (field,), submit="Send")

    @override
    async def submit(self, event: FormSubmitted) -> Response:
        strings = self._strings
        turn, reason = event.id.removeprefix(FEEDBACK_PREFIX), event.values.get(REASON, "").strip()
        if not reason:
            return Notice(strings.vote_recorded)
        try:
            is_recorded = await self._store.add_reason(turn, event.by.id, reason[:REASON_LENGTH])
        except RecordsUnavailable:
            return Notice(strings.vote_failed)
        return Notice(strings.reason_recorded if is_recorded else strings.reason_late)
