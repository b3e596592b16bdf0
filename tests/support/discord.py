"""The real adapter (and the real discord.py) against the loopback Discord, for the tests of both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from adapters.discord import DiscordOptions, DiscordPlatform, SharedRequests, SharingOptions
from adapters.discord import file_hosts as hosts_of
from adapters.discord.interactions.command_sync import CommandHashes
from adapters.discord.state import BotState
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.delivery.policy import WritePolicy
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.service import InteractionService
from bot.ports import Channel, Model, Verb
from bot.turns.generations import Generations
from bot.turns.manager import TurnManager
from tests.servers.discord import DiscordDouble
from tests.servers.limits import Kind
from tests.support.core import make_turns, running
from tests.support.fakes import FakeJournal
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions

WRITING = WritePolicy()

# The age up to which an edited question is answered again, as by default. Seconds.
EDIT_SECONDS = 300.0

METHODS = {Verb.POST: "POST", Verb.EDIT: "PATCH", Verb.DELETE: "DELETE"}


def options_for(double: DiscordDouble) -> DiscordOptions:
    return DiscordOptions(
        token=double.token,
        api_url=double.api_url,
        gateway_url=double.gateway_url,
        write_seconds=5.0,
        read_seconds=5.0,
        login_seconds=10.0,
        # No other process was just there.
        sharing=SharingOptions(recovery_hold_seconds=0.0, identify_seconds=0.01, gateway_seconds=0.0),
    )


class Bot:
    """A platform at work, its double, and a small world: a guild, a channel in a category, and two people."""

    def __init__(self, double: DiscordDouble) -> None:
        self.double = double
        self.inbox = RecordingInbox()
        self.interactions = RecordingInteractions()
        world = double.world
        self.guild = world.guild()
        self.role = world.role(self.guild, "devs")
        self.category = world.channel(self.guild, "rooms", kind=4)
        self.general = world.channel(self.guild, "general", category=self.category)
        self.ada = world.user("Ada", nick="Countess", roles=[self.role])
        self.bob = world.user("Bob")
        self.me = f"<@{world.bot}>"
        self._platform: DiscordPlatform | None = None

    @property
    def platform(self) -> DiscordPlatform:
        assert self._platform is not None
        return self._platform

    @platform.setter
    def platform(self, platform: DiscordPlatform) -> None:
        self._platform = platform

    @property
    def state(self) -> BotState:
        """The state of the only shard."""
        [shard] = self.platform.shards
        return shard.state

    def ask(self, text: str, **details: object) -> str:
        """Ada mentions the bot in #general, unless `details` say otherwise."""
        said = {"channel": self.general, "content": f"{self.me} {text}", "author": self.ada} | details
        return self.double.say(**said)  # type: ignore[arg-type] # `details` are what `say` takes

    async def settled(self) -> None:
        """Wait until the bot has handled all earlier events: a later question has arrived."""
        count = len(self.inbox.turns) + 1
        dm = self.double.world.dm(self.bob)
        self.double.say(dm, "settled?", author=self.bob)
        while not any(turn.channel_ids == (dm,) for turn, _ in self.inbox.turns):
            await self.inbox.wait_for(count)
            count = len(self.inbox.turns) + 1
        self.inbox.turns[:] = [(turn, channel) for turn, channel in self.inbox.turns if turn.channel_ids != (dm,)]


@asynccontextmanager
async def bot_at_work(
    *,
    prepare: Callable[[Bot], None] = lambda _bot: None,
    change: Callable[[DiscordOptions], DiscordOptions] = lambda options: options,
    file_hosts: frozenset[str] = frozenset(),
    interactions: Interactions | None = None,
    shared: SharedRequests | None = None,
) -> AsyncIterator[Bot]:
    """A connected bot. `prepare` is called before it connects; files come from `file_hosts`, too.

    `interactions` take the place of the bot's recording ones. `shared` is its share of the whole bot's requests.
    """
    double = DiscordDouble()
    bot = Bot(double)
    if isinstance(interactions, RecordingInteractions):
        bot.interactions = interactions
    prepare(bot)
    async with double.running():
        options = change(options_for(double))
        async with platform_at_work(bot, options, file_hosts=file_hosts, interactions=interactions, shared=shared):
            yield bot


