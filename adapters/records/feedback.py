"""Scripts for votes and the texts of answers."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.records.script import Script, change, lock_subject, select
from bot.interactions.values import Vote
from bot.records import VoteRecord, person

_SELECT_VOTES = """
SELECT platform, workspace, channel, message, "user", vote, votes.at, votes.turn, reason, coalesce(answers.text, '')
FROM records.votes AS votes LEFT JOIN records.answers AS answers ON answers.turn = votes.turn
WHERE votes.at >= $1 ORDER BY votes.at DESC, votes.turn, "user" LIMIT $2
"""
_RECORD_VOTE = """
INSERT INTO records.votes AS votes (turn, "user", platform, workspace, channel, message, vote, reason, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (turn, "user") DO UPDATE SET vote = excluded.vote, message = excluded.message, at = excluded.at,
    reason = CASE WHEN votes.vote = excluded.vote AND excluded.reason = '' THEN votes.reason ELSE excluded.reason END
"""
# "Forget me" finds an answer by the author of its question, so there is none without.
_KEEP_ANSWER = """
INSERT INTO records.answers AS answers (turn, text, at)
SELECT turn, $2, CAST($3 AS double precision) FROM records.questions WHERE turn = $1 AND "user" != ''
ON CONFLICT (turn) DO UPDATE SET text = excluded.text, at = excluded.at WHERE answers.at <= excluded.at
"""


def record_vote(vote: VoteRecord) -> Script[int]:
    """Store a vote. An equal one repeats a press, and keeps the reason."""
    place = (vote.platform, vote.workspace, vote.channel, vote.message)
    return change(_RECORD_VOTE, vote.turn, vote.user, *place, vote.vote.value, vote.reason, vote.at)


def add_reason(turn: str, user: str, reason: str) -> Script[bool]:
    """Add a reason to a thumbs down; False if there is none."""
    update = 'UPDATE records.votes SET reason = $1 WHERE turn = $2 AND "user" = $3 AND vote = $4'
    return (yield from change(update, reason, turn, user, Vote.DOWN.value)) > 0


def read_votes(since: float, limit: int) -> Script[Sequence[VoteRecord]]:
    """The newest votes, the newest first."""
    rows = yield from select(_SELECT_VOTES, since, limit)
    names = ("platform", "workspace", "channel", "message", "user", "vote", "at", "turn", "reason", "answer")
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [VoteRecord(**{**each, "vote": Vote(each["vote"])}) for each in found]


def keep_answer(turn: str, text: str, at: float) -> Script[None]:
    """Store an answer's text if its question names an author."""
    authors = yield from select('SELECT platform, "user" FROM records.questions WHERE turn = $1', turn)
    for platform, user in authors:
        yield from lock_subject(person(platform, user))
        yield from change(_KEEP_ANSWER, turn, text, at)
