"""Names for the ids in Slack's texts: people, channels and user groups, each kept for a while.

What belongs here: the look-ups of channels (conversations.info) and groups (usergroups.list), within their budgets and
a deadline. What does not: people (`people`), and how names are written (`mrkdwn`). Names are nice to have: nothing here
fails, and where the app lacks a scope, ids stay, nothing is asked for a while, and the log says it once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from adapters.shared.context_labels import string
from adapters.shared.keyed_lock import KeyedLock
from adapters.shared.lru import Bounded
from adapters.slack.errors import code_of, needed_of
from adapters.slack.history.users import UserDirectory
from adapters.slack.messages.mrkdwn import channels_in, groups_in, mentions
from adapters.slack.scopes import ALL
from adapters.slack.web_api import ApiResponse, WebApi
from bot.errors import Failure, RateLimited, Retryable
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Channels of which a name, or that there is none, is remembered. About 200 bytes each.
CHANNELS = 5_000
# For how long names are good, and how soon what failed for the moment is tried again, in seconds.
FRESH_SECONDS = 600.0
FAILED_SECONDS = 30.0
# The names of one message's or history's channels and groups may take so long together, in seconds.
NAMES_SECONDS = 3.0
# Names of channels of one history that are looked up, the first ones: each costs a call.
CHANNELS_AT_ONCE = 20

_CHANNEL, _GROUPS = "conversations.info", "usergroups.list"

# The scopes of a method's, where Slack does not say what is missing.
_SCOPES = {_CHANNEL: "channels:read", _GROUPS: "usergroups:read"}


class NameResolver:
    """See the module."""

    def __init__(self, web: WebApi, people: UserDirectory, *, infos: ReadLimiter, groups: ReadLimiter) -> None:
        self._web = web
        self._people = people
        self._reads = {_CHANNEL: infos, _GROUPS: groups}
        self._channels: Bounded[str, tuple[float, str]] = Bounded(CHANNELS)  # until when, and the name or nothing
        self._groups: tuple[float, dict[str, str]] = (0.0, {})
        self._without: dict[str, float] = {}  # methods that do not work here, and until when that is believed
        self._told: set[str] = set()  # scopes of which the log told; as many as there are
        self._locks = KeyedLock()

    async def of(self, texts: Iterable[str], users: Iterable[str] = ()) -> dict[str, str]:
        """Names by id, of `users` and of all that `texts` mention; what cannot be found in time is not in it."""
        text = "\n".join(texts)
        people, channels = {*users, *mentions(text)} - {""}, channels_in(text)
        if not (people or channels or groups_in(text)):
            return {}
        async with asyncio.TaskGroup() as group:
            found = group.create_task(self._people.names(people))
            group.create_task(self._places(channels, wants_groups=bool(groups_in(text))))
        names = dict(found.result())
        names |= {each: known[1] for each in channels if (known := self._channels.get(each)) and known[1]}
        return names | self._groups[1] if groups_in(text) else names

    async def _places(self, channels: Iterable[str], *, wants_groups: bool) -> None:
        asked = sorted(channels)[:CHANNELS_AT_ONCE]
        try:
            async with asyncio.timeout(NAMES_SECONDS), asyncio.TaskGroup() as group:
                if wants_groups:
                    group.create_task(self._look_up_groups())
                for channel in asked:
                    group.create_task(self._look_up_channel(channel))
        except TimeoutError:
            self._leave(asked, groups=wants_groups)

    def _leave(self, channels: Iterable[str], *, groups: bool) -> None:
        """Names did not come in time: the next questions are not to wait for them as well."""
        now = asyncio.get_running_loop().time()
        until = now + FAILED_SECONDS
        for channel in channels:
            fresh_until, name = self._channels.get(channel) or (0.0, "")
            self._channels.put(channel, (max(fresh_until, until), name))
        if groups:
            self._groups = (max(self._groups[0], until), self._groups[1])

    async def _look_up_channel(self, channel: str) -> None:
        async with self._locks.hold(channel):
            loop = asyncio.get_running_loop()
            known = self._channels.get(channel)
            if (known is not None and loop.time() < known[0]) or self._is_without(_CHANNEL):
                return
            answer, seconds = await self._ask(_CHANNEL, {"channel": channel})
            name = string(answer.data, "channel", "name") if answer is not None else ""
            if not name and known is not None:
                name = known[1]  # an old name is better than none
            self._channels.put(channel, (loop.time() + seconds, name))

    async def _look_up_groups(self) -> None:
        async with self._locks.hold(_GROUPS):
            loop = asyncio.get_running_loop()
            if loop.time() < self._groups[0] or self._is_without(_GROUPS):
                return
            answer, seconds = await self._ask(_GROUPS, {})
            found = handles_in(answer.data) if answer is not None else self._groups[1]
            self._groups = (loop.time() + seconds, found)

    async def _ask(self, method: str, params: dict[str, str]) -> tuple[ApiResponse | None, float]:
        """The answer, or None; and for how long that is good, in seconds."""
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
                self._tell(method, failure)
            if self._is_general(method, failure):
                self._without[method] = now + FRESH_SECONDS
            log.debug("Slack: no name from %s (%s)", method, failure)
            return None, pause if isinstance(failure, Retryable) else FRESH_SECONDS

    def _is_general(self, method: str, failure: Failure) -> bool:
        """Whether what failed would fail for any channel: public and private ones need a scope each."""
        if code_of(failure) in ("unknown_method", "not_allowed_token_type"):
            return True
        needed = _scopes(needed_of(failure))
        return code_of(failure) == "missing_scope" and (method == _GROUPS or {"channels:read", "groups:read"} <= needed)

    def _is_without(self, method: str) -> bool:
        return asyncio.get_running_loop().time() < self._without.get(method, 0.0)

    def _tell(self, method: str, failure: Failure) -> None:
        scopes = ", ".join(sorted(_scopes(needed_of(failure)) & ALL)) or _SCOPES[method]
        if scopes not in self._told:
            self._told.add(scopes)
            what = "user groups" if method == _GROUPS else "channels"
            log.warning("Slack: names of %s stay ids: the app lacks %s; see `tickertape check`", what, scopes)


def _scopes(needed: str) -> set[str]:
    return {scope.strip() for scope in needed.split(",")}


def handles_in(data: Mapping[str, object]) -> dict[str, str]:
    """The handles of user groups by id (https://docs.slack.dev/reference/methods/usergroups.list)."""
    listed = data.get("usergroups")
    groups = listed if isinstance(listed, list) else []
    return {string(each, "id"): string(each, "handle") or string(each, "name") for each in groups if string(each, "id")}
