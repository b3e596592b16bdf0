"""What all channels of one workspace share: its budgets, its people, its memory, and what it turned out not to have.

What belongs here: shared objects and the published limits they begin with. What does not: any call.

Limits: https://docs.slack.dev/apis/web-api/rate-limits; each is counted for a method, a workspace and an app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import partial

from adapters.shared.attachments import Attachments
from adapters.shared.lru import Bounded
from adapters.slack.events.parse import Identity
from adapters.slack.history.cache import MessageCache
from adapters.slack.history.files import FileLookup
from adapters.slack.history.names import NameResolver
from adapters.slack.history.participation import Participation
from adapters.slack.history.reader import HistoryReader
from adapters.slack.history.users import UserDirectory
from adapters.slack.messages.files import FileUploader
from adapters.slack.options import SlackOptions
from adapters.slack.web_api import WebApi
from bot.ports import RateLimitLog, Verb
from bot.rate_limits import (
    ANSWERED_SECONDS,
    AdaptiveLimit,
    Budget,
    LeakyBucket,
    ReadLimiter,
    RollingWindow,
    no_op,
)

# chat.update and chat.delete: tier 3, 50 in any minute.
TIER_3 = 50
MINUTE = 60.0
# The same as a leak: one each 1.2 s; a burst of five is what a conservative client allows itself.
LEAK_SECONDS = MINUTE / TIER_3
LEAK_BURST = 5
# chat.postMessage: one a second in a channel; a little more, for clocks that do not tick alike.
POST_SECONDS = 1.05
# Reads in any minute: of tier 3 for conversations, of tier 4 (100 a minute) for users.info; a little less, for clocks
# that do not tick alike and what another process of ours asked in the same minute.
TIER_3_READS = 45
TIER_4_READS = 90
# The same of tier 2 (20 a minute), for usergroups.list.
TIER_2_READS = 15
# Channels whose budget of posts is remembered. One that was used last so many channels ago has long recovered.
CHANNELS = 5_000
# Messages that we took away ourselves, remembered until Slack tells us of it, seconds later.
DELETED = 1_000
# What a workspace turned out not to have (blocks, a status) is not tried again for so many seconds.
WITHOUT_SECONDS = 600.0


class FeatureFlags:
    """What does not work here, for a while."""

    def __init__(self) -> None:
        self._until: Bounded[str, float] = Bounded(CHANNELS)
        self._doubted: set[str] = set()  # refused once, and not taken since; a handful of names

    def shut(self, what: str) -> None:
        """`what` does not work: leave it for a while."""
        self._until.put(what, asyncio.get_running_loop().time() + WITHOUT_SECONDS)

    def suspect(self, what: str) -> None:
        """`what` was refused: once may be the text's fault, twice in a row is Slack's."""
        if what in self._doubted:
            self.shut(what)
        self._doubted.add(what)

    def confirm(self, what: str) -> None:
        """`what` was taken."""
        self._doubted.discard(what)

    def is_disabled(self, what: str) -> bool:
        """Whether `what` is not to be tried just now."""
        until = self._until.get(what)
        return until is not None and asyncio.get_running_loop().time() < until


def edits_of(
    options: SlackOptions, on_spent: Callable[[], object] = no_op
) -> RollingWindow | LeakyBucket | AdaptiveLimit:
    """How edits are counted here.

    The page above says "50+ per minute" for tier 3, "bursts" are tolerated, and no answer says what is left; whether it
    is a log of the last minute or a leak shows only by a 429.
    """
    window = RollingWindow(TIER_3, MINUTE, on_spent=on_spent)
    leak = LeakyBucket(
        LEAK_SECONDS, burst=LEAK_BURST, paced=True, on_spent=on_spent if options.edits == "leak" else no_op
    )
    known: dict[str, RollingWindow | LeakyBucket] = {"window": window, "leak": leak}
    return known.get(options.edits) or AdaptiveLimit(window, leak, options.edits_latch_seconds)


class Budgets:
    """The same object for everybody who spends it."""

    def __init__(self, edits: Budget | None = None) -> None:
        self._edits = edits or RollingWindow(TIER_3, MINUTE)
        self._deletes = RollingWindow(TIER_3, MINUTE)
        self._posts: Bounded[str, LeakyBucket] = Bounded(CHANNELS)

    def of(self, verb: Verb, channel: str) -> Sequence[Budget]:
        """All that one such write spends."""
        match verb:
            case Verb.EDIT:
                return (self._edits,)
            case Verb.DELETE:
                return (self._deletes,)
        posts = self._posts.get(channel)
        if posts is None:
            posts = LeakyBucket(POST_SECONDS)
            self._posts.put(channel, posts)
        return (posts,)


@dataclass(slots=True)
class WorkspaceState:
    """See the module. `group` is there while the platform runs, for what nobody waits for."""

    web: WebApi
    me: Identity
    attachments: Attachments
    people: UserDirectory
    names: NameResolver
    stubs: FileLookup
    reader: HistoryReader
    uploads: FileUploader
    zone: tzinfo = UTC
    group: asyncio.TaskGroup | None = None
    budgets: Budgets = field(default_factory=Budgets)
    memory: MessageCache = field(default_factory=MessageCache)  # the one of `uploads`
    participation: Participation = field(default_factory=Participation)
    flags: FeatureFlags = field(default_factory=FeatureFlags)
    deleted: Bounded[tuple[str, str], bool] = field(default_factory=lambda: Bounded(DELETED))  # by channel and ts, ours

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do something that nobody waits for; dropped when the platform does not run any more."""
        if self.group is None:
            work.close()
        else:
            self.group.create_task(work)


