"""Journals: received turns, the messages of their answers, and their endings.

Three implementations of `bot.journal.Journal`: in memory (`memory`), in an SQLite file (`sqlite`) and in PostgreSQL
(`postgres`). All pass ``tests/contracts/journal.py``. Decisions about unfinished turns do not belong here.
"""

from adapters.journal.errors import JournalBroken
from adapters.journal.memory import MemoryJournal
from adapters.journal.options import JournalOptions
from adapters.journal.sqlite import SqliteJournal

__all__ = ["JournalBroken", "JournalOptions", "MemoryJournal", "SqliteJournal"]
