"""Shards as lanes: their guilds, their sessions in other processes, and the slots of new sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.discord import DiscordOptions, DiscordPlatform, file_hosts
from adapters.discord.platform import shard_of
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.conversation import TurnKey
from bot.errors import Forbidden
from bot.ownership.lanes import Lane
from bot.ports import Verb
from bot.rate_limits import Budget
from bot.rate_limits.renewable import RenewableLimit
from tests.servers.discord import DiscordDouble
from tests.support.discord import options_for, sharing
from tests.support.inbox import RecordingInbox
from tests.support.lanes import LaneTable, MovableLanes
from tests.support.waiting import until

pytestmark = pytest.mark.sockets


@dataclass
class Process:
    """One process of the bot. All share one journal, in `World.inbox`."""

    lanes: MovableLanes
    platform: DiscordPlatform
    running: asyncio.Task[None]

    def won(self, name: str) -> bool:
        return any(str(shard.id) == name and shard.ready for shard in self.platform.shards)


class World:
    """A double with a guild in each of two shards, and a person in both."""

    def __init__(self, shards: int = 2) -> None:
        self.double = DiscordDouble()
        self.table = LaneTable()
        self.inbox = RecordingInbox()
        world = self.double.world
        self.ada = world.user("Ada")
        self.channels: dict[int, str] = {}  # by shard
        while len(self.channels) < shards:
            guild = world.guild()
            if (shard := shard_of(guild, shards)) not in self.channels:
                self.channels[shard] = world.channel(guild)

    def ask(self, shard: int, text: str) -> str:
        me = f"<@{self.double.world.bot}>"
        return self.double.say(self.channels[shard], f"{me} {text}", author=self.ada)

    @asynccontextmanager
    async def process(
        self,
        *,
        takes: int = 0,
        shards: int = 2,
        limit: Budget | None = None,
        inbox: RecordingInbox | None = None,
        change: Callable[[DiscordOptions], DiscordOptions] = lambda options: options,
    ) -> AsyncIterator[Process]:
        options = change(sharing(shards=shards, takeover_hold_seconds=0.0)(options_for(self.double)))
        attachments = Attachments(AttachmentLimits(), hosts=file_hosts(options))
        lanes = MovableLanes(self.table, takes=takes, limit=limit)
        lanes.holder = platform = DiscordPlatform(options, attachments, lanes=lanes)
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(platform.run(inbox or self.inbox))
                await platform.connected()
                yield Process(lanes, platform, running)
                running.cancel()
        finally:
            await platform.close()
            await attachments.close()


def lane(name: str) -> Lane:
    return Lane("discord", name)


async def test_each_shard_answers_its_guilds() -> None:
    """Two shards in one process answer the questions of their guilds, and the first one direct messages."""
    world = World()
    async with world.double.running(), world.process(takes=2) as process:
        for shard in (0, 1):
            world.ask(shard, f"in {shard}?")
        world.double.say(world.double.world.dm(world.ada), "direct?", author=world.ada)
        await world.inbox.wait_for(3)

        assert sorted(world.inbox.questions) == ["direct?", "in 0?", "in 1?"]
        lanes = {turn.question.text: process.platform.lane_of(turn.key) for turn, _ in world.inbox.turns}
        assert lanes == {"in 0?": lane("0/2"), "in 1?": lane("1/2"), "direct?": lane("0/2")}
        assert sorted(identify["shard"] for identify in world.double.gateway.identifies) == [[0, 2], [1, 2]]


async def test_a_process_answers_only_in_its_shards() -> None:
    """A process with one of two shards is ready, and hears nothing of the other's guilds."""
    world = World()
    async with world.double.running(), world.process(takes=1) as process:
        world.ask(1, "not here?")
        world.ask(0, "here?")
        await world.inbox.wait_for()

        assert world.inbox.questions == ["here?"]
        assert (process.platform.ready, len(process.platform.shards)) == (True, 1)


async def test_a_process_without_shards_is_ready() -> None:
    """A process that waits for lanes is ready without any connection."""
    world = World()
    async with world.double.running(), world.process() as process:
        assert (process.platform.ready, world.double.gateway.connections) == (True, 0)


async def test_questions_in_a_closed_shard_are_its_next_owners() -> None:
    """Its session goes on behind the last journalled event, so the next owner receives them, and each is heard once."""
    world = World()
    async with world.double.running(), world.process(takes=2) as old, world.process() as new:
        world.ask(0, "before?")
        await world.inbox.wait_for()
        old.platform.lane_closed(lane("0/2"))
        world.ask(0, "closed?")
        world.ask(1, "elsewhere?")
        await world.inbox.wait_for(2)
        assert world.inbox.questions == ["before?", "elsewhere?"]
        old.lanes.release(lane("0/2"))
        world.table.give(lane("0/2"), new.lanes)
        await world.inbox.wait_for(3)

        assert world.inbox.questions == ["before?", "elsewhere?", "closed?"]
        assert len(world.double.gateway.resumes) == 1