class RememberedLimits:
    """Makes the rate limits of one workspace, and has their calls remembered for the next process."""

    def __init__(self, team: str, spending: RateLimitLog | None) -> None:
        self._team = team
        self._spending = spending
        self._made: dict[str, RollingWindow | LeakyBucket | AdaptiveLimit | ReadLimiter] = {}

    def reads(self, method: str, rate: int) -> ReadLimiter:
        """So many calls of a method in any minute."""
        self._made[method] = made = ReadLimiter(rate, MINUTE, on_spent=self._noted(method))
        return made

    def edits(self, options: SlackOptions) -> RollingWindow | LeakyBucket | AdaptiveLimit:
        """The edits of all messages."""
        self._made["chat.update"] = made = edits_of(options, self._noted("chat.update"))
        return made

    async def recall(self) -> None:
        """Count what earlier processes have used within the last minute."""
        if self._spending is None:
            return
        for method, limit in self._made.items():
            ages = await self._spending.recent_calls(self._name(method), MINUTE + ANSWERED_SECONDS)
            limit.remember(asyncio.get_running_loop().time(), ages)

    def _noted(self, method: str) -> Callable[[], object]:
        return no_op if self._spending is None else partial(self._spending.record_call, self._name(method))

    def _name(self, method: str) -> str:
        return f"slack/{self._team}/{method}"


async def open_workspace(
    web: WebApi, me: Identity, attachments: Attachments, options: SlackOptions, spending: RateLimitLog | None = None
) -> WorkspaceState:
    """A workspace with nothing known, and nothing spent but what `spending` remembers of earlier processes."""
    memory, limits = MessageCache(), RememberedLimits(me.team, spending)
    puts, looks = limits.reads("files.completeUploadExternal", TIER_4_READS), limits.reads("files.info", TIER_4_READS)
    people = UserDirectory(web, limits.reads("users.info", TIER_4_READS))
    infos, groups = limits.reads("conversations.info", TIER_3_READS), limits.reads("usergroups.list", TIER_2_READS)
    workspace = WorkspaceState(
        web=web,
        me=me,
        zone=options.zone,
        memory=memory,
        uploads=FileUploader(web, memory, puts=puts, looks=looks),
        attachments=attachments,
        budgets=Budgets(limits.edits(options)),
        people=people,
        names=NameResolver(web, people, infos=infos, groups=groups),
        stubs=FileLookup(web, looks),
        reader=HistoryReader(
            web,
            me,
            replies=limits.reads("conversations.replies", TIER_3_READS),
            history=limits.reads("conversations.history", TIER_3_READS),
        ),
    )
    await limits.recall()
    return workspace
