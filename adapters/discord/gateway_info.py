"""What Discord says of a bot's gateway: the recommended number of shards, and the sessions that may begin.

https://docs.discord.com/developers/events/gateway#get-gateway-bot
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from discord.http import HTTPClient, Route

from adapters.discord.errors import map_connect_errors
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import Budgets
from adapters.discord.rest_api import RestClient, trace_config
from adapters.shared.json_fields import number_at


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """`max_concurrency` shards may begin a session in each 5 s, and `remaining` within `reset_seconds`."""

    shards: int = 1
    max_concurrency: int = 1
    remaining: int = 0
    reset_seconds: float = 0.0


async def ask_gateway(options: DiscordOptions) -> GatewayInfo:
    """Ask Discord. Raises a `Failure`; `Forbidden` if it refuses the token."""
    original = HTTPClient(asyncio.get_running_loop(), http_trace=trace_config())
    http = RestClient(options, Budgets(), original)
    try:
        with map_connect_errors():
            async with asyncio.timeout(options.login_seconds):
                await http.static_login(options.token)
                return _parse(await http.request(Route("GET", "/gateway/bot")))
    finally:
        await http.close()


def _parse(answer: object) -> GatewayInfo:
    """A missing number is the least one."""
    limits = "session_start_limit"
    return GatewayInfo(
        shards=max(number_at(answer, "shards") or 1, 1),
        max_concurrency=max(number_at(answer, limits, "max_concurrency") or 1, 1),
        remaining=number_at(answer, limits, "remaining") or 0,
        reset_seconds=(number_at(answer, limits, "reset_after") or 0) / 1000,
    )
