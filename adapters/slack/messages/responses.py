"""Responses to one person: private notices, forms and files.

A notice is an ephemeral message (https://docs.slack.dev/reference/methods/chat.postEphemeral), seen by one person and
not stored. If Slack refuses it, the payload's ``response_url`` takes it. A form is a modal; its ``trigger_id`` is valid
once, for three seconds (https://docs.slack.dev/interactivity/handling-user-interaction).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from adapters.shared.json_fields import string_at
from adapters.slack.events.actions import Origin
from adapters.slack.messages.views import form_view, notice_message, notice_view
from adapters.slack.rate_limits import spending
from adapters.slack.state import WorkspaceState
from bot.errors import Failure, InvalidRequest, NotFound, RateLimited, Retryable
from bot.interactions.values import Form, Notice, PrivateFile, Response
from bot.ports import Upload

log = logging.getLogger(__name__)

# Wait for the budget of private messages, in seconds: longer, the response address takes the notice.
PATIENCE_SECONDS = 2.0
# Attempts to show a notice, and the pause between them, in seconds.
ATTEMPTS = 3
RETRY_SECONDS = 1.0
# Longest pause ordered by Slack before another attempt, in seconds.
LONGEST_PAUSE = 30.0


class Responder:
    """Shows responses in one workspace. No method raises a `Failure`: a response in no way possible is logged."""

    def __init__(self, workspace: WorkspaceState) -> None:
        self._workspace = workspace
        self._web = workspace.web
        self._strings = workspace.options.strings

    async def show(self, response: Response, origin: Origin, *, replaces: bool = False) -> None:
        """Show a response to the person of `origin`.

        `replaces`: in place of the private notice with the pressed button, so that it cannot be pressed twice.
        """
        if isinstance(response, Form):
            await self._open_form(response, origin)
            return
        if replaces and origin.response_url and await self._replace(response, origin):
            origin = replace(origin, response_url="")
        elif response.text or response.actions:
            await self._notify(response, origin)
        if response.file is not None:
            await self._send_file(response.file, origin)

    async def tell(self, text: str, origin: Origin) -> None:
        """Show one line."""
        await self._notify(Notice(text), origin)

    # ----------------------------------------------------------------------------------------------------------- forms

    async def _open_form(self, form: Form, origin: Origin) -> None:
        if not await self._open_view(form_view(form, origin), origin):
            await self.tell(self._strings.form_late, origin)

    async def _open_view(self, view: dict[str, Any], origin: Origin) -> bool:
        """Whether a view opened. One attempt: a trigger is valid once."""
        if not origin.trigger_id:
            return False
        try:
            await self._web.send("views.open", {"trigger_id": origin.trigger_id, "view": view})
        except Failure as failure:
            log.info("Slack: a form was not opened (%s)", failure)
            return False
        return True

    # --------------------------------------------------------------------------------------------------------- notices

    async def _notify(self, notice: Notice, origin: Origin) -> None:
        if not origin.channel and await self._open_view(notice_view(notice, origin), origin):
            return
        message, may_post = notice_message(notice, origin), bool(origin.channel)
        if origin.is_command and await self._respond(message, origin):
            return
        for _ in range(ATTEMPTS):
            failure = await self._post(message, origin) if may_post else NotFound("no channel to post in")
            if failure is None or (origin.response_url and await self._respond(message, origin)):
                return
            if isinstance(failure, InvalidRequest) and "blocks" in message:
                message = {"text": message["text"]}
                continue
            may_post = may_post and isinstance(failure, Retryable)
            pause = failure.retry_after if isinstance(failure, Retryable) else None
            if not (may_post or origin.response_url) or (pause or 0.0) > LONGEST_PAUSE:
                break
            await asyncio.sleep(RETRY_SECONDS if pause is None else pause)
        log.warning("Slack: a private notice could not be shown to user %s", origin.user)

    async def _post(self, message: dict[str, Any], origin: Origin) -> Failure | None:
        """Post a private message; the failure, if any. The response address is an alternative to a long wait."""
        place = {"channel": origin.channel, "user": origin.user}
        if origin.thread:
            place["thread_ts"] = origin.thread
        try:
            async with (
                asyncio.timeout(PATIENCE_SECONDS if origin.response_url else None) as patience,
                spending(self._workspace.budgets.ephemerals),
            ):
                patience.reschedule(None)  # only the wait for a permit ends early; a call has its own timeout
                await self._web.send("chat.postEphemeral", message | place)
        except TimeoutError:
            return RateLimited("chat.postEphemeral: the budget allows no message now")
        except Failure as failure:
            log.info("Slack: a private notice was not posted (%s)", failure)
            return failure
        return None

    async def _respond(self, message: dict[str, Any], origin: Origin) -> bool:
        """Whether the payload's response address took the message."""
        payload = {"response_type": "ephemeral", "replace_original": False, **message}
        return await self._use_address(payload, origin)

    async def _replace(self, notice: Notice, origin: Origin) -> bool:
        """Whether the notice stands in place of the earlier one; without text, the earlier one disappears."""
        if not (notice.text or notice.actions):
            return await self._use_address({"delete_original": True}, origin)
        return await self._use_address({"replace_original": True, **notice_message(notice, origin)}, origin)

    async def _use_address(self, payload: dict[str, Any], origin: Origin) -> bool:
        try:
            await self._web.respond(origin.response_url, payload)
        except Failure as failure:
            log.info("Slack: a response address refuses a notice (%s)", failure)
            return False
        return True

    # ----------------------------------------------------------------------------------------------------------- files

    async def _send_file(self, file: PrivateFile, origin: Origin) -> None:
        """Send a file into the person's direct messages with the bot."""
        try:
            channel = origin.channel if origin.channel.startswith("D") else await self._open_direct(origin.user)
            uploader = self._workspace.uploader
            batch = await uploader.upload([Upload(file.name, "", content=file.data)])
            await uploader.share(batch, (channel, ""), "")
        except Failure as failure:
            log.warning("Slack: a private file was not sent (%s)", failure)
            await self.tell(self._strings.file_failed, origin)
            return
        if channel != origin.channel:
            await self.tell(self._strings.file_sent, origin)

    async def _open_direct(self, user: str) -> str:
        """The direct messages with a user; needs the scope im:write."""
        answer = await self._web.send("conversations.open", {"users": user})
        if not (channel := string_at(answer.data, "channel", "id")):
            raise NotFound("conversations.open: an answer without a channel")
        return channel
