"""Figures of a turn for operators and readers, and the port to record them.

Defines each figure, its unit and arithmetic; `adapters/prometheus.py` exposes them.

*Character delay* is, for every character, the time from the model sending it to the reader seeing it. Its mean is the
area between the curves "characters received" and "characters shown", divided by the number of characters (Little's
law). So one running sum suffices for any number of chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import override

from bot.conversation import Ending, TurnKey, Usage
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.timeline import Timeline, TurnEvents


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One ended turn. Times in seconds; None for an event that never happened."""

    key: TurnKey
    ending: Ending
    seconds: float  # from accepted to ended
    first_delta: float | None  # from accepted to the model's first text
    first_visible: float | None  # from accepted to the first visible text
    character_delay: float | None  # mean over all characters shown, from received to shown
    settle: float | None  # from the model's last text to the last visible change
    characters: int  # from the model, in the answer last shown
    characters_shown: int
    messages: int  # of the answer
    writes: int  # posts, edits and deletes sent
    deltas: int  # pieces of text received: coalescing saved `deltas - writes`
    usage: Usage | None
    events: TurnEvents = field(default_factory=TurnEvents)

    @property
    def attempts(self) -> int:
        """Streamed attempts."""
        return self.events.streamed_attempts

    @property
    def fallback(self) -> bool:
        """Whether the answer was asked for without streaming in the end."""
        return self.events.fallback

    @property
    def partial(self) -> bool:
        """Whether the reader was left with less than a whole answer."""
        return self.ending is not Ending.DONE


class Recorder(Protocol):
    """Where figures go. Never raises, never waits."""

    def accepted(self, platform: str) -> None:
        """A turn was taken in."""
        ...

    def refused(self, platform: str, why: str) -> None:
        """A message was not answered: ``duplicate``, ``access`` or ``busy``."""
        ...

    def wrote(self, platform: str, verb: str, outcome: str) -> None:
        """A write came back: ``ok``, ``limited`` (a 429), ``failed``, ``unanswered`` or ``refused`` (permanent)."""
        ...

    def attempt_failed(self, kind: str) -> None:
        """An attempt at the model failed; `kind` is a word for its failure (`bot.attempt_failures`)."""
        ...

    def ended(self, record: TurnRecord) -> None:
        """A turn ended."""
        ...


class UsageRecorder(Protocol):
    """Where figures of use go. Never raises, never waits."""

    def spent(self, entry: LedgerEntry) -> None:
        """A call of a model ended."""
        ...

    def voted(self, platform: str, vote: Vote) -> None:
        """A reader voted on an answer."""
        ...


class NoRecorder(Recorder, UsageRecorder):
    """Records nothing."""

    @override
    def accepted(self, platform: str) -> None:
        pass

    @override
    def refused(self, platform: str, why: str) -> None:
        pass

    @override
    def wrote(self, platform: str, verb: str, outcome: str) -> None:
        pass

    @override
    def attempt_failed(self, kind: str) -> None:
        pass

    @override
    def ended(self, record: TurnRecord) -> None:
        pass

    @override
    def spent(self, entry: LedgerEntry) -> None:
        pass

    @override
    def voted(self, platform: str, vote: Vote) -> None:
        pass


class Recorders(Recorder):
    """Passes everything to several recorders."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    @override
    def accepted(self, platform: str) -> None:
        for each in self._recorders:
            each.accepted(platform)

    @override
    def refused(self, platform: str, why: str) -> None:
        for each in self._recorders:
            each.refused(platform, why)

    @override
    def wrote(self, platform: str, verb: str, outcome: str) -> None:
        for each in self._recorders:
            each.wrote(platform, verb, outcome)

    @override
    def attempt_failed(self, kind: str) -> None:
        for each in self._recorders:
            each.attempt_failed(kind)

    @override
    def ended(self, record: TurnRecord) -> None:
        for each in self._recorders:
            each.ended(record)


class Figures:
    """One turn's figures while it runs. All arguments named `now` are the event loop's time."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._first_delta: float | None = None
        self._first_visible: float | None = None
        self._last_delta = now
        self._last_visible = now
        self._received = 0
        self._visible = 0
        self._area = 0.0  # character-seconds: received and not visible, summed over time
        self._measured_until = now
        self.deltas = 0
        self.writes = 0
        self.usage: Usage | None = None
        self.timeline = Timeline(now)

    def received(self, now: float, characters: int) -> None:
        """The model sent this many more characters of the current answer."""
        self._measure(now)
        self.deltas += 1
        self._received += characters
        self._last_delta = now
        if self._first_delta is None:
            self._first_delta = now

    def replaced(self, now: float, characters: int) -> None:
        """Another attempt replaces the text; its length counts from now on."""
        self._measure(now)
        self._received = characters
        self._last_delta = now
        if self._first_delta is None:
            self._first_delta = now

    def shown(self, now: float, characters: int) -> None:
        """A write is done: this many characters are visible."""
        self._measure(now)
        self._visible = characters
        self._last_visible = now
        if self._first_visible is None and characters:
            self._first_visible = now

    def counted(self, usage: Usage) -> None:
        """The server counted the tokens of the present answer."""
        self.usage = usage
        self.timeline.usage_came(usage)

    @property
    def began(self) -> float:
        """When the turn was accepted."""
        return self._began

    @property
    def received_characters(self) -> int:
        """The characters of the present answer."""
        return self._received

    @property
    def visible(self) -> int:
        """The characters of the answer visible to the reader."""
        return self._visible

    def record(self, now: float, key: TurnKey, ending: Ending, messages: int, *, resumed: bool = False) -> TurnRecord:
        """The record of the ended turn."""
        self._measure(now)
        seen = self._first_visible is not None
        return TurnRecord(
            key=key,
            ending=ending,
            seconds=now - self._began,
            first_delta=None if self._first_delta is None else self._first_delta - self._began,
            first_visible=None if self._first_visible is None else self._first_visible - self._began,
            character_delay=self._area / self._visible if seen and self._visible else None,
            settle=max(self._last_visible - self._last_delta, 0.0) if seen else None,
            characters=self._received,
            characters_shown=self._visible,
            messages=messages,
            writes=self.writes,
            deltas=self.deltas,
            usage=self.usage,
            events=self.timeline.events(now, resumed=resumed),
        )

    def _measure(self, now: float) -> None:
        self._area += max(self._received - self._visible, 0) * (now - self._measured_until)
        self._measured_until = now