async def test_a_released_shard_is_resumed_by_another_process() -> None:
    """The next owner resumes the session, and answers what was asked meanwhile, once; nobody begins a new session."""
    world = World()
    async with world.double.running(), world.process(takes=1) as old, world.process() as new:
        world.ask(0, "before?")
        await world.inbox.wait_for()
        old.lanes.release(lane("0/2"))
        world.ask(0, "meanwhile?")
        await until(lambda: world.double.gateway.closes != [])
        world.table.give(lane("0/2"), new.lanes)
        await new.platform.connected()
        world.ask(0, "after?")
        await world.inbox.wait_for(3)

        assert world.inbox.questions == ["before?", "meanwhile?", "after?"]
        gateway = world.double.gateway
        assert (len(gateway.identifies), len(gateway.resumes), gateway.closes) == (1, 1, [((0, 2), 4000)])
        assert old.platform.shards == []


async def test_a_released_shard_takes_nothing_in_at_that_instant() -> None:
    """An event that still reaches the old owner after the release is left to the next one."""
    world, inbox = World(), RecordingInbox()
    async with world.double.running(), world.process(takes=1) as old, world.process(inbox=inbox) as new:
        gateway = world.double.gateway
        world.ask(0, "who?")
        await gateway.settled()  # sent, and not read yet
        old.lanes.release(lane("0/2"))
        await until(lambda: gateway.closes != [])
        world.table.give(lane("0/2"), new.lanes)
        await inbox.wait_for()

        assert (inbox.questions, world.inbox.received) == (["who?"], [])


async def test_a_crashed_owner_leaves_its_session() -> None:
    """After a crash the session is resumed from the last journalled event: what came later is answered once."""
    world = World()
    async with world.double.running(), world.process() as new:
        async with world.process(takes=1) as old:
            world.ask(0, "journalled?")
            await world.inbox.wait_for()
            receive, hangs = world.inbox.receive, asyncio.Event()

            async def receive_never(key: TurnKey, event: str) -> bool:
                hangs.set()
                await asyncio.Event().wait()
                return False

            world.inbox.receive = receive_never  # type: ignore[method-assign] # the journal hangs
            world.ask(0, "not journalled?")
            await hangs.wait()
            world.table.crash(old.lanes)
            world.double.gateway.abort_all()
        world.inbox.receive = receive  # type: ignore[method-assign]
        world.ask(0, "meanwhile?")
        world.table.give(lane("0/2"), new.lanes)
        await world.inbox.wait_for(3)

        assert world.inbox.questions == ["journalled?", "not journalled?", "meanwhile?"]
        assert len(world.double.gateway.identifies) == 1


async def test_a_forgotten_session_begins_anew() -> None:
    """A session that Discord no longer knows is replaced by a new one, in its slot."""
    world = World()
    async with world.double.running(), world.process(takes=1) as old, world.process() as new:
        old.lanes.release(lane("0/2"))
        await until(lambda: world.double.gateway.closes != [])
        world.double.gateway.sessions.clear()
        world.table.give(lane("0/2"), new.lanes)
        await until(lambda: new.won("0/2"))
        world.ask(0, "still there?")
        await world.inbox.wait_for()

        assert [len(one) for one in (world.double.gateway.resumes, world.double.gateway.identifies)] == [1, 2]
        assert [name for name, _ in world.table.reserved] == ["discord/identify/0"] * 2


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"id": 1, "sequence": "x", "gateway": ""}'])
async def test_an_unreadable_session_begins_anew(text: str) -> None:
    """The text of another version, or of nobody, costs a new session."""
    world = World()
    world.table.sessions[lane("0/2")] = text
    async with world.double.running(), world.process(takes=1):
        world.ask(0, "hi?")
        await world.inbox.wait_for()

        assert (len(world.double.gateway.identifies), world.double.gateway.resumes) == (1, [])


async def test_new_sessions_of_two_processes_keep_their_distance() -> None:
    """Two processes that start at once never begin two sessions within Discord's time."""
    world = World()
    world.double.gateway.identify_seconds = 0.3
    async with (
        world.double.running(),
        world.process(takes=1, change=sharing(identify_seconds=0.35)),
        world.process(takes=1, change=sharing(identify_seconds=0.35)),
    ):
        assert (len(world.double.gateway.identifies), world.double.gateway.too_early) == (2, [])
        (first, at), (second, then) = world.table.reserved
        assert first == second
        assert round(then - at, 6) >= 0.3


async def test_processes_that_start_together_ask_in_turn_for_the_shards() -> None:
    """Discord refuses a third question within its time, so all processes share one series of slots."""
    world = World()
    change = sharing(gateway_seconds=0.2)
    async with world.double.running(), world.process(change=change), world.process(change=change):
        (first, at), (second, then) = world.table.reserved
        assert first == second == "discord/gateway"
        assert round(then - at, 6) >= 0.2
        assert len(world.double.transcript.of("GET", "/gateway/bot")) == 2


