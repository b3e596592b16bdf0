-- expand: installations of the Slack app with their encrypted tokens, and the spent states of their pages

-- `id` is the workspace, or the organisation of an installation for all its workspaces. `tokens` are encrypted, and null
-- after the end (`gone_at`). `sealed_by` tells their key. `revision` grows with each change of the tokens.
CREATE TABLE tickertape.slack_installations (
    id text PRIMARY KEY,
    enterprise text NOT NULL,
    team text NOT NULL,
    app text NOT NULL,
    bot_user text NOT NULL,
    bot_id text NOT NULL,
    scopes text[] NOT NULL,
    tokens bytea,
    sealed_by text NOT NULL,
    expires_at timestamptz,
    revision bigint NOT NULL DEFAULT 1,
    installed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    installed_by text NOT NULL,
    gone_at timestamptz,
    CHECK ((tokens IS NULL) = (gone_at IS NOT NULL))
);
CREATE INDEX slack_installations_expiring ON tickertape.slack_installations (expires_at) WHERE gone_at IS NULL;
CREATE INDEX slack_installations_bot_user ON tickertape.slack_installations (bot_user);

-- The workspaces of an organisation with an installation for all of them.
CREATE TABLE tickertape.slack_workspaces (
    team text PRIMARY KEY,
    installation text NOT NULL REFERENCES tickertape.slack_installations (id) ON DELETE CASCADE
);
CREATE INDEX slack_workspaces_installation ON tickertape.slack_workspaces (installation);

-- A state is signed and expires by itself, so that only spent ones are kept: a second use fails.
CREATE TABLE tickertape.slack_spent_states (
    digest bytea PRIMARY KEY,
    until timestamptz NOT NULL
);
CREATE INDEX slack_spent_states_until ON tickertape.slack_spent_states (until);
