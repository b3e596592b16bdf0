"""The app's place in the workspace: removed or without a valid token, and perhaps back later.

https://docs.slack.dev/reference/events/app_uninstalled, https://docs.slack.dev/reference/events/tokens_revoked
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from adapters.shared.json_fields import Json, list_field, object_field, string_field
from adapters.slack.check import BOT_TOKEN_FIX, identify
from adapters.slack.state import WorkspaceState
from bot.callbacks import no_op
from bot.errors import Forbidden, Retryable

log = logging.getLogger(__name__)


class Installation:
    """Whether the bot token of one workspace is valid, as far as Slack's events tell."""

    def __init__(self, workspace: WorkspaceState, on_removed: Callable[[], object] = no_op) -> None:
        """`on_removed` is called when Slack reports the end."""
        self._workspace = workspace
        self._on_removed = on_removed
        self.is_lost = False

    def removed(self, event: Json) -> None:
        """The app was uninstalled, or tokens were revoked. Returns at once."""
        kind, me = string_field(event, "type"), self._workspace.me
        if kind == "tokens_revoked" and me.user not in list_field(object_field(event, "tokens"), "bot"):
            return  # other tokens of the app
        if self.is_lost:
            return
        self.is_lost = True
        what = "the app was removed from the workspace" if kind == "app_uninstalled" else "the bot token was revoked"
        log.error("Slack: %s %s; nothing is answered until it is back. %s", what, me.team, BOT_TOKEN_FIX)
        self._workspace.spawn(self._wait_until_back())
        self._on_removed()

    async def _wait_until_back(self) -> None:
        while self.is_lost:
            await asyncio.sleep(self._workspace.options.timings.token_retry)
            try:
                await identify(self._workspace.web)
            except (Forbidden, Retryable):
                continue
            self.is_lost = False
            log.info("Slack: the bot token is valid again")
