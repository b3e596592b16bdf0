"""State shared by all channels of one workspace: clients, caches, budgets and feature flags. Makes no calls."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from adapters.shared.attachments import Attachments
from adapters.shared.cache import LRUCache, loop_time
from adapters.slack.events.parse import Identity
from adapters.slack.history.cache import MessageCache, Participation
from adapters.slack.history.files import FileLookup
from adapters.slack.history.reader import HistoryReader
from adapters.slack.history.users import NameResolver, UserDirectory
from adapters.slack.messages.files import FileUploader
from adapters.slack.options import SlackOptions
from adapters.slack.rate_limits import (
    TIER_2_READS,
    TIER_3_READS,
    TIER_4_READS,
    Budgets,
    RememberedLimits,
)
from adapters.slack.web_api import WebApi
from bot.conversation import TurnKey
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import Inbox, RateLimitLog
from bot.rate_limits import Budget

# Features with a remembered failure: a few for the workspace, and two per channel.
FEATURES = 5_000
# Seconds before a disabled feature is tried again.
DISABLED_SECONDS = 600.0


class FeatureFlags:
    """Features refused by the workspace or a channel (blocks, files, a status), disabled for a while."""

    def __init__(self) -> None:
        self._until: LRUCache[str, float] = LRUCache(FEATURES)  # the loop's time at which a disabled one is tried again
        self._suspected: LRUCache[str, str] = LRUCache(FEATURES)  # refused once, and not accepted since: by what

    def disable(self, feature: str, seconds: float = DISABLED_SECONDS) -> None:
        """Do not use `feature` for `seconds`."""
        self._until[feature] = max(loop_time() + seconds, self._until.get(feature, 0.0))

    def suspect(self, feature: str, seconds: float = DISABLED_SECONDS, *, by: str = "") -> bool:
        """`feature` was refused: once may be the text's fault, twice in a row is Slack's. Returns whether it was.

        `by`: the text's place; a second refusal there alone proves nothing.
        """
        is_refused = feature in self._suspected and (not by or self._suspected[feature] != by)
        if is_refused:
            self.disable(feature, seconds)
        self._suspected[feature] = by
        return is_refused

    def confirm(self, feature: str) -> None:
        """`feature` was accepted."""
        self._suspected.pop(feature, None)

    def is_disabled(self, feature: str) -> bool:
        """Whether not to use `feature` now."""
        return loop_time() < self._until.get(feature, 0.0)


@dataclass(slots=True)
class WorkspaceState:
    """Shared objects of one workspace. `group` owns background tasks while the platform runs."""

    options: SlackOptions
    web: WebApi
    me: Identity
    attachments: Attachments
    users: UserDirectory
    names: NameResolver
    files: FileLookup
    reader: HistoryReader
    uploader: FileUploader  # uses `cache`
    budgets: Budgets
    cache: MessageCache
    interactions: Interactions = NO_INTERACTIONS
    group: asyncio.TaskGroup | None = None
    participation: Participation = field(default_factory=Participation)
    flags: FeatureFlags = field(default_factory=FeatureFlags)

    def spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        """Run `coroutine` in the background; dropped if the platform no longer runs."""
        if self.group is None:
            coroutine.close()
            return None
        return self.group.create_task(coroutine)

    def dismiss(self, inbox: Inbox, key: TurnKey) -> None:
        """Give a question up, unless it is another process's by now: then the failures of our calls say nothing."""
        if not self.web.is_over:
            inbox.dismiss(key)


async def open_workspace(
    web: WebApi,
    me: Identity,
    attachments: Attachments,
    options: SlackOptions,
    spending: RateLimitLog | None = None,
    *,
    last: Budget | None = None,
) -> WorkspaceState:
    """A workspace with empty caches; its budgets count the calls of earlier owners, from `spending`.

    `last` is the last limit of each write.
    """
    cache, limits = MessageCache(), RememberedLimits(me.team, spending, last)
    uploads = limits.private("files.completeUploadExternal", TIER_4_READS)
    file_infos = limits.reads("files.info", TIER_4_READS)
    users = UserDirectory(web, limits.reads("users.info", TIER_4_READS), options.timings)
    channel_infos = limits.reads("conversations.info", TIER_3_READS)
    groups = limits.reads("usergroups.list", TIER_2_READS)
    workspace = WorkspaceState(
        options=options,
        web=web,
        me=me,
        attachments=attachments,
        users=users,
        names=NameResolver(web, users, infos=channel_infos, groups=groups),
        files=FileLookup(web, file_infos),
        reader=HistoryReader(
            web,
            me,
            replies=limits.reads("conversations.replies", TIER_3_READS),
            history=limits.reads("conversations.history", TIER_3_READS),
        ),
        uploader=FileUploader(web, cache, options.timings, uploads=uploads, infos=file_infos),
        budgets=make_budgets(limits, options, last),
        cache=cache,
    )
    await limits.recall()
    workspace.budgets.posted_before(await limits.age_of_last_post())
    return workspace


def make_budgets(limits: RememberedLimits, options: SlackOptions, last: Budget | None) -> Budgets:
    """The budgets of writes; `last` ends those of each."""
    return Budgets(
        limits.edits(options),
        limits.streams(),
        ephemerals=limits.private("chat.postEphemeral", TIER_4_READS),
        pages=limits.private("views.publish", TIER_4_READS),
        sessions=limits.private("agents.sessions.setStatus", TIER_3_READS),
        on_posted=limits.on_posted(),
        last=last,
    )
