"""The Discord platform as the core's port: the bot's shards in this process, each a lane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from adapters.discord.connection import ReconnectDelays
from adapters.discord.gateway import ShardId
from adapters.discord.gateway_info import ask_gateway
from adapters.discord.interactions.command_sync import CommandHashes, CommandSync, MemoryHashes
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import BotLimits, SharedRequests
from adapters.discord.shard import BotParts, Shard
from adapters.discord.state import BotState
from adapters.shared.attachments import Attachments
from bot.conversation import TurnKey
from bot.errors import Failure, Forbidden, ServiceError
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ownership.access import Lanes, SoleOwner
from bot.ownership.lanes import Lane
from bot.ownership.telemetry import NoOwnershipRecorder, SharedAccountRecorder
from bot.ports import Inbox, OpenedQuestion, Platform

log = logging.getLogger(__name__)

NAME = "discord"

# Discord permits 1,000 new sessions a day and resets the token of a bot that exceeds them
# (https://docs.discord.com/developers/events/gateway#rate-limiting). Below this number, the operator is warned.
FEW_SESSIONS = 100


@dataclass(slots=True)
class _Run:
    """One call of `run`."""

    inbox: Inbox
    interactions: Interactions
    group: asyncio.TaskGroup
    ended: asyncio.Future[Forbidden | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Work until the end of `run`."""
        task = self.group.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def end(self, refusal: Forbidden | None = None) -> None:
        if not self.ended.done():
            self.ended.set_result(refusal)


