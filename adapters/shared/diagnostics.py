"""What `tickertape check` finds out about one outside thing, as values; each adapter has a `check` that yields them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for the operator.

    `subject` is what was looked at ("Discord token"), `line` what was found, in one sentence without a secret in it;
    `remedy` tells, where something is wrong, how to get it right. `doubtful` is a warning: the bot runs all the same.
    """

    subject: str
    ok: bool
    line: str
    remedy: str = ""
    doubtful: bool = False
