"""A message to the bot between its arrival and its turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from adapters.slack.history.recovery import ThreadSnapshot
from bot.conversation import Author, TurnKey


@dataclass(slots=True)
class PendingMessage:
    """A message to the bot, remembered for as long as Slack may deliver it again."""

    journalled: asyncio.Future[bool]  # whether to acknowledge: the journal has it, now or from before
    key: TurnKey
    author: str
    text: str = ""  # the words taken up, to recognise an edit of them
    stored: str = ""  # the journal's text of the copy with the most content, until the turn is handed over
    copy_arrived: asyncio.Event = field(default_factory=asyncio.Event)
    is_new: bool = False  # no process answers it yet
    is_withdrawn: bool = False  # deleted, or stopped by its author, before it became a turn
    stops: list[Author | str] = field(default_factory=list)  # others' stop requests from that time
    is_handed_over: bool = False  # or dismissed
    snapshot: ThreadSnapshot | None = None  # of an earlier process's work
