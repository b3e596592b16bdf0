"""Votes become rows, and a thumbs down asks for a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from typing_extensions import override

from bot.conversation import TurnKey
from bot.feedback import Feedback, KeptAnswers
from bot.interactions.values import Form, FormSubmitted, Notice, Place, Vote, VoteCast
from bot.records import RecordsUnavailable, VoteRecord, VoteStore
from bot.records_backlog import RETRY_SECONDS, RecordsBacklog
from bot.strings import Strings
from bot.telemetry import NoRecorder
from tests.support.fakes import DANA, turn

NOW = datetime(2026, 11, 28, tzinfo=UTC)
QUESTION = TurnKey("slack", "T1", "C1", "100")
HERE = Place("slack", "T1", "C1")
WORDS = Strings()


class Votes(VoteStore):
    """The last votes in memory; `broken` makes every call fail."""

    def __init__(self) -> None:
        self.stored: list[VoteRecord] = []
        self.reasons: list[tuple[str, str, str]] = []
        self.kept: dict[str, str] = {}
        self.broken = False

    @override
    async def record_vote(self, vote: VoteRecord) -> None:
        self._check()
        self.stored.append(vote)

    @override
    async def add_reason(self, turn: str, user: str, reason: str) -> bool:
        self._check()
        self.reasons.append((turn, user, reason))
        return any((vote.turn, vote.user, vote.vote) == (turn, user, Vote.DOWN) for vote in self.stored)

    @override
    async def votes(self, since: float = 0.0, limit: int = 1_000) -> Sequence[VoteRecord]:
        return self.stored

    @override
    async def keep_answer(self, turn: str, text: str, at: float) -> None:
        self._check()
        self.kept[turn] = text

    def _check(self) -> None:
        if self.broken:
            raise RecordsUnavailable("the disk is full")


class Counts(NoRecorder):
    """Counts votes."""

    def __init__(self) -> None:
        self.votes: list[tuple[str, Vote]] = []

    @override
    def voted(self, platform: str, vote: Vote) -> None:
        self.votes.append((platform, vote))


def feedback(store: Votes, counts: Counts | None = None) -> Feedback:
    return Feedback(store, counts or Counts(), WORDS, lambda: NOW)


def cast(vote: Vote) -> VoteCast:
    return VoteCast(QUESTION, "101", vote, DANA, HERE)


async def test_a_thumbs_up_is_stored_and_counted() -> None:
    """The row names the answer, the voter and the time."""
    store, counts = Votes(), Counts()
    assert await feedback(store, counts).vote(cast(Vote.UP)) == Notice(WORDS.vote_recorded)
    assert store.stored == [
        VoteRecord("slack", "T1", "C1", "101", "U1", Vote.UP, NOW.timestamp(), QUESTION.digest),
    ]
    assert counts.votes == [("slack", Vote.UP)]


async def test_a_thumbs_down_is_stored_before_its_form_is_filled_in() -> None:
    """Whoever closes the form has voted; the form's id suffices after a restart."""
    store = Votes()
    form = await feedback(store).vote(cast(Vote.DOWN))
    assert isinstance(form, Form)
    assert [vote.vote for vote in store.stored] == [Vote.DOWN]
    assert (len(form.id) <= 90, len(form.title) <= 24, len(form.fields)) == (True, True, 1)
    response = await feedback(store).submit(FormSubmitted(form.id, DANA, HERE, {"reason": "  It is wrong. "}))
    assert response == Notice(WORDS.reason_recorded)
    assert store.reasons == [(QUESTION.digest, "U1", "It is wrong.")]


async def test_an_empty_reason_changes_nothing() -> None:
    """The reason is optional."""
    store = Votes()
    assert await feedback(store).submit(FormSubmitted("feedback:x", DANA, HERE, {"reason": " "})) == Notice(
        WORDS.vote_recorded
    )
    assert not store.reasons


async def test_a_reason_for_another_vote_is_refused() -> None:
    """The form was left open, and the vote changed meanwhile."""
    response = await feedback(Votes()).submit(FormSubmitted("feedback:x", DANA, HERE, {"reason": "late"}))
    assert response == Notice(WORDS.reason_late)


async def test_a_broken_store_is_said() -> None:
    """Neither a vote nor a reason is silently lost, and no uncounted vote is counted."""
    store, counts = Votes(), Counts()
    store.broken = True
    part = feedback(store, counts)
    responses = [
        await part.vote(cast(Vote.DOWN)),
        await part.submit(FormSubmitted("feedback:x", DANA, HERE, {"reason": "wrong"})),
    ]
    assert responses == [Notice(WORDS.vote_failed)] * 2
    assert not counts.votes


async def test_an_answers_text_is_kept_under_its_question() -> None:
    """Every generation replaces the text; what a broken store does not take is written once it works."""
    store = Votes()
    async with RecordsBacklog() as backlog:
        keeper = KeptAnswers(store, backlog, lambda: NOW)
        await keeper.keep(turn(), "An answer")
        assert store.kept == {turn().key.digest: "An answer"}
        store.broken = True
        await keeper.keep(turn(), "Another")
        store.broken = False
        await asyncio.sleep(RETRY_SECONDS + 1)
        assert store.kept == {turn().key.digest: "Another"}
