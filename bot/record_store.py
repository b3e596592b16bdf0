"""The port of the whole store of records: all ports of `bot.records` and `bot.ledger`."""

from __future__ import annotations

from typing import Protocol

from bot.ledger import LedgerStore
from bot.records import AuditLog, KeyValueStore, PersonalRecords, PreferenceList, PreferenceStore, VoteStore


class RecordStore(
    PreferenceStore, PreferenceList, KeyValueStore, LedgerStore, VoteStore, AuditLog, PersonalRecords, Protocol
):
    """Everything the bot remembers beside its turns. Each method raises `bot.records.RecordsUnavailable`."""

    @property
    def durable(self) -> bool:
        """Whether the records outlive the process."""
        ...

    @property
    def degraded(self) -> bool:
        """Whether the last operation failed; for ``/readyz``."""
        ...
