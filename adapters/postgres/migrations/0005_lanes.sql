-- expand: lanes made known and removed, slots of series, hints of free lanes, and turns by the lanes of their owners

-- Versions before this one have their own list of live processes, `processes`, and answer the turns of everybody else.
-- So as long as they may run beside this one, each heartbeat also keeps a row there, and both lists agree on the dead:
-- whoever one of them declares dead is dead in the other. A later migration removes `processes`.

-- The next slot of each series, such as the log-ins of a bot.
CREATE TABLE tickertape.slots (name text PRIMARY KEY, next_at timestamptz NOT NULL);

CREATE FUNCTION tickertape.remove_lanes(of_platform text, names text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tickertape.lanes WHERE platform = of_platform AND name = ANY (names);
    DELETE FROM tickertape.inbox WHERE platform = of_platform AND lane = ANY (names);
END $$;

-- In one order, so that two processes never wait for each other.
CREATE FUNCTION tickertape.add_lanes(of_platform text, names text[], replaces boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF replaces THEN
        PERFORM tickertape.remove_lanes(of_platform, ARRAY(
            SELECT name FROM tickertape.lanes WHERE platform = of_platform AND NOT name = ANY (names)));
    END IF;
    INSERT INTO tickertape.lanes (platform, name)
    SELECT of_platform, name FROM unnest(names) AS name ORDER BY name ON CONFLICT DO NOTHING;
END $$;

-- The shard of a Discord server, by the number of shards; direct messages have no server, and belong to the first.
CREATE FUNCTION tickertape.shard_of(workspace text, shards integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN workspace ~ '^[0-9]+$' THEN (div(workspace::numeric, 4194304) % shards)::integer ELSE 0 END
$$;

-- The lanes of a process on a platform. On Slack, a lane has the name of its workspace; on Discord, of a shard and of
-- their number.
CREATE FUNCTION tickertape.owns_workspace(me text, of_platform text, workspace text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF of_platform = 'discord' THEN
        RETURN EXISTS (
            SELECT 1 FROM tickertape.lanes WHERE platform = of_platform AND owner = me AND name ~ '^[0-9]+/[1-9][0-9]*$'
                AND split_part(name, '/', 1)::integer
                    = tickertape.shard_of(workspace, split_part(name, '/', 2)::integer));
    END IF;
    RETURN EXISTS (SELECT 1 FROM tickertape.lanes WHERE platform = of_platform AND name = workspace AND owner = me);
END $$;

-- Whether a process may take in a workspace's turns: it is alive, and owns the lane if the platform has lanes.
CREATE FUNCTION tickertape.may_accept(me text, of_platform text, workspace text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM tickertape.members WHERE id = me AND NOT dead) AND (
        tickertape.owns_workspace(me, of_platform, workspace)
        OR NOT EXISTS (SELECT 1 FROM tickertape.lanes WHERE platform = of_platform));
END $$;

-- As before, and it keeps the row in `processes`. Past the grace period, silent processes of earlier versions are
-- declared dead, since those of this version may be the only ones left.
CREATE OR REPLACE FUNCTION tickertape.heartbeat(
    me text, beat bigint, lease double precision, my_platforms text[], takes boolean, epoch text,
    shares jsonb, totals jsonb, writes jsonb, known_lanes text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    known tickertape.members;
    at timestamptz;
    limit_name text;
    total bigint;
    reported bigint;
    granted bigint;
    others bigint;
    grants jsonb := '{}';
    holds jsonb := '{}';
    digest text;
BEGIN
    IF shares <> '{}' THEN
        PERFORM pg_advisory_xact_lock(hashtext('tickertape.shares'));
    END IF;
    SELECT * INTO known FROM tickertape.members WHERE id = me FOR UPDATE;
    IF FOUND AND known.dead THEN
        RETURN jsonb_build_object('state', 'dead');
    ELSIF FOUND AND beat <= known.number THEN
        RETURN jsonb_build_object('state', 'stale');
    END IF;
    at := clock_timestamp();
    INSERT INTO tickertape.processes AS p (id, until) VALUES (me, at + make_interval(secs => lease))
    ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE NOT p.dead;
    IF NOT FOUND THEN
        UPDATE tickertape.members SET dead = true WHERE id = me;
        UPDATE tickertape.lanes SET owner = NULL, free_since = at, reported_at = known.seen_at WHERE owner = me;
        RETURN jsonb_build_object('state', 'dead');
    END IF;
    IF takes AND epoch = tickertape.engine_epoch() THEN
        UPDATE tickertape.processes SET dead = true WHERE id IN (
            SELECT p.id FROM tickertape.processes AS p
            WHERE NOT p.dead AND p.until < at AND NOT EXISTS (SELECT 1 FROM tickertape.members AS m WHERE m.id = p.id)
            FOR UPDATE SKIP LOCKED);
    END IF;
    SELECT coalesce(jsonb_object_agg(key, value->0), '{}') INTO holds FROM jsonb_each(shares);
    INSERT INTO tickertape.members (id, number, seen_at, lease_seconds, platforms, may_take, demands, held)
    VALUES (me, beat, at, lease, my_platforms, takes,
        (SELECT coalesce(jsonb_object_agg(key, value->1), '{}') FROM jsonb_each(shares)), holds)
    ON CONFLICT (id) DO UPDATE SET number = beat, seen_at = at, lease_seconds = lease, platforms = my_platforms,
        may_take = takes, demands = excluded.demands, held = excluded.held;
    FOR limit_name, total IN SELECT key, value::bigint FROM jsonb_each_text(totals) WHERE shares ? key LOOP
        reported := (holds->>limit_name)::bigint;
        SELECT coalesce(sum((held->>limit_name)::bigint), 0) INTO others FROM tickertape.members
        WHERE id <> me AND held ? limit_name AND (NOT dead OR held_until > at);
        granted := coalesce(tickertape.share_target(me, limit_name, total), 0);
        IF takes AND epoch = tickertape.engine_epoch() THEN
            granted := least(granted, reported + greatest(total - others - reported, 0));
        ELSE
            granted := least(granted, reported);
        END IF;
        grants := grants || jsonb_build_object(limit_name, granted);
        holds := holds || jsonb_build_object(limit_name, greatest(granted, reported));
    END LOOP;
    IF grants <> '{}' THEN
        UPDATE tickertape.members SET held = holds WHERE id = me;
    END IF;
    IF writes <> '[]' THEN
        UPDATE tickertape.lanes AS l SET report = w->3, reported_at = at FROM jsonb_array_elements(writes) AS w
        WHERE l.platform = w->>0 AND l.name = w->>1 AND l.fence = (w->>2)::bigint AND l.owner = me;
    END IF;
    SELECT count(*) || ' ' || coalesce(sum(hashtextextended(platform || '/' || name, fence)), 0) INTO digest
    FROM tickertape.lanes WHERE owner = me;
    RETURN jsonb_build_object(
        'digest', digest, 'state', 'alive', 'epoch', tickertape.engine_epoch(), 'seconds', extract(epoch FROM at), 'shares', grants,
        'lanes', CASE WHEN digest IS DISTINCT FROM known_lanes THEN
            (SELECT coalesce(jsonb_agg(jsonb_build_array(platform, name, fence)), '[]')
                FROM tickertape.lanes WHERE owner = me) END,
        'counts', tickertape.lane_counts(my_platforms, at),
        'events', EXISTS (SELECT 1 FROM tickertape.inbox AS i
            JOIN tickertape.lanes AS l ON l.platform = i.platform AND l.name = i.lane WHERE l.owner = me),
        'lapses_in', (SELECT min(CASE WHEN seen_at > at + make_interval(secs => lease_seconds) THEN -1
                ELSE extract(epoch FROM seen_at - at) + lease_seconds END)
            FROM tickertape.members WHERE NOT dead AND id <> me));
END $$;

-- As before, for `processes` too.
CREATE OR REPLACE FUNCTION tickertape.reap(me text, epoch text, heard double precision) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT tickertape.serves(me, epoch) THEN
        RETURN;
    END IF;
    DELETE FROM tickertape.members WHERE dead AND seen_at < clock_timestamp() - interval '1 day';
    RETURN QUERY WITH silent AS (
        SELECT id, seen_at FROM tickertape.members
        WHERE NOT dead AND id <> me
            AND NOT extract(epoch FROM seen_at) BETWEEN heard - lease_seconds AND heard + lease_seconds
        ORDER BY id FOR UPDATE SKIP LOCKED
    ), freed AS (
        UPDATE tickertape.lanes AS l SET owner = NULL, free_since = clock_timestamp(), reported_at = s.seen_at,
            deaths = (array_prepend(clock_timestamp(), l.deaths))[1:3]
        FROM silent AS s WHERE l.owner = s.id
    ), told AS (
        UPDATE tickertape.processes AS p SET dead = true FROM silent AS s WHERE p.id = s.id
    )
    UPDATE tickertape.members AS m SET dead = true FROM silent AS s WHERE m.id = s.id RETURNING m.id;
END $$;

CREATE OR REPLACE FUNCTION tickertape.leave(me text, window_seconds double precision) RETURNS void LANGUAGE sql AS $$
    UPDATE tickertape.members SET dead = true, held_until = clock_timestamp() + make_interval(secs => window_seconds)
    WHERE id = me AND NOT dead;
    UPDATE tickertape.lanes SET owner = NULL, free_since = clock_timestamp() WHERE owner = me;
    DELETE FROM tickertape.processes WHERE id = me;
    SELECT pg_notify('tickertape_inbox', '')
$$;

-- As before, with a hint for all: lanes are free. Without a report, the stored one stands.
CREATE OR REPLACE FUNCTION tickertape.release(me text, lanes jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE tickertape.lanes AS l
    SET owner = NULL, free_since = clock_timestamp(), report = coalesce(nullif(w->3, 'null'), report),
        reported_at = CASE WHEN w->3 = 'null' THEN reported_at ELSE clock_timestamp() END
    FROM jsonb_array_elements(lanes) AS w
    WHERE l.platform = w->>0 AND l.name = w->>1 AND l.fence = (w->>2)::bigint AND l.owner = me;
    SELECT pg_notify('tickertape_inbox', '')
$$;

-- As before, and the caller's own lane comes with its report: the response to `take` may have been lost.
CREATE OR REPLACE FUNCTION tickertape.route(
    me text, epoch text, of_platform text, of_lane text, event text, body bytea, may_take boolean, may_keep boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    lane tickertape.lanes;
BEGIN
    INSERT INTO tickertape.lanes (platform, name) VALUES (of_platform, of_lane) ON CONFLICT DO NOTHING;
    SELECT * INTO lane FROM tickertape.lanes WHERE platform = of_platform AND name = of_lane FOR UPDATE;
    IF ((lane.owner = me AND may_keep) OR (lane.owner IS NULL AND may_take)) AND tickertape.serves(me, epoch) THEN
        IF lane.owner IS NULL THEN
            lane.fence := greatest(lane.fence + 1, (tickertape.engine_seconds() * 1000)::bigint);
            UPDATE tickertape.lanes SET owner = me, fence = lane.fence WHERE platform = of_platform AND name = of_lane;
        END IF;
        RETURN jsonb_build_array(of_platform, of_lane, lane.fence, lane.report,
            extract(epoch FROM clock_timestamp() - lane.reported_at));
    END IF;
    INSERT INTO tickertape.inbox (platform, lane, event, body) VALUES (of_platform, of_lane, event, body)
    ON CONFLICT DO NOTHING;
    IF lane.owner IS NOT NULL THEN
        PERFORM pg_notify('tickertape_inbox', lane.owner);
    END IF;
    RETURN NULL;
END $$;
