"""The journal's statements for PostgreSQL. Each is one round trip and a transaction of its own.

The tables are in `adapters.postgres.migrations`. `owner` is a process by the name of its lease; an empty one has
released its turns. Processes of earlier versions are known in `processes` alone, all others there and in `members`.
"""

# ruff: noqa: S608
# Statements are made of constants only.

from __future__ import annotations

from adapters.postgres.options import UNSYNCED

# The five columns of a turn's key, as parameters 1 to 5.
_KEY = "platform = $1 AND workspace = $2 AND channel = $3 AND message = $4 AND generation = $5"
_COLUMNS = "platform, workspace, channel, message, generation"
_UNNESTED_KEYS = "unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[]"

# A process accepts turns in its own lanes alone, or on a platform without lanes; none once it was declared dead. A turn
# of its own, accepted with an unknown outcome before ($9), is accepted again. Returns whether it may accept the turn,
# and whether that is new.
ACCEPT = f"""
WITH permission AS (
    SELECT 1 WHERE tickertape.may_accept($7, $1, $2)
), new AS (
    INSERT INTO tickertape.turns ({_COLUMNS}, event, owner)
    SELECT $1, $2, $3, $4, $5, $6, $7 FROM permission
    ON CONFLICT ({_COLUMNS}) DO UPDATE SET event = excluded.event
    WHERE $9 AND turns.owner = excluded.owner AND turns.event IS NOT NULL AND turns.ending IS NULL
    RETURNING id
), copied AS (
    INSERT INTO tickertape.answers (turn, message, place)
    SELECT new.id, given.message, given.place - 1 FROM new, unnest($8::text[]) WITH ORDINALITY AS given (message, place)
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM permission) AS is_ours, EXISTS (SELECT FROM new) AS is_new
"""
# Several at once, in the order of the given ones; $6 are their events, $7 the process. Rows go in by the order of their
# keys, so that two processes never wait for each other.
ACCEPT_ALL = f"""
WITH given AS (
    SELECT * FROM {_UNNESTED_KEYS}, $6::bytea[]) WITH ORDINALITY AS given ({_COLUMNS}, event, number)
), permission AS MATERIALIZED (
    SELECT platform, workspace FROM (SELECT DISTINCT platform, workspace FROM given) AS places
    WHERE tickertape.may_accept($7, platform, workspace)
), new AS (
    INSERT INTO tickertape.turns ({_COLUMNS}, event, owner)
    SELECT {_COLUMNS}, event, $7 FROM given JOIN permission USING (platform, workspace) ORDER BY {_COLUMNS}
    ON CONFLICT ({_COLUMNS}) DO NOTHING
    RETURNING {_COLUMNS}
)
SELECT permission.platform IS NOT NULL AS is_ours, new.platform IS NOT NULL AS is_new
FROM given LEFT JOIN permission USING (platform, workspace) LEFT JOIN new USING ({_COLUMNS})
ORDER BY number
"""
# None of these by an earlier owner: it was cut off, and the answer goes on elsewhere.
UPDATE_EVENT = f"UPDATE tickertape.turns SET event = $6 WHERE {_KEY} AND event IS NOT NULL AND owner IN ('', $7)"
DROP = f"DELETE FROM tickertape.turns WHERE {_KEY} AND owner IN ('', $6)"
# $7 is its place among the messages, as far as this process knows: an earlier one may follow after an outage.
ADD_MESSAGE = f"""
INSERT INTO tickertape.answers (turn, message, place)
SELECT id, $6, coalesce($7, (SELECT count(*) FROM tickertape.answers WHERE turn = turns.id)) FROM tickertape.turns
WHERE {_KEY} AND owner IN ('', $8)
ON CONFLICT DO NOTHING
"""
END = f"""
UPDATE tickertape.turns SET ending = $6, event = CASE WHEN $7 THEN event END WHERE {_KEY} AND owner IN ('', $8)
"""
ADD_MESSAGES = f"""
INSERT INTO tickertape.answers (turn, message, place)
SELECT turns.id, given.answer,
    coalesce(given.place, (SELECT count(*) FROM tickertape.answers WHERE turn = turns.id))
FROM {_UNNESTED_KEYS}, $6::text[], $7::integer[]) WITH ORDINALITY AS given ({_COLUMNS}, answer, place, number)
JOIN tickertape.turns USING ({_COLUMNS})
WHERE turns.owner IN ('', $8)
ORDER BY turns.id, given.number
ON CONFLICT DO NOTHING
"""
END_ALL = f"""
UPDATE tickertape.turns SET ending = given.new_ending, event = CASE WHEN given.keeps THEN turns.event END
FROM {_UNNESTED_KEYS}, $6::text[], $7::boolean[]) AS given ({_COLUMNS}, new_ending, keeps)
WHERE ({", ".join(f"turns.{each}" for each in _COLUMNS.split(", "))})
    = ({", ".join(f"given.{each}" for each in _COLUMNS.split(", "))}) AND turns.owner IN ('', $8)
"""

