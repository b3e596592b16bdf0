"""The state of a reply, read-only for the scheduler and the pacer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from bot.conversation import Ending
from bot.delivery.announced_end import AnnouncedEnd
from bot.delivery.answer import Answer
from bot.delivery.backlog import Backlog
from bot.delivery.mode import Mode
from bot.delivery.phases import Event, Phase, transition
from bot.delivery.reconciler import Reconciler
from bot.delivery.stake import Stake, final_verb
from bot.delivery.write_timing import FailureStreak, WriteTiming
from bot.ports import Body, Channel, Verb
from bot.rate_limits import Budget


class ReplyState:
    """Phase, due write and backlog of a reply. Only `bot.delivery.reply.Reply` changes them."""

    def __init__(self, channel: Channel, reconciler: Reconciler, answer: Answer) -> None:
        self.budgets: Mapping[Verb, Sequence[Budget]] = {verb: tuple(channel.budgets(verb)) for verb in Verb}
        self.announced = AnnouncedEnd()
        self.stake = Stake(self.budgets)
        may_stream = channel.caps.stream is not None and not (reconciler.count or reconciler.is_recovery)
        self.mode = Mode.UNDECIDED if may_stream and not reconciler.frozen else Mode.EDITS
        self._phase = Phase.WAITING
        self._ending: Ending | None = None  # None while text may arrive
        self._reconciler = reconciler
        self._answer = answer
        self._backlog = Backlog()
        self._timing = WriteTiming()
        self._failures = FailureStreak()

    @property
    def phase(self) -> Phase:
        """See `bot.delivery.phases`."""
        return self._phase

    @property
    def ending(self) -> Ending | None:
        """How the answer ended; None while text may arrive."""
        return self._ending

    @property
    def messages(self) -> tuple[str, ...]:
        """The ids of the messages known to exist."""
        return self._reconciler.messages

    @property
    def shown(self) -> Mapping[str, Body]:
        """What the messages show, by id, as far as known."""
        return self._reconciler.shown

    @property
    def all_messages(self) -> tuple[str, ...]:
        """The same, and those of an earlier answer that are still to be deleted."""
        return (*self._reconciler.messages, *self._reconciler.surplus)

    @property
    def is_final(self) -> bool:
        """No more text follows."""
        return self._ending is not None

    @property
    def is_closing(self) -> bool:
        """No more text follows, as far as the server says."""
        return self._ending is not None or self.announced.ending is not None

    @property
    def shows_nothing(self) -> bool:
        """No text of the answer is posted yet."""
        return self._reconciler.is_empty or self._answer.preview.is_shown

    @property
    def shows_replaced(self) -> bool:
        """Readers still see the whole earlier answer."""
        return self._reconciler.shows_replaced

    @property
    def verb(self) -> Verb | None:
        """The kind of the due write; None if none is due."""
        return self._timing.verb

    @property
    def is_preview(self) -> bool:
        """The due write shows a reasoning preview and nothing else."""
        return self._timing.is_preview

    @property
    def in_flight(self) -> bool:
        """A write is on its way: no other may start."""
        return self._timing.in_flight

    @property
    def due_at(self) -> float:
        """Earliest time of the due write."""
        at, collects_until = self._timing.due_at, self._timing.collects_until
        if collects_until <= at or not self.shows_nothing:
            return at
        now = asyncio.get_running_loop().time()
        return at if any(budget.should_open(now) for budget in self.budgets[Verb.POST]) else collects_until

    @property
    def final_budgets(self) -> Sequence[Budget]:
        """The budgets of the final write."""
        return self.budgets[final_verb(self.mode)]

    @property
    def growth_budgets(self) -> Sequence[Budget]:
        """The budgets of the writes between the first and the last."""
        return self.budgets[Verb.APPEND if self.mode is Mode.STREAM else Verb.EDIT]

    @property
    def began(self) -> float:
        """When the first text arrived."""
        return self._timing.began

    @property
    def wrote(self) -> float:
        """When visible text last changed."""
        return self._timing.wrote

    @property
    def can_roll_over(self) -> bool:
        """Whether the text may continue in a new message instead of the due edit; by edits instead of a stream."""
        if self._timing.verb in {Verb.START, Verb.APPEND}:
            return True
        return self._timing.verb is Verb.EDIT and not self.is_tidying and self._answer.can_roll_over

    def next_write_at(self, now: float) -> float:
        """When new text can be written at the earliest; infinite if that is unknown, such as during a write."""
        timing = self._timing
        if timing.in_flight or not self._answer.draft.length:
            return math.inf
        if self.shows_nothing:
            at = max(self.due_at, *(budget.ready_at(now, final=True) for budget in self.budgets[Verb.POST]))
        else:
            ready = (budget.ready_at(now, final=False) for budget in self.growth_budgets)
            paced = (budget.paced_at(now, began=timing.began, wrote=timing.wrote) for budget in self.growth_budgets)
            at = max(timing.not_before, *ready, *paced)
        # Text that waits in spite of a permit waits for others.
        return at if at > now or timing.verb is None else math.inf

    @property
    def is_tidying(self) -> bool:
        """The due write shows no text: it only takes the buttons from an earlier message."""
        return self._timing.is_tidying

    @property
    def overflows(self) -> bool:
        """Whether the due edit only fills up a message, since its text needs another one."""
        return self._answer.draft.length > self._overflows_beyond

    @property
    def _overflows_beyond(self) -> float:
        """The length of the text above which the due edit overflows; infinite if none is due."""
        is_due = self._timing.verb is Verb.EDIT and not self._timing.in_flight
        return self._answer.overflows_beyond if is_due else math.inf

    def backlog(self, now: float) -> float:
        """Total waiting time of unwritten text, in character-seconds."""
        return self._backlog.wait(now)

    def mean_wait(self, now: float) -> float:
        """The same per character of the answer, in seconds."""
        return self._backlog.wait(now) / max(self._answer.draft.length, 1)

    def _move(self, event: Event) -> None:
        self._phase = transition(self._phase, event)
