"""Scripts for settings made in chat, resets, first contacts, the program's own values, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from adapters.records.script import Script, change, lock, lock_subject, select
from bot.records import AuditEntry, Preferences, StoredPreference, Subject, SubjectKind

# Longest value in an audit entry, in characters: a prompt of one's own is told apart by its beginning.
AUDIT_VALUE_LENGTH = 80

_READ = "kind, platform, workspace, id, name, value FROM records.preferences"
_SET = """
INSERT INTO records.preferences (kind, platform, workspace, id, name, value, changed_by, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (kind, platform, workspace, id, name)
DO UPDATE SET value = excluded.value, changed_by = excluded.changed_by, at = excluded.at
"""
_UNSET = (
    "DELETE FROM records.preferences WHERE kind = $1 AND platform = $2 AND workspace = $3 AND id = $4 AND name = $5"
)
_RESET = """
INSERT INTO records.resets (platform, conversation, position, made_by, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (platform, conversation)
DO UPDATE SET position = excluded.position, made_by = excluded.made_by, at = excluded.at
"""
_PUT = """
INSERT INTO records.key_values (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""
_APPEND_AUDIT = """
INSERT INTO records.audit (at, platform, workspace, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


def read_preferences(subjects: Sequence[Subject]) -> Script[Mapping[Subject, Preferences]]:
    """The settings of each subject with any."""
    if not subjects:
        return {}
    places = ", ".join(
        f"(${first}, ${first + 1}, ${first + 2}, ${first + 3})" for first in range(1, 4 * len(subjects), 4)
    )
    chosen = f"SELECT {_READ} WHERE (kind, platform, workspace, id) IN (VALUES {places})"
    rows = yield from select(chosen, *(column for subject in subjects for column in _columns(subject)))
    found: dict[Subject, dict[str, str]] = {}
    for kind, platform, workspace, id_, name, value in rows:
        found.setdefault(Subject(SubjectKind(kind), platform, workspace, id_), {})[name] = value
    return found


def list_preferences(limit: int) -> Script[Sequence[StoredPreference]]:
    """The newest settings, the newest first."""
    rows = yield from select(
        """
        SELECT kind, platform, workspace, id, name, value, changed_by, at FROM records.preferences
        ORDER BY at DESC, platform, id, name LIMIT $1
        """,
        limit,
    )
    return [
        StoredPreference(Subject(SubjectKind(kind), platform, workspace, id_), *rest)
        for kind, platform, workspace, id_, *rest in rows
    ]


def write_preferences(subject: Subject, changes: Mapping[str, str | None], by: Subject, at: float) -> Script[None]:
    """Set or unset settings, with an audit entry for each changed one."""
    yield from lock_subject(subject)
    old = (yield from read_preferences([subject])).get(subject, {})
    for name, value in changes.items():
        if old.get(name) == value:
            continue
        if value is None:
            yield from change(_UNSET, *_columns(subject), name)
        else:
            yield from change(_SET, *_columns(subject), name, value, by.id, at)
        detail = {"name": name, "old": _shortened(old.get(name)), "new": _shortened(value)}
        place, about = (subject.platform, subject.workspace), f"{subject.kind.value}:{subject.id}"
        yield from append_audit(AuditEntry(at, *place, by.id, "setting", about, json.dumps(detail, ensure_ascii=False)))


def reset_position(platform: str, conversation: str) -> Script[str]:
    """The newest reset marker's position; empty without one."""
    found = "SELECT position FROM records.resets WHERE platform = $1 AND conversation = $2"
    rows = yield from select(found, platform, conversation)
    return str(rows[0][0]) if rows else ""


def reset(platform: str, conversation: str, position: str, *, by: Subject, at: float) -> Script[int]:
    """Set the reset marker of a conversation."""
    return change(_RESET, platform, conversation, position, by.id, at)


def first_contact(user: Subject, at: float) -> Script[bool]:
    """Remember a person; whether they were unknown."""
    insert = "INSERT INTO records.people (platform, id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
    return (yield from change(insert, user.platform, user.id, at)) > 0


def get_value(key: str) -> Script[str]:
    """A value of the program; empty without one."""
    rows = yield from select("SELECT value FROM records.key_values WHERE key = $1", key)
    return str(rows[0][0]) if rows else ""


def put_value(key: str, value: str) -> Script[int]:
    """Store or, if empty, delete a value of the program."""
    return change(_PUT, key, value) if value else change("DELETE FROM records.key_values WHERE key = $1", key)


def replace_value(key: str, value: str, expected: str, audit: AuditEntry) -> Script[bool]:
    """Store a value with its audit entry if the present one is the expected one."""
    yield from lock(f"value {key}")
    if (yield from get_value(key)) != expected:
        return False
    yield from put_value(key, value)
    yield from append_audit(audit)
    return True


def append_audit(entry: AuditEntry) -> Script[int]:
    """Append to the audit log."""
    place = (entry.platform, entry.workspace)
    return change(_APPEND_AUDIT, entry.at, *place, entry.actor, entry.action, entry.subject, entry.detail)


def read_audit(limit: int) -> Script[Sequence[AuditEntry]]:
    """The newest entries of the audit log, the newest first."""
    newest = (
        "SELECT at, platform, workspace, actor, action, subject, detail FROM records.audit ORDER BY id DESC LIMIT $1"
    )
    rows = yield from select(newest, limit)
    return [AuditEntry(*row) for row in rows]


def _columns(subject: Subject) -> tuple[str, str, str, str]:
    return subject.kind.value, subject.platform, subject.workspace, subject.id


def _shortened(value: str | None) -> str | None:
    if value is None or len(value) <= AUDIT_VALUE_LENGTH:
        return value
    return f"{value[:AUDIT_VALUE_LENGTH]}... ({len(value)} characters)"
