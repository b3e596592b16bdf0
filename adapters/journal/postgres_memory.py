"""This process's turns beside the database: what it may lack after an outage, and what it may hold unknown to us."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from cachetools import FIFOCache

from adapters.journal import postgres_statements as sql
from adapters.journal.live_turns import LiveTurns, TurnState
from adapters.journal.operations import Operation
from adapters.journal.options import JournalOptions
from adapters.journal.postgres_values import encode_event, key_arrays, key_of, plain, to_unfinished
from adapters.postgres import Row
from bot.conversation import TurnKey
from bot.errors import OutcomeUnknown
from bot.ports import UnfinishedTurn

# After a statement with an unknown outcome, turns are compared with the memory for so many seconds, and once after
# them: a network may deliver it late, and the server gives up on a silent client after some seconds.
DOUBT_SECONDS = 60.0

# Turns restored by one statement: some hundred kilobytes.
RESTORE_BATCH = 200

Statement = tuple[str, tuple[object, ...]]  # and its values


class JournalMemory:
    """The turns of this process, and how far the database may differ from them."""

    def __init__(self, options: JournalOptions, may_run: Callable[[TurnKey], bool]) -> None:
        """`may_run` tells whether a turn's lane is in our hands. The database may know of it before we do."""
        self.turns = LiveTurns(live=options.max_live_turns, ended=options.max_ended_turns)
        # Operations on other processes' turns, missing in the database.
        self.foreign: deque[Operation] = deque(maxlen=options.max_live_turns)
        # Failures so far, and those followed by a complete restoration.
        self._failures = self._restored = 0
        self._may_run = may_run
        self._accepting: set[TurnKey] = set()
        # Turns whose acceptance has an unknown outcome.
        self._doubtful: FIFOCache[TurnKey, None] = FIFOCache(options.max_ended_turns)
        self._doubt_until = -math.inf
        self._compared: dict[str, float] = {}  # when the last comparison began, by platform

    def knows(self, key: TurnKey) -> bool:
        """Whether the turn is being accepted, runs, or has ended here."""
        return key in self._accepting or key in self.turns

    def runs(self, key: TurnKey) -> bool:
        """Whether this process works on the turn, or is about to."""
        return key in self._accepting or self.turns.is_running(key)

    def claimed(self, rows: Iterable[Row], now: float) -> Sequence[UnfinishedTurn]:
        """The turns found in the database that are to be continued here. `now` is in seconds since 1970.

        One whose lane is not in our hands yet stays unknown, so that a look after the lane is won finds it again.
        """
        turns = [to_unfinished(row) for row in rows if self._is_new(row)]
        self.turns.add_claimed([turn for turn in turns if self._may_run(turn.key)], now)
        return turns

    def _is_new(self, row: Row) -> bool:
        key = key_of(row)
        return not (self.runs(key) if row["is_claimed"] else self.knows(key))

    def forget(self, concerns: Callable[[TurnKey], bool]) -> None:
        """These turns are another process's; should they come back, the database has more of them.

        So are those being accepted: whoever waits for their acceptance may be gone.
        """
        self.turns.forget(concerns)
        self._accepting = {key for key in self._accepting if not concerns(key)}
        left = [operation for operation in self.foreign if not concerns(operation.key)]
        self.foreign.clear()
        self.foreign.extend(left)

    @contextmanager
    def accepting(self, key: TurnKey) -> Iterator[None]:
        """The turn is being accepted meanwhile."""
        self._accepting.add(key)
        try:
            yield
        except (OutcomeUnknown, asyncio.CancelledError):
            self._doubtful[key] = None
            self.start_doubt()
            raise
        else:
            self._doubtful.pop(key, None)
        finally:
            self._accepting.discard(key)

    def is_accepting(self, key: TurnKey) -> bool:
        """Whether the turn is still to be accepted: its lane has not been lost meanwhile."""
        return key in self._accepting

    def is_doubtful(self, key: TurnKey) -> bool:
        """Whether an earlier acceptance of the turn may have reached the database."""
        return key in self._doubtful

    def in_doubt(self, platform: str) -> bool:
        """Whether the database may hold turns of this process unknown to it.

        It lasts until a platform's turns are compared after the time of late statements, however long that takes.
        """
        return self._compared.get(platform, -math.inf) < self._doubt_until

    def compared(self, platform: str, asked_at: float) -> None:
        """All turns of a platform in the database, as of the loop's time `asked_at`, were compared with the memory."""
        self._compared[platform] = asked_at

    def start_doubt(self) -> None:
        """A statement had an unknown outcome."""
        self._doubt_until = asyncio.get_running_loop().time() + DOUBT_SECONDS

    @property
    def is_ahead(self) -> bool:
        """Whether the database may lack something."""
        return self._failures > self._restored

    def failed(self) -> None:
        """A statement failed: an operation is missing, or a failover has lost the last commits."""
        self._failures += 1

    @asynccontextmanager
    async def restoring(self) -> AsyncIterator[None]:
        """The database is brought up to the memory; a failure meanwhile asks for it again."""
        failures = self._failures
        yield
        self._restored = failures

    def missed(self, operation: Operation, *, is_own: bool) -> None:
        """The database did not take an operation; one on this process's turns is in the memory."""
        self.failed()
        if not is_own:
            self.foreign.append(operation)

    def statements(self, owner: str) -> Iterator[Statement]:
        """Statements with their values, to bring the database up to the memory.

        Ended turns follow the live ones, and are read then: one that ends meanwhile is among them.
        """
        for live in _batches(self.turns.live):
            events = [encode_event(turn.event) for turn in live]
            yield sql.RESTORE_LIVE, (*_keys(live), events, _endings(live), _times(live), owner)
            yield from _messages(live, owner)
        for ended in _batches(self.turns.ended):
            yield sql.RESTORE_ENDED, (*_keys(ended), _endings(ended), _times(ended), owner)
            yield from _messages(ended, owner)
        if dropped := self.turns.dropped:
            yield sql.RESTORE_DROPPED, (*key_arrays(dropped), owner)


def _batches(turns: Sequence[TurnState]) -> Iterator[Sequence[TurnState]]:
    for start in range(0, len(turns), RESTORE_BATCH):
        yield turns[start : start + RESTORE_BATCH]


def _messages(turns: Sequence[TurnState], owner: str) -> Iterator[Statement]:
    found = [(turn.key, message, place) for turn in turns for place, message in enumerate(turn.messages)]
    if found:
        messages, places = [plain(message) for _, message, _ in found], [place for _, _, place in found]
        yield sql.RESTORE_MESSAGES, (*key_arrays(key for key, _, _ in found), messages, places, owner)


def _keys(turns: Sequence[TurnState]) -> tuple[list[str], list[str], list[str], list[str], list[int]]:
    return key_arrays(turn.key for turn in turns)


def _endings(turns: Sequence[TurnState]) -> list[str | None]:
    return [turn.ending.value if turn.ending else None for turn in turns]


def _times(turns: Sequence[TurnState]) -> list[float]:
    return [turn.received_at for turn in turns]
