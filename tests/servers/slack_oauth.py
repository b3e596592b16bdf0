"""Slack's side of installations: its page to agree, codes, tokens that expire, and refresh tokens used once.

What belongs here: the apps' installations in workspaces and organisations, and the methods about them. What does not:
messages (`tests.servers.slack`). `python -m tests.servers.slack_oauth` serves it alone.

https://docs.slack.dev/authentication/installing-with-oauth, https://docs.slack.dev/authentication/using-token-rotation
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from yarl import URL

from tests.servers.limits import FaultPlan, RollingWindowCounter, Transcript, faulted
from tests.servers.slack_blocks import Refused

Json = dict[str, Any]

CLIENT_ID, CLIENT_SECRET = "12.34", "hunter2-of-the-app"
REDIRECT_URL = "https://bot.example.com/slack/oauth_redirect"
# Seconds for a code and for a token with rotation.
CODE_SECONDS: Final = 600.0
TOKEN_SECONDS: Final = 43_200
# Calls of oauth.v2.access in 60 s, for an app.
TIER_4 = 100
PAGE = 100


@dataclass
class Installed:
    """One installation. `teams` are the workspaces of an organisation's."""

    id: str
    scope: str
    teams: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether it holds for an organisation."""
        return self.id.startswith("E")


@dataclass
class _Code:
    installed: Installed
    redirect_url: str
    until: float
    is_used: bool = False


@dataclass
class _Token:
    installed: Installed
    until: float
    error: str = ""  # what a call with it is answered


class SlackOAuth:
    """The server: `agree` and `decline` are what people do on its page."""

    rotates = True  # whether tokens expire
    tokens_last = TOKEN_SECONDS
    granted: str | None = None  # scopes instead of those asked for
    api_url = ""  # while running

    def __init__(self) -> None:
        self.client_secret = CLIENT_SECRET
        self.redirect_urls = {REDIRECT_URL}
        self.organisations: dict[str, list[str]] = {}  # workspaces by organisation
        self.deleted: set[str] = set()  # workspaces
        self.bots: dict[str, tuple[str, str]] = {}  # user and bot by workspace, where they are not made up
        self.transcript, self.faults = Transcript(), FaultPlan()
        self.limited = 0
        self.refused: list[tuple[str, str]] = []  # method, error
        self.refreshed: list[str] = []  # installations whose token was rotated
        self._codes: dict[str, _Code] = {}
        self.tokens: dict[str, _Token] = {}
        self._refresh: dict[str, tuple[Installed, bool]] = {}  # whether used
        self._numbers = itertools.count(1)
        self._counter = RollingWindowCounter(TIER_4, 60.0)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[SlackOAuth]:
        """Serve on loopback."""
        app = web.Application()
        self.add_routes(app)
        runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.api_url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
        try:
            yield self
        finally:
            await runner.cleanup()

    def add_routes(self, app: web.Application) -> None:
        """Serve the page and the methods in another server's application."""
        app.router.add_get("/oauth/v2/authorize", self._page)
        app.router.add_route("*", "/api/oauth.v2.access", self._front)
        for method in ("auth.test", "auth.teams.list", "auth.revoke"):
            app.router.add_route("*", f"/api/{method}", self._front)

    # ------------------------------------------------------------------------------------------------- what people do

    def agree(self, authorize_url: str, id_: str) -> str:
        """Somebody agrees for a workspace or an organisation; returns where their browser is sent."""
        query = URL(authorize_url).query
        problem = self._problem(query["client_id"], query["redirect_uri"], query["scope"])
        assert not problem, problem
        code = f"code-{next(self._numbers)}"
        installed = Installed(id_, query["scope"] if self.granted is None else self.granted)
        installed.teams = self.organisations.get(id_, []) if installed.is_whole else [id_]
        until = asyncio.get_running_loop().time() + CODE_SECONDS
        self._codes[code] = _Code(installed, query["redirect_uri"], until)
        return str(URL(query["redirect_uri"]).with_query(code=code, state=query["state"]))

    def decline(self, authorize_url: str, error: str = "access_denied") -> str:
        """Somebody declines."""
        query = URL(authorize_url).query
        return str(URL(query["redirect_uri"]).with_query(error=error, state=query["state"]))

    def uninstall(self, id_: str, error: str = "account_inactive") -> None:
        """The app is removed: all its tokens there end."""
        for token in self.tokens.values():
            if token.installed.id == id_:
                token.error = error
        self.spend_refresh_tokens(id_)

    def spend_refresh_tokens(self, id_: str) -> None:
        """Somebody else has used them."""
        self._refresh = {text: (each, used or each.id == id_) for text, (each, used) in self._refresh.items()}

    def delete(self, id_: str) -> None:
        """The workspace is deleted."""
        self.deleted.add(id_)
        self.uninstall(id_)

    def is_of(self, token: str, team: str) -> bool:
        """Whether a token was issued for a workspace."""
        return token in self.tokens and team in self.tokens[token].installed.teams

    def error_of(self, token: str) -> str:
        """What a call with a token is answered; empty if it is valid, or none of ours."""
        return self._error_of(self.tokens[token]) if token in self.tokens else ""

    def works(self, token: str) -> bool:
        """Whether a token is valid."""
        return token in self.tokens and not self._error_of(self.tokens[token])

    def is_refreshable(self, refresh: str) -> bool:
        """Whether a refresh token is unused."""
        return refresh in self._refresh and not self._refresh[refresh][1]

    def _problem(self, client_id: str, redirect_url: str, scope: str) -> str:
        if client_id != CLIENT_ID:
            return "invalid_client_id"
        if redirect_url not in self.redirect_urls:
            return "bad_redirect_uri"
        return "" if scope else "no_scopes"

    async def _page(self, request: web.Request) -> web.StreamResponse:
        """A page on which the one button agrees for the workspace `team`, T1 without one."""
        problem = self._problem(*(request.query.get(name, "") for name in ("client_id", "redirect_uri", "scope")))
        if problem:
            return web.Response(status=400, text=problem)
        raise web.HTTPFound(self.agree(str(request.url), request.query.get("team", "T1")))

    # ------------------------------------------------------------------------------------------------------------ API

    async def _front(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post()) if request.method == "POST" else {}
        arguments = {**request.query, **{name: str(value) for name, value in form.items()}}
        self.transcript.add(request.method, request.path, arguments, request.query)
        return await faulted(self.faults, request, lambda request: self._called(request, arguments))

    async def _called(self, request: web.Request, arguments: Json) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        try:
            if method == "oauth.v2.access":
                verdict = self._counter.admit(asyncio.get_running_loop().time())
                if not verdict.allowed:
                    self.limited += 1
                    headers = {"Retry-After": str(math.ceil(verdict.reset_after))}
                    return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
                return web.json_response({"ok": True, **self._access(request, arguments)})
            return web.json_response({"ok": True, **self._call(method, request, arguments)})
        except Refused as refused:
            self.refused.append((method, refused.error))
            return web.json_response({"ok": False, "error": refused.error})

    def _access(self, request: web.Request, arguments: Json) -> Json:
        given = request.headers.get("Authorization", "")
        client_id, secret = arguments.get("client_id", ""), arguments.get("client_secret", "")
        if given.startswith("Basic "):
            client_id, _, secret = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        if client_id != CLIENT_ID:
            raise Refused("invalid_client_id")
        if secret != self.client_secret:
            raise Refused("bad_client_secret")
        if arguments.get("grant_type") == "refresh_token":
            return self._refreshed(str(arguments.get("refresh_token", "")))
        return self._exchanged(str(arguments.get("code", "")), arguments.get("redirect_uri"))

    def _exchanged(self, text: str, redirect_url: str | None) -> Json:
        code = self._codes.get(text)
        if code is None or asyncio.get_running_loop().time() > code.until:
            raise Refused("invalid_code")
        if code.is_used:
            raise Refused("code_already_used")
        if redirect_url != code.redirect_url:
            raise Refused("bad_redirect_uri")
        code.is_used = True
        return {**self._tokens(code.installed), "authed_user": {"id": "U1"}}

    def _refreshed(self, text: str) -> Json:
        installed, used = self._refresh.get(text, (None, True))
        if installed is None or used:
            raise Refused("invalid_refresh_token")
        self._refresh[text] = installed, True
        self.refreshed.append(installed.id)
        return self._tokens(installed)

    def _tokens(self, installed: Installed) -> Json:
        """New tokens, in the form of an answer."""
        number, now = next(self._numbers), asyncio.get_running_loop().time()
        access = f"xoxe.xoxb-{number}" if self.rotates else f"xoxb-{installed.id}"
        self.tokens[access] = _Token(installed, now + self.tokens_last if self.rotates else math.inf)
        named = {"id": installed.id, "name": "A name"}
        answer: Json = {
            "access_token": access,
            "token_type": "bot",
            "scope": installed.scope,
            "bot_user_id": self.bot_user(installed.id),
            "app_id": "A1",
            "team": None if installed.is_whole else named,
            "enterprise": named if installed.is_whole else None,
            "is_enterprise_install": installed.is_whole,
        }
        if self.rotates:
            refresh = f"xoxe-{number}"
            self._refresh[refresh] = installed, False
            answer |= {"refresh_token": refresh, "expires_in": self.tokens_last}
        return answer

    def bot_user(self, id_: str) -> str:
        """The bot's user in a workspace or an organisation."""
        return self.bots[id_][0] if id_ in self.bots else f"UBOT{id_}"

    def _error_of(self, token: _Token) -> str:
        if token.installed.id in self.deleted:
            return "account_inactive"
        return token.error or ("token_expired" if asyncio.get_running_loop().time() > token.until else "")

    def _call(self, method: str, request: web.Request, arguments: Json) -> Json:
        token = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if token is None:
            raise Refused("invalid_auth")
        if error := self._error_of(token):
            raise Refused(error)
        id_ = token.installed.id
        match method:
            case "auth.test":
                bot_id = self.bots[id_][1] if id_ in self.bots else f"B{id_}"
                who = {"user_id": self.bot_user(id_), "bot_id": bot_id, "is_enterprise_install": id_.startswith("E")}
                return {"team_id": id_, "team": "A name", "user": "tickertape", **who}
            case "auth.teams.list":
                return self._listed(token.installed, arguments)
            case _:
                token.error = "token_revoked"
                return {"revoked": True}

    def _listed(self, installed: Installed, arguments: Json) -> Json:
        start, size = int(arguments.get("cursor") or 0), min(int(arguments.get("limit") or PAGE), PAGE)
        teams = installed.teams[start : start + size]
        following = start + size if start + size < len(installed.teams) else ""
        listed = [{"id": team, "name": f"Name of {team}"} for team in teams]
        return {"teams": listed, "response_metadata": {"next_cursor": str(following)}}


async def _serve(port: int) -> None:
    async with SlackOAuth().running(port) as server:
        print(server.api_url, flush=True)  # noqa: T201 (a program)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8092)
    asyncio.run(_serve(parser.parse_args().port))