class DiscordPlatform(Platform):
    """One bot on Discord. `attachments` stays open: its creator closes it."""

    name = NAME

    def __init__(
        self,
        options: DiscordOptions,
        attachments: Attachments,
        hashes: CommandHashes | None = None,
        *,
        lanes: Lanes | None = None,
        global_limit: SharedRequests | None = None,
        accounts: SharedAccountRecorder | None = None,
    ) -> None:
        """`hashes` remember the registered commands across restarts.

        `lanes` tell which shards are ours; without them, all are. `global_limit` is this process's share of the bot's
        requests; without it, all are ours. `accounts` is told the new sessions left, as Discord told at the start.
        """
        if lanes is None:
            lanes = SoleOwner()
            lanes.attach({NAME: self})
        self._options = options
        self._lanes = lanes
        self._bot = BotParts(options, attachments, lanes, BotLimits(options.sharing.per_second, global_limit))
        self._commands = CommandSync(self._connected_state, hashes or MemoryHashes())
        self._count = max(options.sharing.shards, 1)  # of the lanes of new turns
        self._shards: dict[Lane, Shard] = {}  # also lost ones: their answers may still be written
        self._run: _Run | None = None
        self._announced = False
        self._accepting = True
        self._closed = False
        self._ready = asyncio.Event()  # all shards are connected
        self._connected = asyncio.Event()  # some shard is
        self._won = asyncio.Event()  # since the last look for unfinished turns
        self._sessions_left: int | None = None
        self._accounts = accounts or NoOwnershipRecorder()

    # -------------------------------------------------------------------------------------------------------- questions

    @property
    def shards(self) -> Sequence[Shard]:
        """The shards owned by this process."""
        return [shard for shard in self._shards.values() if not shard.ended]

    @property
    @override
    def ready(self) -> bool:
        """Whether the events of all shards owned by this process arrive; a process without shards is ready, too."""
        return self._ready.is_set()

    @property
    def sessions_left(self) -> int | None:
        """New sessions permitted by Discord until its next reset, as told at the start; None if it was not asked."""
        return self._sessions_left

    async def connected(self) -> None:
        """Wait until `ready`."""
        await self._ready.wait()

    def _connected_state(self) -> BotState:
        for shard in self.shards:
            if shard.ready:
                return shard.state
        raise ServiceError("no shard of the bot is connected to Discord")

    def _update(self) -> None:
        """Some shard's connection has changed."""
        for event, is_set in (
            (self._ready, self._announced and not self._closed and all(shard.ready for shard in self.shards)),
            (self._connected, any(shard.ready for shard in self.shards)),
        ):
            if is_set:
                event.set()
            else:
                event.clear()

    # ------------------------------------------------------------------------------------------------------------ lanes

    @override
    def lane_of(self, key: TurnKey) -> Lane:
        return Lane(NAME, f"{shard_of(key.workspace, self._count)}/{self._count}")

    @override
    def lane_won(self, lane: Lane, session: str = "") -> None:
        id_ = parse_shard(lane.name)
        known = self._shards.get(lane)
        if id_ is None or not self._accepting or (known is not None and not known.ended):
            return
        if not self.shards:  # else those with the old count are lost soon
            self._count = id_.count
        self._shards.pop(lane, None)
        shard = self._shards[lane] = Shard(lane, id_, self._bot, session)
        shard.changed = self._update
        if self._run is not None and known is not None:
            self._run.start(known.close())
        if self._run is not None and self._announced:
            self._run.start(self._serve(shard, self._run))
        self._won.set()
        self._update()

    @override
    def lane_closed(self, lane: Lane) -> None:
        if (shard := self._shards.get(lane)) is not None and self._run is not None:
            self._run.start(shard.handler.stop_accepting())

    @override
    def lane_lost(self, lane: Lane) -> None:
        if (shard := self._shards.get(lane)) is not None and not shard.ended:
            shard.lose()
        if self.shards:
            self._count = self.shards[0].id.count  # the oldest

    # -------------------------------------------------------------------------------------------------------- lifecycle

    @override
    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        """Stay connected and hand turns to `inbox`. Raises `Forbidden` if the first login is refused."""
        async with asyncio.TaskGroup() as group:
            self._run = run = _Run(inbox, interactions, group)
            run.start(self._announce(run))
            run.start(self._look_for_unfinished(inbox))
            run.start(self._commands.run(self._connected))
            try:
                refusal = await run.ended  # raised below, because the group would wrap it
            finally:
                self._run = None
                for task in run.tasks:
                    task.cancel()
        if refusal is not None:
            raise refusal

    @override
    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        shard = self._shards.get(self.lane_of(key))
        if shard is None or shard.ended:
            raise ServiceError("the question's shard is not this process's")
        return await shard.handler.open_question(key, messages)

    @override
    async def stop_accepting(self) -> None:
        """Keep later questions for the next process; questions already being looked up are still answered."""
        self._accepting = False
        async with asyncio.TaskGroup() as group:
            for shard in self.shards:
                group.create_task(shard.handler.stop_accepting())

    @override
    async def close(self) -> None:
        """Close the connections, then store questions received since `stop_accepting`."""
        self._accepting = False
        self._closed = True
        self._update()
        async with asyncio.TaskGroup() as group:
            for shard in self._shards.values():
                group.create_task(shard.close())
        if self._run is not None:
            self._run.end()

    async def _serve(self, shard: Shard, run: _Run) -> None:
        try:
            await shard.run(run.inbox, run.interactions)
        except Forbidden as refusal:
            run.end(refusal)

    async def _announce(self, run: _Run) -> None:
        """Make the bot's shards known, then serve those owned by this process."""
        delays = ReconnectDelays()
        while not self._announced:
            try:
                count = await self._ask_count()
                await self._lanes.announce(NAME, [f"{number}/{count}" for number in range(count)], replace=True)
                self._announced = True
            except Forbidden as refusal:
                run.end(refusal)
                return
            except (Failure, TimeoutError) as failure:
                delay = delays.next()
                log.warning("the shards are not known, trying again in %.1f s: %r", delay, failure)
                await asyncio.sleep(delay)
        for shard in self.shards:
            run.start(self._serve(shard, run))
        self._update()

    async def _ask_count(self) -> int:
        """The number of shards. A single one, by choice, costs no question."""
        if self._options.sharing.shards == 1:
            return 1
        if between := self._options.sharing.gateway_seconds:
            await asyncio.sleep(await self._lanes.reserve("discord/gateway", between))
        info = await ask_gateway(self._options)
        self._bot.max_concurrency, self._sessions_left = info.max_concurrency, info.remaining
        self._accounts.identifies_left(info.remaining)
        count = self._options.sharing.shards or info.shards
        if info.remaining < max(FEW_SESSIONS, count):
            log.warning(
                "Discord permits only %d new sessions in the next %.1f hours; %d shards need one each to begin anew",
                info.remaining,
                info.reset_seconds / 3600,
                count,
            )
        log.info("the bot has %d shards, %d of which may connect at once", count, info.max_concurrency)
        return count

    async def _look_for_unfinished(self, inbox: Inbox) -> None:
        """Ask the journal for ever, since other processes may stop or crash at any time."""
        while True:
            await self._connected.wait()
            self._won.clear()
            for unfinished in await inbox.unfinished_turns(NAME) if self._accepting else ():
                shard = self._shards.get(self.lane_of(unfinished.key))
                if shard is not None:
                    shard.recover(unfinished)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.sharing.recovery_interval_seconds):
                    await self._won.wait()


def shard_of(guild: str, count: int) -> int:
    """The shard of a guild; direct messages belong to the first.

    https://docs.discord.com/developers/events/gateway#sharding
    """
    return (int(guild) >> 22) % count if guild.isdecimal() else 0


def parse_shard(name: str) -> ShardId | None:
    """The shard of a lane's name, as in ``3/16``; None if it is none."""
    number, _, count = name.partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        log.error("no shard of Discord: %s", name)
        return None
    return ShardId(int(number), int(count))
