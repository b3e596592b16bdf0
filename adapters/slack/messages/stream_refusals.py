"""Refused native streams: for how much of a workspace a refusal holds. Pure.

Codes: https://docs.slack.dev/reference/methods/chat.startStream; some belong to plans and features and are listed
nowhere, so words in them decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.slack.errors import NO_METHOD, UNACCEPTABLE

STREAMS = "streams"  # the feature's name in `FeatureFlags`

# The app, the server or the workspace has no streams.
_EVERYWHERE = NO_METHOD | frozenset(
    [
        "missing_scope",
        "not_allowed_token_type",
        "not_enabled",
        "not_allowed",
        "not_authorized",
        "access_denied",
        "no_permission",
    ]
)
_EVERYWHERE_WORDS = ("feature", "paid", "plan", "upgrade")

# One person cannot be a stream's reader.
_PERSON = frozenset(
    [
        "missing_recipient_user_id",
        "missing_recipient_team_id",
        "recipient_user_not_found",
        "recipient_team_not_found",
        "user_not_found",
        "user_not_visible",
        "team_not_found",
        "team_access_not_granted",
    ]
)

# One thread, or one text.
_HERE = UNACCEPTABLE | frozenset(["invalid_thread_ts", "thread_not_found", "message_not_found"])


def features_of(channel: str, user: str) -> Sequence[str]:
    """The names in `FeatureFlags`, of which each prevents a stream to a person in a channel."""
    return (STREAMS, f"{STREAMS}:{channel}", f"{STREAMS}:{user}")


def refused_features(code: str, channel: str, user: str) -> Sequence[str]:
    """The names to disable after a start refused with an error code; none if it concerns one answer alone."""
    names = features_of(channel, user)
    if code in _EVERYWHERE or any(word in code for word in _EVERYWHERE_WORDS):
        return names[:1]
    if code in _PERSON:
        return names[2:]
    return () if code in _HERE or not code else names[1:2]
