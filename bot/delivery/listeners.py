"""Callbacks of a reply, set by its turn and its pacer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.callbacks import no_op, returns_false
from bot.rate_limits import Budget


@dataclass(slots=True)
class Listeners:
    """Plain callbacks: a task or queue for each would be most of a reply's memory."""

    due: Callable[[], object] = no_op  # the due write changed
    shown: Callable[[], object] = no_op  # a visible write succeeded
    posted: Callable[[str], object] = no_op  # a message with this id exists
    others_wait: Callable[[], bool] = returns_false  # whether other replies wait for the same budgets
    budgets: Callable[[Iterable[Budget]], object] = no_op  # the reply counts as live in others than before
    announced: Callable[[], object] = no_op  # a trusted end was announced
