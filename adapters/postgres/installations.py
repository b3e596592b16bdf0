"""Installations of the Slack app in PostgreSQL, with encrypted tokens.

Times of expiry are the database's, so the clocks of processes do not count.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from typing_extensions import override

from adapters.postgres.engine import Engine, Row, Session
from adapters.shared.sealing import CannotOpen, SealedBox
from adapters.slack.oauth.values import (
    Expiring,
    Installation,
    InstallationStore,
    LockedInstallation,
    TeamChanges,
    Tokens,
    TokensUnreadable,
)
from bot.errors import ServiceError

# Seconds for a block with a lock: a call of Slack's, and four round trips. The server ends that of a silent process
# for `IDLE_SECONDS`, so a dead process soon frees its lock.
LOCK_SECONDS, IDLE_SECONDS = 15.0, 10

# Seconds to wait for a lock: longer than another process calls Slack.
LOCK_WAIT_SECONDS = 8

_COLUMNS = """
    i.id, i.enterprise, i.team, i.app, i.bot_user, i.bot_id, i.scopes, i.installed_by, i.tokens, i.sealed_by,
    i.revision, extract(epoch FROM i.expires_at - clock_timestamp())::double precision AS expires_in
"""
_SAVE = """
INSERT INTO tickertape.slack_installations AS i
    (id, enterprise, team, app, bot_user, bot_id, scopes, installed_by, tokens, sealed_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp() + make_interval(secs => $11))
ON CONFLICT (id) DO UPDATE SET enterprise = excluded.enterprise, team = excluded.team, app = excluded.app,
    bot_user = excluded.bot_user, bot_id = excluded.bot_id, scopes = excluded.scopes,
    installed_by = excluded.installed_by, tokens = excluded.tokens, sealed_by = excluded.sealed_by,
    expires_at = excluded.expires_at, installed_at = clock_timestamp(), gone_at = NULL, revision = i.revision + 1
"""
_FIND = f"""
SELECT {_COLUMNS} FROM tickertape.slack_installations AS i WHERE i.gone_at IS NULL AND i.id IN (
    $1, (SELECT installation FROM tickertape.slack_workspaces WHERE team = $1))
ORDER BY i.id <> $1 LIMIT 1
"""  # noqa: S608 (constants)
_READ = f"SELECT {_COLUMNS} FROM tickertape.slack_installations AS i WHERE i.id = $1 AND i.gone_at IS NULL"  # noqa: S608 (constants)
_TEAMS = """
SELECT team FROM tickertape.slack_installations WHERE gone_at IS NULL AND team <> ''
UNION SELECT team FROM tickertape.slack_workspaces ORDER BY team
"""
_ORGANISATIONS = """
SELECT id FROM tickertape.slack_installations WHERE gone_at IS NULL AND team = '' ORDER BY id
"""
_EXPIRING = """
SELECT i.id, ARRAY(SELECT i.team WHERE i.team <> ''
    UNION SELECT w.team FROM tickertape.slack_workspaces AS w WHERE w.installation = i.id ORDER BY 1) AS teams
FROM tickertape.slack_installations AS i
WHERE i.gone_at IS NULL AND (i.expires_at < clock_timestamp() + make_interval(secs => $1) OR i.sealed_by <> $2)
ORDER BY i.expires_at
"""
_REPLACE = """
UPDATE tickertape.slack_installations
SET tokens = $2, sealed_by = $3, expires_at = clock_timestamp() + make_interval(secs => $4), revision = revision + 1
WHERE id = $1 AND revision = $5 AND gone_at IS NULL RETURNING id
"""
_END = """
WITH ended AS (
    UPDATE tickertape.slack_installations SET tokens = NULL, expires_at = NULL, gone_at = clock_timestamp()
    WHERE id = $1 AND revision = $2 AND gone_at IS NULL RETURNING id, team
), left_by AS (
    DELETE FROM tickertape.slack_workspaces AS w USING ended AS e WHERE w.installation = e.id RETURNING w.team
), affected AS (SELECT team FROM ended WHERE team <> '' UNION SELECT team FROM left_by)
SELECT EXISTS (SELECT 1 FROM ended) AS has_ended, ARRAY(SELECT a.team FROM affected AS a
    WHERE NOT EXISTS (SELECT 1 FROM tickertape.slack_installations AS i
            WHERE i.id = a.team AND i.id <> $1 AND i.gone_at IS NULL)
        AND NOT EXISTS (SELECT 1 FROM tickertape.slack_workspaces AS w WHERE w.team = a.team AND w.installation <> $1)
    ORDER BY a.team) AS teams
