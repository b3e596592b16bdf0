"""Scripts for one person's rows: export and erasure. A person is the same user in all workspaces of a platform."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from adapters.records.preferences import append_audit
from adapters.records.script import Script, change, lock_subject, select
from bot.conversation import TurnKey
from bot.records import AuditEntry, Subject

# Begins the random id of an erased person in the audit log; a trigger accepts nothing else.
FORGOTTEN = "forgotten-"

# The action of an erasure in the audit log.
FORGET = "forget"

# Questions looked up by one statement: older versions of SQLite take 999 parameters.
TURNS_AT_ONCE = 500

# The numbers of parameters of these statements: few, since each statement is prepared once.
TURN_PLACES = (5, 50, TURNS_AT_ONCE)

# The rows about a person by table. Parameters: platform, user.
_SELECTS: Mapping[str, str] = MappingProxyType(
    {
        "preferences": """
            SELECT kind, platform, workspace, id, name, value, changed_by, at FROM records.preferences
            WHERE platform = $1 AND (changed_by = $2 OR (kind = 'user' AND id = $2)) ORDER BY at
        """,
        "resets": """
            SELECT platform, conversation, position, at FROM records.resets
            WHERE platform = $1 AND made_by = $2 ORDER BY at
        """,
        "first_contact": "SELECT platform, id, at FROM records.people WHERE platform = $1 AND id = $2",
        "questions": """
            SELECT platform, workspace, channel, message, generation, "user", at, state FROM records.questions
            WHERE platform = $1 AND "user" = $2 ORDER BY at
        """,
        "usage": """
            SELECT at, platform, workspace, channel, "user", turn, model, input_tokens, cached_tokens, output_tokens,
                reasoning_tokens, cost / CAST(1e9 AS double precision) AS cost_dollars, cost_source, estimated
            FROM records.calls WHERE platform = $1 AND "user" = $2 ORDER BY at
        """,
        "votes": """
            SELECT votes.platform, votes.workspace, votes.channel, votes.message, votes."user", vote, reason, votes.at,
                answers.text AS answer
            FROM records.votes AS votes LEFT JOIN records.answers AS answers ON answers.turn = votes.turn
            WHERE votes.platform = $1 AND votes."user" = $2 ORDER BY votes.at
        """,
        "answers": """
            SELECT text, answers.at
            FROM records.answers AS answers JOIN records.questions AS questions ON questions.turn = answers.turn
            WHERE platform = $1 AND "user" = $2 ORDER BY answers.at
        """,
        "audit": """
            SELECT at, platform, workspace, actor, action, subject, detail FROM records.audit
            WHERE platform = $1 AND (actor = $2 OR subject = 'user:' || $2) ORDER BY id
        """,
    }
)

# In this order: answers are found by the questions.
_ERASURES = (
    """
    DELETE FROM records.answers WHERE turn IN (SELECT turn FROM records.questions WHERE platform = $1 AND "user" = $2)
    """,
    'DELETE FROM records.votes WHERE platform = $1 AND "user" = $2',
    # The turn's hash stays, so that a repeated event is not counted again.
    """
    UPDATE records.questions SET "user" = '', workspace = '', channel = '', message = ''
    WHERE platform = $1 AND "user" = $2
    """,
    """
    UPDATE records.calls SET "user" = '', channel = '', turn = '' WHERE platform = $1 AND "user" = $2
    """,
    "DELETE FROM records.preferences WHERE platform = $1 AND kind = 'user' AND id = $2",
    "UPDATE records.preferences SET changed_by = $3 WHERE platform = $1 AND changed_by = $2",
    # Markers stay: without one, an ended conversation would be read again.
    "UPDATE records.resets SET made_by = '' WHERE platform = $1 AND made_by = $2",
    "DELETE FROM records.people WHERE platform = $1 AND id = $2",
    # The values of a person's own settings may be personal too.
    """
    UPDATE records.audit SET subject = 'user:' || $3, detail = ''
    WHERE platform = $1 AND subject = 'user:' || $2
    """,
    "UPDATE records.audit SET actor = $3 WHERE platform = $1 AND actor = $2",
)


def rows_of(user: Subject) -> Script[Mapping[str, Sequence[Mapping[str, object]]]]:
    """All rows about a person by table."""
    found: dict[str, Sequence[Mapping[str, object]]] = {}
    for table, statement in _SELECTS.items():
        rows = yield from select(statement, user.platform, user.id)
        found[table] = [dict(zip(row.keys(), row, strict=True)) for row in rows]
    return found


def questions_of(user: Subject) -> Script[Sequence[TurnKey]]:
    """The keys of a person's questions."""
    rows = yield from select(
        """
        SELECT platform, workspace, channel, message, generation FROM records.questions
        WHERE platform = $1 AND "user" = $2 ORDER BY at
        """,
        user.platform,
        user.id,
    )
    return [TurnKey(*row) for row in rows]


def erasures(after: int) -> Script[Collection[int]]:
    """The audit log's numbers of erasures after this one."""
    rows = yield from select("SELECT id FROM records.audit WHERE id > $1 AND action = $2", after, FORGET)
    return [row[0] for row in rows]


def forgotten(turns: Sequence[str]) -> Script[Collection[str]]:
    """Those of these questions without a person."""
    found: list[str] = []
    for start in range(0, len(turns), TURNS_AT_ONCE):
        some = turns[start : start + TURNS_AT_ONCE]
        places = next(each for each in TURN_PLACES if each >= len(some))
        marks = ", ".join(f"${number}" for number in range(1, places + 1))
        chosen = f"""SELECT turn FROM records.questions WHERE turn IN ({marks}) AND "user" = ''"""  # noqa: S608 (numbers)
        rows = yield from select(chosen, *some, *[""] * (places - len(some)))
        found += [row[0] for row in rows]
    return found


def erase(user: Subject, at: float) -> Script[str]:
    """Delete or anonymize all rows about a person, with an audit entry; returns their random id."""
    yield from lock_subject(user)
    random_id = FORGOTTEN + secrets.token_hex(8)
    for statement in _ERASURES:
        yield from change(statement, user.platform, user.id, *([random_id] if "$3" in statement else []))
    yield from append_audit(AuditEntry(at, user.platform, "", random_id, FORGET, f"user:{random_id}"))
    return random_id
