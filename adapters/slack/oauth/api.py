"""The calls of installations: tokens for a code or a refresh token, and the owner of a token.

The SDK's own rotation calls slack.com whatever the client's address is, and has no lock
(slack_sdk/oauth/token_rotation/async_rotator.py), so it is not used.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from adapters.shared.json_fields import Json, as_object, list_field, number_at, object_field, string_at, string_field
from adapters.slack.check import scopes_in
from adapters.slack.errors import code_of, translated
from adapters.slack.oauth.options import OAuthOptions
from adapters.slack.oauth.values import Installation, Tokens
from adapters.slack.web_api import SDK_LOG
from bot.errors import Failure, ServiceError

# https://docs.slack.dev/reference/methods/oauth.v2.access
METHOD = "oauth.v2.access"

# The app's id or secret is wrong: only the operator can help.
WRONG_APP = frozenset(["invalid_client_id", "bad_client_secret", "invalid_app_id"])
# The code of a browser: used already, older than ten minutes, invented, or for another address.
BAD_CODE = frozenset(["invalid_code", "code_already_used", "code_expired", "bad_redirect_uri", "invalid_grant"])
# The refresh token was used already, or its installation has ended.
BAD_REFRESH = frozenset(["invalid_refresh_token", "invalid_grant", "token_expired", "token_revoked"])
# The token's workspace or installation no longer exists.
ENDED = frozenset(["account_inactive", "token_revoked", "invalid_auth", "not_authed", "team_not_found"])

# Workspaces on a page of `auth.teams.list`, and the most pages: no organisation has more than 100,000.
PAGE, PAGES = 1_000, 100


class OAuthApi:
    """Calls with the app's own credentials. Made and closed within a running loop.

    They raise as `WebApi` does. `OutcomeUnknown` of `refresh`: the refresh token may be spent.
    """

    def __init__(self, options: OAuthOptions) -> None:
        self._options = options
        timeout = aiohttp.ClientTimeout(total=options.call_seconds, sock_connect=options.connect_seconds)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._sdk = AsyncWebClient(
            base_url=options.api_url or AsyncWebClient.BASE_URL,
            session=self._session,
            retry_handlers=[],  # a repeated code or refresh token is refused
            logger=SDK_LOG,
        )

    async def exchange(self, code: str) -> Installation:
        """The installation behind a browser's code. Its `bot_id` is empty."""
        return parse_installation(await self._access(code=code, redirect_uri=self._options.redirect_url))

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens. Slack revokes the refresh token."""
        return parse_tokens(await self._access(grant_type="refresh_token", refresh_token=refresh_token))

    async def bot_id(self, access: str) -> str:
        """The bot of a token that works."""
        return string_field(await self._call("auth.test", access, {}), "bot_id")

    async def has_ended(self, access: str) -> bool:
        """Whether a token's installation has ended, by Slack's word. Raises if it cannot be asked.

        An expired token says nothing: another process may have the next one.
        """
        try:
            await self.bot_id(access)
        except Failure as failure:
            if code_of(failure) in ENDED:
                return True
            raise
        return False

    async def teams(self, access: str) -> list[str]:
        """The workspaces of an organisation's token (https://docs.slack.dev/reference/methods/auth.teams.list)."""
        found: list[str] = []
        cursor = ""
        for _ in range(PAGES):
            page = await self._call("auth.teams.list", access, {"limit": PAGE} | ({"cursor": cursor} if cursor else {}))
            found += [string_field(as_object(team), "id") for team in list_field(page, "teams")]
            cursor = string_at(page, "response_metadata", "next_cursor")
            if not cursor:
                break
        return [team for team in found if team]

    async def revoke(self, access: str) -> None:
        """Give a token back."""
        await self._call("auth.revoke", access, {})

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _access(self, **arguments: str) -> Json:
        with translated(METHOD, once=True):
            # The SDK's own method uses a class that aiohttp 4 removes.
            headers = {"Authorization": aiohttp.encode_basic_auth(self._options.client_id, self._options.client_secret)}
            response = await self._sdk.api_call(METHOD, data=arguments, headers=headers)
            return as_object(response.data)

    async def _call(self, method: str, access: str, params: dict[str, Any]) -> Json:
        with translated(method, once=False):
            headers = {"Authorization": f"Bearer {access}"}
            response = await self._sdk.api_call(method, params=params, headers=headers)
            return as_object(response.data)


def parse_tokens(answer: Json) -> Tokens:
    """The bot's tokens in an answer. Raises `ServiceError` if there are none."""
    access = string_field(answer, "access_token")
    if not access or string_field(answer, "token_type") not in ("bot", ""):
        raise ServiceError(f"{METHOD}: an answer without a bot token")
    refresh, seconds = string_field(answer, "refresh_token"), number_at(answer, "expires_in")
    if not refresh or seconds is None:
        return Tokens(access)
    return Tokens(access, refresh, asyncio.get_running_loop().time() + seconds)


def parse_installation(answer: Json) -> Installation:
    """The installation in an answer. Raises `ServiceError` if it names neither a workspace nor an organisation."""
    is_whole = answer.get("is_enterprise_install") is True
    enterprise = string_field(object_field(answer, "enterprise"), "id")
    team = "" if is_whole else string_field(object_field(answer, "team"), "id")
    if not (enterprise if is_whole else team):
        raise ServiceError(f"{METHOD}: an answer without a workspace")
    return Installation(
        enterprise=enterprise,
        team=team,
        app=string_field(answer, "app_id"),
        bot_user=string_field(answer, "bot_user_id"),
        bot_id="",
        scopes=scopes_in(string_field(answer, "scope")),
        installed_by=string_field(object_field(answer, "authed_user"), "id"),
        tokens=parse_tokens(answer),
    )
