"""The answer for which a model is asked, as its readers see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.callbacks import returns_false
from bot.ports import NextWriteAt, at_once
from bot.timeline import Timeline


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """The state of the answer's platform, and the record of the attempts."""

    is_offline: Callable[[], bool] = returns_false  # whether the platform is unreachable now
    timeline: Timeline | None = None  # None: attempts are not recorded
    next_write_at: NextWriteAt = at_once


# Nobody waits for the answer.
NO_CONTEXT = AnswerContext()
