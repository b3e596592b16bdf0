-- expand: the records: settings in chat, ledger, quotas, votes and the audit log

-- Times are in seconds since 1970, money in billionths of a US dollar, as in SQLite.

CREATE TABLE tickertape.records_preferences (
    kind text NOT NULL,
    platform text NOT NULL,
    workspace text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    changed_by text NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (kind, platform, workspace, id, name)
);

CREATE TABLE tickertape.records_resets (
    platform text NOT NULL,
    conversation text NOT NULL,
    position text NOT NULL,
    made_by text NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (platform, conversation)
);

CREATE TABLE tickertape.records_people (
    platform text NOT NULL,
    id text NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (platform, id)
);

CREATE TABLE tickertape.records_key_values (key text PRIMARY KEY, value text NOT NULL);

-- The secret behind the hashes of counters' owners. All processes need the same from the beginning.
INSERT INTO tickertape.records_key_values VALUES ('counters.salt', replace(gen_random_uuid()::text, '-', ''));

CREATE TABLE tickertape.records_questions (
    turn text PRIMARY KEY,
    platform text NOT NULL,
    workspace text NOT NULL,
    channel text NOT NULL,
    message text NOT NULL,
    generation integer NOT NULL,
    "user" text NOT NULL,
    at double precision NOT NULL,
    state text NOT NULL,
    counters jsonb NOT NULL,
    reserved_tokens bigint NOT NULL,
    reserved_money bigint NOT NULL,
    expires_at double precision NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX records_questions_reserved ON tickertape.records_questions (expires_at)
    WHERE reserved_tokens > 0 OR reserved_money > 0;
CREATE INDEX records_questions_at ON tickertape.records_questions (at);
CREATE INDEX records_questions_user ON tickertape.records_questions (platform, "user", at);

CREATE TABLE tickertape.records_calls (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    platform text NOT NULL,
    workspace text NOT NULL,
    channel text NOT NULL,
    "user" text NOT NULL,
    turn text NOT NULL,
    model text NOT NULL,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost bigint,
    cost_source text NOT NULL,
    estimated integer NOT NULL
);
CREATE INDEX records_calls_at ON tickertape.records_calls (at);
CREATE INDEX records_calls_user ON tickertape.records_calls (platform, "user", at);

CREATE TABLE tickertape.records_counters (
    scope text NOT NULL,
    owner text NOT NULL,
    period text NOT NULL,
    questions bigint NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    money bigint NOT NULL DEFAULT 0,
    reserved_tokens bigint NOT NULL DEFAULT 0,
    reserved_money bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, owner, period)
) WITH (fillfactor = 50);

CREATE TABLE tickertape.records_quota_notices (owner text PRIMARY KEY, at double precision NOT NULL);

CREATE TABLE tickertape.records_votes (
    turn text NOT NULL,
    "user" text NOT NULL,
    platform text NOT NULL,
    workspace text NOT NULL,
    channel text NOT NULL,
    message text NOT NULL,
    vote text NOT NULL,
    reason text NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (turn, "user")
);
CREATE INDEX records_votes_at ON tickertape.records_votes (at);

CREATE TABLE tickertape.records_answers (turn text PRIMARY KEY, text text NOT NULL, at double precision NOT NULL);

CREATE TABLE tickertape.records_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    platform text NOT NULL,
    workspace text NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL
);
CREATE TABLE tickertape.records_audit_retention (kept_since double precision NOT NULL);
INSERT INTO tickertape.records_audit_retention VALUES (0);

-- Only the replacement of an id, and retention, may change the log.
CREATE FUNCTION tickertape.records_guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.at < (SELECT max(kept_since) FROM tickertape.records_audit_retention) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.at, NEW.platform, NEW.workspace, NEW.action)
                = (OLD.id, OLD.at, OLD.platform, OLD.workspace, OLD.action)
            AND (NEW.actor = OLD.actor OR NEW.actor LIKE 'forgotten-%')
            AND (NEW.subject = OLD.subject OR NEW.subject LIKE 'user:forgotten-%')
            AND (NEW.detail = OLD.detail OR (NEW.detail = '' AND NEW.subject LIKE 'user:forgotten-%'))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER records_audit_guard BEFORE UPDATE OR DELETE ON tickertape.records_audit
    FOR EACH ROW EXECUTE FUNCTION tickertape.records_guard_audit();
