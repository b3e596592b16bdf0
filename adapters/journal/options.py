"""Options of the journal: retention, intervals and memory limits, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """Retention, intervals and memory limits. Times in seconds, except `days`."""

    # Retention of an ended turn, so that a repeated event is recognised. Platforms repeat within minutes; a week shows
    # an operator the events of the weekend.
    days: float = 7.0
    # The minimum retention of an unfinished turn: until then it may still be continued.
    repair_seconds: float = 86_400.0
    # The pause after a failure of the file: few answers wait for a broken disk, and free space is found soon.
    retry_seconds: float = 2.0
    # The time between heartbeats. A process counts as dead after two without one, so another takes over its turns
    # within seconds. Each heartbeat also checks the file and erases ended texts from its log.
    heartbeat_seconds: float = 2.0
    # Unfinished turns held in memory to restore a lost file; beyond, the oldest are evicted. 10,000 are 5 hours at ten
    # a minute, and some megabytes.
    max_live_turns: int = 10_000
    # Ended turns held in memory while the file is broken, to recognise repeated events. Platforms repeat within
    # minutes, and few bots receive as many in that time; about 300 bytes each.
    max_ended_turns: int = 2_000
    # The time between purges of old turns, and the turns per purge: some milliseconds of work.
    purge_interval_seconds: float = 60.0
    purge_batch: int = 500
