"""Messages and commands between their arrival and their turns."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from adapters.slack.history.recovery import ThreadSnapshot
from bot.conversation import Author, TurnKey

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PendingMessage:
    """A message to the bot, remembered for as long as Slack may deliver it again."""

    journalled: asyncio.Future[bool]  # whether to acknowledge: the journal has it, now or from before
    key: TurnKey
    author: str
    text: str = ""  # the words taken up, to recognise an edit of them
    stored: str = ""  # the journal's text of the copy with the most content, until the turn is handed over
    journal_text: str = ""  # as it went into the journal, with the author if known
    copy_arrived: asyncio.Event = field(default_factory=asyncio.Event)
    copy_deadline: float = 0.0  # the loop's time until which a turn waits for the other copy, in seconds
    is_new: bool = False  # no process answers it yet
    is_withdrawn: bool = False  # deleted, or stopped by its author, before it became a turn
    stops: list[Author | str] = field(default_factory=list)  # others' stop requests from that time
    is_handed_over: bool = False  # or dismissed
    snapshot: ThreadSnapshot | None = None  # of an earlier process's work


class PendingWork:
    """The tasks in progress, and the wait for their end once no more are accepted."""

    def __init__(self, state: str, patience: float) -> None:
        """`state` says in the log what is in progress; `patience` is the longest wait, in seconds."""
        self._state = state
        self._patience = patience
        self.tasks: set[asyncio.Task[None]] = set()  # each removes itself at its end
        self.is_stopping = False

    async def stop_accepting(self) -> None:
        """Accept no more, and give those in progress a moment to become turns."""
        self.is_stopping = True
        if not self.tasks:
            return
        _, late = await asyncio.wait(self.tasks, timeout=self._patience)
        if late:
            log.warning("Slack: stopping, while %s: %d", self._state, len(late))