async def test_shards_of_different_remainders_begin_together() -> None:
    """Discord permits so many new sessions at once for a large bot: one for each remainder."""
    world = World()
    world.double.gateway.max_concurrency = 2
    world.double.gateway.identify_seconds = 60.0
    async with world.double.running(), world.process(takes=2):
        assert sorted(name for name, _ in world.table.reserved) == ["discord/identify/0", "discord/identify/1"]


async def test_a_changed_number_of_shards() -> None:
    """A process with another number of shards ends the old ones everywhere; questions of all guilds are answered."""
    world = World()
    async with world.double.running(), world.process(takes=2) as old:
        world.ask(1, "by two?")
        await world.inbox.wait_for()
        old.lanes.takes = 0
        async with world.process(takes=1, shards=1) as new:
            world.ask(0, "by one?")
            world.ask(1, "by the same?")
            await world.inbox.wait_for(3)

            assert sorted(world.inbox.questions) == ["by one?", "by the same?", "by two?"]
            assert (old.platform.shards, list(world.table.owners)) == ([], [lane("0/1")])
            assert {new.platform.lane_of(turn.key) for turn, _ in world.inbox.turns} == {lane("0/1")}


async def test_discord_recommends_the_number_of_shards() -> None:
    """The number of shards is Discord's, if the operator leaves it to Discord."""
    world = World()
    world.double.gateway.recommended_shards = world.double.gateway.least_shards = 2
    async with world.double.running(), world.process(takes=9, shards=0) as process:
        assert [str(shard.id) for shard in process.platform.shards] == ["0/2", "1/2"]


async def test_few_sessions_left_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The operator is told before Discord resets the token of a bot with too many new sessions."""
    world = World()
    world.double.gateway.sessions_left = 40
    async with world.double.running(), world.process(takes=2) as process:
        assert process.platform.sessions_left == 40
    assert [record.levelname for record in caplog.records if "only 40 new sessions" in record.getMessage()] == [
        "WARNING"
    ]


async def test_a_single_shard_asks_nothing_more() -> None:
    """With one shard, Discord's recommendation is not asked for."""
    world = World(1)
    async with world.double.running(), world.process(takes=1, shards=1):
        assert world.double.transcript.of("GET", "/gateway/bot") == []


async def test_too_few_shards_end_with_a_line_for_the_operator() -> None:
    """If Discord requires more shards, the line names the setting."""
    world = World()
    world.double.gateway.least_shards = 2
    async with world.double.running():
        with pytest.raises(ExceptionGroup) as refused:
            async with world.process(takes=1, shards=1):
                pytest.fail("it is refused")
    assert refused.group_contains(Forbidden, match="TICKERTAPE_DISCORD_SHARDS=auto")


async def test_the_last_limit_of_a_write_is_the_lanes() -> None:
    """Each write of a shard's channels has the lane's limit as its last budget."""
    world, limit = World(), RenewableLimit()
    async with world.double.running(), world.process(takes=1, limit=limit):
        world.ask(0, "hi?")
        [(_, channel)] = await world.inbox.wait_for()

        assert [channel.budgets(verb)[-1] for verb in Verb] == [limit] * len(Verb)


async def test_the_next_owner_knows_threads_and_roles() -> None:
    """A resumed session brings no names; they are read once, before the first message of a server is handled."""
    world = World()
    server = world.double.world
    guild = str(server.channels[world.channels[0]]["guild_id"])
    role, thread = server.role(guild, "bot", of_bot=True), server.thread(world.channels[0], "a thread")
    async with world.double.running(), world.process(takes=1) as old, world.process() as new:
        old.lanes.release(lane("0/2"))
        world.table.give(lane("0/2"), new.lanes)
        for place, text in ((world.channels[0], f"<@&{role}> by role?"), (thread, f"<@{server.bot}> in a thread?")):
            world.double.say(place, text, author=world.ada)
        await world.inbox.wait_for(2)
        world.double.say(thread, "and more?", author=world.ada)
        await world.inbox.wait_for(3)

        assert [turn.question.text for turn, _ in world.inbox.turns][1:] == ["in a thread?", "and more?"]
        assert [len(world.double.transcript.of("GET", f"/guilds/{guild}{end}$")) for end in ("", "/channels")] == [1, 1]


async def test_a_server_that_cannot_be_read_is_answered_nevertheless() -> None:
    """Names are missing then, and nothing else."""
    world = World()
    world.double.missing = "/guilds/"
    async with world.double.running(), world.process(takes=1) as old, world.process() as new:
        old.lanes.release(lane("0/2"))
        world.table.give(lane("0/2"), new.lanes)
        world.ask(0, "hi?")
        await world.inbox.wait_for()

        assert world.inbox.questions == ["hi?"]
