"""How often Slack lets the app read conversations: by tier 3, or once a minute.

An app distributed outside Slack's Marketplace is *limited*: conversations.history and conversations.replies take one
call a minute each, and return at most 15 messages. An app of one company, and one of the Marketplace, has tier 3.
https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps

No call tells the kind of an app, so answers to reads do:

- a 429 with a long pause, or a page of exactly 15 messages of more: limited;
- a larger page, or two reads within a minute: not limited.

Until one of them is seen, reads are sent one at a time, so that a limited app provokes one 429 and not twenty.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from adapters.shared.json_fields import list_field, object_field, string_field
from adapters.slack.rate_limits import TIER_3_READS
from adapters.slack.web_api import ApiResponse
from bot.errors import RateLimited
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Most messages of a limited app's page; a thread's first message stands on each page, and may not be counted.
LIMITED_PAGE = 15
LIMITED_READS = 1
# Two answered reads within this time prove tier 3, in seconds: a minute, less the time a call may take on its way.
PROOF_SECONDS = 45.0
# A shorter pause after a 429 is a burst's, in seconds. A limited app waits for the rest of its minute.
LONG_PAUSE = 10.0
# Memory of what was found, in seconds: an app may be listed in the Marketplace. A wrong guess ends within the hour.
REMEMBERED_SECONDS = 3600.0
# Longest wait for another read's answer: it usually takes 0.1 to 0.5 seconds. In steps, since a busy moment of this
# process delays the answer too, and would end the waits of all other reads at once.
PROBE_STEPS = 15
PROBE_STEP_SECONDS = 0.1

LIMITED_LINE = (
    "Slack lets this app read history once a minute, as an app distributed outside its Marketplace: answers do not "
    "wait for it, and know what events have told (docs/slack.md)"
)


class TierEvidence:
    """What answers to reads have shown. Pure; times are seconds of the event loop."""

    def __init__(self) -> None:
        self._is_limited = False
        self._until = -math.inf  # end of the memory
        self._answered: dict[str, float] = {}  # the last good answer of each method

    def is_known(self, now: float) -> bool:
        """Whether the kind of the app has been found."""
        return now < self._until

    def is_limited(self, now: float) -> bool:
        """Whether the app has been found to be limited."""
        return self._is_limited and self.is_known(now)

    def page_read(self, method: str, now: float, *, count: int, more: bool) -> None:
        """A page of `count` messages was asked for without a bound; `more` follow."""
        before, self._answered[method] = self._answered.get(method, -math.inf), now
        if count > LIMITED_PAGE + 1:
            self._find(now, is_limited=False)
        elif more and count >= LIMITED_PAGE:
            self._find(now, is_limited=True)
        elif now - before < PROOF_SECONDS:
            self._find(now, is_limited=False)

    def refused(self, now: float, retry_after: float | None) -> None:
        """A read was answered 429. An app known to have tier 3 has only used it up."""
        if not self.is_known(now) and (retry_after or 0.0) >= LONG_PAUSE:
            self._find(now, is_limited=True)

    def _find(self, now: float, *, is_limited: bool) -> None:
        self._is_limited, self._until = is_limited, now + REMEMBERED_SECONDS


class HistoryTier:
    """Keeps the limits of both methods at the app's rate. All readers of a workspace share it."""

    def __init__(self, *limits: ReadLimiter) -> None:
        self._limits = limits
        self._evidence = TierEvidence()
        self._probe = asyncio.Lock()

    @property
    def is_limited(self) -> bool:
        """Whether the app may read once a minute."""
        return self._evidence.is_limited(_now())

    @asynccontextmanager
    async def alone_until_known(self) -> AsyncIterator[None]:
        """Wait for the answers of earlier reads while the kind of the app is unknown, for `PROBE_STEPS` at most."""
        self._apply()  # the memory may have ended
        held = await self._acquire_probe()
        if held and self._evidence.is_known(_now()):
            self._probe.release()
            held = False
        try:
            yield
        finally:
            if held:
                self._probe.release()

    async def _acquire_probe(self) -> bool:
        """Whether this read is the only one; False if the kind of the app is known, or another read takes long."""
        for _ in range(PROBE_STEPS):
            if self._evidence.is_known(_now()):
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_STEP_SECONDS):
                    return await self._probe.acquire()
        log.debug("Slack: a read of history takes long; others go ahead")
        return False

    async def observe(self, method: str, call: Awaitable[ApiResponse]) -> ApiResponse:
        """The answer to a read, which may show the kind of the app. Raises the call's `Failure`."""
        was_limited = self.is_limited
        try:
            answer = await call
        except RateLimited as failure:
            self._evidence.refused(_now(), failure.retry_after)
            raise
        else:
            cursor = string_field(object_field(answer.data, "response_metadata"), "next_cursor")
            more = answer.data.get("has_more") is True or bool(cursor)
            self._evidence.page_read(method, _now(), count=len(list_field(answer.data, "messages")), more=more)
            return answer
        finally:
            self._apply()
            if self.is_limited and not was_limited:
                log.warning(LIMITED_LINE)

    def _apply(self) -> None:
        for limit in self._limits:
            limit.set_rate(LIMITED_READS if self.is_limited else TIER_3_READS)


def _now() -> float:
    return asyncio.get_running_loop().time()
