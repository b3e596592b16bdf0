"""The connection to one model server: its client, its limits, and its memory. All models of a server share it."""

from __future__ import annotations

import httpx2
import openai

from adapters.openai.aiohttp_transport import make_http_client
from adapters.openai.errors import translated
from adapters.openai.finish_reasons import FinishReasons
from adapters.openai.loop_throttle import LoopThrottle
from adapters.openai.options import OpenAIOptions
from adapters.openai.read_coalescing import ReadCoalescer
from adapters.openai.request_limiter import RequestLimiter
from adapters.openai.server_limits import ServerLimits

# Sent if no key is set: the SDK insists on one, and a local server without keys ignores it.
NO_KEY = "none"

# Requests started in one iteration of the event loop: about ten milliseconds.
REQUESTS_PER_ITERATION = 10


class ServerConnection:
    """One SDK client. Close it at the end. Raises `ModelRejected` for an invalid base URL.

    Of the options it uses the address, the key, and the limits of the server.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self.key = options.api_key.strip()  # a key read from a file often ends in a line break
        with translated(self.key):
            self.client = make_client(options, self.key or NO_KEY)
        self.coalescer = ReadCoalescer(options.coalescing)
        self.request_limiter = RequestLimiter(options.requests_per_minute)
        self.request_throttle = LoopThrottle(REQUESTS_PER_ITERATION)
        self.server_limits = ServerLimits()
        self.finish_reasons = FinishReasons()

    async def close(self) -> None:
        """Close the sockets. Open answers fail."""
        await self.client.close()


def make_client(options: OpenAIOptions, key: str) -> openai.AsyncOpenAI:
    """The SDK's client without retries and with the connect timeout only (`bot.completion` has the others)."""
    timeout = httpx2.Timeout(None, connect=options.connect_seconds)
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=options.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=make_http_client(options.base_url, timeout),
    )
    # The SDK reads these from the environment and would send them to any server. Only `config` reads the environment.
    client.organization = client.project = None
    return client
