"""Writes of one answer, in the richest form the server accepts: blocks, fewer tables, plain text, shorter messages."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import Any

from adapters.slack.errors import BLOCKS, METADATA, NO_METHOD, STREAM_CLOSED, TABLES, UNCHANGEABLE, code_of, is_too_much
from adapters.slack.messages.blocks import MARKDOWN_LIMIT, with_blocks, without_blocks
from adapters.slack.messages.button_refusals import ButtonRefusals
from adapters.slack.messages.buttons import (
    ACTIONS,
    CONTEXT_ACTIONS,
    CONTROLS_BY_TYPE,
    MESSAGE_LENGTH,
    block_types,
    button_blocks,
)
from adapters.slack.messages.mrkdwn import TEXT_LIMIT, escaped_length, from_markdown
from adapters.slack.messages.renderer import SlackMarkdown
from adapters.slack.messages.tables import count_tables
from adapters.slack.state import WorkspaceState
from adapters.slack.web_api import ApiResponse
from bot.errors import Failure, InvalidRequest, NotEditable, Permanent, ServiceError, TooLarge
from bot.markdown import utf16_units
from bot.ports import Body, ChannelCapabilities, Controls

log = logging.getLogger(__name__)

# After a refusal for its size, the next body has half of it, down to these, in characters: smaller blocks are refused
# for another reason, and smaller texts are unreadable.
MIN_BLOCKS = 1_000
MIN_TEXT = 300
# Consecutive edits answered with 404 without Slack's JSON, after which the server counts as one without edits.
NO_EDITS = 3
# Random bytes of a block's id, which must differ at each update of a message.
SERIAL_BYTES = 6


class BodyWriter:
    """Sends bodies of one answer, and degrades their form after a refusal.

    Each retry is the core's, with a permit of its own. `caps` describe the current form, so the core splits for it.
    """

    def __init__(self, workspace: WorkspaceState, question: str, offered: Controls) -> None:
        """`question` is the id for the values of buttons, `offered` are the answer's."""
        self._web = workspace.web
        self._interactions = workspace.interactions
        self._strings = workspace.options.strings
        self._question = question
        self._offered = offered
        self._refusals = ButtonRefusals(workspace.flags)
        self._flags = workspace.flags
        self._text_only = self._flags.is_disabled("blocks")
        self._tables: int | None = None  # tables per message, once all of them were refused; None: no limit
        self._can_edit = not self._flags.is_disabled("edits")
        self._failed_edits = 0  # in a row
        self.has_metadata = True  # whether posts carry their key; False once it was refused
        self.caps = self._base_caps()

    async def write(self, method: str, payload: dict[str, Any], body: Body, *, once: bool) -> ApiResponse:
        """Call `method` with `body`. `once`: see `errors.translated`.

        A refused form raises `ServiceError` (send again) or `TooLarge` (split again), with `caps` reduced.
        """
        if not self._text_only and self._flags.is_disabled("blocks"):
            self._use_text()
        text_only = self._text_only
        shown = without_blocks(body.text) if text_only else with_blocks(body.text, tables=self._max_tables())
        if text_only and len(shown["text"]) > TEXT_LIMIT:
            raise TooLarge(f"{method}: longer than text may be, where blocks are refused")
        sent = self._refusals.allowed(block_types(body.controls)) if not text_only else frozenset()
        if sent:
            shown["blocks"] += self._buttons(body, sent, shown["blocks"])
        try:
            answer = await self._web.send(method, payload | shown, once=once)
        except InvalidRequest as failure:
            if code_of(failure) in UNCHANGEABLE:
                raise NotEditable(str(failure)) from failure
            self._send_less(failure, sent, body.stable)
            raise self._degrade(method, body, failure) from failure
        if not text_only:
            self._flags.confirm("blocks")
            self._refusals.record_success(body.text)
        if self._tables is None and not text_only and count_tables(body.text) > 1:
            self._flags.confirm("tables")
        return answer

    async def write_without_blocks(self, method: str, payload: dict[str, Any], body: Body) -> None:
        """Call `method` with `body` as text alone, and so without buttons; `TooLarge` asks for smaller messages."""
        shown = without_blocks(body.text)
        if len(shown["text"]) > TEXT_LIMIT:
            self._use_text()
            raise TooLarge(f"{method}: longer than text may be, and blocks would show it twice")
        await self._web.send(method, payload | shown, once=False)

    async def stop_stream(self, payload: dict[str, Any], body: Body) -> None:
        """End a stream with the buttons of `body`. Refused buttons, or a refused key, raise `ServiceError`: again."""
        sent = self._refusals.allowed(block_types(body.controls)) if not self._text_only else frozenset()
        blocks = self._buttons(body, sent, [{"text": body.text}]) if sent else []
        try:
            await self._web.send("chat.stopStream", payload | ({"blocks": blocks} if blocks else {}), once=True)
        except InvalidRequest as failure:
            self._send_less(failure, sent, body.stable)
            raise
        self._refusals.record_success(body.text)

    def _send_less(self, failure: InvalidRequest, sent: frozenset[str], stable: str) -> None:
        """Raise `ServiceError` if the same text may be accepted without its key, or with fewer buttons."""
        if code_of(failure) in METADATA and self.has_metadata:
            self.has_metadata = False
            raise ServiceError(f"{failure}: again without its key") from failure
        if code_of(failure) not in STREAM_CLOSED and self._refusals.record_refusal(sent, stable, failure):
            self.caps = replace(self.caps, controls=self._controls())
            raise ServiceError(f"{failure}: again with fewer buttons") from failure

    def _controls(self) -> Controls:
        """The controls with a place in blocks. Without edits, none could be removed, or answered in place."""
        types = self._refusals.allowed([ACTIONS, CONTEXT_ACTIONS])
        found = Controls.NONE
        for type_, controls in CONTROLS_BY_TYPE:
            found |= controls if type_ in types else Controls.NONE
        return found & self._offered & (found if self._can_edit else Controls.FEEDBACK)

    def _buttons(self, body: Body, types: frozenset[str], blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        room = MESSAGE_LENGTH - sum(utf16_units(block["text"]) for block in blocks)
        models, serial = self._interactions.models, secrets.token_hex(SERIAL_BYTES)
        return button_blocks(
            body.controls, types, self._question, models, strings=self._strings, serial=serial, room=room
        )

    def edit_succeeded(self) -> None:
        """Reset the count of failed edits."""
        self._failed_edits = 0

    def edit_failed(self, failure: Failure) -> None:
        """Raise `NotEditable` if the failure shows a server without edits."""
        if code_of(failure) not in NO_METHOD or isinstance(failure, NotEditable):
            return
        self._failed_edits += 1
        if isinstance(failure, Permanent) or self._failed_edits >= NO_EDITS:  # a proxy's 404 is temporary
            self._flags.disable("edits")
            log.warning("Slack takes no edits here: answers continue in new messages (%s)", failure)
            raise NotEditable(str(failure)) from failure

    def _max_tables(self) -> int | None:
        """Tables of a message sent as tables; None for all of them."""
        return 1 if self._tables is None and self._flags.is_disabled("tables") else self._tables

    def _degrade(self, method: str, body: Body, failure: InvalidRequest) -> Failure:
        """The next form after a refusal: shorter messages if too large; else one table, no tables, plain text."""
        size, refused = self.caps.measure(body.text), "messages"
        if self._text_only or (is_too_much(failure) and min(size, self.caps.limit) > MIN_BLOCKS):
            if self._text_only and min(size, self.caps.limit) <= MIN_TEXT:
                return failure
            least = MIN_TEXT if self._text_only else MIN_BLOCKS
            self.caps = replace(self.caps, limit=max(min(size, self.caps.limit) // 2, least))
        elif self._reduce_tables(body, failure):
            refused = "tables"
        else:
            refused = "blocks"
            if code_of(failure) in BLOCKS and not is_too_much(failure):
                self._flags.suspect("blocks")
            self._use_text()
        log.warning("Slack refuses the %s of an answer; sending it smaller or plainer (%s)", refused, failure)
        if refused == "messages" or (refused == "blocks" and len(from_markdown(body.text)) > TEXT_LIMIT):
            return TooLarge(f"{method}: again in smaller messages")
        return ServiceError(f"{method}: again with less in its blocks")

    def _use_text(self) -> None:
        self._text_only = True
        self.caps = self._base_caps()

    def _base_caps(self) -> ChannelCapabilities:
        if self._text_only:
            return ChannelCapabilities(
                limit=TEXT_LIMIT, measure=escaped_length, renderer=SlackMarkdown(), edits=self._can_edit
            )
        # Slack says "characters" and not which; UTF-16 units are the most it can mean.
        return ChannelCapabilities(
            limit=MARKDOWN_LIMIT,
            measure=utf16_units,
            renderer=SlackMarkdown(expands=True),
            edits=self._can_edit,
            controls=self._controls(),
        )

    def _reduce_tables(self, body: Body, failure: InvalidRequest) -> bool:
        allowed, count = self._max_tables(), count_tables(body.text)
        if code_of(failure) not in BLOCKS | TABLES or allowed == 0 or not count:
            return False
        only_one = allowed is None and count > 1 and code_of(failure) in TABLES
        self._tables = 1 if only_one else 0
        if only_one:
            self._flags.suspect("tables")
        return True
