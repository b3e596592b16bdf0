-- expand: what processes tell each other to divide the lanes evenly, and whether this run of the server is well known

-- `stopping` is null in rows of earlier versions. `owned` counts a process's lanes by platform. `settled` is the run of
-- the server at which it was past its grace period, or knew of another such process.
ALTER TABLE tickertape.members
    ADD COLUMN stopping boolean, ADD COLUMN owned jsonb NOT NULL DEFAULT '{}', ADD COLUMN settled text;

-- By platform: the live members that take lanes now or soon, how many of them come before this one in an order of the
-- platform's own, and the fewest lanes of one that takes some.
CREATE FUNCTION tickertape.peers(me text, of_platforms text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT coalesce(jsonb_object_agg(p, jsonb_build_array(m.members, m.rank, m.least)), '{}')
    FROM unnest(of_platforms) AS p, LATERAL (
        SELECT count(*) AS members, count(*) FILTER (WHERE md5(p || id) < md5(p || me)) AS rank,
            min((owned->>p)::bigint) FILTER (WHERE may_take) AS least
        FROM tickertape.members WHERE NOT dead AND p = ANY (platforms) AND (may_take OR stopping IS FALSE)
    ) AS m
$$;

-- The heartbeat of this version: that of earlier ones, and the peers.
CREATE FUNCTION tickertape.heartbeat(
    me text, beat bigint, lease double precision, my_platforms text[], takes boolean, epoch text,
    shares jsonb, totals jsonb, writes jsonb, known_lanes text, my_settings jsonb, stops boolean, owns jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    response jsonb := tickertape.heartbeat(
        me, beat, lease, my_platforms, takes, epoch, shares, totals, writes, known_lanes, my_settings);
    settles text := CASE WHEN takes AND epoch = tickertape.engine_epoch() THEN epoch END;
BEGIN
    IF response->>'state' <> 'alive' THEN
        RETURN response;
    END IF;
    UPDATE tickertape.members SET stopping = stops, owned = owns, settled = settles
    WHERE id = me AND (stopping, owned, settled) IS DISTINCT FROM (stops, owns, settles);
    RETURN response || jsonb_build_object('peers', tickertape.peers(me, my_platforms), 'settled', EXISTS (
        SELECT 1 FROM tickertape.members WHERE id <> me AND NOT dead AND settled = tickertape.engine_epoch()));
END $$;
