-- expand: leases of processes, lanes with their owners, and the inbox of events for the owners

-- `held` is each process's share of a shared limit, as it may be using it; `demands` divide the limit.
CREATE TABLE tickertape.members (
    id text PRIMARY KEY,
    number bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    lease_seconds double precision NOT NULL,
    platforms text[] NOT NULL,
    may_take boolean NOT NULL,
    demands jsonb NOT NULL DEFAULT '{}',
    held jsonb NOT NULL DEFAULT '{}',
    dead boolean NOT NULL DEFAULT false,
    held_until timestamptz
) WITH (fillfactor = 50);

-- `report` is what the last owner wrote in the last minute, as of `reported_at`.
CREATE TABLE tickertape.lanes (
    platform text NOT NULL,
    name text NOT NULL,
    owner text,
    fence bigint NOT NULL DEFAULT 0,
    free_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    deaths timestamptz[] NOT NULL DEFAULT '{}',
    report jsonb,
    reported_at timestamptz,
    PRIMARY KEY (platform, name)
) WITH (fillfactor = 50);
CREATE INDEX lanes_owner ON tickertape.lanes (owner);

CREATE TABLE tickertape.inbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform text NOT NULL,
    lane text NOT NULL,
    event text NOT NULL,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (platform, lane, event)
);

-- The clock in seconds, and the run of this server: another one may lack the last commits.
CREATE FUNCTION tickertape.engine_seconds() RETURNS double precision LANGUAGE sql AS $$
    SELECT extract(epoch FROM clock_timestamp())::double precision
$$;
CREATE FUNCTION tickertape.engine_epoch() RETURNS text LANGUAGE sql AS $$
    SELECT extract(epoch FROM pg_postmaster_start_time())::text
$$;

