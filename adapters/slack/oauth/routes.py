"""The routes of an installation: our page, and the address to which Slack sends the browser back.

Strangers reach both. They get a page in plain words; at most one log line a minute tells of each kind of refusal.

https://docs.slack.dev/authentication/installing-with-oauth
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from adapters.shared.log_throttle import LogThrottle
from adapters.shared.sealing import SealedBox
from adapters.slack.errors import code_of
from adapters.slack.oauth import pages
from adapters.slack.oauth.api import BAD_CODE, ENDED, WRONG_APP, OAuthApi
from adapters.slack.oauth.installations import Installations
from adapters.slack.oauth.options import INSTALL_PATH, REDIRECT_PATH, OAuthOptions
from adapters.slack.oauth.pages import Page
from adapters.slack.oauth.states import COOKIE, States, is_browser, new_browser
from adapters.slack.oauth.values import Installation, InstallationStore
from adapters.slack.scopes import ALL, REQUIRED
from bot.errors import Failure, Permanent, Retryable

log = logging.getLogger(__name__)

# Codes of Slack's have some hundred characters.
MAX_CODE = 500

# Calls of Slack for browsers: at most so many in a minute, in this process. Slack allows the app some hundred in all,
# and rotations need some of them (https://docs.slack.dev/reference/methods/oauth.v2.access).
EXCHANGES, EXCHANGE_SECONDS = 30, 60.0

# Attempts to save a new installation, and the pause between two, in seconds. Its token would be lost otherwise.
SAVES, SAVE_PAUSE = 4, 0.5

# What Slack puts into the address if somebody declines.
ACCESS_DENIED = "access_denied"


class OAuthRoutes:
    """The pages of one app."""

    def __init__(
        self,
        *,
        options: OAuthOptions,
        box: SealedBox,
        store: InstallationStore,
        api: OAuthApi,
        installations: Installations,
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._options = options
        self._store = store
        self._api = api
        self._installations = installations
        self._states = States(box, wall_clock, options.state_seconds)
        self._exchanges: deque[float] = deque()  # the loop's times of the last ones
        self._lines = {kind: LogThrottle() for kind in ("state", "code", "app", "slack", "store", "accept", "many")}

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes, for the bot's HTTP server."""
        return [web.get(INSTALL_PATH, self._install), web.get(REDIRECT_PATH, self._redirect)]

    async def _install(self, request: web.Request) -> web.Response:
        """The first page. The browser keeps its cookie, so that several tabs work."""
        given = request.cookies.get(COOKIE, "")
        browser = given if is_browser(given) else new_browser()
        query = {
            "client_id": self._options.client_id,
            "scope": ",".join(sorted(ALL)),
            "redirect_uri": self._options.redirect_url,
            "state": self._states.issue(browser),
        }
        response = pages.install_page(str(self._options.authorize_url.with_query(query))).response()
        response.set_cookie(
            COOKIE, browser, max_age=int(self._options.state_seconds), httponly=True, secure=True, samesite="Lax"
        )
        return response

    async def _redirect(self, request: web.Request) -> web.Response:
        """The page after Slack's."""
        query = request.query
        digest = self._states.read(query.get("state", ""), request.cookies.get(COOKIE, ""))
        error, code = query.get("error", ""), query.get("code", "")
        if digest is not None and error:
            page = self._refused(error)
        elif digest is None or not code or len(code) > MAX_CODE:
            page = self._stale()
        elif not self._has_room():
            self._tell("many", "installations were put off, since there were too many: %d")
            page = pages.TOO_MANY
        else:
            page = await self._admit(digest, code)
        return page.response()

    async def _admit(self, digest: bytes, code: str) -> Page:
        """Use a state, once."""
        try:
            if not await self._store.spend_state(digest, self._options.state_seconds):
                return self._stale()
        except Failure as failure:
            self._tell("store", "installations fail, since the database is away (%s): %d", failure)
            return pages.UNAVAILABLE
        return await self._finish(code)

    async def _finish(self, code: str) -> Page:
        """Exchange a code, and keep the installation."""
        try:
            installation = await self._api.exchange(code)
            installation = replace(installation, bot_id=await self._api.bot_id(installation.tokens.access))
        except Failure as failure:
            return self._failed(failure)
        if not self._options.accepts(installation.id):
            self._tell("accept", "installations by workspaces without access were refused (%s): %d", installation.id)
            with suppress(Failure):
                await self._api.revoke(installation.tokens.access)
            return pages.NOT_ACCEPTED
        try:
            teams = await self._keep(installation)
        except Failure as failure:
            self._tell("store", "installations are not saved (%s): %d", failure)
            return pages.UNAVAILABLE
        missing = sorted(frozenset(REQUIRED) - installation.scopes)
        if missing:
            log.warning("Slack: the installation in %s lacks scopes: %s", installation.id, ", ".join(missing))
        if installation.team:
            return pages.installed_page(installation.team, missing)
        return pages.organisation_page(installation.enterprise, installation.app, teams, missing)

    async def _keep(self, installation: Installation) -> Sequence[str]:
        """Save an installation, in a few attempts. Raises the last failure."""
        for _ in range(SAVES - 1):
            try:
                return await self._installations.begin(installation)
            except Retryable:
                await asyncio.sleep(SAVE_PAUSE)
        return await self._installations.begin(installation)

    # ------------------------------------------------------------------------------------------------------- refusals

    def _has_room(self) -> bool:
        now = asyncio.get_running_loop().time()
        while self._exchanges and self._exchanges[0] <= now - EXCHANGE_SECONDS:
            self._exchanges.popleft()
        if len(self._exchanges) >= EXCHANGES:
            return False
        self._exchanges.append(now)
        return True

    def _stale(self) -> Page:
        self._tell("state", "installations with an unknown, expired or used state were refused: %d")
        return pages.STALE

    def _refused(self, error: str) -> Page:
        if error == ACCESS_DENIED:
            return pages.DECLINED
        self._tell("code", "Slack refuses installations (%s): %d", repr(error[:60]))
        return pages.REFUSED

    def _failed(self, failure: Failure) -> Page:
        """The page for a failure of Slack's."""
        code = code_of(failure)
        if code in WRONG_APP:
            fix = "compare SLACK_CLIENT_ID and SLACK_CLIENT_SECRET with Basic Information of the app"
            self._tell("app", f"installations fail (%s): %d. {fix}", failure)
            return pages.MISCONFIGURED
        if code in BAD_CODE:
            self._tell("code", "Slack refuses the code of installations (%s): %d", failure)
            return pages.STALE
        self._tell("slack", "installations fail at Slack (%s): %d", failure)
        if code in ENDED:
            return pages.DEAD_WORKSPACE
        return pages.REFUSED if isinstance(failure, Permanent) else pages.UNAVAILABLE

    def _tell(self, kind: str, line: str, *arguments: object) -> None:
        """Log a line with the number of its kind, at most once a minute."""
        if count := self._lines[kind].count():
            log.warning(f"Slack: {line}", *arguments, count)  # noqa: G004 (a prefix)
