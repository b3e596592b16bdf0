"""The way of a payload from Slack: to its workspace in this process, or to the process that owns it.

Nothing waits on the way to an open workspace of ours, so its events are handled in order of arrival. Other payloads are
acknowledged once the owner's inbox has them.
"""

from __future__ import annotations

import logging
from typing import Protocol

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from typing_extensions import override

from adapters.shared.cache import TTLCache, expiring
from adapters.shared.json_fields import Json
from adapters.shared.log_throttle import LogThrottle
from adapters.slack.bolt_app import asks_nothing, dispatch, response_to_form
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.payloads import (
    Delivery,
    decode,
    encode,
    id_of,
    is_foreign,
    organisation_in,
    shared_mentions,
    teams_in,
)
from adapters.slack.tokens import BotTokens, SoleToken
from adapters.slack.workspaces import Workspace, Workspaces
from bot.errors import Forbidden, Retryable, ServiceError
from bot.ownership.access import Lanes
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent

log = logging.getLogger(__name__)

# Longest wait for a workspace that is being opened, in seconds. Over HTTP Slack waits three for a response; a payload
# of the inbox delays those after it. A socket's redelivery would come to this process too, so waiting costs nothing.
OPENING_SECONDS = 2.0
SOCKET_OPENING_SECONDS = 60.0

# Known workspaces and users of one process, and the seconds before the installations are asked again: the app may
# come or go through another process.
TEAMS = 100_000
BOT_USERS = 10_000
KNOWN_SECONDS = 600.0

ACCEPTED, DECLINED = 200, 503


class Directory(Protocol):
    """Finds the lane of a payload."""

    def known(self, payload: Json) -> Lane | None:
        """The lane, if nobody needs to be asked."""
        ...

    async def find(self, payload: Json) -> Lane | None:
        """The lane; None if no workspace with the app is meant. Raises `Retryable`."""
        ...


class SoleDirectory(Directory):
    """One workspace: whatever arrives is for it."""

    def __init__(self, tokens: SoleToken, *, is_strict: bool) -> None:
        """`is_strict`: except an event for another installation of the app."""
        self._tokens = tokens
        self._is_strict = is_strict

    @override
    def known(self, payload: Json) -> Lane | None:
        me = self._tokens.me
        if me is None or (self._is_strict and is_foreign(payload, me.team, me.user)):
            return None
        return Lane(PLATFORM, me.team)

    @override
    async def find(self, payload: Json) -> Lane | None:
        return self.known(payload)


class TeamDirectory(Directory):
    """Many workspaces. One installed through another process becomes known by its first payload."""

    def __init__(self, tokens: BotTokens) -> None:
        self._tokens = tokens
        self._teams: TTLCache[str, bool] = expiring(TEAMS, KNOWN_SECONDS)
        self._bot_teams: TTLCache[str, str] = expiring(BOT_USERS, KNOWN_SECONDS)  # by user; empty: no bot of ours

    def add(self, team: str) -> None:
        """The app is installed there."""
        self._teams[team] = True

    @override
    def known(self, payload: Json) -> Lane | None:
        if shared_mentions(payload):
            return None
        return next((Lane(PLATFORM, team) for team in teams_in(payload) if team in self._teams), None)

    @override
    async def find(self, payload: Json) -> Lane | None:
        mentioned = [await self._team_of_bot(user) for user in shared_mentions(payload)]
        for team in (*filter(None, mentioned), *teams_in(payload)):
            if team not in self._teams:
                try:
                    await self._tokens.token(team)
                except Forbidden:
                    continue
                self.add(team)
            return Lane(PLATFORM, team)
        return None

    async def _team_of_bot(self, user: str) -> str:
        team = self._bot_teams.get(user)
        if team is None:
            team = self._bot_teams[user] = await self._tokens.team_of_bot(user)
        return team


