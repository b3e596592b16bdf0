"""The result of one `tickertape check` item. Each adapter's `check` returns a list of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line for the operator.

    `subject` names the item ("Discord token"); `message` is one sentence and holds no secret. `fix` tells the operator
    how to solve a problem. `warning` marks a problem the bot can run with.
    """

    subject: str
    ok: bool
    message: str
    fix: str = ""
    warning: bool = False