_MESSAGES = (
    "ARRAY(SELECT message FROM tickertape.answers WHERE turn = {turn}.id ORDER BY place NULLS FIRST, answers.id)"
)

NEWEST = f"""
SELECT generation, event IS NULL AS ended, {_MESSAGES.format(turn="turns")} AS messages FROM tickertape.turns
WHERE platform = $1 AND workspace = $2 AND channel = $3 AND message = $4 ORDER BY generation DESC LIMIT 1
"""

# The turns of our lanes become this process's, and on a platform without lanes those of dead processes; each goes to
# exactly one caller. Earlier versions know no lanes: theirs are theirs until they interrupt them, or die. With $3 also
# its own unfinished ones, for a comparison with its memory. A turn must still have the considered owner: another caller
# may have committed since this statement's snapshot.
CLAIM = f"""
WITH mine AS (
    SELECT name FROM tickertape.lanes WHERE platform = $1 AND owner = $2
), considered AS (
    SELECT id, owner, ending,
        workspace IN (SELECT name FROM mine) OR ($1 = 'discord' AND EXISTS (
            SELECT FROM mine WHERE name ~ '^[0-9]+/[1-9][0-9]*$' AND split_part(name, '/', 1)::integer
                = tickertape.shard_of(workspace, split_part(name, '/', 2)::integer)
        )) AS is_in_mine
    FROM tickertape.turns WHERE platform = $1 AND event IS NOT NULL AND owner <> $2
), wanted AS (
    SELECT id, owner FROM considered AS c
    WHERE (c.is_in_mine AND EXISTS (SELECT FROM tickertape.members WHERE members.id = c.owner))
        OR (
            (
                c.ending = 'interrupted'
                OR NOT EXISTS (SELECT FROM tickertape.processes WHERE processes.id = c.owner AND NOT dead)
            )
            AND (
                c.is_in_mine
                OR (
                    NOT EXISTS (SELECT FROM tickertape.lanes WHERE platform = $1)
                    AND EXISTS (SELECT FROM tickertape.members WHERE members.id = $2 AND NOT dead)
                )
            )
        )
), free AS (
    SELECT turns.id FROM tickertape.turns JOIN wanted ON wanted.id = turns.id
    WHERE turns.event IS NOT NULL AND turns.owner = wanted.owner
    FOR UPDATE OF turns SKIP LOCKED
), claimed AS (
    UPDATE tickertape.turns SET owner = $2, crashes = crashes + (ending IS NULL)::integer, ending = NULL
    FROM free WHERE turns.id = free.id
    RETURNING turns.*
), own AS (
    SELECT * FROM tickertape.turns
    WHERE $3 AND platform = $1 AND event IS NOT NULL AND owner = $2 AND ending IS NULL
), found AS (
    SELECT *, true AS is_claimed FROM claimed UNION ALL SELECT *, false FROM own
)
SELECT {_COLUMNS}, event, crashes, is_claimed, {_MESSAGES.format(turn="found")} AS messages,
    extract(epoch FROM clock_timestamp() - received_at)::float8 AS age
FROM found ORDER BY id
"""

