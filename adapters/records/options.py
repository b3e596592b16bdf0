"""Options of the records: how long rows are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordsOptions:
    """Days until rows are deleted; 0 keeps them. Counters of quotas stay until their period has ended."""

    usage_days: int = 400
    feedback_days: int = 400
    settings_days: int = 0
    audit_days: int = 730
