"""The backlog of a reply: text received and not yet written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backlog:
    """Characters waiting to be written. The sum of their arrival times is enough to compute their total wait."""

    characters: int = 0
    arrivals: float = 0.0

    def add(self, characters: int, now: float) -> None:
        """Count characters arriving now."""
        self.characters += characters
        self.arrivals += characters * now

    def join(self, other: Backlog) -> None:
        """Add another backlog to this one, after a write of its text failed."""
        self.characters += other.characters
        self.arrivals += other.arrivals

    def wait(self, now: float) -> float:
        """Total waiting time, in character-seconds."""
        return self.characters * now - self.arrivals
