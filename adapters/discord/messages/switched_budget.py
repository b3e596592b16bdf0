"""A stand-in for a budget: its target changes when an answer moves from an interaction to its channel."""

from __future__ import annotations

from typing_extensions import override

from bot.rate_limits import Budget


class SwitchedBudget(Budget):
    """Delegates to `target`. One reply uses it, with one write in flight at a time.

    `counts_replies`: the reply counts as live in the target; of two budgets with the same target, only one does so.
    """

    def __init__(self, target: Budget, *, counts_replies: bool) -> None:
        self._target = target
        self._counts_replies = counts_replies
        self._spent_in: Budget | None = None  # of the write in flight
        self._live = 0
        self._reserved_finals = 0

    def switch(self, target: Budget) -> None:
        """Stand for `target` from now on; the response to a write in flight is still recorded in the old one."""
        if target is self._target:
            return
        if self._counts_replies:
            self._target.live -= self._live
            self._target.reserved_finals -= self._reserved_finals
            target.live += self._live
            target.reserved_finals += self._reserved_finals
        self._target = target

    @property
    @override
    def live(self) -> int:
        return self._target.live if self._counts_replies else self._live

    @live.setter
    def live(self, live: int) -> None:
        change = live - self.live
        self._live += change
        if self._counts_replies:
            self._target.live += change

    @property
    @override
    def reserved_finals(self) -> int:
        return self._target.reserved_finals if self._counts_replies else self._reserved_finals

    @reserved_finals.setter
    def reserved_finals(self, reserved_finals: int) -> None:
        change = reserved_finals - self.reserved_finals
        self._reserved_finals += change
        if self._counts_replies:
            self._target.reserved_finals += change

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        return self._target.ready_at(now, final=final, ahead=ahead)

    @override
    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        return self._target.paced_at(now, began=began, wrote=wrote)

    @override
    def first_post_at(self, now: float) -> float:
        return self._target.first_post_at(now)

    @override
    def should_open(self, now: float) -> bool:
        return self._target.should_open(now)

    @override
    def spend(self, now: float) -> None:
        self._spent_in = self._target
        self._target.spend(now)

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        target, self._spent_in = self._spent_in or self._target, None
        target.record_response(now, sent=sent)

    @override
    def hold(self, now: float, seconds: float) -> None:
        """Hold the budget of the write in flight, or else the present one."""
        (self._spent_in or self._target).hold(now, seconds)
