-- expand: the journal of turns, the messages of their answers, and the processes that own them

-- A process, from its start to its end. `until` moves with each of its heartbeats, by the clock of the database.
CREATE TABLE tickertape.processes (
    id text PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz NOT NULL,
    dead boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- `event` holds the question's text only while the turn is unfinished. It is no text, since it may contain a NUL or half
-- a surrogate pair. `lane`, `fence` and `trace` wait for the leases of lanes.
CREATE TABLE tickertape.turns (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform text NOT NULL,
    workspace text NOT NULL,
    channel text NOT NULL,
    message text NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    event bytea,
    ending text,
    owner text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    crashes integer NOT NULL DEFAULT 0,
    lane text,
    fence bigint,
    trace text,
    UNIQUE (platform, workspace, channel, message, generation)
);
CREATE INDEX turns_unfinished ON tickertape.turns (platform, lane, id) WHERE event IS NOT NULL;
CREATE INDEX turns_received ON tickertape.turns (received_at);

CREATE TABLE tickertape.answers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    turn bigint NOT NULL REFERENCES tickertape.turns (id) ON DELETE CASCADE,
    message text NOT NULL,
    UNIQUE (turn, message)
);

-- Calls under a rate limit of all processes, kept for two minutes.
CREATE TABLE tickertape.calls (
    limit_name text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX calls_recent ON tickertape.calls (limit_name, at);
CREATE INDEX calls_old ON tickertape.calls (at);
