"""Which buttons a server refuses: their block types, found by sending the same text without them. Pure."""

from __future__ import annotations

import logging
from collections.abc import Collection

from adapters.slack.errors import BLOCKS, TABLES, code_of, is_too_much, words_of
from adapters.slack.messages.buttons import ACTIONS, CONTEXT_ACTIONS
from adapters.slack.state import FeatureFlags
from bot.errors import InvalidRequest

log = logging.getLogger(__name__)

# The order of blame without a hint from Slack: the newer type first, since fewer servers know it.
_ORDER = (CONTEXT_ACTIONS, ACTIONS)


def feature_of(block_type: str) -> str:
    """The name in `FeatureFlags` of buttons in blocks of a type."""
    return f"buttons:{block_type}"


class ButtonRefusals:
    """The refused buttons of one answer. A block type is to blame only if the text without it is accepted."""

    def __init__(self, flags: FeatureFlags) -> None:
        self._flags = flags
        self._withheld: set[str] = set()  # for the rest of this answer
        self._suspect = ""  # the type withheld last, not yet to blame
        self._refused = ""  # the certain part of the text refused with it

    def allowed(self, types: Collection[str]) -> frozenset[str]:
        """Those of `types` worth sending."""
        usable = frozenset(each for each in types if not self._flags.is_disabled(feature_of(each)))
        return usable - self._withheld

    def record_refusal(self, sent: Collection[str], stable: str, failure: InvalidRequest) -> bool:
        """A message with buttons of the types `sent` was refused; whether to send it again with fewer of them.

        `stable` is the part of its text that does not change later.
        """
        self._suspect = ""
        if not sent or code_of(failure) in TABLES:
            return False
        if code_of(failure) not in BLOCKS or is_too_much(failure):
            self._withheld |= set(sent)  # the text may fit without buttons, which proves nothing against them
            return True
        named = [each for each in _ORDER if each in sent and each in _named(failure)]
        self._suspect = (named or [each for each in _ORDER if each in sent])[0]
        self._refused = stable
        self._withheld.add(self._suspect)
        return True

    def record_success(self, text: str) -> None:
        """A message was accepted: if it was refused with the suspect's buttons, these are to blame."""
        if self._suspect and text.startswith(self._refused):
            log.warning("Slack refuses blocks of type %s: answers go without their buttons", self._suspect)
            self._flags.disable(feature_of(self._suspect))
        self._suspect = ""


def _named(failure: InvalidRequest) -> set[str]:
    """The words of Slack's explanation; a block type stands there as its own word."""
    return {word.strip(".,:;'\"[]()") for word in words_of(failure).split()}
