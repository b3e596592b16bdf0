"""The form of message the server accepts in one channel, learned from its rejections of our writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from adapters.discord.errors import names_components, names_content, refuses_edits, refuses_reference
from adapters.discord.messages.components import STOP_PREFIX, ids_in
from adapters.discord.messages.renderer import MESSAGE_LIMIT, DiscordMarkdown
from adapters.discord.state import BotState
from bot.errors import Failure, InvalidRequest, NotEditable, Permanent, ServiceError, TooLarge
from bot.markdown import utf16_units
from bot.ports import ChannelCapabilities, Controls, Verb

log = logging.getLogger(__name__)

# Largest file of a bot in any guild: 10 MiB each (https://docs.discord.com/developers/reference#uploading-files). All
# files of one answer together are far below. Bytes.
FILE_LIMIT = 10 * 2**20

CONTROLS = Controls.STOP | Controls.RETRY | Controls.FEEDBACK
CAPS = ChannelCapabilities(limit=MESSAGE_LIMIT, measure=utf16_units, renderer=DiscordMarkdown(), controls=CONTROLS)

# By controls and files. A server may take a stop button and refuse what an ended answer shows.
_CAPS = MappingProxyType(
    {
        (controls, files): replace(CAPS, controls=controls, files=FILE_LIMIT if files else 0)
        for controls in (Controls.NONE, Controls.STOP, CONTROLS)
        for files in (False, True)
    }
)

# After a body is rejected for its size or shape, later ones have half its size, down to this. UTF-16 units.
MIN_LIMIT = 200


class AcceptedForm:
    """Size, controls, files and reference for the writes of one answer."""

    def __init__(self, state: BotState, channel: str) -> None:
        self._state = state
        self._channel = channel
        self._limit = MESSAGE_LIMIT
        self._refused = Controls.NONE
        self._files = state.accepts_files(channel)  # fixed, since it decides how text is split
        self.references = True  # posts reply to the question
        self._caps_form: tuple[Controls, bool, int] | None = None  # the form of `_caps`
        self._caps = CAPS

    @property
    def caps(self) -> ChannelCapabilities:
        """Capabilities without the rejected ones. The core asks for them a hundred times in an answer."""
        form = (self._refused | self._state.refused_controls, self._files, self._limit)
        if form != self._caps_form:
            refused, files, limit = self._caps_form = form
            caps = _CAPS[CONTROLS & ~refused, files]
            self._caps = caps if limit == caps.limit else replace(caps, limit=limit)
        return self._caps

    def disable_files(self, reason: str) -> None:
        """Uploads fail here: use none in the rest of this answer, and for a while none in later ones."""
        self._files = False
        self._state.disable_files(self._channel)
        log.warning("long answers continue in messages here, because uploads fail: %s", reason)

    def failure_for(self, verb: Verb, payload: Mapping[str, Any], rejection: Permanent, *, files: bool) -> Failure:
        """The failure for a rejected write; a write in another form may follow at once (`retry_after` of 0)."""
        if files:  # too large, or no permission to attach: the next write shows if we may write at all
            self.disable_files(str(rejection))
        if verb is Verb.EDIT and refuses_edits(rejection):
            return NotEditable(str(rejection))
        if "message_reference" in payload and refuses_reference(rejection):
            self.references = False
            log.warning("answers here do not reply to their questions: %s", rejection)
            return ServiceError(f"{verb.value}: rejected with its reference", retry_after=0.0)
        if not isinstance(rejection, InvalidRequest):
            return rejection
        if "components" not in payload or names_content(rejection):
            return self._reduce_limit(payload, rejection)
        # A server without such components: repeat the same text, with a permit of its own, without them.
        refused = _refused_with(payload["components"])
        self._refused |= refused
        if names_components(rejection):
            self._state.refuse_controls(refused)
            log.warning(
                "this server refuses the buttons of %s", "an ended answer" if refused != CONTROLS else "answers"
            )
        return ServiceError(f"{verb.value}: rejected with its components", retry_after=0.0)

    def _reduce_limit(self, payload: Mapping[str, Any], rejection: InvalidRequest) -> Failure:
        """Continue in smaller messages after a rejected body, unless it is small already."""
        size = min(self._limit, utf16_units(str(payload.get("content", ""))))
        if size <= MIN_LIMIT or payload.get("attachments"):
            return rejection
        self._limit = max(size // 2, MIN_LIMIT)
        return TooLarge(str(rejection))


def _refused_with(rows: object) -> Controls:
    """The controls to do without: those of an ended answer, or all if a running one's are refused too."""
    ids = ids_in(rows)
    is_ended = bool(ids) and not any(each.startswith(STOP_PREFIX) for each in ids)
    return CONTROLS & ~Controls.STOP if is_ended else CONTROLS