@asynccontextmanager
async def platform_at_work(
    bot: Bot,
    options: DiscordOptions | None = None,
    *,
    file_hosts: frozenset[str] = frozenset(),
    hashes: CommandHashes | None = None,
    interactions: Interactions | None = None,
    shared: SharedRequests | None = None,
) -> AsyncIterator[DiscordPlatform]:
    """A (new) process of the bot, connected."""
    options = options or options_for(bot.double)
    attachments = Attachments(AttachmentLimits(), hosts=file_hosts | hosts_of(options))
    bot.platform = platform = DiscordPlatform(options, attachments, hashes, global_limit=shared)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(platform.run(bot.inbox, interactions or bot.interactions))
            try:
                await platform.connected()
                yield platform
            finally:
                running.cancel()
    finally:
        await platform.close()
        await attachments.close()


@asynccontextmanager
async def process(
    bot: Bot,
    model: Model,
    journal: FakeJournal,
    *,
    writing: WritePolicy = WRITING,
    interactions: Interactions = NO_INTERACTIONS,
    change: Callable[[DiscordOptions], DiscordOptions] = lambda options: options,
) -> AsyncIterator[TurnManager]:
    """The whole program but for its settings: the core and the platform, connected. Leaving it is a `kill -9`."""
    options, turns = change(options_for(bot.double)), make_turns(model, journal, writes=writing)
    attachments = Attachments(AttachmentLimits(), hosts=hosts_of(options))
    bot.platform = platform = DiscordPlatform(options, attachments)
    generations = Generations(turns, {"discord": platform}, edit_seconds=EDIT_SECONDS)
    service = InteractionService(generations, commands=interactions)
    try:
        async with running(turns), asyncio.TaskGroup() as group:
            task = group.create_task(platform.run(turns, service))
            try:
                await platform.connected()
                yield turns
            finally:
                task.cancel()
    finally:
        await platform.close()
        await attachments.close()


def sharing(**changes: float) -> Callable[[DiscordOptions], DiscordOptions]:
    """A change of options: these `SharingOptions`."""
    return lambda options: replace(options, sharing=replace(options.sharing, **changes))  # type: ignore[arg-type]


@dataclass(slots=True)
class DiscordStage:
    """Discord for the channel contract."""

    bot: Bot
    first: Channel
    second: Channel
    skips: frozenset[str] = frozenset()

    @property
    def channel(self) -> Channel:
        return self.first

    def another(self) -> Channel:
        return self.second

    def shown(self) -> list[str]:
        return self.bot.double.answers(self.bot.general)

    async def remove(self, message: str) -> None:
        self.bot.double.remove(self.bot.general, message)

    def limit(self, verb: Verb, seconds: float) -> None:
        body = json.dumps({"message": "You are being rate limited.", "retry_after": seconds, "global": False}).encode()
        headers = {"Via": "1.1 google", "Retry-After": str(int(seconds))}
        self._fault(verb, Kind.STATUS, status=429, headers=headers, body=body)

    def fail_once(self, verb: Verb) -> None:
        self._fault(verb, Kind.STATUS, status=500)

    def lose_response(self, verb: Verb) -> None:
        self._fault(verb, Kind.RESET_AFTER)

    def forbid(self) -> None:
        self.bot.double.forbidden.add(self.bot.general)

    def _fault(self, verb: Verb, kind: Kind, **details: object) -> None:
        self.bot.double.faults.add(METHODS[verb], "/messages", kind, **details)


@asynccontextmanager
async def discord_stage() -> AsyncIterator[DiscordStage]:
    """A fresh stage with two questions in one channel."""
    async with bot_at_work() as bot:
        bot.ask("one?")
        bot.ask("two?")
        (_, first), (_, second) = await bot.inbox.wait_for(2)
        yield DiscordStage(bot, first, second)


@dataclass(slots=True)
class InteractionStage(DiscordStage):
    """Answers to two commands for the channel contract. The first post is an edit of the interaction's response."""

    # Each token has its own limits and permission to write; another test covers a channel without permission.
    skips: frozenset[str] = frozenset({"budgets_are_shared", "a_forbidden_post_is_forbidden"})

    def shown(self) -> list[str]:
        return [text for text in self.bot.double.answers(self.bot.general) if text]  # the others: "is thinking"

    def _fault(self, verb: Verb, kind: Kind, **details: object) -> None:
        method = "DELETE" if verb is Verb.DELETE else "PATCH"
        self.bot.double.faults.add(method, "/messages/@original", kind, **details)


@asynccontextmanager
async def interaction_stage() -> AsyncIterator[InteractionStage]:
    """A fresh stage with two commands in one channel."""
    async with bot_at_work() as bot:
        for question in ("one?", "two?"):
            bot.double.use("ask", bot.general, user=bot.ada, question=question)
        (_, first), (_, second) = await bot.inbox.wait_for(2)
        yield InteractionStage(bot, first, second)
