"""What all processes see, and what may never be: two owners of a lane, an older owner's write, too many requests."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from benchmarks.scale_out.costed_engine import CostedEngine
from bot.ownership.lanes import Lane

SLACK, DISCORD = "slack", "discord"

# Of Discord's 50 requests a second, the part used by the bot.
SHARED = 45

# A share is used within any window of this length. Seconds.
WINDOW_SECONDS = 1.0


@dataclass
class Answer:
    """A question, and when its text is complete: the first write after that is the last one."""

    id: str
    lane: Lane
    complete_at: float
    wrote_at: float  # when it was asked, or the last write
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class HandOver:
    """A lane's way to its next owner, in seconds since the earlier owner's end."""

    why: str
    taken: float
    writable: float


@dataclass
class Usage:
    """Seconds with more demand than permits, and the permits used in them."""

    seconds: int = 0
    used: int = 0
    most: int = 0  # in any second at all

    @property
    def share(self) -> float:
        """The part of all permits that was used."""
        return self.used / (SHARED * self.seconds) if self.seconds else 0.0


@dataclass
class World:
    """The platforms, the journal and the engine. Raises `AssertionError` as soon as something is wrong."""

    engine: CostedEngine
    open: dict[Lane, dict[str, Answer]] = field(default_factory=lambda: defaultdict(dict))  # accepted, unfinished
    accepted: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    hand_overs: list[HandOver] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    longest_pause: float = 0.0  # of an answer
    _fences: dict[Lane, int] = field(default_factory=dict)  # of the last write
    _requests: deque[float] = field(default_factory=deque)  # Discord's, of the last second

    def begin_phase(self) -> None:
        """Measure anew from here."""
        self.hand_overs, self.usage, self.longest_pause = [], Usage(), 0.0

    def accept(self, id_: str, lane: Lane, seconds: int) -> Answer | None:
        """Journal a question; None if it is known."""
        if id_ in self.accepted:
            return None
        self.accepted.add(id_)
        now = asyncio.get_running_loop().time()
        answer = self.open[lane][id_] = Answer(id_, lane, now + seconds, now)
        return answer

    def wrote(self, answer: Answer, fence: int) -> None:
        """A write of an answer arrives, from the owner with this fence."""
        now = asyncio.get_running_loop().time()
        assert fence >= self._fences.get(answer.lane, 0), f"an earlier owner of {answer.lane} writes at {now}"
        assert answer.id not in self.ended, f"{answer.id} is complete"
        self._fences[answer.lane] = fence
        self.longest_pause = max(self.longest_pause, now - answer.wrote_at)
        answer.wrote_at = now
        if now >= answer.complete_at:
            answer.has_ended = True
            self.ended.add(answer.id)
            del self.open[answer.lane][answer.id]
        if answer.lane.platform == DISCORD:
            self._count(now)

    def _count(self, now: float) -> None:
        requests = self._requests
        requests.append(now)
        while requests[0] <= now - WINDOW_SECONDS:
            requests.popleft()
        self.usage.most = max(self.usage.most, len(requests))
        assert len(requests) <= SHARED, f"{len(requests)} requests within a second at {now}"

    def look(self, demand: int) -> None:
        """Once a second: Discord's writes that processes want to send now."""
        now = asyncio.get_running_loop().time()
        if demand > SHARED:
            self.usage.seconds += 1
            self.usage.used += sum(at > now - WINDOW_SECONDS for at in self._requests)