"""
_SET_TEAMS = """
WITH present AS (
    SELECT each AS team FROM unnest($2::text[]) AS each
    WHERE EXISTS (SELECT 1 FROM tickertape.slack_installations WHERE id = $1 AND gone_at IS NULL)
), added AS (
    INSERT INTO tickertape.slack_workspaces AS w (team, installation) SELECT DISTINCT team, $1 FROM present
    ON CONFLICT (team) DO UPDATE SET installation = excluded.installation WHERE w.installation <> excluded.installation
    RETURNING w.team
), removed AS (
    DELETE FROM tickertape.slack_workspaces WHERE installation = $1 AND team <> ALL ($2::text[]) RETURNING team
)
SELECT ARRAY(SELECT team FROM added ORDER BY 1) AS joined,
    ARRAY(SELECT r.team FROM removed AS r WHERE NOT EXISTS (
        SELECT 1 FROM tickertape.slack_installations AS i WHERE i.id = r.team AND i.gone_at IS NULL) ORDER BY 1) AS gone
"""
_TEAM_OF_BOT = "SELECT team FROM tickertape.slack_installations WHERE bot_user = $1 AND gone_at IS NULL"
_BY_KEY = """
SELECT sealed_by, count(*) AS count FROM tickertape.slack_installations WHERE gone_at IS NULL GROUP BY 1
"""
_SPEND = """
WITH purged AS (
    DELETE FROM tickertape.slack_spent_states WHERE digest IN (
        SELECT digest FROM tickertape.slack_spent_states WHERE until < clock_timestamp() FOR UPDATE SKIP LOCKED)
)
INSERT INTO tickertape.slack_spent_states VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT DO NOTHING RETURNING true
"""


class PostgresInstallations(InstallationStore):
    """The installations of one database; `box` encrypts their tokens."""

    def __init__(self, engine: Engine, box: SealedBox) -> None:
        self._engine = engine
        self._box = box

    @override
    async def save(self, installation: Installation) -> None:
        await self._engine.fetch(
            _SAVE,
            installation.id,
            installation.enterprise,
            installation.team,
            installation.app,
            installation.bot_user,
            installation.bot_id,
            sorted(installation.scopes),
            installation.installed_by,
            *self.seal(installation.id, installation.tokens),
        )

    @override
    async def find(self, team: str) -> Installation | None:
        return self._opened(await self._engine.fetch_row(_FIND, team))

    @override
    async def read(self, id_: str) -> Installation | None:
        return self._opened(await self._engine.fetch_row(_READ, id_))

    @override
    async def teams(self) -> Sequence[str]:
        return [str(row["team"]) for row in await self._engine.fetch(_TEAMS)]

    @override
    async def organisations(self) -> Sequence[str]:
        return [str(row["id"]) for row in await self._engine.fetch(_ORGANISATIONS)]

    @override
    async def expiring(self, seconds: float) -> Sequence[Expiring]:
        rows = await self._engine.fetch(_EXPIRING, seconds, self._box.newest)
        return [Expiring(row["id"], tuple(row["teams"])) for row in rows]

    @override
    @asynccontextmanager
    async def lock(self, id_: str) -> AsyncIterator[LockedInstallation | None]:
        async with self._engine.transaction(seconds=LOCK_SECONDS) as session:
            await session.execute(
                f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; "
                f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'; "
                f"SET LOCAL statement_timeout = '{LOCK_WAIT_SECONDS}s'"
            )
            rows = await session.fetch(f"{_READ} FOR UPDATE", id_)
            found = self._opened(rows[0]) if rows else None
            has_older_key = bool(rows) and rows[0]["sealed_by"] != self._box.newest
            yield None if found is None else _Locked(found, session, self, has_older_key=has_older_key)

    @override
    async def replace_tokens(self, id_: str, tokens: Tokens, revision: int) -> bool:
        return await self._engine.fetch_row(_REPLACE, id_, *self.seal(id_, tokens), revision) is not None

    @override
    async def end(self, id_: str, revision: int) -> Sequence[str] | None:
        row = await self._engine.fetch_row(_END, id_, revision)
        assert row is not None
        return list(row["teams"]) if row["has_ended"] else None

    @override
    async def set_teams(self, id_: str, teams: Sequence[str]) -> TeamChanges:
        row = await self._engine.fetch_row(_SET_TEAMS, id_, list(teams))
        assert row is not None
        return TeamChanges(tuple(row["joined"]), tuple(row["gone"]))

    @override
    async def team_of_bot(self, user: str) -> str:
        rows = await self._engine.fetch(_TEAM_OF_BOT, user)
        return str(rows[0]["team"]) if len(rows) == 1 else ""

    @override
    async def spend_state(self, digest: bytes, seconds: float) -> bool:
        return await self._engine.fetch_row(_SPEND, digest, seconds) is not None

    def seal(self, id_: str, tokens: Tokens) -> tuple[bytes, str, float | None]:
        """Encrypted tokens, the name of their key, and the seconds until they expire.

        The installation is part of them: a row with the tokens of another is refused.
        """
        text = json.dumps([id_, tokens.access, tokens.refresh])
        left = None if tokens.expires_at is None else tokens.expires_at - asyncio.get_running_loop().time()
        return self._box.seal(text), self._box.newest, left

    def _opened(self, row: Row | None) -> Installation | None:
        if row is None:
            return None
        try:
            id_, access, refresh = json.loads(self._box.open(row["tokens"]))
        except CannotOpen as failure:
            raise TokensUnreadable(unreadable_line(row["id"])) from failure
        if id_ != row["id"]:
            raise TokensUnreadable(f"Slack: the tokens stored for {row['id']} are those of another installation")
        left = row["expires_in"]
        expires_at = None if left is None else asyncio.get_running_loop().time() + left
        return Installation(
            enterprise=row["enterprise"],
            team=row["team"],
            app=row["app"],
            bot_user=row["bot_user"],
            bot_id=row["bot_id"],
            scopes=frozenset(row["scopes"]),
            installed_by=row["installed_by"],
            tokens=Tokens(access, refresh, expires_at),
            revision=row["revision"],
        )

    async def count_by_key(self) -> Mapping[str, int]:
        """The number of installations by the key of their tokens (`SealedBox.names`)."""
        return {row["sealed_by"]: row["count"] for row in await self._engine.fetch(_BY_KEY)}


class _Locked(LockedInstallation):
    """A row with the lock of a transaction."""

    def __init__(
        self, installation: Installation, session: Session, store: PostgresInstallations, *, has_older_key: bool
    ) -> None:
        self._installation = installation
        self._has_older_key = has_older_key
        self._session = session
        self._store = store

    @property
    @override
    def installation(self) -> Installation:
        return self._installation

    @property
    @override
    def has_older_key(self) -> bool:
        return self._has_older_key

    @override
    async def save(self, tokens: Tokens) -> None:
        id_, revision = self._installation.id, self._installation.revision
        if not await self._session.fetch(_REPLACE, id_, *self._store.seal(id_, tokens), revision):
            raise ServiceError(f"the installation {id_} was not found by its own lock")


def unreadable_line(id_: str) -> str:
    """One line for the operator about tokens without their key."""
    return (
        f"Slack: the tokens of {id_} cannot be decrypted: add their key to TICKERTAPE_SECRETS, "
        "or install the app there again"
    )
