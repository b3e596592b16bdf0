"""Rotation of tokens: one call of Slack for an installation, whatever the number of processes.

Slack revokes a refresh token with its use (https://docs.slack.dev/authentication/using-token-rotation). So new tokens
count from Slack's answer on: they are used at once, and saved until that succeeds. They are lost if this process dies
between the answer and the save, or if the answer itself is lost on the way. Then the old token works to its end, and
the app must be installed again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field

from adapters.shared.cache import loop_time
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.errors import code_of
from adapters.slack.oauth.api import BAD_REFRESH, OAuthApi
from adapters.slack.oauth.options import OAuthOptions
from adapters.slack.oauth.values import Installation, InstallationStore, LockedInstallation, Tokens
from bot.errors import Failure, Forbidden, Permanent
from bot.ownership.telemetry import Rotation, SharedAccountRecorder

log = logging.getLogger(__name__)

# Seconds to save new tokens within the lock; then they are saved without it.
SAVE_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """New tokens, not in the database for certain, and the revision of the ones that they replace."""

    tokens: Tokens
    revision: int


@dataclass(slots=True)
class _Refusals:
    """Refused rotations of an installation in a row, and the loop's time of the next attempt."""

    number: int
    next_at: float


@dataclass(slots=True)
class TokenRotation:
    """Rotates tokens. `group` owns its tasks, so that the caller's end does not cut a rotation in two."""

    store: InstallationStore
    api: OAuthApi
    options: OAuthOptions
    group: asyncio.TaskGroup
    random_: random.Random
    recorder: SharedAccountRecorder
    _unsaved: dict[str, _Unsaved] = field(default_factory=dict)
    _refusals: dict[str, _Refusals] = field(default_factory=dict)
    _locks: KeyedLock = field(default_factory=KeyedLock)

    @property
    def has_unsaved(self) -> bool:
        """Whether some new tokens are not in the database for certain."""
        return bool(self._unsaved)

    def unsaved(self, id_: str) -> Tokens | None:
        """New tokens of an installation, newer than those in the database."""
        found = self._unsaved.get(id_)
        return None if found is None else found.tokens

    def forget(self, id_: str) -> None:
        """The installation has ended, or was made again."""
        self._unsaved.pop(id_, None)
        self._refusals.pop(id_, None)

    def rests(self, id_: str) -> bool:
        """Whether Slack has refused a rotation a short time ago."""
        refusals = self._refusals.get(id_)
        return refusals is not None and loop_time() < refusals.next_at

    async def renew(self, id_: str) -> Tokens:
        """The tokens of an installation, rotated if they expire soon.

        Raises `Forbidden` if there is no installation or Slack refuses, else `Retryable`.
        """
        renewed = await asyncio.shield(self.group.create_task(self._renewed(id_)))
        if isinstance(renewed, Failure):
            raise renewed
        return renewed

    async def _renewed(self, id_: str) -> Tokens | Failure:
        """As `renew`; a task of the group raises nothing."""
        async with self._locks.hold(id_):
            try:
                tokens = await self._rotate(id_)
            except Permanent as failure:
                self._tell_refusal(id_, failure)
                return failure
            except Failure as failure:
                self.recorder.token_rotated(Rotation.FAILED)
                log.warning("Slack: the token of %s is not rotated yet (%s)", id_, failure)
                return failure
            self._refusals.pop(id_, None)
            return tokens

    async def _rotate(self, id_: str) -> Tokens:
        if id_ in self._unsaved:
            await self._try_to_save(id_)
        if (unsaved := self._unsaved.get(id_)) is not None:
            return unsaved.tokens
        try:
            async with self.store.lock(id_) as locked:
                if locked is None:
                    raise Forbidden(f"Slack: the app is not installed in {id_}")
                answer = await self._rotate_locked(locked)
                stored = locked.installation
        except Failure as failure:
            return self._keep(id_, failure)
        self._unsaved.pop(id_, None)
        return answer if isinstance(answer, Tokens) else await self._read_again(stored, answer)

    async def _rotate_locked(self, locked: LockedInstallation) -> Tokens | Failure:
        """New tokens, written within the lock, or those of another process. A failure of Slack is returned."""
        stored = locked.installation
        tokens = stored.tokens
        if tokens.expires_at is None or tokens.expires_at - loop_time() > self.options.rotate_before:
            if locked.has_older_key:
                await locked.save(tokens)
            return tokens
        try:
            tokens = await self.api.refresh(tokens.refresh)
        except Failure as failure:
            return failure
        self._unsaved[stored.id] = _Unsaved(tokens, stored.revision)
        self.recorder.token_rotated(Rotation.DONE)
        async with asyncio.timeout(SAVE_SECONDS):
            await locked.save(tokens)
        return tokens

    def _keep(self, id_: str, failure: Failure) -> Tokens:
        """Use new tokens although the database has not confirmed them. Raises without any."""
        if (unsaved := self._unsaved.get(id_)) is None:
            raise failure
        log.warning("Slack: the new token of %s is not saved yet (%s); this is repeated", id_, failure)
        self.group.create_task(self._save_later(id_))
        return unsaved.tokens

    async def _save_later(self, id_: str) -> None:
        attempt = 0
        while id_ in self._unsaved:
            attempt += 1
            await asyncio.sleep(self.options.unsaved.delay(attempt, self.random_))
            async with self._locks.hold(id_):
                await self._try_to_save(id_)

    async def _try_to_save(self, id_: str) -> None:
        """Save new tokens, unless later ones are there: of a new installation, or our own with a lost answer."""
        if (unsaved := self._unsaved.get(id_)) is None:
            return
        try:
            if await self.store.replace_tokens(id_, unsaved.tokens, unsaved.revision):
                log.info("Slack: the new token of %s is saved", id_)
        except Failure as failure:
            log.debug("Slack: the new token of %s is not saved yet (%s)", id_, failure)
        else:
            del self._unsaved[id_]

    async def _read_again(self, stored: Installation, failure: Failure) -> Tokens:
        """After a refused refresh token: the tokens of whoever has used it, else raise the failure."""
        if code_of(failure) in BAD_REFRESH:
            found = await self.store.read(stored.id)
            if found is not None and found.revision != stored.revision:
                return found.tokens
        raise failure

    def _tell_refusal(self, id_: str, failure: Permanent) -> None:
        """One line for the operator at the first refusal."""
        self.recorder.token_rotated(Rotation.REFUSED)
        number = self._refusals[id_].number + 1 if id_ in self._refusals else 1
        self._refusals[id_] = _Refusals(number, loop_time() + self.options.refused.delay(number, self.random_))
        if number == 1:
            log.error(
                "Slack: the token of %s cannot be rotated, and ends within two hours (%s). Install the app there "
                "again: %s",
                id_,
                failure,
                self.options.install_url,
            )

    def tell_lost(self) -> None:
        """At the end: tell which tokens were never saved."""
        for id_ in self._unsaved:
            self.recorder.token_rotated(Rotation.REFUSED)
            log.error(
                "Slack: the new token of %s was not saved, and its refresh token is spent. Install the app there "
                "again within two hours: %s",
                id_,
                self.options.install_url,
            )
