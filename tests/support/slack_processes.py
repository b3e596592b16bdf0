"""Several processes of one Slack app in one event loop: each with a core, a keeper and the platform, in real time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from typing_extensions import override

from adapters.http_server import HttpServer
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import EVENTS, PATH, BotTokens, SlackPlatform, file_hosts
from adapters.slack.options import SlackTimings
from bot.conversation import Ending, TurnKey
from bot.errors import Forbidden
from bot.ownership.keeper import Keeper, KeeperOptions
from bot.ownership.lanes import Lane
from bot.ownership.lease import LeaseTimes
from bot.ownership.shared_lanes import SharedLanes
from bot.ports import UnfinishedTurn
from bot.turns.hooks import TurnHooks, every_turn
from bot.turns.lane_work import LaneWork
from bot.turns.manager import TurnManager
from tests.servers.slack import SlackDouble
from tests.support.core import make_turns
from tests.support.engine import Engine
from tests.support.fakes import FakeJournal, ScriptedModel, Step
from tests.support.inbox import PATIENCE
from tests.support.interactions import RecordingInteractions
from tests.support.ownership import MemoryOwnership
from tests.support.slack import options_of
from tests.support.transport import Transport
from tests.support.waiting import until

# A lease in real time: a kill is noticed within this, and a stalled machine less likely.
LEASE = LeaseTimes(3.0)


class MemoryTokens(BotTokens):
    """The tokens of installed workspaces."""

    def __init__(self, *workspaces: SlackDouble) -> None:
        self.by_team = {each.world.team: each.bot_token for each in workspaces}
        self.bots = {each.world.bot_user: each.world.team for each in workspaces}
        self.was_removed: list[str] = []

    @override
    async def teams(self) -> Sequence[str]:
        return list(self.by_team)

    @override
    async def token(self, team: str) -> str:
        if team not in self.by_team:
            raise Forbidden(f"the app is not installed in {team}")
        return self.by_team[team]

    @override
    async def removed(self, team: str) -> bool:
        self.was_removed.append(team)
        self.by_team.pop(team, None)
        return True

    @override
    async def team_of_bot(self, user: str) -> str:
        return self.bots.get(user, "")


@dataclass
class Shared:
    """What all processes share: the engine, the journal's rows, and the turns' owners."""

    engine: Engine = field(default_factory=lambda: Engine(lambda: asyncio.get_running_loop().time()))
    rows: FakeJournal = field(default_factory=lambda: FakeJournal(durable=True))
    owners: dict[TurnKey, str] = field(default_factory=dict)
    listeners: list[Callable[[str], None]] = field(default_factory=list)


class LaneJournal(FakeJournal):
    """One process's view of the shared rows: it continues turns of its lanes that others began."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(durable=True)
        self.entries, self.answers, self.ends = shared.rows.entries, shared.rows.answers, shared.rows.ends
        self._shared = shared
        self._known: set[TurnKey] = set()
        self.process: Callable[[], str] = lambda: ""
        self.may_run: Callable[[TurnKey], bool] = every_turn

    @override
    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        is_new = await super().accept(key, event, messages)
        if is_new:
            self._shared.owners[key] = self.process()
            self._known.add(key)
        return is_new

    def lane_won(self) -> None:
        """The next look compares all turns of this process with those known here."""

    def lane_lost(self, concerns: Callable[[TurnKey], bool]) -> None:
        self._known = {key for key in self._known if not concerns(key)}

    @override
    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        process = self.process()
        found = [
            key
            for key in self.entries
            if (self._shared.owners.get(key) != process or key not in self._known)
            and self._shared.engine.tables.lanes[Lane(platform, key.workspace)].owner == process
            and self.ends.get(key, Ending.INTERRUPTED) is Ending.INTERRUPTED
        ]
        for key in found:
            self._shared.owners[key] = process
        self._known.update(key for key in found if self.may_run(key))
        return [UnfinishedTurn(key, self.entries[key], tuple(self.answers[key]), self.age) for key in found]


