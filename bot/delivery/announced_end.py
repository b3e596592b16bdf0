"""A finish reason sent before the end of the model's stream, and the ending it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from bot.conversation import Ending, FinishReason

_ENDINGS = MappingProxyType(
    {
        FinishReason.LENGTH: Ending.LENGTH,
        FinishReason.FILTERED: Ending.FILTERED,
        FinishReason.THOUGHT_ONLY: Ending.THOUGHT_ONLY,
        FinishReason.TOOLS_ONLY: Ending.TOOLS_ONLY,
    }
)


def ending_of(reason: FinishReason) -> Ending:
    """The ending of an answer whose stream ends with this reason."""
    return _ENDINGS.get(reason, Ending.DONE)


@dataclass(slots=True)
class AnnouncedEnd:
    """The announced end of an answer. After an end followed by more text, no later one is trusted."""

    ending: Ending | None = None
    at: float = float("inf")  # in seconds of the event loop
    is_distrusted: bool = False

    def announce(self, ending: Ending, now: float) -> bool:
        """Record an end; returns whether it is trusted."""
        if not self.is_distrusted:
            self.ending, self.at = ending, now
        return not self.is_distrusted

    def withdraw(self) -> None:
        """More text arrived."""
        if self.ending is not None:
            self.ending, self.at, self.is_distrusted = None, float("inf"), True
