"""An end of an answer that the model's server has announced, while its stream goes on.

What belongs here: whether such an end is taken for the last word. What does not: how long more is waited for
(`bot.completion`), and what is shown of it (`bot.delivery.reply`).
"""

from __future__ import annotations

from collections.abc import Callable

from bot.conversation import Ending


class AnnouncedEnd:
    """See the module's docstring. An end behind which more came is not trusted, nor is any later one of this answer."""

    __slots__ = ("_distrusted", "at", "ending", "on_announced")

    def __init__(self) -> None:
        self.ending: Ending | None = None  # the end that stands, if one does
        self.at = float("inf")  # since when, by the loop's time
        self.on_announced: Callable[[], object] = lambda: None
        self._distrusted = False

    def announce(self, ending: Ending, now: float) -> bool:
        """Take an end in; whether it stands."""
        if not self._distrusted:
            self.ending, self.at = ending, now
        return not self._distrusted

    def withdraw(self) -> None:
        """More has come."""
        if self.ending is not None:
            self.ending, self.at, self._distrusted = None, float("inf"), True