CREATE TRIGGER records_audit_guard_all BEFORE TRUNCATE ON tickertape.records_audit
    FOR EACH STATEMENT EXECUTE FUNCTION tickertape.records_guard_audit();

-- Locks counters in one order for everyone, so that two transactions never wait for each other. `wanted` holds
-- [scope, owner, period] each. Figures wait for no disk: a crash of the server may lose
-- the last second of them.
CREATE FUNCTION tickertape.records_lock_counters(wanted jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM 1 FROM tickertape.records_counters
    WHERE (scope, owner, period) IN (SELECT c->>0, c->>1, c->>2 FROM jsonb_array_elements(wanted) AS c)
    ORDER BY scope, owner, period FOR UPDATE;
END $$;

-- Frees a question's room. The caller has locked its counters.
CREATE FUNCTION tickertape.records_release(question tickertape.records_questions) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF question.reserved_tokens > 0 OR question.reserved_money > 0 THEN
        UPDATE tickertape.records_counters AS c SET
            reserved_tokens = greatest(c.reserved_tokens - question.reserved_tokens, 0),
            reserved_money = greatest(c.reserved_money - question.reserved_money, 0)
        FROM jsonb_array_elements(question.counters) AS k
        WHERE c.scope = k->>0 AND c.owner = k->>1 AND c.period = k->>2;
        UPDATE tickertape.records_questions SET reserved_tokens = 0, reserved_money = 0 WHERE turn = question.turn;
    END IF;
END $$;

-- The first exceeded limit of a question by its position, or null. Each is [scope, owner, period, unit, amount]; the
-- caller has locked their counters. `price` is in the units of money, and not rounded. `free_tokens` are left under all
-- limits.
CREATE FUNCTION tickertape.records_check_limits(
    limits jsonb, least_tokens bigint, price numeric, OUT refused bigint, OUT free_tokens bigint
) LANGUAGE plpgsql AS $$
DECLARE
    position bigint := 0;
    each_limit jsonb;
    amount numeric;
    counter tickertape.records_counters;
BEGIN
    FOR each_limit IN SELECT jsonb_array_elements(limits) LOOP
        amount := (each_limit->>4)::numeric;
        SELECT c.* INTO counter FROM tickertape.records_counters AS c
        WHERE c.scope = each_limit->>0 AND c.owner = each_limit->>1 AND c.period = each_limit->>2;
        IF (CASE each_limit->>3
            WHEN 'questions' THEN coalesce(counter.questions, 0) + 1 > amount
            WHEN 'tokens' THEN coalesce(counter.tokens + counter.reserved_tokens, 0) + least_tokens > amount
            -- Without a price there is nothing to reserve: a limit is reached once it is spent.
            ELSE coalesce(counter.money + counter.reserved_money, 0) + price > amount
                OR coalesce(counter.money + counter.reserved_money, 0) >= amount
        END) THEN
            refused := position;
            RETURN;
        END IF;
        IF each_limit->>3 = 'tokens' THEN
            free_tokens := least(
                free_tokens, trunc(amount)::bigint - coalesce(counter.tokens + counter.reserved_tokens, 0)
            );
        END IF;
        position := position + 1;
    END LOOP;
END $$;

-- Whether to tell a person about a reached limit now; remembers it.
CREATE FUNCTION tickertape.records_may_notify(person text, moment double precision, pause double precision)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tickertape.records_quota_notices AS n (owner, at) VALUES (person, moment)
    ON CONFLICT (owner) DO UPDATE SET at = excluded.at WHERE excluded.at < n.at OR excluded.at - n.at >= pause;
    RETURN FOUND;
END $$;

-- Counts a question and reserves its room. `refused` is the position of the exceeded limit, or null.
-- The locks come in this order for everyone: the question, expired questions without a wait, counters.
CREATE FUNCTION tickertape.records_reserve(wanted jsonb, OUT refused bigint, OUT notify boolean)
LANGUAGE plpgsql AS $$
DECLARE
    this CONSTANT text := wanted->>'turn';
    moment CONSTANT double precision := (wanted->>'at')::double precision;
    room_tokens bigint := (wanted->>'tokens')::bigint;
    room_money CONSTANT bigint := (wanted->>'money')::bigint;
    question tickertape.records_questions;
    expired tickertape.records_questions[];
    free_tokens bigint;
    is_inserted boolean;
    is_new boolean;
BEGIN
    notify := false;
    -- Whoever asks the same question at the same time waits here.
    INSERT INTO tickertape.records_questions (
        turn, platform, workspace, channel, message, generation, "user", at, state, counters,
        reserved_tokens, reserved_money, expires_at
    ) VALUES (
        this, wanted->>'platform', wanted->>'workspace', wanted->>'channel', wanted->>'message',
        (wanted->>'generation')::integer, wanted->>'user', moment, 'reserved', wanted->'counters',
        room_tokens, room_money, (wanted->>'expires_at')::double precision
    ) ON CONFLICT DO NOTHING;
    is_inserted := FOUND;
    IF NOT is_inserted THEN
        SELECT q.* INTO question FROM tickertape.records_questions AS q WHERE q.turn = this FOR UPDATE;
    END IF;
    is_new := is_inserted OR question.state = 'refunded';
    IF is_new THEN
        question.counters := wanted->'counters';
    END IF;

    -- Their process died, and no other one continued them.
    SELECT array_agg(e.found) INTO expired FROM (
        SELECT q AS found FROM tickertape.records_questions AS q
        WHERE (q.reserved_tokens > 0 OR q.reserved_money > 0) AND q.expires_at < moment AND q.turn <> this
        ORDER BY q.expires_at LIMIT (wanted->>'expired_at_once')::bigint FOR UPDATE SKIP LOCKED
    ) AS e;

    INSERT INTO tickertape.records_counters (scope, owner, period)
    SELECT DISTINCT k->>0, k->>1, k->>2 FROM jsonb_array_elements(question.counters) AS k ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING;
    IF expired IS NULL THEN
        PERFORM tickertape.records_lock_counters(question.counters);
    ELSE
        PERFORM tickertape.records_lock_counters(question.counters || (
            SELECT jsonb_agg(k) FROM unnest(expired) AS e, jsonb_array_elements(e.counters) AS k
        ));
        FOR number IN 1 .. cardinality(expired) LOOP
            PERFORM tickertape.records_release(expired[number]);
        END LOOP;
    END IF;

    IF is_new AND wanted->'limits' <> '[]' THEN
        SELECT c.refused, c.free_tokens INTO refused, free_tokens FROM tickertape.records_check_limits(
            wanted->'limits', (wanted->>'least_tokens')::bigint, (wanted->>'price')::numeric
        ) AS c;
        IF refused IS NOT NULL THEN
            IF is_inserted THEN
                DELETE FROM tickertape.records_questions AS q WHERE q.turn = this;
            END IF;
            notify := tickertape.records_may_notify(
                wanted->>'person', moment, (wanted->>'notice_seconds')::double precision
            );
            RETURN;
        END IF;
    END IF;

    IF NOT is_inserted THEN
        -- Refunded, it counts anew; continued after a crash, it counts in the periods of its first admission.
        PERFORM tickertape.records_release(question);
        UPDATE tickertape.records_questions AS q SET
            platform = CASE WHEN is_new THEN wanted->>'platform' ELSE q.platform END,
            workspace = CASE WHEN is_new THEN wanted->>'workspace' ELSE q.workspace END,
            channel = CASE WHEN is_new THEN wanted->>'channel' ELSE q.channel END,
            message = CASE WHEN is_new THEN wanted->>'message' ELSE q.message END,
            "user" = CASE WHEN is_new THEN wanted->>'user' ELSE q."user" END,
            at = CASE WHEN is_new THEN moment ELSE q.at END,
            state = CASE WHEN is_new THEN 'reserved' ELSE q.state END,
            counters = question.counters
        WHERE q.turn = this;
    END IF;
    IF NOT is_inserted OR free_tokens < room_tokens THEN
        room_tokens := least(room_tokens, free_tokens);
        UPDATE tickertape.records_questions AS q SET
            reserved_tokens = room_tokens, reserved_money = room_money,
            expires_at = (wanted->>'expires_at')::double precision
        WHERE q.turn = this;
    END IF;
    UPDATE tickertape.records_counters AS c SET
        questions = c.questions + is_new::integer,
        reserved_tokens = greatest(c.reserved_tokens + room_tokens, 0),
        reserved_money = c.reserved_money + room_money
    FROM jsonb_array_elements(question.counters) AS k
    WHERE c.scope = k->>0 AND c.owner = k->>1 AND c.period = k->>2;
END $$;

-- Stores a turn's calls, counts them in the periods of its admission, and ends its reservation. A call belongs to the
-- person of the admission, who may be forgotten since. `repeated`: an earlier attempt may have succeeded.
CREATE FUNCTION tickertape.records_settle(settled jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    this CONSTANT text := settled->>'turn';
    has_ended CONSTANT boolean := (settled->>'ended')::boolean;
    question tickertape.records_questions;
    is_known boolean;
    is_refunded boolean;
    spent_tokens bigint;
    spent_money bigint;
BEGIN
    SELECT q.* INTO question FROM tickertape.records_questions AS q WHERE q.turn = this FOR UPDATE;
    is_known := FOUND;
    IF (settled->>'repeated')::boolean AND EXISTS (
        SELECT FROM jsonb_array_elements(settled->'entries') AS e
        JOIN tickertape.records_calls AS c ON c.at = (e->>'at')::double precision
            AND c.turn = CASE WHEN question."user" = '' THEN '' ELSE this END
    ) THEN
        RETURN;
    END IF;

    INSERT INTO tickertape.records_calls (
        at, platform, workspace, channel, "user", turn, model, input_tokens, cached_tokens, output_tokens,
        reasoning_tokens, cost, cost_source, estimated
    )
    SELECT e.at, e.platform, e.workspace, CASE WHEN question."user" = '' THEN '' ELSE e.channel END,
        coalesce(question."user", e."user"), CASE WHEN question."user" = '' THEN '' ELSE e.turn END, e.model,
        e.input_tokens, e.cached_tokens, e.output_tokens, e.reasoning_tokens, e.cost, e.cost_source, e.estimated
    FROM jsonb_to_recordset(settled->'entries') AS e (
        at double precision, platform text, workspace text, channel text, "user" text, turn text, model text,
        input_tokens bigint, cached_tokens bigint, output_tokens bigint, reasoning_tokens bigint, cost bigint,
        cost_source text, estimated integer
    );
    IF NOT is_known THEN
        PERFORM set_config('synchronous_commit', 'off', true);
        RETURN;
    END IF;

    SELECT coalesce(sum(e.input_tokens + e.output_tokens), 0), coalesce(sum(e.cost), 0) INTO spent_tokens, spent_money
    FROM jsonb_to_recordset(settled->'entries') AS e (input_tokens bigint, output_tokens bigint, cost bigint);
    is_refunded := (settled->>'refund')::boolean AND has_ended AND question.state = 'reserved';
    PERFORM tickertape.records_lock_counters(question.counters);
    UPDATE tickertape.records_counters AS c SET
        questions = greatest(c.questions - is_refunded::integer, 0),
        tokens = c.tokens + spent_tokens,
        money = c.money + spent_money,
        reserved_tokens = greatest(c.reserved_tokens - question.reserved_tokens * has_ended::integer, 0),
        reserved_money = greatest(c.reserved_money - question.reserved_money * has_ended::integer, 0)
    FROM jsonb_array_elements(question.counters) AS k
    WHERE c.scope = k->>0 AND c.owner = k->>1 AND c.period = k->>2;
    IF has_ended THEN  -- otherwise another process continues it, with the same room
        UPDATE tickertape.records_questions SET
            reserved_tokens = 0, reserved_money = 0, state = CASE
                WHEN state <> 'reserved' THEN state WHEN is_refunded THEN 'refunded' ELSE 'ended'
            END
        WHERE turn = this;
    END IF;
END $$;