-- Whether a caller is alive, and knows this run of the server. It stays alive until the end of the transaction.
CREATE FUNCTION tickertape.serves(me text, epoch text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM tickertape.members WHERE id = me AND NOT dead FOR SHARE;
    RETURN FOUND AND epoch = tickertape.engine_epoch();
END $$;

-- The part of one member, by demand with largest remainders; the same rule as in bot/ownership/shares.py.
CREATE FUNCTION tickertape.share_target(me text, limit_name text, total bigint) RETURNS bigint LANGUAGE sql AS $$
    WITH using_it AS (
        SELECT id, greatest((demands->>limit_name)::bigint, 0) AS demand FROM tickertape.members
        WHERE NOT dead AND demands ? limit_name AND (may_take OR coalesce((held->>limit_name)::bigint, 0) > 0)
    ), weighed AS (
        SELECT id, (demand + 4)::bigint AS weight, count(*) OVER () AS members,
            (sum(demand + 4) OVER ())::bigint AS weights,
            row_number() OVER (ORDER BY demand DESC, id) AS by_demand
        FROM using_it
    ), cut AS (
        SELECT id, members, by_demand, 1 + (total - members) * weight / weights AS part,
            row_number() OVER (ORDER BY ((total - members) * weight) % weights DESC, id) AS by_remainder
        FROM weighed
    ), whole AS (SELECT *, total - (sum(part) OVER ())::bigint AS spare FROM cut)
    SELECT CASE WHEN total <= members THEN (by_demand <= total)::int ELSE part + (by_remainder <= spare)::int END
    FROM whole WHERE id = me
$$;

-- `known_lanes` is the digest in an earlier response. The list of lanes is sent only if it is another one.
CREATE FUNCTION tickertape.heartbeat(
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

-- By platform: lanes, free ones, live members that take some, and whether a lane is free for a whole lease.
CREATE FUNCTION tickertape.lane_counts(of_platforms text[], at timestamptz) RETURNS jsonb LANGUAGE sql AS $$
    SELECT coalesce(jsonb_object_agg(p, jsonb_build_array(
        l.known, l.free,
        (SELECT count(*) FROM tickertape.members WHERE NOT dead AND may_take AND p = ANY (platforms)),
        coalesce(l.longest_free < at - make_interval(secs => (
            SELECT max(lease_seconds) FROM tickertape.members WHERE NOT dead)), false)
    )), '{}') FROM unnest(of_platforms) AS p, LATERAL (
        SELECT count(*) AS known, count(*) FILTER (WHERE owner IS NULL) AS free,
            min(free_since) FILTER (WHERE owner IS NULL) AS longest_free
        FROM tickertape.lanes WHERE platform = p
    ) AS l
$$;

-- `heard` is the engine's time in the caller's last heartbeat: a later jump of the clock kills nobody.
CREATE FUNCTION tickertape.reap(me text, epoch text, heard double precision) RETURNS SETOF text LANGUAGE plpgsql AS $$
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
    )
    UPDATE tickertape.members AS m SET dead = true FROM silent AS s WHERE m.id = s.id RETURNING m.id;
END $$;

-- A fence is greater than that of the owner before, even after a fail-over that lost the last ones.
CREATE FUNCTION tickertape.take(me text, epoch text, of_platform text, most integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    taken jsonb := '[]';
BEGIN
    IF tickertape.serves(me, epoch) THEN
        WITH chosen AS (
            SELECT platform, name FROM tickertape.lanes WHERE owner IS NULL AND platform = of_platform
            ORDER BY coalesce(cardinality(deaths) >= 3 AND deaths[3] > clock_timestamp() - interval '10 minutes', false),
                free_since, name
            LIMIT most FOR UPDATE SKIP LOCKED
        ), mine AS (
            UPDATE tickertape.lanes AS l
            SET owner = me, fence = greatest(l.fence + 1, (tickertape.engine_seconds() * 1000)::bigint)
            FROM chosen AS c WHERE l.platform = c.platform AND l.name = c.name RETURNING l.*
        )
        SELECT coalesce(jsonb_agg(jsonb_build_array(platform, name, fence, report,
            extract(epoch FROM clock_timestamp() - reported_at))), '[]') INTO taken FROM mine;
    END IF;
    RETURN taken;
END $$;

-- Null: the event is in the inbox. Else the caller's lane, as in `take`.
CREATE FUNCTION tickertape.route(
    me text, epoch text, of_platform text, of_lane text, event text, body bytea, may_take boolean, may_keep boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    lane tickertape.lanes;
BEGIN
    INSERT INTO tickertape.lanes (platform, name) VALUES (of_platform, of_lane) ON CONFLICT DO NOTHING;
    SELECT * INTO lane FROM tickertape.lanes WHERE platform = of_platform AND name = of_lane FOR UPDATE;
    IF ((lane.owner = me AND may_keep) OR (lane.owner IS NULL AND may_take)) AND tickertape.serves(me, epoch) THEN
        IF lane.owner = me THEN
            RETURN jsonb_build_array(of_platform, of_lane, lane.fence, NULL, NULL);
        END IF;
        lane.fence := greatest(lane.fence + 1, (tickertape.engine_seconds() * 1000)::bigint);
        UPDATE tickertape.lanes SET owner = me, fence = lane.fence WHERE platform = of_platform AND name = of_lane;
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

CREATE FUNCTION tickertape.release(me text, lanes jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE tickertape.lanes AS l
    SET owner = NULL, free_since = clock_timestamp(), report = w->3, reported_at = clock_timestamp()
    FROM jsonb_array_elements(lanes) AS w
    WHERE l.platform = w->>0 AND l.name = w->>1 AND l.fence = (w->>2)::bigint AND l.owner = me
$$;

CREATE FUNCTION tickertape.leave(me text, window_seconds double precision) RETURNS void LANGUAGE sql AS $$
    UPDATE tickertape.members SET dead = true, held_until = clock_timestamp() + make_interval(secs => window_seconds)
    WHERE id = me AND NOT dead;
    UPDATE tickertape.lanes SET owner = NULL, free_since = clock_timestamp() WHERE owner = me
$$;
