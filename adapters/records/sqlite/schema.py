"""The tables of the records' file, and its upgrades.

Each element of `UPGRADES` leads from the version of its index to the next. A released one never changes.
"""

from __future__ import annotations

# The owner of the file: "Tikr" (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x54696B72

_VERSION_1 = """
CREATE TABLE preferences (
    kind TEXT NOT NULL, platform TEXT NOT NULL, workspace TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
    value TEXT NOT NULL, changed_by TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (kind, platform, workspace, id, name)
) WITHOUT ROWID;

CREATE TABLE resets (
    platform TEXT NOT NULL, conversation TEXT NOT NULL, position TEXT NOT NULL, made_by TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (platform, conversation)
) WITHOUT ROWID;

CREATE TABLE people (
    platform TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (platform, id)
) WITHOUT ROWID;

CREATE TABLE key_values (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE questions (
    turn TEXT PRIMARY KEY,
    platform TEXT NOT NULL, workspace TEXT NOT NULL, channel TEXT NOT NULL, message TEXT NOT NULL,
    generation INTEGER NOT NULL, user TEXT NOT NULL, at REAL NOT NULL,
    state TEXT NOT NULL,
    counters TEXT NOT NULL,
    reserved_tokens INTEGER NOT NULL, reserved_money INTEGER NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX questions_reserved ON questions (expires_at) WHERE reserved_tokens > 0 OR reserved_money > 0;
CREATE INDEX questions_at ON questions (at);
CREATE INDEX questions_user ON questions (platform, user, at);

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    platform TEXT NOT NULL, workspace TEXT NOT NULL, channel TEXT NOT NULL, user TEXT NOT NULL, turn TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER, cost_source TEXT NOT NULL, estimated INTEGER NOT NULL
);
CREATE INDEX calls_at ON calls (at);
CREATE INDEX calls_user ON calls (platform, user, at);

CREATE TABLE counters (
    scope TEXT NOT NULL, owner TEXT NOT NULL, period TEXT NOT NULL,
    questions INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0, money INTEGER NOT NULL DEFAULT 0,
    reserved_tokens INTEGER NOT NULL DEFAULT 0, reserved_money INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, owner, period)
) WITHOUT ROWID;

CREATE TABLE quota_notices (owner TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;

CREATE TABLE votes (
    turn TEXT NOT NULL, user TEXT NOT NULL,
    platform TEXT NOT NULL, workspace TEXT NOT NULL, channel TEXT NOT NULL, message TEXT NOT NULL,
    vote TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (turn, user)
) WITHOUT ROWID;
CREATE INDEX votes_at ON votes (at);

CREATE TABLE answers (turn TEXT PRIMARY KEY, text TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, platform TEXT NOT NULL, workspace TEXT NOT NULL,
    actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE audit_retention (kept_since REAL NOT NULL);
INSERT INTO audit_retention VALUES (0);
"""

# Statements contain semicolons, so each stands alone. Only the replacement of an id, and retention, may change the log.
_AUDIT_TRIGGERS = (
    """
CREATE TRIGGER audit_update BEFORE UPDATE ON audit WHEN NOT (
    NEW.id IS OLD.id AND NEW.at IS OLD.at AND NEW.platform IS OLD.platform AND NEW.workspace IS OLD.workspace
    AND NEW.action IS OLD.action AND (NEW.actor IS OLD.actor OR NEW.actor GLOB 'forgotten-*')
    AND (NEW.subject IS OLD.subject OR NEW.subject GLOB 'user:forgotten-*')
    AND (NEW.detail IS OLD.detail OR (NEW.detail IS '' AND NEW.subject GLOB 'user:forgotten-*'))
) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
""",
    """
CREATE TRIGGER audit_delete BEFORE DELETE ON audit WHEN OLD.at >= (SELECT max(kept_since) FROM audit_retention)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
""",
)

UPGRADES: tuple[tuple[str, ...], ...] = (
    (*(statement for statement in _VERSION_1.split(";") if statement.strip()), *_AUDIT_TRIGGERS),
)
SCHEMA_VERSION = len(UPGRADES)
