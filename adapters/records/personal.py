"""Statements for one person's rows: export and erasure. A person is the same user in all workspaces of a platform."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from adapters.records.database import Connection
from adapters.records.preferences import append_audit
from bot.conversation import TurnKey
from bot.records import AuditEntry, Subject

# Begins the random id of an erased person in the audit log; a trigger accepts nothing else.
FORGOTTEN = "forgotten-"

# The rows about a person by table. Parameters: platform, user.
_SELECTS: Mapping[str, str] = MappingProxyType(
    {
        "preferences": """
            SELECT kind, platform, workspace, id, name, value, changed_by, at FROM preferences
            WHERE platform = :platform AND (changed_by = :user OR (kind = 'user' AND id = :user)) ORDER BY at
        """,
        "resets": """
            SELECT platform, conversation, position, at FROM resets
            WHERE platform = :platform AND made_by = :user ORDER BY at
        """,
        "first_contact": "SELECT platform, id, at FROM people WHERE platform = :platform AND id = :user",
        "questions": """
            SELECT platform, workspace, channel, message, generation, user, at, state FROM questions
            WHERE platform = :platform AND user = :user ORDER BY at
        """,
        "usage": """
            SELECT at, platform, workspace, channel, user, turn, model, input_tokens, cached_tokens, output_tokens,
                reasoning_tokens, cost / 1e9 AS cost_dollars, cost_source, estimated
            FROM calls WHERE platform = :platform AND user = :user ORDER BY at
        """,
        "votes": """
            SELECT votes.platform, votes.workspace, votes.channel, votes.message, votes.user, vote, reason, votes.at,
                answers.text AS answer
            FROM votes LEFT JOIN answers ON answers.turn = votes.turn
            WHERE votes.platform = :platform AND votes.user = :user ORDER BY votes.at
        """,
        "answers": """
            SELECT text, answers.at FROM answers JOIN questions ON questions.turn = answers.turn
            WHERE platform = :platform AND user = :user ORDER BY answers.at
        """,
        "audit": """
            SELECT at, platform, workspace, actor, action, subject, detail FROM audit
            WHERE platform = :platform AND (actor = :user OR subject = 'user:' || :user) ORDER BY id
        """,
    }
)

# In this order: answers are found by the questions.
_ERASURES = (
    """
    DELETE FROM answers WHERE turn IN (SELECT turn FROM questions WHERE platform = :platform AND user = :user)
    """,
    "DELETE FROM votes WHERE platform = :platform AND user = :user",
    # The turn's hash stays, so that a repeated event is not counted again.
    """
    UPDATE questions SET user = '', workspace = '', channel = '', message = ''
    WHERE platform = :platform AND user = :user
    """,
    "UPDATE calls SET user = '', channel = '', turn = '' WHERE platform = :platform AND user = :user",
    "DELETE FROM preferences WHERE platform = :platform AND kind = 'user' AND id = :user",
    "UPDATE preferences SET changed_by = :random WHERE platform = :platform AND changed_by = :user",
    # Markers stay: without one, an ended conversation would be read again.
    "UPDATE resets SET made_by = '' WHERE platform = :platform AND made_by = :user",
    "DELETE FROM people WHERE platform = :platform AND id = :user",
    # The values of a person's own settings may be personal too.
    """
    UPDATE audit SET subject = 'user:' || :random, detail = ''
    WHERE platform = :platform AND subject = 'user:' || :user
    """,
    "UPDATE audit SET actor = :random WHERE platform = :platform AND actor = :user",
)


def rows_of(connection: Connection, user: Subject) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """All rows about a person by table."""
    found: dict[str, Sequence[Mapping[str, object]]] = {}
    for table, select in _SELECTS.items():
        cursor = connection.execute(select, {"platform": user.platform, "user": user.id})
        names = [column[0] for column in cursor.description]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    return found


def questions_of(connection: Connection, user: Subject) -> Sequence[TurnKey]:
    """The keys of a person's questions."""
    select = """
    SELECT platform, workspace, channel, message, generation FROM questions
    WHERE platform = ? AND user = ? ORDER BY at
    """
    return [TurnKey(*row) for row in connection.execute(select, (user.platform, user.id))]


def erase(connection: Connection, user: Subject, at: float) -> str:
    """Delete or anonymize all rows about a person, with an audit entry; returns their random id."""
    random_id = FORGOTTEN + secrets.token_hex(8)
    values = {"platform": user.platform, "user": user.id, "random": random_id}
    for statement in _ERASURES:
        connection.execute(statement, values)
    append_audit(connection, AuditEntry(at, user.platform, "", random_id, "forget", f"user:{random_id}"))
    return random_id


def wipe(connection: Connection) -> None:
    """Rewrite the file without free space, and empty its log: deleted rows leave no trace. Not in a transaction."""
    with suppress(sqlite3.OperationalError):  # another process is reading: later writes overwrite the traces
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