ROWS = f"""
SELECT {_COLUMNS}, event, ending, {_MESSAGES.format(turn="turns")} AS messages,
    extract(epoch FROM received_at)::float8 AS received_at
FROM tickertape.turns JOIN {_UNNESTED_KEYS}) WITH ORDINALITY AS given ({_COLUMNS}, place) USING ({_COLUMNS})
ORDER BY place
"""

# ------------------------------------------------------------------------------------------- after an outage

# A failover may lose the last commits, and an outage the last operations. The memory of the owner is right.
RESTORE_LIVE = f"""
INSERT INTO tickertape.turns ({_COLUMNS}, event, ending, received_at, owner)
SELECT {_COLUMNS}, event, ending, to_timestamp(received_at), $9
FROM {_UNNESTED_KEYS}, $6::bytea[], $7::text[], $8::float8[])
    AS given ({_COLUMNS}, event, ending, received_at)
ON CONFLICT ({_COLUMNS}) DO UPDATE SET event = excluded.event, ending = excluded.ending
WHERE turns.owner = excluded.owner AND turns.event IS NOT NULL
"""
RESTORE_ENDED = f"""
INSERT INTO tickertape.turns ({_COLUMNS}, ending, received_at, owner)
SELECT {_COLUMNS}, ending, to_timestamp(received_at), $8
FROM {_UNNESTED_KEYS}, $6::text[], $7::float8[]) AS given ({_COLUMNS}, ending, received_at)
ON CONFLICT ({_COLUMNS}) DO UPDATE SET event = NULL, ending = excluded.ending
WHERE turns.owner = excluded.owner AND turns.event IS NOT NULL
"""
RESTORE_MESSAGES = f"""
INSERT INTO tickertape.answers (turn, message, place)
SELECT turns.id, given.answer, given.place
FROM {_UNNESTED_KEYS}, $6::text[], $7::integer[]) AS given ({_COLUMNS}, answer, place)
JOIN tickertape.turns USING ({_COLUMNS})
WHERE turns.owner = $8
ON CONFLICT DO NOTHING
"""
RESTORE_DROPPED = f"""
DELETE FROM tickertape.turns USING {_UNNESTED_KEYS}) AS given ({_COLUMNS})
WHERE turns.owner = $6 AND ({", ".join(f"turns.{each}" for each in _COLUMNS.split(", "))})
    = ({", ".join(f"given.{each}" for each in _COLUMNS.split(", "))})
"""

# ---------------------------------------------------------------------------------------------- processes

PROBE = "SELECT 1"
# Under a new name ($2) this process keeps its turns on platforms without lanes. The others went with their lanes.
RENAME = """
UPDATE tickertape.turns SET owner = $2 WHERE owner = $1 AND event IS NOT NULL
    AND NOT EXISTS (SELECT FROM tickertape.lanes WHERE lanes.platform = turns.platform)
"""
RELEASE = "UPDATE tickertape.turns SET owner = '' WHERE owner = $1 AND event IS NOT NULL"

# ------------------------------------------------------------------------------------- calls and retention

# Calls matter for a minute.
RECORD_CALLS = f"""
INSERT INTO tickertape.calls (limit_name, at)
SELECT name, clock_timestamp() - make_interval(secs => age)
FROM {UNSYNCED}, unnest($1::text[], $2::float8[]) AS given (name, age)
"""
RECENT_CALLS = """
SELECT extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM tickertape.calls
WHERE limit_name = $1 AND at >= clock_timestamp() - make_interval(secs => $2)
"""
# At most $3 turns; all of the old calls and processes, few as they are.
PURGE = """
WITH old AS (
    SELECT id FROM tickertape.turns
    WHERE received_at < clock_timestamp() - make_interval(secs => $1)
        AND (event IS NULL OR received_at < clock_timestamp() - make_interval(secs => $2))
    ORDER BY received_at LIMIT $3
    FOR UPDATE SKIP LOCKED
), turns AS (
    DELETE FROM tickertape.turns USING old WHERE turns.id = old.id RETURNING turns.id
), calls AS (
    DELETE FROM tickertape.calls WHERE at < clock_timestamp() - make_interval(secs => $4)
), processes AS (
    DELETE FROM tickertape.processes WHERE dead AND until < clock_timestamp() - interval '1 day'
)
SELECT count(*) FROM turns
"""
