"""A person's first contact and their own page: App Home, the welcome, and suggested prompts.

https://docs.slack.dev/surfaces/app-home, https://docs.slack.dev/reference/events/app_home_opened. A feature the app
lacks (an older manifest) is remembered for a while; questions are answered without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from adapters.shared.json_fields import Json, string_field
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.errors import NO_METHOD, code_of
from adapters.slack.events.places import place_of
from adapters.slack.history.users import to_author
from adapters.slack.messages.blocks import with_blocks, without_blocks
from adapters.slack.messages.renderer import escape_pings
from adapters.slack.messages.views import home_view
from adapters.slack.rate_limits import spending, spending_write
from adapters.slack.state import WorkspaceState
from bot.conversation import Author
from bot.errors import Failure, InvalidRequest, Permanent
from bot.ports import Verb

log = logging.getLogger(__name__)

# Features by their names in `FeatureFlags`.
HOME, PROMPTS = "home", "prompts"
# Codes of an app or a server without the feature; any other concerns one person.
MISSING = NO_METHOD | {
    "not_enabled",
    "missing_scope",
    "not_allowed_token_type",
    "not_authorized",
    "feature_not_enabled",
}
# Attempts to publish a page, and the pause after a failure without a time, in seconds.
ATTEMPTS = 3
RETRY_SECONDS = 1.0
# Longest pause ordered by Slack before another attempt, in seconds.
LONGEST_PAUSE = 60.0


class PersonalPages:
    """The pages and greetings of one workspace. No method raises a `Failure`."""

    def __init__(self, workspace: WorkspaceState) -> None:
        self._workspace = workspace
        self._web = workspace.web
        self._locks = KeyedLock()  # by person, so that the last page published is the newest

    def opened(self, event: Json) -> None:
        """Somebody opened their page or the direct messages. Returns at once."""
        user, channel, tab = (string_field(event, name) for name in ("user", "channel", "tab"))
        if not user:
            return
        if tab == "home":
            self.refresh(user)
        elif tab == "messages" and channel:
            self._workspace.spawn(self._guarded(self._greet(user, channel)))

    def refresh(self, user: str) -> None:
        """Publish a person's page anew. Returns at once."""
        if not self._workspace.flags.is_disabled(HOME):
            self._workspace.spawn(self._guarded(self._publish(user)))

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Failure as failure:
            log.info("Slack: nothing is shown to a person who opened the app (%s)", failure)
        except Exception:
            # The boundary of one person: an odd event must not affect the next.
            log.exception("Slack: a person's page could not be made")

    async def _author(self, user: str) -> Author | None:
        found = await self._workspace.users.find(user)
        return None if found.bot else to_author(found, frozenset(), self._workspace.me)

    # ------------------------------------------------------------------------------------------------------------ page

    async def _publish(self, user: str) -> None:
        """Publish the page, in a few attempts."""
        author = await self._author(user)
        if author is None:
            return
        async with self._locks.hold(user):
            for attempt in range(1, ATTEMPTS + 1):
                panel = await self._workspace.interactions.home(author, place_of(self._workspace.me, ""))
                if not (panel.sections or panel.actions):
                    return
                failure = await self._send_page({"user_id": user, "view": home_view(panel, user)})
                if failure is None or attempt == ATTEMPTS or isinstance(failure, Permanent):
                    break
                await asyncio.sleep(min(getattr(failure, "retry_after", None) or RETRY_SECONDS, LONGEST_PAUSE))

    async def _send_page(self, payload: dict[str, Any]) -> Failure | None:
        try:
            async with spending(self._workspace.budgets.pages):
                await self._web.send("views.publish", payload)
        except Failure as failure:
            log.info("Slack: a person's page was not published (%s)", failure)
            if code_of(failure) in MISSING:
                self._workspace.flags.disable(HOME)
            return failure
        return None

    # --------------------------------------------------------------------------------------------------- first contact

    async def _greet(self, user: str, channel: str) -> None:
        """Offer the operator's prompts, and welcome a person once."""
        await self._offer_prompts(channel)
        author = await self._author(user)
        if author is None:
            return
        words = await self._workspace.interactions.welcome(author, place_of(self._workspace.me, channel))
        if words:
            await self._post(channel, words)

    async def _post(self, channel: str, words: str) -> None:
        """Post the welcome. Once: a repeated one would be visible, a missing one only less polite."""
        async with spending_write(self._workspace.budgets.of(Verb.POST, channel), is_patient=False):
            await self._post_once(channel, words)

    async def _post_once(self, channel: str, words: str) -> None:
        text, place = escape_pings(words), {"channel": channel, "unfurl_links": False, "unfurl_media": False}
        try:
            await self._web.send("chat.postMessage", place | with_blocks(text), once=True)
        except InvalidRequest:
            await self._web.send("chat.postMessage", place | {"text": without_blocks(text)["text"]}, once=True)

    async def _offer_prompts(self, channel: str) -> None:
        flags, prompts = self._workspace.flags, self._workspace.options.suggested_prompts
        if not prompts or flags.is_disabled(PROMPTS) or flags.is_disabled(f"{PROMPTS}:{channel}"):
            return
        offered = [{"title": title, "message": message} for title, message in prompts]
        flags.disable(f"{PROMPTS}:{channel}")  # one call for each conversation in a while is enough
        try:
            await self._web.send("assistant.threads.setSuggestedPrompts", {"channel_id": channel, "prompts": offered})
        except Failure as failure:
            log.info("Slack: prompts are not offered (%s)", failure)
            if code_of(failure) in MISSING:
                flags.disable(PROMPTS)