class SlackProcess:
    """One process."""

    def __init__(
        self,
        name: str,
        double: SlackDouble,
        shared: Shared,
        script: Iterable[Step],
        tokens: BotTokens | None,
    ) -> None:
        numbers = itertools.count(1)
        self.connection = MemoryOwnership(shared.engine, shared.listeners)
        self.work = LaneWork(self._holds)
        options = KeeperOptions(("slack",), LEASE)
        self.keeper = Keeper(self.connection, self.work, options, lambda: f"{name}.{next(numbers)}")
        self.lanes = SharedLanes(self.keeper, self.connection)
        hosts = file_hosts(options_of(double))
        self._attachments = Attachments(AttachmentLimits(), hosts=hosts)
        timings = SlackTimings(recovery_poll=0.2)
        self.platform = SlackPlatform(options_of(double, timings=timings), self._attachments, self.lanes, tokens=tokens)
        journal = LaneJournal(shared)
        journal.process, journal.may_run = (lambda: self.keeper.process), self.work.may_run
        self.model = ScriptedModel(script)
        self.turns: TurnManager = make_turns(self.model, journal, hooks=TurnHooks(may_run=self.work.may_run))
        self.work.attach(self.turns.lost, {self.platform.name: self.platform}, journal)
        self.interactions = RecordingInteractions()
        self.url = ""  # over HTTP
        self._is_http = double.transport is Transport.HTTP
        self._stack = AsyncExitStack()

    def _holds(self, lane: Lane) -> bool:
        return self.keeper.holds(lane)

    async def start(self) -> SlackProcess:
        """Run, until events can arrive."""
        if self._is_http:
            server = HttpServer(
                host="127.0.0.1",
                port=0,
                ready=lambda: {"slack": self.platform.ready},
                render_metrics=lambda: (b"", "text/plain"),
                routes=self.platform.routes(),
                bodies=[EVENTS],
            )
            self._stack.push_async_callback(server.close)
            self.url = await server.start() + PATH
        self._stack.push_async_callback(self._attachments.close)
        self._stack.push_async_callback(self.platform.close)
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._tasks = [group.create_task(self.turns.run()), group.create_task(self.keeper.run())]
        await self.turns.started.wait()
        self._tasks.append(group.create_task(self.platform.run(self.turns, self.interactions)))
        await until(lambda: self.platform.ready, seconds=PATIENCE)
        return self

    async def kill(self) -> None:
        """`kill -9`: nothing more happens here."""
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def stop(self, seconds: float) -> None:
        """SIGTERM."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keeper.release_all(seconds))
            group.create_task(self.platform.stop_accepting())
            group.create_task(self.turns.drain(seconds))
        await self.keeper.leave()

    async def owns(self, *teams: str) -> None:
        """Wait until these lanes are this process's."""
        await until(lambda: all(self.lanes.owns(Lane("slack", team)) for team in teams), seconds=PATIENCE)


@dataclass
class SlackCluster:
    """All processes, by name."""

    double: SlackDouble
    shared: Shared
    processes: dict[str, SlackProcess] = field(default_factory=dict)

    def __getitem__(self, name: str) -> SlackProcess:
        return self.processes[name]

    def send_to(self, name: str) -> None:
        """Over HTTP, let Slack's requests arrive there. Over the socket, they go to the process started last."""
        if self.double.transport is Transport.HTTP:
            self.double.requests.move(self.processes[name].url)

    def answers(self) -> Mapping[str, int]:
        """The model's calls of each process."""
        return {name: len(process.model.calls) for name, process in self.processes.items()}


@asynccontextmanager
async def cluster(
    double: SlackDouble,
    script: Iterable[Step],
    tokens: BotTokens | None = None,
    names: Sequence[str] = ("owner", "other"),
) -> AsyncIterator[SlackCluster]:
    """Processes at a running server; the first one owns all workspaces of the server, and events go to the last one."""
    script, all_of_them = list(script), SlackCluster(double, Shared())
    double.requests.retry_seconds = ()
    try:
        for name in names:
            process = SlackProcess(name, double, all_of_them.shared, script, tokens)
            all_of_them.processes[name] = process
            await process.start()
            if name == names[0]:
                teams = [double.world.team] if tokens is None else await tokens.teams()
                await process.owns(*teams)
        all_of_them.send_to(names[-1])
        yield all_of_them
    finally:
        for process in all_of_them.processes.values():
            await process.kill()
