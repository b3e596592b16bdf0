"""The installations of all workspaces, as the platform uses them: tokens, their rotation, beginnings and ends."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from typing_extensions import override

from adapters.shared.cache import LRUCache, loop_time
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.events.parse import Identity
from adapters.slack.oauth.api import OAuthApi
from adapters.slack.oauth.options import OAuthOptions
from adapters.slack.oauth.rotation import TokenRotation
from adapters.slack.oauth.values import Installation, InstallationStore, Tokens
from adapters.slack.tokens import BotTokens
from bot.errors import Failure, Forbidden, Permanent, RateLimited, Retryable
from bot.ownership.access import Lanes
from bot.ownership.lanes import Lane
from bot.ownership.telemetry import SharedAccountRecorder

log = logging.getLogger(__name__)

# Told of a workspace's new token.
TokenListener = Callable[[str, str], None]

# Bot users with a known workspace.
BOT_USERS = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """A workspace's installation as read, and the loop's time of the next look into the database."""

    installation: Installation
    read_again_at: float

    @property
    def id(self) -> str:
        """The installation's id."""
        return self.installation.id

    @property
    def tokens(self) -> Tokens:
        """The installation's tokens."""
        return self.installation.tokens


class Installations(BotTokens):
    """Tokens of workspaces. An async context manager of the running loop; rotates tokens of its process's lanes."""

    def __init__(
        self,
        store: InstallationStore,
        api: OAuthApi,
        options: OAuthOptions,
        lanes: Lanes,
        recorder: SharedAccountRecorder,
        *,
        random_: random.Random | None = None,
    ) -> None:
        self._store = store
        self._api = api
        self._options = options
        self._lanes = lanes
        self._random = random_ or random.Random()  # noqa: S311 (it spreads calls; nothing secret is drawn)
        self._group = asyncio.TaskGroup()
        self._rotation = TokenRotation(store, api, options, self._group, self._random, recorder)
        self._watch: asyncio.Task[None] | None = None
        self._known: dict[str, _Known] = {}  # by workspace
        self._locks = KeyedLock()
        self._looked_at = float("-inf")  # the last look for new workspaces of organisations
        self._bot_users: LRUCache[str, str] = LRUCache(BOT_USERS)  # their workspaces
        self._listener: TokenListener | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._watch = self._group.create_task(self._watch_expiry(), name="rotation of Slack's tokens")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watch is not None
        self._watch.cancel()
        with suppress(TimeoutError):  # those left are told below
            async with asyncio.timeout(self._options.close_seconds):
                await self._group.__aexit__(None, None, None)
        self._rotation.tell_lost()

    def tell(self, listener: TokenListener) -> None:
        """Tell `listener` of workspaces with another token than before, with the token."""
        self._listener = listener

    @property
    def has_unsaved(self) -> bool:
        """Whether some new tokens are not in the database for certain."""
        return self._rotation.has_unsaved

    # ---------------------------------------------------------------------------------------------------------- tokens

    @override
    async def teams(self) -> Sequence[str]:
        return await self._store.teams()

    @override
    async def token(self, team: str) -> str:
        known = self._known.get(team)
        if known is None or loop_time() >= known.read_again_at:
            known = await self._read(team)
        tokens = self._rotation.unsaved(known.id) or known.tokens
        if tokens.expires_at is not None and tokens.expires_at - loop_time() < self._options.rotate_now:
            tokens = await self._renew(known.id, tokens)
        return tokens.access

    @override
    async def team_of_bot(self, user: str) -> str:
        if user not in self._bot_users:
            self._bot_users[user] = await self._store.team_of_bot(user)
        return self._bot_users[user]

    @override
    def identity(self, team: str) -> Identity | None:
        known = self._known.get(team)
        if known is None:
            return None
        found = known.installation
        return Identity(team=team, user=found.bot_user, bot=found.bot_id, enterprise=found.enterprise)

    async def _read(self, team: str) -> _Known:
        """Read a workspace's tokens; while the database is away, those read before still count."""
        async with self._locks.hold(team):
            known = self._known.get(team)
            if known is not None and loop_time() < known.read_again_at:
                return known
            try:
                found = await self._store.find(team) or await self._find_in_organisations(team)
            except Retryable:
                if known is None:
                    raise
                return known
            if found is None:
                self._known.pop(team, None)
                raise Forbidden(f"Slack: the app is not installed in {team}")
            return self._remember(team, found)

    def _remember(self, team: str, found: Installation) -> _Known:
        known, before = _Known(found, loop_time() + self._options.cache_seconds), self._known.get(team)
        self._known[team] = known
        if before is not None and before.tokens.access != found.tokens.access and self._listener is not None:
            self._listener(team, found.tokens.access)
        return known

    async def _read_anew(self, team: str) -> None:
        """Read a workspace's tokens although they are known; failures leave them as they are."""
        if (known := self._known.get(team)) is not None:
            self._known[team] = replace(known, read_again_at=loop_time())
            with suppress(Failure):
                await self._read(team)

    async def _renew(self, id_: str, tokens: Tokens) -> Tokens:
        """Rotated tokens; else the present ones, as long as they are valid."""
        try:
            renewed = await self._rotation.renew(id_)
        except Failure:
            if tokens.expires_at is not None and tokens.expires_at > loop_time():
                return tokens
            raise
        self._replace(id_, renewed)
        return renewed

    def _replace(self, id_: str, tokens: Tokens) -> None:
        for team, known in list(self._known.items()):
            if known.installation.id == id_:
                self._remember(team, replace(known.installation, tokens=tokens))

    async def _find_in_organisations(self, team: str) -> Installation | None:
        """A workspace that has joined an organisation's installation, perhaps with a lost event."""
        if loop_time() - self._looked_at < self._options.poll_seconds:
            return None
        self._looked_at = loop_time()
        for id_ in await self._store.organisations():
            await self._refresh_teams(id_)
        return await self._store.find(team)

    # -------------------------------------------------------------------------------------------------------- rotation

    async def _watch_expiry(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 1.0) * self._options.poll_seconds)
            try:
                await self.rotate_expiring()
            except RateLimited as failure:
                await asyncio.sleep(failure.retry_after or 0.0)
            except Failure as failure:
                log.warning("Slack: expiring tokens are not looked for yet (%s)", failure)
            except Exception:
                log.exception("Slack: expiring tokens cannot be looked for")

    async def rotate_expiring(self) -> None:
        """Rotate the tokens of our lanes, one after the other. Raises `RateLimited`; others are told already.

        Another process may have rotated an organisation's, so those in use are read again first.
        """
        for team, known in list(self._known.items()):
            expires_at = known.tokens.expires_at
            if expires_at is not None and expires_at - loop_time() < self._options.rotate_before:
                await self._read_anew(team)
        for id_, teams in await self._store.expiring(self._options.rotate_before):
            if not any(self._lanes.owns(Lane(PLATFORM, team)) for team in teams) or self._rotation.rests(id_):
                continue
            try:
                self._replace(id_, await self._rotation.renew(id_))
            except RateLimited:
                raise
            except Failure:
                continue

    # ------------------------------------------------------------------------------------------------ beginning and end

    async def begin(self, installation: Installation) -> Sequence[str]:
        """Keep an installation just made, and announce its workspaces; returns them. Raises `Retryable`."""
        await self._store.save(installation)
        self._rotation.forget(installation.id)
        log.info("Slack: the app was installed in %s", installation.id)
        if installation.team:
            await self._announce([installation.team])
            teams: Sequence[str] = [installation.team]
        else:
            try:
                teams = await self._refresh_teams(installation.id)
            except Failure as failure:  # they are found with their first events
                log.warning("Slack: the workspaces of %s are not known yet (%s)", installation.id, failure)
                teams = []
        for team in teams:
            self._known.pop(team, None)
            if self._listener is not None:  # also of a token as before: a workspace may wait for it
                self._listener(team, installation.tokens.access)
        return teams

    @override
    async def removed(self, team: str) -> bool:
        """Slack is asked whether the token still works: a late event must not end a new installation."""
        try:
            return await self._is_over(team)
        except Permanent as failure:  # another word of Slack's, or tokens without their key
            log.warning("Slack: the end of the app in %s is not certain (%s)", team, failure)
            return False

    @override
    async def access_changed(self, organisation: str) -> None:
        """Slack's list counts, not that of the event, which may be late. So two lists are read in turn."""
        async with self._locks.hold(organisation):
            try:
                await self._refresh_teams(organisation)
            except Permanent as failure:
                log.warning("Slack: the workspaces of %s are not known (%s)", organisation, failure)

    async def _is_over(self, team: str) -> bool:
        installation = await self._store.find(team)
        if installation is None:
            self._known.pop(team, None)
            return True
        tokens = self._rotation.unsaved(installation.id) or installation.tokens
        if not await self._api.has_ended(tokens.access):
            if not installation.team:
                await self._refresh_teams(installation.id)
            return await self._store.find(team) is None
        lost = await self._store.end(installation.id, installation.revision)
        if lost is None:  # it was made again meanwhile
            return False
        log.warning("Slack: the app was removed from %s", installation.id)
        self._rotation.forget(installation.id)
        await self._withdraw(lost)
        return team in lost

    async def _refresh_teams(self, id_: str) -> Sequence[str]:
        """Compare the workspaces of an organisation with Slack's list; returns the present ones."""
        installation = await self._store.read(id_)
        if installation is None:
            return []
        tokens = self._rotation.unsaved(id_) or installation.tokens
        teams = await self._api.teams(tokens.access)
        changes = await self._store.set_teams(id_, teams)
        await self._withdraw(changes.left)
        await self._announce(changes.joined)
        return teams

    async def _announce(self, teams: Sequence[str]) -> None:
        """Make lanes known. Without it, the first event of a workspace does."""
        try:
            await self._lanes.announce(PLATFORM, teams)
        except Retryable as failure:
            log.warning("Slack: new workspaces are not announced yet (%s)", failure)

    async def _withdraw(self, teams: Sequence[str]) -> None:
        for team in teams:
            self._known.pop(team, None)
            await self._lanes.withdraw(Lane(PLATFORM, team))
