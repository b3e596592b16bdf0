"""The operator's limit of requests to the model's server."""

from __future__ import annotations

from aiolimiter import AsyncLimiter


class RequestLimiter:
    """A leaky bucket of requests, first come, first served: at most `per_minute` in any minute; 0 means no limit.

    A sixth of them (ten seconds' worth) may go out at once, so that a lone question never waits.
    """

    def __init__(self, per_minute: int) -> None:
        burst = max(per_minute // 6, 1)
        # In any minute: the burst plus the refill. AsyncLimiter(per_minute, 60) would allow nearly twice the limit.
        self._bucket = AsyncLimiter(burst, burst * 60 / (per_minute - burst + 1)) if per_minute else None

    async def acquire(self) -> None:
        """Wait for a free request."""
        if self._bucket is not None:
            await self._bucket.acquire()
