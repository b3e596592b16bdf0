"""The default of a callback without a listener."""

from __future__ import annotations


def no_op(*_: object) -> None:
    """Take any arguments and do nothing."""


def returns_false(*_: object) -> bool:
    """A question nobody answers."""
    return False
