"""Users from users.info, and names for the ids in Slack's texts: people, channels and user groups.

Guests must be recognised, so an unknown author gets no answer (`Failure`). Names are optional: their lookup never
fails, and without the scope ids stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, repeat
from types import MappingProxyType

from adapters.shared.cache import LRUCache
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.errors import code_of, needed_of
from adapters.slack.events.mentions import channels_in, groups_in, mentions
from adapters.slack.events.pages import SlackUser, parse_channel_name, parse_user, parse_user_groups
from adapters.slack.events.parse import Identity
from adapters.slack.history.membership import ChannelMembership
from adapters.slack.options import SlackTimings
from adapters.slack.scopes import ALL
from adapters.slack.web_api import ApiResponse, WebApi
from bot.conversation import Author
from bot.errors import Failure, RateLimited, Retryable
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Cached users and channel names, a few hundred bytes each.
USERS = 10_000
CHANNELS = 5_000
# Lifetime of a lookup, in seconds; a member turned guest counts as one after this. Failed lookups of names are
# repeated sooner.
FRESH_SECONDS = 600.0
FAILED_SECONDS = 30.0
# Delays between attempts of users.info, in seconds; the last one repeats until `SlackTimings.user_lookup` has passed.
RETRIES = (0.5, 1.5, 4.0, 10.0)
# The same limit if an old answer is at hand.
KNOWN_PATIENCE = 15.0
# Limits for all names of one history or message, in seconds: people; channels and groups.
USER_NAMES_SECONDS = 5.0
CHANNEL_NAMES_SECONDS = 3.0
# Channels looked up for one history, the first ones: each costs a call.
CHANNELS_AT_ONCE = 20

_CHANNEL, _GROUPS = "conversations.info", "usergroups.list"

# Scopes of the methods, in case Slack does not name the missing one.
_SCOPES = MappingProxyType({_CHANNEL: "channels:read", _GROUPS: "usergroups:read"})


def is_external(user: SlackUser, event_teams: frozenset[str], me: Identity) -> bool:
    """Whether a user belongs to another organisation.

    `event_teams` are the teams named by the event. Other workspaces of our Enterprise organisation are not external.
    """
    if user.stranger:
        return True
    if not me.team:
        return False
    ours = {me.team, me.enterprise} - {""}
    if user.teams & ours:
        return False
    return bool(user.teams) or not event_teams <= ours


def to_author(user: SlackUser, event_teams: frozenset[str], me: Identity) -> Author:
    """A user as the author of a question or the source of an interaction; `event_teams` as for `is_external`.

    Only admins of our own workspace manage it: another organisation's admins are strangers here.
    """
    external = is_external(user, event_teams, me)
    return Author(user.id, user.name, guest=user.guest, external=external, manages=user.admin and not external)


class UserDirectory:
    """Looks up users, within the budget of users.info (tier 4, 100 a minute)."""

    def __init__(self, web: WebApi, reads: ReadLimiter, timings: SlackTimings | None = None) -> None:
        self._web = web
        self._reads = reads
        self._patience = (timings or SlackTimings()).user_lookup
        self._known: LRUCache[str, tuple[float, SlackUser]] = LRUCache(USERS)  # with the time of the lookup
        self._locks = KeyedLock()  # by user, so that many questions by one user cost one lookup

    async def find(self, user: str) -> SlackUser:
        """The user. Raises a `Failure` if a lookup is impossible and no old answer is known."""
        known = self.fresh(user)
        if known is not None:
            return known
        async with self._locks.hold(user):
            return self.fresh(user) or await self._look_up(user)

    def remember(self, user: SlackUser, age: float) -> None:
        """A user as an earlier process knew them `age` seconds ago; newer knowledge wins."""
        if age < FRESH_SECONDS and user.id not in self._known:
            self._known[user.id] = (asyncio.get_running_loop().time() - age, user)

    def is_known_bot(self, user: str) -> bool:
        """Whether an earlier lookup found an app; asks nothing."""
        known = self.known(user)
        return known is not None and known.bot

    def known(self, user: str) -> SlackUser | None:
        """The user as of the last lookup; asks nothing."""
        known = self._known.get(user)
        return None if known is None else known[1]

    async def names(self, users: Iterable[str]) -> dict[str, str]:
        """Display names by id, without those not found in time. Never fails."""
        found: dict[str, str] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(USER_NAMES_SECONDS):
                for user in sorted(set(users)):
                    try:
                        found[user] = (await self.find(user)).name
                    except Failure as failure:
                        log.info("Slack: no name for user %s (%s)", user, failure)
        return found

    def fresh(self, user: str) -> SlackUser | None:
        """The user, if looked up recently; asks nothing."""
        known = self._known.get(user)
        if known is None or asyncio.get_running_loop().time() >= known[0] + FRESH_SECONDS:
            return None
        return known[1]

    async def _look_up(self, user: str) -> SlackUser:
        known = self.known(user)
        try:
            found = await self._fetch(user, self._patience if known is None else KNOWN_PATIENCE)
        except Retryable:
            if known is None:
                raise
            return known
        self._known[user] = (asyncio.get_running_loop().time(), found)
        return found

    async def _fetch(self, user: str, patience: float) -> SlackUser:
        loop, until = asyncio.get_running_loop(), float("inf")
        for delay in chain(RETRIES, repeat(RETRIES[-1])):
            await self._reads.acquire()
            try:
                return parse_user((await self._web.read("users.info", {"user": user})).data, user)
            except Failure as failure:
                if code_of(failure) in ("unknown_method", "user_not_found"):
                    return SlackUser(user, user)  # a server without the method has no guests either
                if code_of(failure) == "user_not_visible":
                    return SlackUser(user, user, stranger=True)
                if not isinstance(failure, Retryable):
                    raise
                now, pause = loop.time(), self._pause(failure, delay)
                until = min(until, now + patience)
                if now + pause >= until:
                    raise
                if not isinstance(failure, RateLimited):  # the next `acquire` waits out a rate limit
                    await asyncio.sleep(pause)
        raise AssertionError  # unreachable: attempts never run out

    def _pause(self, failure: Retryable, delay: float) -> float:
        if not isinstance(failure, RateLimited):
            return delay
        pause = delay if failure.retry_after is None else failure.retry_after
        self._reads.hold(asyncio.get_running_loop().time(), pause)
        return pause


class NameResolver:
    """Names for ids, within the budgets of conversations.info and usergroups.list. Never fails."""

    def __init__(self, web: WebApi, users: UserDirectory, *, infos: ReadLimiter, groups: ReadLimiter) -> None:
        self._web = web
        self._users = users
        self._reads = {_CHANNEL: infos, _GROUPS: groups}
        self.membership = ChannelMembership(web, infos)
        self._channels: LRUCache[str, tuple[float, str]] = LRUCache(CHANNELS)  # expiry, and the name or ""
        self._groups: tuple[float, dict[str, str]] = (0.0, {})  # expiry, and the handles by id
        self._disabled_until: dict[str, float] = {}  # by method, if it does not work here
        self._logged: set[str] = set()  # missing scopes already in the log
        self._locks = KeyedLock()

    async def resolve(self, texts: Iterable[str], users: Iterable[str] = ()) -> dict[str, str]:
        """Names by id, of `users` and of all ids in `texts`, without those not found in time."""
        text = "\n".join(texts)
        people, channels = {*users, *mentions(text)} - {""}, channels_in(text)
        if not (people or channels or groups_in(text)):
            return {}
        async with asyncio.TaskGroup() as group:
            found = group.create_task(self._users.names(people))
            group.create_task(self._fetch_missing(channels, wants_groups=bool(groups_in(text))))
        names = dict(found.result())
        names |= {each: known[1] for each in channels if (known := self._channels.get(each)) and known[1]}
        return names | self._groups[1] if groups_in(text) else names

    async def _fetch_missing(self, channels: Iterable[str], *, wants_groups: bool) -> None:
        wanted = sorted(channels)[:CHANNELS_AT_ONCE]
        try:
            async with asyncio.timeout(CHANNEL_NAMES_SECONDS), asyncio.TaskGroup() as group:
                if wants_groups:
                    group.create_task(self._look_up_groups())
                for channel in wanted:
                    group.create_task(self._look_up_channel(channel))
        except TimeoutError:
            self._postpone(wanted, groups=wants_groups)

    def _postpone(self, channels: Iterable[str], *, groups: bool) -> None:
        """After a timeout, spare the next questions the same wait."""
        until = asyncio.get_running_loop().time() + FAILED_SECONDS
        for channel in channels:
            expires_at, name = self._channels.get(channel) or (0.0, "")
            self._channels[channel] = (max(expires_at, until), name)
        if groups:
            self._groups = (max(self._groups[0], until), self._groups[1])

    async def _look_up_channel(self, channel: str) -> None:
        async with self._locks.hold(channel):
            loop = asyncio.get_running_loop()
            known = self._channels.get(channel)
            if (known is not None and loop.time() < known[0]) or self._is_disabled(_CHANNEL):
                return
            answer, seconds = await self._fetch(_CHANNEL, {"channel": channel})
            name = parse_channel_name(answer.data) if answer is not None else ""
            if not name and known is not None:
                name = known[1]  # an old name is better than none
            self._channels[channel] = (loop.time() + seconds, name)

    async def _look_up_groups(self) -> None:
        async with self._locks.hold(_GROUPS):
            loop = asyncio.get_running_loop()
            if loop.time() < self._groups[0] or self._is_disabled(_GROUPS):
                return
            answer, seconds = await self._fetch(_GROUPS, {})
            found = parse_user_groups(answer.data) if answer is not None else self._groups[1]
            self._groups = (loop.time() + seconds, found)

    async def _fetch(self, method: str, params: dict[str, str]) -> tuple[ApiResponse | None, float]:
        """The answer or None, and its lifetime in seconds."""
        reads = self._reads[method]
        await reads.acquire()
        try:
            return await self._web.read(method, dict(params)), FRESH_SECONDS
        except Failure as failure:
            now, pause = asyncio.get_running_loop().time(), FAILED_SECONDS
            if isinstance(failure, RateLimited):
                pause = max(failure.retry_after or 0.0, pause)
                reads.hold(now, pause)
            if code_of(failure) == "missing_scope":
                self._log_missing_scope(method, failure)
            if self._fails_everywhere(method, failure):
                self._disabled_until[method] = now + FRESH_SECONDS
            log.debug("Slack: no name from %s (%s)", method, failure)
            return None, pause if isinstance(failure, Retryable) else FRESH_SECONDS

    def _fails_everywhere(self, method: str, failure: Failure) -> bool:
        """Whether the failure holds for any channel; public and private channels need a scope each."""
        if code_of(failure) in ("unknown_method", "not_allowed_token_type"):
            return True
        needed = _scopes(needed_of(failure))
        return code_of(failure) == "missing_scope" and (method == _GROUPS or {"channels:read", "groups:read"} <= needed)

    def _is_disabled(self, method: str) -> bool:
        return asyncio.get_running_loop().time() < self._disabled_until.get(method, 0.0)

    def _log_missing_scope(self, method: str, failure: Failure) -> None:
        scopes = ", ".join(sorted(_scopes(needed_of(failure)) & ALL)) or _SCOPES[method]
        if scopes not in self._logged:
            self._logged.add(scopes)
            kind = "user groups" if method == _GROUPS else "channels"
            log.warning("Slack: names of %s stay ids: the app lacks %s; see `tickertape check`", kind, scopes)


def _scopes(needed: str) -> set[str]:
    return {scope.strip() for scope in needed.split(",")}
