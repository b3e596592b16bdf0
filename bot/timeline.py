"""What one turn did, and when: its attempts at models, its first and its last write. For traces.

Times that go in are the event loop's; times that come out are seconds from the turn's acceptance. Nothing here happens
per delta, and nothing holds any text.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.conversation import FinishReason, Usage

# Attempts kept of one turn. An outage of five minutes takes about sixty, and each listed model a few more.
MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One ended call of a model.

    `model` is the requested name: the operator's, or empty for the main model. `failure` is its kind
    (`bot.attempt_failures`), empty for a call that ended well or was cancelled. A cancelled call has no `finish`
    either.
    """

    model: str
    streamed: bool
    began: float
    ended: float
    first_delta: float | None = None
    finish: FinishReason | None = None
    failure: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """One post or edit with all of its tries: from sending the first to the response to the last.

    `verb` and `outcome` are those of `bot.telemetry.Recorder.wrote`, for the last try.
    """

    verb: str
    began: float
    ended: float
    tries: int
    outcome: str


@dataclass(frozen=True, slots=True)
class TurnEvents:
    """All that a turn did: at most `MAX_ATTEMPTS` attempts, and no `last_write` if the first was the only one."""

    resumed: bool = False  # an earlier process began it
    streamed_attempts: int = 0
    fallback: bool = False  # whether the answer was asked for without streaming in the end
    attempts: tuple[AttemptRecord, ...] = ()
    first_write: WriteRecord | None = None
    last_write: WriteRecord | None = None


@dataclass(slots=True)
class _Attempt:
    model: str
    streamed: bool
    began: float
    ended: float | None = None
    first_delta: float | None = None
    finish: FinishReason | None = None
    failure: str = ""
    usage: Usage | None = None

    def record(self, now: float) -> AttemptRecord:
        ended = now if self.ended is None else self.ended
        return AttemptRecord(
            self.model, self.streamed, self.began, ended, self.first_delta, self.finish, self.failure, self.usage
        )


class Timeline:
    """Collects the records of one turn while it runs. Attempts come one after another."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.streamed_attempts = 0
        self.fallback = False
        self._attempts: list[_Attempt] = []
        self._current: _Attempt | None = None
        self._first_write: WriteRecord | None = None
        self._last_write: WriteRecord | None = None
        self._tries = 0
        self._tried_since = 0.0

    # -------------------------------------------------------------------------------------------------------- attempts

    def attempt_began(self, now: float, model: str, *, streamed: bool) -> None:
        """A model is called."""
        self.streamed_attempts += streamed
        self.fallback = not streamed
        self._current = _Attempt(model, streamed, now - self._began)
        if len(self._attempts) < MAX_ATTEMPTS:
            self._attempts.append(self._current)

    def first_delta_came(self, now: float) -> None:
        """The first delta of the present attempt, of any kind."""
        if self._current is not None:
            self._current.first_delta = now - self._began

    def usage_came(self, usage: Usage) -> None:
        """The server counted the tokens of the present attempt."""
        if self._current is not None:
            self._current.usage = usage

    def attempt_finished(self, reason: FinishReason) -> None:
        """The present attempt's answer is complete, as far as the server says."""
        if self._current is not None:
            self._current.finish = reason

    def attempt_ended(self, now: float, failure: str = "") -> None:
        """The present attempt is over; `failure` is the kind of its failure."""
        if self._current is not None:
            self._current.ended, self._current.failure = now - self._began, failure

    # ---------------------------------------------------------------------------------------------------------- writes

    def wrote(self, verb: str, outcome: str, *, sent: float, now: float) -> None:
        """A post or an edit came back. After a failure the next one counts as another try of the same."""
        if not self._tries:
            self._tried_since = sent - self._began
        self._tries += 1
        record = WriteRecord(verb, self._tried_since, now - self._began, self._tries, outcome)
        if self._first_write is None or self._first_write.outcome != "ok":
            self._first_write = record
        else:
            self._last_write = record
        if outcome == "ok":
            self._tries = 0

    # ---------------------------------------------------------------------------------------------------------- events

    def events(self, now: float, *, resumed: bool = False) -> TurnEvents:
        """All events, in order; an attempt without an end ends now."""
        return TurnEvents(
            resumed,
            self.streamed_attempts,
            self.fallback,
            tuple(each.record(now - self._began) for each in self._attempts),
            self._first_write,
            self._last_write,
        )
