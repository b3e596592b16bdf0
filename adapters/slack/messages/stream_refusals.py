"""Refused native streams: where a refusal holds, and for how long. Makes no calls.

Codes: https://docs.slack.dev/reference/methods/chat.startStream; some belong to plans and features and are listed
nowhere, so words in them decide.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from adapters.slack.errors import NO_METHOD, UNACCEPTABLE
from adapters.slack.history.cache import Conversation
from adapters.slack.state import FeatureFlags

log = logging.getLogger(__name__)

# A plan, a scope or a person's kind hardly changes within this time, and a start in vain costs a round trip. Seconds.
LONG = 3_600.0
# The same for errors whose meaning is less certain.
SHORT = 600.0


class Scope(Enum):
    """Where a refusal holds. Each wider one may be suspected too: a second refusal elsewhere confirms it."""

    ANSWER = "answer"
    PLACE = "place"  # one channel or direct message
    PERSON = "person"
    SURFACE = "surface"  # all direct messages, or all channels
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused start: for the scope nothing is tried for `seconds`; `suspected` may be refused as a whole."""

    scope: Scope
    seconds: float = LONG
    suspected: tuple[Scope, ...] = ()


# The app, the server or the workspace has no streams.
_WORKSPACE = NO_METHOD | frozenset(
    [
        "missing_scope",
        "not_allowed_token_type",
        "not_enabled",
        "not_allowed",
        "not_authorized",
        "access_denied",
        "no_permission",
        "enterprise_is_restricted",
    ]
)
_WORKSPACE_WORDS = ("feature", "paid", "plan", "upgrade")

# The token does not cover the reader's organisation; without another one, the workspace itself.
_TEAM = frozenset(["team_access_not_granted", "team_not_found", "recipient_team_not_found"])

# One person cannot be a stream's reader.
_PERSON = frozenset(
    [
        "missing_recipient_user_id",
        "missing_recipient_team_id",
        "recipient_user_not_found",
        "user_not_found",
        "user_not_visible",
        "user_is_restricted",
        "user_is_ultra_restricted",
    ]
)

# Slack names the kind of channel, and means one at times: direct messages with a guest are of the same kind.
_KIND = frozenset(["channel_type_not_supported", "method_not_supported_for_channel_type"])

# Posts fail there as well, or soon work again: an archived channel may come back.
_GONE = frozenset(
    [
        "is_archived",
        "is_inactive",
        "channel_not_found",
        "not_in_channel",
        "cannot_reply_to_message",
        "message_not_found",
    ]
)

# One thread, or a surface without threads.
_THREAD = frozenset(["invalid_thread_ts", "thread_not_found"])


def refusal_of(code: str, *, is_outsider: bool, is_own_team: bool) -> Refusal:
    """The meaning of a start refused with an error code.

    `is_outsider`: the reader is a guest or a stranger, so the refusal tells nothing about members. `is_own_team`: the
    recipient's team is the workspace.
    """
    if code in _WORKSPACE or any(word in code for word in _WORKSPACE_WORDS):
        return Refusal(Scope.WORKSPACE)
    if code == "messages_tab_disabled":
        return Refusal(Scope.SURFACE)
    if code in _GONE or not code:
        return Refusal(Scope.ANSWER)
    refusal = _narrow_refusal(code, is_own_team=is_own_team)
    return Refusal(refusal.scope, refusal.seconds) if is_outsider else refusal


def _narrow_refusal(code: str, *, is_own_team: bool) -> Refusal:
    if code in _TEAM:
        return Refusal(Scope.WORKSPACE if is_own_team else Scope.PERSON)
    if code in _PERSON:
        return Refusal(Scope.PERSON, suspected=(Scope.WORKSPACE,))
    if code in _KIND:
        return Refusal(Scope.PLACE, suspected=(Scope.SURFACE,))
    if code in _THREAD:
        return Refusal(Scope.ANSWER, SHORT, (Scope.PLACE, Scope.SURFACE))
    if code in UNACCEPTABLE:  # the text's fault, or a server with other arguments
        return Refusal(Scope.ANSWER, SHORT, (Scope.PLACE, Scope.WORKSPACE))
    return Refusal(Scope.PLACE, SHORT, (Scope.SURFACE,))


class StreamRefusals:
    """What is remembered about streams to one person in one thread."""

    def __init__(self, flags: FeatureFlags, conversation: Conversation, user: str) -> None:
        self._flags = flags
        self._channel, self._thread = conversation
        # The first letter of a channel's id tells direct messages from others.
        kind = "D" if self._channel.startswith("D") else "C"
        self._features = {
            Scope.PLACE: f"streams:{self._channel}",
            Scope.PERSON: f"streams:{user}",
            Scope.SURFACE: f"streams:surface-{kind}",
            Scope.WORKSPACE: "streams",
        }

    @property
    def is_refused(self) -> bool:
        """Whether a start would be in vain."""
        return any(map(self._flags.is_disabled, self._features.values()))

    def confirm(self) -> None:
        """A start was accepted."""
        for feature in self._features.values():
            self._flags.confirm(feature)

    def record(self, code: str, *, is_outsider: bool, is_own_team: bool) -> None:
        """A start was refused; the arguments are those of `refusal_of`."""
        refusal = refusal_of(code, is_outsider=is_outsider, is_own_team=is_own_team)
        held = {refusal.scope} & self._features.keys()
        for scope in held:
            self._flags.disable(self._features[scope], refusal.seconds)
        for scope in refusal.suspected:
            by = self._thread if scope is Scope.PLACE else self._channel
            if self._flags.suspect(self._features[scope], refusal.seconds, by=by):
                held.add(scope)
        if held & _WIDE.keys():
            where = _WIDE[Scope.WORKSPACE if Scope.WORKSPACE in held else Scope.SURFACE]
            minutes = refusal.seconds / 60
            log.warning("Slack refuses native streams %s (%s): edits instead for %.0f minutes", where, code, minutes)


# Refusals of interest to an operator, in the words of the log.
_WIDE = MappingProxyType({Scope.SURFACE: "in channels of this kind", Scope.WORKSPACE: "in this workspace"})
