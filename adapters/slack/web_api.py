"""The Web API: one session, one method per kind of call, Slack's errors as our failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from adapters.shared.json_fields import string_field
from adapters.slack.errors import address_failure, translated
from adapters.slack.options import SlackOptions
from bot.errors import NotOwner, ServiceError
from bot.rate_limits import Budget

# Timeout for the bytes of one file, in seconds: 10 MB at 350 kB/s.
UPLOAD_SECONDS = 30.0

# Connections of a process to Slack at most: one workspace uses a few at once, and a stalled one up to a hundred.
CONNECTIONS = 500

# Visible calls outside all budgets.
ADDRESS = "a response address"
UNLIMITED = frozenset(
    [
        ADDRESS,
        "views.open",
        "conversations.open",
        "assistant.threads.setStatus",
        "assistant.threads.setSuggestedPrompts",
    ]
)

# Methods that act in one workspace, and need its id with the token of an organisation; with another token Slack ignores
# it. The rest of ours name a channel, a user or a file. https://docs.slack.dev/reference/methods/usergroups.list
OF_A_TEAM = frozenset({"usergroups.list"})

# The SDK logs every request and answer at DEBUG; people's words do not belong in a log.
SDK_LOG = logging.getLogger("adapters.slack.sdk")
SDK_LOG.setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The answer to a call: Slack's object, and the headers by lower-case names."""

    data: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class WebApi:
    """Slack's Web API with one bot token. Made and closed within a running loop.

    Calls raise `RateLimited`, `ServiceError`, `OutcomeUnknown`, `NotFound`, `Forbidden`, `InvalidRequest`, and after
    `end` `NotOwner`.
    """

    def __init__(
        self,
        options: SlackOptions,
        token: str | None = None,
        session: aiohttp.ClientSession | None = None,
        limit: Budget | None = None,
        *,
        team: str = "",
    ) -> None:
        """By default with the token of `options`, and with connections of its own, which `close` closes.

        `limit` is the last one of each write. Those without a permit of their own are refused while it is closed.
        `team` is the workspace meant, if the token may be an organisation's.
        """
        self._app_token = options.app_token
        self.api_url = options.api_url
        self._owns_session = session is None
        self._session = session or open_session(options)
        self._limit = limit
        self._team = team
        self._is_over = False
        self.sdk = AsyncWebClient(
            token=options.bot_token if token is None else token,
            base_url=options.api_url or AsyncWebClient.BASE_URL,
            session=self._session,
            retry_handlers=[],  # one layer retries, and it is ours (the SDK's retry would duplicate a post)
            logger=SDK_LOG,
        )

    @property
    def token(self) -> str:
        """The bot token of the next call."""
        return self.sdk.token or ""

    def set_token(self, token: str) -> None:
        """Use another token from the next call on."""
        self.sdk.token = token

    @property
    def is_over(self) -> bool:
        """Whether another process has the workspace."""
        return self._is_over

    def end(self) -> None:
        """Call nothing more: another process has the workspace."""
        self._is_over = True

    async def send(self, method: str, payload: dict[str, Any], *, once: bool = False) -> ApiResponse:
        """Call a method with a JSON body. `once`: see `errors.translated`."""
        self._check(method)
        with translated(method, once=once):
            return _response(await self.sdk.api_call(method, json=payload))

    async def post(self, method: str, params: dict[str, Any], *, once: bool = False) -> ApiResponse:
        """Call a method with its arguments in the query of a POST."""
        self._check(method)
        with translated(method, once=once):
            return _response(await self.sdk.api_call(method, params=params))

    async def read(self, method: str, params: dict[str, Any]) -> ApiResponse:
        """Call a method without side effects."""
        self._check(method)
        if method in OF_A_TEAM and self._team:
            params = {**params, "team_id": self._team}
        with translated(method, once=False):
            return _response(await self.sdk.api_call(method, http_verb="GET", params=params))

    async def upload(self, url: str, data: bytes) -> None:
        """Send a file's bytes to an upload address of Slack, without our token."""
        timeout = aiohttp.ClientTimeout(total=UPLOAD_SECONDS, sock_connect=self._session.timeout.sock_connect)
        headers = {"Content-Type": "application/octet-stream"}
        await self._post_to("a file's upload", url, data=data, headers=headers, timeout=timeout)

    async def respond(self, url: str, payload: dict[str, Any]) -> None:
        """Send a message to a payload's ``response_url``, a secret address valid for 30 minutes and five uses."""
        await self._post_to(ADDRESS, url, json=payload)

    async def _post_to(self, name: str, url: str, **request: Any) -> None:  # noqa: ANN401 (aiohttp's arguments)
        """Post to an address given by Slack; `name` stands for it in failures, since it is secret."""
        self._check(name)
        with translated(name, once=False):
            async with self._session.post(url, allow_redirects=False, **request) as response:
                status, headers = response.status, response.headers
        if status != 200:
            raise address_failure(name, status, headers)

    async def socket_url(self) -> str:
        """A new address for a socket; secret until it expires."""
        answer = await self.post("apps.connections.open", {"token": self._app_token})
        with translated("apps.connections.open", once=False):
            url = string_field(answer.data, "url")
            if not url:
                raise aiohttp.InvalidURL("", "no url in the answer")
            return url

    async def close(self) -> None:
        """Close its own connections."""
        if self._owns_session:
            await self._session.close()

    def _check(self, call: str) -> None:
        """Raise unless a call may be made now."""
        if self._is_over:
            raise NotOwner(f"{call}: another process has this workspace")
        if self._limit is not None and call in UNLIMITED:
            now = asyncio.get_running_loop().time()
            if self._limit.ready_at(now, final=True) > now:
                raise ServiceError(f"{call}: whether this process still has the workspace is not certain")


def open_session(options: SlackOptions) -> aiohttp.ClientSession:
    """Connections for any number of tokens."""
    # The SDK ignores its own timeout once given a session, so the session has it.
    timeout = aiohttp.ClientTimeout(total=options.call_seconds, sock_connect=options.connect_seconds)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS), timeout=timeout)


def _response(response: Any) -> ApiResponse:  # noqa: ANN401 (the SDK's response is untyped)
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    return ApiResponse(response.data, headers)
