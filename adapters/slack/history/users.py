"""Who people are: names, guests and strangers, from users.info, kept for a while.

A guest must not slip through, so somebody of whom nothing can be learnt is not answered (`Failure`); a server that does
not know the method at all (one that only speaks like Slack) has no guests either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from adapters.shared.keyed_lock import KeyedLock
from adapters.shared.lru import Bounded
from adapters.slack.errors import code_of
from adapters.slack.events.parse import Identity, mapping, string
from adapters.slack.web_api import WebApi
from bot.errors import Failure, RateLimited, Retryable
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# How many people are remembered, a few hundred bytes each. Read by `UserDirectory`.
PEOPLE = 10_000
# For how long, in seconds: a member who is made a guest is one here too after this.
FRESH_SECONDS = 600.0
# A lookup that fails for the moment is made again after these, in seconds, and then after each of the last one.
RETRIES = (0.5, 1.5, 4.0, 10.0)
# For so long, in seconds from its first failure. A question that was acknowledged is late rather than lost: after a
# restart among many, Slack orders pauses of nearly a minute, more than once.
PATIENCE = 600.0
# The same where an old answer is at hand.
KNOWN_PATIENCE = 15.0
# Names in a history are nice to have: all of them together may take this long, in seconds.
NAMES_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SlackUser:
    """What users.info says (https://docs.slack.dev/reference/objects/user-object), as far as we care.

    `teams` are the ids of the teams and the enterprise that they belong to; empty where it is not said.
    """

    id: str
    name: str
    guest: bool = False
    bot: bool = False
    stranger: bool = False
    teams: frozenset[str] = frozenset()


def parse_user(user: Mapping[str, Any], id_: str) -> SlackUser:
    """A user object, as a value. A missing field says nothing against anybody."""
    profile, enterprise = mapping(user, "profile"), mapping(user, "enterprise_user")
    teams = enterprise.get("teams")
    named = (string(user, "team_id"), string(enterprise, "enterprise_id"))
    return SlackUser(
        id=id_,
        name=(
            string(profile, "display_name")
            or string(user, "real_name")
            or string(profile, "real_name")
            or string(user, "name")
            or id_
        ),
        guest=user.get("is_restricted") is True or user.get("is_ultra_restricted") is True,
        bot=user.get("is_bot") is True,
        stranger=user.get("is_stranger") is True,
        teams=frozenset(
            [team for team in named if team]
            + [team for team in (teams if isinstance(teams, list) else []) if isinstance(team, str)]
        ),
    )


def is_external(person: SlackUser, said_teams: frozenset[str], me: Identity) -> bool:
    """Whether somebody belongs to another organisation.

    `said_teams` is what the event says. Within an Enterprise organisation, other workspaces are our own people.
    """
    if person.stranger:
        return True
    if not me.team:
        return False
    ours = {me.team, me.enterprise} - {""}
    if person.teams & ours:
        return False
    return bool(person.teams) or not said_teams <= ours


class UserDirectory:
    """Looks people up, within the budget of users.info (tier 4, 100 a minute)."""

    def __init__(self, web: WebApi, reads: ReadLimiter) -> None:
        self._web = web
        self._reads = reads
        self._known: Bounded[str, tuple[float, SlackUser]] = Bounded(PEOPLE)
        self._locks = KeyedLock()  # by person, so that many questions of one cost one lookup

    async def find(self, user: str) -> SlackUser:
        """Who somebody is. Raises a `Failure` when that cannot be learnt; an old answer is better than none."""
        known = self._fresh(user)
        if known is not None:
            return known
        async with self._locks.hold(user):
            return self._fresh(user) or await self._look_up(user)

    def _fresh(self, user: str) -> SlackUser | None:
        since, person = self._known.get(user) or (0.0, None)
        return person if asyncio.get_running_loop().time() < since + FRESH_SECONDS else None

    async def _look_up(self, user: str) -> SlackUser:
        _, known = self._known.get(user) or (0.0, None)
        try:
            person = await self._ask(user, PATIENCE if known is None else KNOWN_PATIENCE)
        except Retryable:
            if known is None:
                raise
            return known
        self._known.put(user, (asyncio.get_running_loop().time(), person))
        return person

    def remember(self, person: SlackUser, age: float) -> None:
        """Who somebody was so many seconds ago, as an earlier process learnt it; what is known here is newer."""
        if age < FRESH_SECONDS and self._known.get(person.id) is None:
            self._known.put(person.id, (asyncio.get_running_loop().time() - age, person))

    def is_known_bot(self, user: str) -> bool:
        """Whether somebody was found to be a program before; nothing is asked."""
        known = self.known(user)
        return known is not None and known.bot

    def known(self, user: str) -> SlackUser | None:
        """Who somebody was when they were last looked up; nothing is asked."""
        known = self._known.get(user)
        return None if known is None else known[1]

    async def names(self, users: Iterable[str]) -> dict[str, str]:
        """Display names by id; who cannot be found in time is not in it. Never fails."""
        found: dict[str, str] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(NAMES_SECONDS):
                for user in sorted(set(users)):
                    try:
                        found[user] = (await self.find(user)).name
                    except Failure as failure:
                        log.info("Slack: the name of %s could not be had (%s)", user, failure)
        return found

    async def _ask(self, user: str, patience: float) -> SlackUser:
        loop, until = asyncio.get_running_loop(), float("inf")
        for delay in chain(RETRIES, repeat(RETRIES[-1])):
            await self._reads.acquire()
            try:
                return parse_user(mapping((await self._web.read("users.info", {"user": user})).data, "user"), user)
            except Failure as failure:
                if code_of(failure) in ("unknown_method", "user_not_found"):
                    return SlackUser(user, user)
                if code_of(failure) == "user_not_visible":
                    return SlackUser(user, user, stranger=True)
                if not isinstance(failure, Retryable):
                    raise
                now, pause = loop.time(), self._pause(failure, delay)
                until = min(until, now + patience)
                if now + pause >= until:
                    raise
                if not isinstance(failure, RateLimited):  # that one's hold is waited for with the next leave to read
                    await asyncio.sleep(pause)
        raise AssertionError  # there is always another attempt

    def _pause(self, failure: Retryable, delay: float) -> float:
        if not isinstance(failure, RateLimited):
            return delay
        pause = delay if failure.retry_after is None else failure.retry_after
        self._reads.hold(asyncio.get_running_loop().time(), pause)
        return pause
