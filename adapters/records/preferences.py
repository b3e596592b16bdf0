"""Statements for settings made in chat, resets, first contacts, the program's own values, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from adapters.records.database import Connection
from bot.records import AuditEntry, Preferences, StoredPreference, Subject, SubjectKind

# Longest value in an audit entry, in characters: a prompt of one's own is told apart by its beginning.
AUDIT_VALUE_LENGTH = 80


def read_preferences(connection: Connection, subjects: Sequence[Subject]) -> Mapping[Subject, Preferences]:
    """The settings of each subject with any."""
    select = "SELECT name, value FROM preferences WHERE kind = ? AND platform = ? AND workspace = ? AND id = ?"
    found = {subject: dict(connection.execute(select, _columns(subject)).fetchall()) for subject in subjects}
    return {subject: values for subject, values in found.items() if values}


def list_preferences(connection: Connection, limit: int) -> Sequence[StoredPreference]:
    """The newest settings, the newest first."""
    select = """
        SELECT kind, platform, workspace, id, name, value, changed_by, at FROM preferences
        ORDER BY at DESC, platform, id, name LIMIT ?
    """
    return [
        StoredPreference(Subject(SubjectKind(kind), platform, workspace, id_), *rest)
        for kind, platform, workspace, id_, *rest in connection.execute(select, (limit,))
    ]


def write_preferences(
    connection: Connection, subject: Subject, changes: Mapping[str, str | None], by: Subject, at: float
) -> None:
    """Set or unset settings, with an audit entry for each changed one."""
    old = read_preferences(connection, [subject]).get(subject, {})
    for name, value in changes.items():
        if old.get(name) == value:
            continue
        if value is None:
            where = "kind = ? AND platform = ? AND workspace = ? AND id = ? AND name = ?"
            connection.execute(f"DELETE FROM preferences WHERE {where}", (*_columns(subject), name))  # noqa: S608 (constant)
        else:
            connection.execute(
                "INSERT OR REPLACE INTO preferences VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*_columns(subject), name, value, by.id, at),
            )
        detail = {"name": name, "old": _shortened(old.get(name)), "new": _shortened(value)}
        append_audit(
            connection,
            AuditEntry(
                at,
                subject.platform,
                subject.workspace,
                by.id,
                "setting",
                f"{subject.kind.value}:{subject.id}",
                json.dumps(detail, ensure_ascii=False),
            ),
        )


def reset_position(connection: Connection, platform: str, conversation: str) -> str:
    """The newest reset marker's position; empty without one."""
    select = "SELECT position FROM resets WHERE platform = ? AND conversation = ?"
    row = connection.execute(select, (platform, conversation)).fetchone()
    return str(row[0]) if row else ""


def reset(connection: Connection, platform: str, conversation: str, position: str, *, by: Subject, at: float) -> None:
    """Set the reset marker of a conversation."""
    insert = "INSERT OR REPLACE INTO resets VALUES (?, ?, ?, ?, ?)"
    connection.execute(insert, (platform, conversation, position, by.id, at))


def first_contact(connection: Connection, user: Subject, at: float) -> bool:
    """Remember a person; whether they were unknown."""
    insert = "INSERT INTO people VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    return connection.execute(insert, (user.platform, user.id, at)).rowcount > 0


def get_value(connection: Connection, key: str) -> str:
    """A value of the program; empty without one."""
    row = connection.execute("SELECT value FROM key_values WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else ""


def put_value(connection: Connection, key: str, value: str) -> None:
    """Store or, if empty, delete a value of the program."""
    if value:
        connection.execute("INSERT OR REPLACE INTO key_values VALUES (?, ?)", (key, value))
    else:
        connection.execute("DELETE FROM key_values WHERE key = ?", (key,))


def append_audit(connection: Connection, entry: AuditEntry) -> None:
    """Append to the audit log."""
    connection.execute(
        "INSERT INTO audit (at, platform, workspace, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.at, entry.platform, entry.workspace, entry.actor, entry.action, entry.subject, entry.detail),
    )


def read_audit(connection: Connection, limit: int) -> Sequence[AuditEntry]:
    """The newest entries of the audit log, the newest first."""
    select = "SELECT at, platform, workspace, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?"
    return [AuditEntry(*row) for row in connection.execute(select, (limit,))]


def _columns(subject: Subject) -> tuple[str, str, str, str]:
    return subject.kind.value, subject.platform, subject.workspace, subject.id


def _shortened(value: str | None) -> str | None:
    if value is None or len(value) <= AUDIT_VALUE_LENGTH:
        return value
    return f"{value[:AUDIT_VALUE_LENGTH]}... ({len(value)} characters)"
