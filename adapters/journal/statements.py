"""The tables of the journal's file, and its SQL statements.

The on-disk format is fixed: earlier and later versions read the same file. A changed column needs a new
`SCHEMA_VERSION`; a new table does not.
"""

from __future__ import annotations

# The owner of the file, so that the bot never writes to a file of another program: "Tick"
# (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x5469636B
SCHEMA_VERSION = 1

# A table of its own without a new version: an older process ignores it.
CREATE_SPENT = "CREATE TABLE IF NOT EXISTS spent (budget TEXT NOT NULL, at REAL NOT NULL)"

# `event` holds the question's text only while the turn is unfinished.
SCHEMA = """
CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    workspace TEXT NOT NULL,
    channel TEXT NOT NULL,
    message TEXT NOT NULL,
    event BLOB,
    ending TEXT,
    owner TEXT NOT NULL,
    received_at REAL NOT NULL,
    crashes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (platform, workspace, channel, message)
);
CREATE INDEX turns_unfinished ON turns (platform) WHERE event IS NOT NULL;
CREATE INDEX turns_received ON turns (received_at);
CREATE TABLE answers (
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    message TEXT NOT NULL,
    UNIQUE (turn, message)
);
"""

INSERT_TURN = """
INSERT INTO turns (platform, workspace, channel, message, event, owner, received_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
UPDATE_EVENT = """
UPDATE turns SET event = ?
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ? AND event IS NOT NULL
"""
DELETE = "DELETE FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?"
INSERT_ANSWER = """
INSERT INTO answers (turn, message)
SELECT id, ? FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
ON CONFLICT DO NOTHING
"""
SET_ENDING = """
UPDATE turns SET ending = ?, event = CASE WHEN ? THEN event END
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
"""
SELECT_UNFINISHED = """
SELECT id, workspace, channel, message, event, ending, owner, received_at, crashes FROM turns
WHERE event IS NOT NULL AND platform = ? AND owner != ? ORDER BY id
"""
CLAIM = "UPDATE turns SET owner = ?, crashes = crashes + (ending IS NULL), ending = NULL WHERE id = ?"
# Both bounds enclose the generations of one question (see `adapters.journal.sql`); the index serves them.
SELECT_GENERATIONS = """
SELECT id, message, event IS NULL FROM turns
WHERE platform = ? AND workspace = ? AND channel = ? AND (message = ? OR message > ? AND message < ?)
"""
SELECT_ANSWERS = "SELECT message FROM answers WHERE turn = ? ORDER BY rowid"
PURGE = """
DELETE FROM turns WHERE id IN (
    SELECT id FROM turns WHERE received_at < ? AND (event IS NULL OR received_at < ?) ORDER BY received_at LIMIT ?
)
"""
RESTORE = """
INSERT INTO turns (platform, workspace, channel, message, event, ending, owner, received_at, crashes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (platform, workspace, channel, message) DO UPDATE SET owner = excluded.owner, ending = NULL
WHERE turns.event IS NOT NULL AND turns.ending = 'interrupted' AND turns.owner != '' AND excluded.ending IS NULL
"""
RESTORE_EVENT = """
UPDATE turns SET event = ?
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ? AND event IS NOT NULL AND owner = ?
"""
RESTORE_ENDED = """
INSERT INTO turns (platform, workspace, channel, message, event, ending, owner, received_at)
VALUES (?, ?, ?, ?, NULL, ?, ?, ?)
ON CONFLICT (platform, workspace, channel, message) DO UPDATE SET ending = excluded.ending, event = NULL
WHERE turns.event IS NOT NULL
"""
SELECT_IS_UNFINISHED = (
    "SELECT event IS NOT NULL FROM turns WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?"
)
SELECT_OWNERS = "SELECT DISTINCT owner FROM turns WHERE event IS NOT NULL AND owner != ?"
RELEASE = "UPDATE turns SET owner = ? WHERE event IS NOT NULL AND owner = ?"
INSERT_CALL = "INSERT INTO spent (budget, at) VALUES (?, ?)"
DELETE_OLD_CALLS = "DELETE FROM spent WHERE at < ?"
SELECT_CALLS = "SELECT at FROM spent WHERE budget = ? AND at >= ?"
SELECT_ROW = """
SELECT id, received_at, ending, event FROM turns
WHERE platform = ? AND workspace = ? AND channel = ? AND message = ?
"""
COUNT_TABLES = "SELECT count(*) FROM sqlite_master"