class Receiver:
    """Takes payloads from an `EventSource`. No method waits for the work that a payload begins."""

    def __init__(
        self, app: AsyncApp, workspaces: Workspaces, lanes: Lanes, directory: Directory, *, over_http: bool
    ) -> None:
        self.workspaces = workspaces
        self.is_stopping = False
        self._app = app
        self._lanes = lanes
        self._directory = directory
        self._over_http = over_http
        self._foreign, self._refused, self._failed = LogThrottle(), LogThrottle(), LogThrottle()

    async def receive(self, delivery: Delivery) -> BoltResponse:
        """Bolt's response to a payload; any status but 200 asks Slack to deliver it again."""
        try:
            return await self._receive(delivery)
        except Retryable as failure:
            if count := self._failed.count():
                log.warning("Slack: payloads not taken in: %d (%s)", count, failure)
        except Exception:
            # The boundary of one payload: an odd one must not affect the next.
            log.exception("Slack: a payload could not be handled")
        return BoltResponse(status=DECLINED)

    async def _receive(self, delivery: Delivery) -> BoltResponse:
        if organisation := organisation_in(delivery.payload):
            self.workspaces.access_changed(organisation)
            return BoltResponse(status=ACCEPTED)
        lane = self._directory.known(delivery.payload) or await self._directory.find(delivery.payload)
        if lane is None:
            if count := self._foreign.count():
                log.warning("Slack: ignored events of other workspaces with this app: %d", count)
            return BoltResponse(status=ACCEPTED)
        if not self._lanes.owns(lane):
            response = response_to_form(delivery.payload) or await self._pass_on(lane, delivery)
            if response is not None:
                return response
        return await self._handle(lane, delivery, OPENING_SECONDS if self._over_http else SOCKET_OPENING_SECONDS)

    async def _pass_on(self, lane: Lane, delivery: Delivery) -> BoltResponse | None:
        """The response to a payload for another owner; None if it is ours by now.

        While we give a lane up, its last answers end here: a payload may stop one.
        """
        ending = self.workspaces.open_now(lane)
        is_done = ending is not None and ending.handlers is not None and ending.handlers.handle_last(delivery.payload)
        me = self.workspaces.tokens.identity(lane.name)
        is_done = is_done or (me is not None and asks_nothing(delivery.payload, me))
        if not is_done and await self._lanes.route(RoutedEvent(lane, id_of(delivery), encode(delivery))):
            return None
        return BoltResponse(status=ACCEPTED)

    async def handle_routed(self, event: RoutedEvent) -> None:
        """Take in a payload received by another process. Raises `Retryable` if it cannot be taken in now.

        One at which Bolt fails is dropped: a repetition would be no better, and delay all others.
        """
        response = await self._handle(event.lane, decode(event.body), OPENING_SECONDS)
        if response.status == DECLINED:
            raise ServiceError(f"an event of {event.lane} cannot be taken in now")
        if response.status != ACCEPTED:
            log.error("Slack: a payload of %s could not be handled (%d)", event.lane, response.status)

    async def _handle(self, lane: Lane, delivery: Delivery, opening_seconds: float) -> BoltResponse:
        """Let Bolt handle a payload of ours, once its workspace is open."""
        workspace = self.workspaces.open_now(lane)
        if workspace is None:
            if self.is_stopping:
                raise ServiceError("this process stops")
            workspace = await self.workspaces.opened(lane, opening_seconds)
        if workspace is None or (handlers := workspace.handlers) is None:
            if count := self._refused.count():
                log.warning("Slack: ignored payloads of workspaces without a valid token: %d", count)
            return BoltResponse(status=ACCEPTED)
        if self._over_http and delivery.event_id:
            return await self._handle_event(workspace, delivery)
        return await dispatch(self._app, delivery.payload, handlers)

    async def _handle_event(self, workspace: Workspace, delivery: Delivery) -> BoltResponse:
        """A repeated event unknown so far is late; others may be missing, so the cache has a gap.

        While this process stops, 503 leaves every event to the next one, also those without work for this one.
        """
        handlers, known, event_id = workspace.handlers, workspace.known_events, delivery.event_id
        assert handlers is not None
        is_late = bool(delivery.retry) and event_id not in known
        known[event_id] = True
        if delivery.retry:
            log.debug("Slack: an event is delivered again (retry %d)", delivery.retry)
        if is_late:
            handlers.workspace.cache.mark_gap()
        response = await dispatch(self._app, delivery.payload, handlers)
        if self.is_stopping:
            response = BoltResponse(status=DECLINED)
        if response.status != ACCEPTED:
            known.pop(event_id, None)
        if is_late or response.status != ACCEPTED:
            handlers.workspace.cache.mark_gap()
        return response
