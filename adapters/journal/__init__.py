"""Journals: which turns were received, which messages answer them, and how they ended.

What belongs here: implementations of `bot.ports.Journal`, one that lives as long as the process (`memory`) and one in a
file (`sqlite`); all pass ``tests/contracts/journal.py``. What does not: any decision about what to do with a turn that
was left unfinished.
"""

from adapters.journal.errors import JournalBroken
from adapters.journal.fallback import JournalOptions
from adapters.journal.memory import MemoryJournal
from adapters.journal.sqlite import SqliteJournal

__all__ = ["JournalBroken", "JournalOptions", "MemoryJournal", "SqliteJournal"]
