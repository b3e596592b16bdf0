-- expand: digests of each process's settings, compared at each heartbeat

-- By table of the settings; empty for a process of a version before this one.
ALTER TABLE tickertape.members ADD COLUMN settings jsonb NOT NULL DEFAULT '{}';

-- As before, and the response names the tables of settings in which another live process differs. Without `my_settings`
-- the stored ones stand.
CREATE FUNCTION tickertape.heartbeat(
    me text, beat bigint, lease double precision, my_platforms text[], takes boolean, epoch text,
    shares jsonb, totals jsonb, writes jsonb, known_lanes text, my_settings jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    response jsonb;
BEGIN
    response := tickertape.heartbeat(
        me, beat, lease, my_platforms, takes, epoch, shares, totals, writes, known_lanes);
    IF response->>'state' <> 'alive' THEN
        RETURN response;
    END IF;
    IF my_settings IS NULL THEN
        SELECT settings INTO my_settings FROM tickertape.members WHERE id = me;
    ELSE
        UPDATE tickertape.members SET settings = my_settings WHERE id = me AND settings <> my_settings;
    END IF;
    RETURN response || jsonb_build_object('has_settings', my_settings <> '{}', 'different_settings', (
        SELECT coalesce(jsonb_agg(DISTINCT mine.key), '[]')
        FROM tickertape.members AS m, jsonb_each(my_settings) AS mine
        WHERE NOT m.dead AND m.id <> me AND m.settings <> my_settings AND m.settings->mine.key <> mine.value));
END $$;
