"""Failures of attempts at a model, as words for metrics and traces."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bot.errors import (
    ConnectFailed,
    ModelRejected,
    NotReady,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    Retryable,
    ServiceError,
)


class Silent(ServiceError):
    """The model's server sent nothing for longer than the policy allows."""


# Dashboards use these words, so they do not follow the names of the classes.
_RETRYABLE: Mapping[type[Retryable], str] = MappingProxyType(
    {
        RateLimited: "limited",
        ServiceError: "broken",
        ConnectFailed: "unreachable",
        NotReady: "unready",
        OutcomeUnknown: "unanswered",
        Silent: "silent",
    }
)
_REJECTED: Mapping[RejectionReason, str] = MappingProxyType(
    {reason: f"rejected_{reason.value.replace(' ', '_')}" for reason in RejectionReason}
)
OTHER = "other"  # a bug in an adapter
FAILURE_KINDS = (*_RETRYABLE.values(), *_REJECTED.values())


def kind_of(failure: Exception) -> str:
    """The kind of an attempt's failure."""
    if isinstance(failure, ModelRejected):
        return _REJECTED[failure.reason]
    if isinstance(failure, Retryable):
        return _RETRYABLE.get(type(failure), type(failure).__name__.lower())
    return OTHER
