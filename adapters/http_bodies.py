"""Bodies of requests: the accepted ones by path, and reading one within bounds of size, time and memory.

All other bodies are refused at the head of their request (`adapters.http_connections`): no other route reads one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

FORM = "application/x-www-form-urlencoded"


class BodyRule(NamedTuple):
    """The accepted bodies of POST requests to `path`, or below it.

    `seconds` is the time from the end of a head to the end of its body.
    """

    path: str
    content_types: frozenset[str]
    max_bytes: int
    seconds: float
    chunked: bool = False  # also of unknown length, with Transfer-Encoding: chunked

    def accepts_path(self, path: str) -> bool:
        """Whether a path without its query is the rule's, or below it."""
        return path == self.path or path.startswith(f"{self.path}/")


def find_rule(rules: Iterable[BodyRule], path: str) -> BodyRule | None:
    """The rule of a path without its query; None: no body is accepted there."""
    return next((rule for rule in rules if rule.accepts_path(path)), None)


@dataclass(eq=False, slots=True)
class _Unfinished:
    """A body being read."""

    timeout: asyncio.Timeout
    size: int = 0  # bytes so far
    is_evicted: bool = False


class BodyReader:
    """Reads the bodies of one rule. If all take more than `max_total_bytes`, the oldest unfinished one is given up.

    An honest body arrives within milliseconds, so it is not the oldest for long.
    """

    def __init__(self, rule: BodyRule, max_total_bytes: float = math.inf) -> None:
        self._rule = rule
        self._max_total_bytes = max_total_bytes
        self._unfinished: dict[_Unfinished, None] = {}  # oldest first
        self._total = 0  # bytes

    async def read(self, request: web.Request) -> bytes:
        """The body of a request. Raises 400, 408, 413, 415, or 503 for a body given up."""
        rule = self._rule
        if request.content_type not in rule.content_types:
            raise web.HTTPUnsupportedMediaType(text=f"Send one of: {', '.join(sorted(rule.content_types))}.")
        if (request.content_length or 0) > rule.max_bytes:
            raise web.HTTPRequestEntityTooLarge(rule.max_bytes, request.content_length or 0)
        body = bytearray()
        unfinished: _Unfinished | None = None
        try:
            async with asyncio.timeout(rule.seconds) as timeout:
                unfinished = _Unfinished(timeout)
                self._unfinished[unfinished] = None
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > rule.max_bytes:
                        raise web.HTTPRequestEntityTooLarge(rule.max_bytes, len(body))
                    self._grow(unfinished, len(chunk))
        except TimeoutError:
            if unfinished is not None and unfinished.is_evicted:
                raise web.HTTPServiceUnavailable(text="Too many requests at once. Try again.") from None
            raise web.HTTPRequestTimeout(text="The body did not arrive in time.") from None
        except (web.RequestPayloadError, ConnectionError):  # malformed, or its sender has gone
            raise web.HTTPBadRequest(text="The body is incomplete.") from None
        finally:
            if unfinished is not None and self._unfinished.pop(unfinished, unfinished) is None:
                self._total -= unfinished.size
        return bytes(body)

    def _grow(self, unfinished: _Unfinished, size: int) -> None:
        """Count bytes of a body; give up the oldest ones while all take too much memory."""
        unfinished.size += size
        self._total += size
        while self._total > self._max_total_bytes:
            oldest = next(iter(self._unfinished))
            del self._unfinished[oldest]
            self._total -= oldest.size
            oldest.is_evicted = True
            oldest.timeout.reschedule(asyncio.get_running_loop().time())
