"""Rate limits as plain objects: each says when the next call may be sent, and learns from responses."""

from bot.rate_limits.adaptive import AdaptiveLimit
from bot.rate_limits.base import (
    ANSWERED_SECONDS,
    EDGE_SECONDS,
    LONGEST_HOLD_SECONDS,
    Budget,
    WindowReport,
)
from bot.rate_limits.fixed_window import FixedWindow
from bot.rate_limits.leaky_bucket import LeakyBucket
from bot.rate_limits.reads import ReadLimiter
from bot.rate_limits.renewable import RenewableLimit
from bot.rate_limits.rolling_window import RollingWindow

__all__ = [
    "ANSWERED_SECONDS",
    "EDGE_SECONDS",
    "LONGEST_HOLD_SECONDS",
    "AdaptiveLimit",
    "Budget",
    "FixedWindow",
    "LeakyBucket",
    "ReadLimiter",
    "RenewableLimit",
    "RollingWindow",
    "WindowReport",
]
