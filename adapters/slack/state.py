"""State shared by all channels of one workspace: clients, caches, budgets and feature flags. Makes no calls."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from adapters.shared.attachments import Attachments
from adapters.shared.cache import TTLCache, expiring
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
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import RateLimitLog

# Features with a remembered failure: a few for the workspace, and two per channel.
FEATURES = 5_000
# Seconds before a disabled feature is tried again.
DISABLED_SECONDS = 600.0


class FeatureFlags:
    """Features refused by the workspace or a channel (blocks, files, a status), disabled for a while."""

    def __init__(self) -> None:
        self._disabled: TTLCache[str, bool] = expiring(FEATURES, DISABLED_SECONDS)
        self._suspected: set[str] = set()  # refused once, and not accepted since; a handful of names

    def disable(self, feature: str) -> None:
        """Do not use `feature` for `DISABLED_SECONDS`."""
        self._disabled[feature] = True

    def suspect(self, feature: str) -> None:
        """`feature` was refused: once may be the text's fault, twice in a row is Slack's."""
        if feature in self._suspected:
            self.disable(feature)
        self._suspected.add(feature)

    def confirm(self, feature: str) -> None:
        """`feature` was accepted."""
        self._suspected.discard(feature)

    def is_disabled(self, feature: str) -> bool:
        """Whether not to use `feature` now."""
        return feature in self._disabled


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


async def open_workspace(
    web: WebApi, me: Identity, attachments: Attachments, options: SlackOptions, spending: RateLimitLog | None = None
) -> WorkspaceState:
    """A workspace with empty caches; its budgets count the calls of earlier processes, from `spending`."""
    cache, limits = MessageCache(), RememberedLimits(me.team, spending)
    uploads = limits.reads("files.completeUploadExternal", TIER_4_READS)
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
        budgets=Budgets(
            limits.edits(options),
            limits.streams(),
            ephemerals=limits.reads("chat.postEphemeral", TIER_4_READS),
            pages=limits.reads("views.publish", TIER_4_READS),
            sessions=limits.reads("agents.sessions.setStatus", TIER_3_READS),
        ),
        cache=cache,
    )
    await limits.recall()
    return workspace
