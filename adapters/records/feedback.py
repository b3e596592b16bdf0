"""Statements for votes and the texts of answers."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.records.database import Connection
from bot.interactions.values import Vote
from bot.records import VoteRecord

SELECT_VOTES = """
SELECT platform, workspace, channel, message, user, vote, votes.at, votes.turn, reason, coalesce(answers.text, '')
FROM votes LEFT JOIN answers ON answers.turn = votes.turn
WHERE votes.at >= ? ORDER BY votes.at DESC, votes.turn, user LIMIT ?
"""


def record_vote(connection: Connection, vote: VoteRecord) -> None:
    """Store a vote. An equal one repeats a press, and keeps the reason."""
    connection.execute(
        """
        INSERT INTO votes (turn, user, platform, workspace, channel, message, vote, reason, at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (turn, user) DO UPDATE SET vote = excluded.vote, message = excluded.message, at = excluded.at,
            reason = CASE WHEN vote = excluded.vote AND excluded.reason = '' THEN reason ELSE excluded.reason END
        """,
        (
            vote.turn,
            vote.user,
            vote.platform,
            vote.workspace,
            vote.channel,
            vote.message,
            vote.vote.value,
            vote.reason,
            vote.at,
        ),
    )


def add_reason(connection: Connection, turn: str, user: str, reason: str) -> bool:
    """Add a reason to a thumbs down; False if there is none."""
    update = "UPDATE votes SET reason = ? WHERE turn = ? AND user = ? AND vote = ?"
    return connection.execute(update, (reason, turn, user, Vote.DOWN.value)).rowcount > 0


def read_votes(connection: Connection, since: float, limit: int) -> Sequence[VoteRecord]:
    """The newest votes, the newest first."""
    rows = connection.execute(SELECT_VOTES, (since, limit))
    names = ("platform", "workspace", "channel", "message", "user", "vote", "at", "turn", "reason", "answer")
    return [VoteRecord(**dict(zip(names, (*row[:5], Vote(row[5]), *row[6:]), strict=True))) for row in rows]


def keep_answer(connection: Connection, turn: str, text: str, at: float) -> None:
    """Store an answer's text if its question names an author: "forget me" finds it by them."""
    insert = "INSERT OR REPLACE INTO answers SELECT turn, ?, ? FROM questions WHERE turn = ? AND user != ''"
    connection.execute(insert, (text, at, turn))
