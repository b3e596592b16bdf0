"""Installations of the Slack app in memory, and values for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from typing_extensions import override

from adapters.shared.cache import loop_time
from adapters.shared.sealing import SealedBox
from adapters.slack.oauth.values import (
    Expiring,
    Installation,
    InstallationStore,
    LockedInstallation,
    TeamChanges,
    Tokens,
)
from bot.errors import ServiceError
from tests.support import postgres

KEY, OLD_KEY, OTHER_KEY = (f"{letter * 42}A=" for letter in "ABC")


def box(*keys: str) -> SealedBox:
    """A box with keys; skips the test without the library, as the tests of PostgreSQL are skipped."""
    if not postgres.REQUIRED:
        pytest.importorskip("cryptography", reason="needs pip install cryptography")
    return SealedBox(keys or (KEY,))


def installation(id_: str = "T1", access: str = "xoxb-1", **changes: object) -> Installation:
    """An installation in a workspace (T1), or in an organisation (E1)."""
    is_whole = id_.startswith("E")
    made = Installation(
        enterprise=id_ if is_whole else "",
        team="" if is_whole else id_,
        app="A1",
        bot_user=f"UBOT{id_}",
        bot_id=f"B{id_}",
        scopes=frozenset({"chat:write"}),
        installed_by="U1",
        tokens=Tokens(access),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


def expiring(access: str, seconds: float) -> Tokens:
    """Tokens of this name that expire in so many seconds."""
    return Tokens(access, f"refresh of {access}", loop_time() + seconds)


@dataclass
class _Row:
    installation: Installation
    ended: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryInstallations(InstallationStore):
    """A store in memory. `away`: every call fails as without a database; `fails_after_lock`: those of a held lock."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.members: dict[str, str] = {}  # workspaces by installation of their organisation
        self.spent: dict[bytes, float] = {}
        self.away = False
        self.older_key = False

    def _reach(self) -> None:
        if self.away:
            raise ServiceError("the database is away")

    def _live(self, id_: str) -> Installation | None:
        row = self.rows.get(id_)
        return None if row is None or row.ended else row.installation

    @override
    async def save(self, installation: Installation) -> None:
        self._reach()
        known = self.rows.get(installation.id)
        revision = 1 if known is None else known.installation.revision + 1
        row = self.rows.setdefault(installation.id, _Row(installation))
        row.installation, row.ended = replace(installation, revision=revision), False

    @override
    async def find(self, team: str) -> Installation | None:
        self._reach()
        return self._live(team) or self._live(self.members.get(team, ""))

    @override
    async def read(self, id_: str) -> Installation | None:
        self._reach()
        return self._live(id_)

    @override
    async def teams(self) -> Sequence[str]:
        self._reach()
        own = {id_ for id_ in self.rows if (found := self._live(id_)) is not None and found.team}
        return sorted(own | set(self.members))

    @override
    async def organisations(self) -> Sequence[str]:
        self._reach()
        return sorted(id_ for id_ in self.rows if (found := self._live(id_)) is not None and not found.team)

    @override
    async def expiring(self, seconds: float) -> Sequence[Expiring]:
        self._reach()
        live = [found for id_ in self.rows if (found := self._live(id_)) is not None]
        end = loop_time() + seconds
        due = [each for each in live if self.older_key or (each.tokens.expires_at or end) < end]
        due.sort(key=lambda each: each.tokens.expires_at or 0.0)
        return [Expiring(each.id, self._teams_of(each)) for each in due]

    def _teams_of(self, found: Installation) -> tuple[str, ...]:
        own = {found.team} if found.team else set()
        return tuple(sorted(own | {team for team, id_ in self.members.items() if id_ == found.id}))

    @override
    @asynccontextmanager
    async def lock(self, id_: str) -> AsyncIterator[LockedInstallation | None]:
        self._reach()
        row = self.rows.get(id_)
        if row is None:
            yield None
            return
        async with row.lock:
            found = self._live(id_)
            locked = None if found is None else _Locked(self, found)
            yield locked
            self._reach()
            if locked is not None and found is not None and locked.saved is not None:
                row.installation = replace(row.installation, tokens=locked.saved, revision=found.revision + 1)
                self.older_key = False

    @override
    async def replace_tokens(self, id_: str, tokens: Tokens, revision: int) -> bool:
        self._reach()
        found = self._live(id_)
        if found is None or found.revision != revision:
            return False
        self.rows[id_].installation = replace(found, tokens=tokens, revision=revision + 1)
        return True

    @override
    async def end(self, id_: str, revision: int) -> Sequence[str] | None:
        self._reach()
        found = self._live(id_)
        if found is None or found.revision != revision:
            return None
        teams = self._teams_of(found)
        self.rows[id_].ended = True
        self.members = {team: each for team, each in self.members.items() if each != id_}
        return self._without_another(teams)

    def _without_another(self, teams: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted(team for team in teams if self._live(team) is None and team not in self.members))

    @override
    async def set_teams(self, id_: str, teams: Sequence[str]) -> TeamChanges:
        self._reach()
        before = {team for team, each in self.members.items() if each == id_}
        wanted = set(teams) if self._live(id_) is not None else set()
        self.members = {team: each for team, each in self.members.items() if team not in before - set(teams)}
        self.members |= dict.fromkeys(wanted, id_)
        return TeamChanges(tuple(sorted(wanted - before)), self._without_another(sorted(before - set(teams))))

    @override
    async def team_of_bot(self, user: str) -> str:
        self._reach()
        found = [each for id_ in self.rows if (each := self._live(id_)) is not None and each.bot_user == user]
        return found[0].team if len(found) == 1 else ""

    @override
    async def spend_state(self, digest: bytes, seconds: float) -> bool:
        self._reach()
        is_new = self.spent.get(digest, 0.0) <= loop_time()
        self.spent[digest] = loop_time() + seconds
        return is_new


class _Locked(LockedInstallation):
    def __init__(self, store: MemoryInstallations, found: Installation) -> None:
        self._store = store
        self._found = found
        self.saved: Tokens | None = None

    @property
    @override
    def installation(self) -> Installation:
        return self._found

    @property
    @override
    def has_older_key(self) -> bool:
        return self._store.older_key

    @override
    async def save(self, tokens: Tokens) -> None:
        self._store._reach()
        self.saved = tokens
