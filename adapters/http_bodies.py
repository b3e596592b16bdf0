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
    """Reads the bodies of one rule. If all take more than `max_total_bytes`, the largest unfinished one is given up.

    Honest bodies are small, and arrive within milliseconds.
    """

    def __init__(self, rule: BodyRule, max_total_bytes: float = math.inf) -> None:
        self._rule = rule
        self._max_total_bytes = max_total_bytes
        self._unfinished: set[_Unfinished] = set()
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
                self._unfinished.add(unfinished)
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > rule.max_bytes:
                        raise web.HTTPRequestEntityTooLarge(rule.max_bytes, len(body))
                    self._grow(unfinished, len(chunk))
            return bytes(body)
        except TimeoutError:
            if unfinished is not None and unfinished.is_evicted:
                raise web.HTTPServiceUnavailable(text="Too many requests at once. Try again.") from None
            raise web.HTTPRequestTimeout(text="The body did not arrive in time.") from None
        except (web.RequestPayloadError, ConnectionError):  # malformed, or its sender has gone
            raise web.HTTPBadRequest(text="The body is incomplete.") from None
        finally:
            if unfinished is not None and unfinished in self._unfinished:
                self._unfinished.remove(unfinished)
                self._total -= unfinished.size
            body.clear()  # the exception's traceback would keep it until its response is sent

    def _grow(self, unfinished: _Unfinished, size: int) -> None:
        """Count bytes of a body; give up the largest ones while all take too much memory."""
        unfinished.size += size
        self._total += size
        while self._total > self._max_total_bytes:
            largest = max(self._unfinished, key=lambda each: each.size)
            self._unfinished.remove(largest)
            self._total -= largest.size
            largest.is_evicted = True
            largest.timeout.reschedule(asyncio.get_running_loop().time())
