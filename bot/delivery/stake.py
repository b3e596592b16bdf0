"""A live reply's part in its budgets: counted as live where it writes, with a permit reserved for its final write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from bot.delivery.mode import Mode
from bot.ports import Verb
from bot.rate_limits import Budget

# A reply's kinds of writes; its first write may be a post in any mode.
_VERBS: Mapping[Mode, tuple[Verb, ...]] = MappingProxyType(
    {
        Mode.UNDECIDED: (Verb.POST, Verb.DELETE),
        Mode.EDITS: (Verb.POST, Verb.EDIT, Verb.DELETE),
        Mode.STREAM: (Verb.POST, Verb.DELETE, Verb.APPEND, Verb.STOP),
    }
)


def final_verb(mode: Mode) -> Verb:
    """The kind of a reply's final write."""
    return Verb.STOP if mode is Mode.STREAM else Verb.EDIT


class Stake:
    """One reply's hold on its budgets, between `enter` and `leave`."""

    def __init__(self, budgets: Mapping[Verb, Sequence[Budget]]) -> None:
        self._budgets = budgets
        self._live: tuple[Budget, ...] = ()
        self._reserved: tuple[Budget, ...] = ()
        self._is_entered = False

    def enter(self, mode: Mode) -> Iterable[Budget]:
        """Count the reply as live. Returns the changed budgets, as all of these methods do."""
        self._is_entered = True
        return self.use(mode)

    def use(self, mode: Mode) -> Iterable[Budget]:
        """The reply writes in this mode from now on."""
        if not self._is_entered:
            return ()
        before = self._live
        spent = (budget for verb in _VERBS[mode] for budget in self._budgets[verb])
        self._live = tuple({id(budget): budget for budget in spent}.values())
        for budget in self._live:
            budget.live += budget not in before
        for budget in before:
            budget.live -= budget not in self._live
        if self._reserved:
            self._release()
            self.reserve(mode)
        return {id(budget): budget for budget in (*before, *self._live)}.values()

    def reserve(self, mode: Mode) -> None:
        """Reserve a permit for the final write, once."""
        if not self._reserved:
            self._reserved = tuple(self._budgets[final_verb(mode)])
            for budget in self._reserved:
                budget.reserved_finals += 1

    def others_live(self, budget: Budget) -> bool:
        """Whether other replies are live in a budget. One that streams is not live in the budget of edits itself."""
        return budget.live > (budget in self._live)

    def leave(self) -> Iterable[Budget]:
        """The reply has ended."""
        self._release()
        for budget in self._live:
            budget.live -= 1
        left, self._live, self._is_entered = self._live, (), False
        return left

    def _release(self) -> None:
        for budget in self._reserved:
            budget.reserved_finals -= 1
        self._reserved = ()
