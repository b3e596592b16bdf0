"""The journals: the port's contract in memory and in a file, and promises of the file."""

from __future__ import annotations

import asyncio
import signal
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.journal import JournalBroken, MemoryJournal, SqliteJournal
from adapters.journal.memory import StoredTurn
from bot.conversation import Ending, TurnKey
from bot.journal import Journal
from bot.ports import UnfinishedTurn
from tests.contracts.journal import DurableJournalContract, JournalContract
from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.fakes import FakeJournal
from tests.support.paths import ROOT
from tests.support.process import BARE, bot

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def key(number: int) -> TurnKey:
    return TurnKey("discord", "g", "c", str(number))


# ----------------------------------------------------------------------------------------------------------- in memory


class TestMemoryJournal(JournalContract):
    """The contract, in memory."""

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[Journal]:
        yield MemoryJournal()


class TestFakeJournal(DurableJournalContract):
    """The contract, for the journal in tests."""

    last: FakeJournal | None = None

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Journal]:
        self.last = FakeJournal(durable=True, of=self.last)
        yield self.last


async def test_the_oldest_turns_are_evicted() -> None:
    """A long-running process holds a bounded number of turns, the newest."""
    journal = MemoryJournal(limit=3)
    for number in range(1_000):
        assert await journal.accept(key(number))
    assert len(journal) == 3
    assert not await journal.accept(key(999))
    assert await journal.accept(key(0))


async def test_a_stored_turn_can_be_read() -> None:
    """A turn has its messages once, in the order of posting; a live turn has no ending."""
    journal = MemoryJournal()
    assert journal.turn(key(1)) is None
    await journal.accept(key(1), "text")
    turn = journal.turn(key(1))
    assert turn == StoredTurn("text")
    for message in ("a", "b", "a"):
        await journal.posted(key(1), message)
    await journal.ended(key(1), Ending.INTERRUPTED)
    assert turn == StoredTurn("text", ["a", "b"], Ending.INTERRUPTED)
    await journal.ended(key(1), Ending.STOPPED)
    assert turn == StoredTurn("", ["a", "b"], Ending.STOPPED)


def test_a_journal_without_capacity_is_rejected() -> None:
    """A limit of 0 would treat every redelivery as a new question."""
    with pytest.raises(ValueError, match="remembers nothing"):
        MemoryJournal(limit=0)


# ----------------------------------------------------------------------------------------------------------- in a file


# A generous limit, in seconds: parallel tests slow down the disk.
SLOW_SECONDS = 15.0


@pytest.mark.sockets(seconds=20)
class TestSqliteJournal(DurableJournalContract):
    """The contract, in a file."""

    file: Path

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.file = tmp_path / "turns.db"

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Journal]:
        async with SqliteJournal(self.file, now, response_seconds=SLOW_SECONDS) as journal:
            yield journal

    async def test_turns_of_a_live_process_are_not_claimed(self) -> None:
        """While the old process finishes its answers beside the new one, exactly one of them owns each turn."""
        async with self.process() as new:
            async with self.process() as old:
                for number in range(3):
                    await old.accept(key(number), "text")
                assert not await new.unfinished("discord")
                assert not await new.accept(key(0), "text")
                await old.ended(key(1), Ending.DONE)
                await old.ended(key(2), Ending.INTERRUPTED)
                assert [record.key for record in await new.unfinished("discord")] == [key(2)]
                assert not await old.unfinished("discord")
            assert [record.key for record in await new.unfinished("discord")] == [key(0)]
            assert not await new.unfinished("discord")

    async def test_no_text_outlives_its_turn(self) -> None:
        """After the end of a turn, no file contains its question."""
        async with self.process() as journal:
            await journal.accept(key(1), "a very private question")
            assert any(b"private" in file.read_bytes() for file in self.file.parent.iterdir())
            await journal.ended(key(1), Ending.DONE)
        assert not any(b"private" in file.read_bytes() for file in self.file.parent.iterdir())

    async def test_only_the_bots_user_may_read_it(self) -> None:
        """All files are readable by the bot's user alone."""
        async with self.process() as journal:
            await journal.accept(key(1), "text")
            modes = {stat.S_IMODE(file.stat().st_mode) for file in self.file.parent.iterdir()}
            assert modes == {0o600}
        assert names(self.file.parent) == [self.file.name]

    @pytest.mark.slow
    @pytest.mark.sockets(seconds=60)  # 5 s on an idle machine
    async def test_ten_thousand_at_once(self) -> None:
        """Simultaneous turns are written together; each is accepted once, even if it arrives twice."""
        async with self.process() as journal:
            keys = [key(number) for number in range(10_000)]
            answers = await asyncio.gather(*(journal.accept(each, "x" * 500) for each in keys * 2))
            assert sum(answers) == len(keys)
            assert journal.durable
        async with self.process() as journal:
            assert [record.key for record in await journal.unfinished("discord")] == keys

    async def test_a_closed_journal_raises(self) -> None:
        """A write after closing raises at once."""
        async with self.process() as journal:
            pass
        with pytest.raises(JournalBroken, match="closed"):
            await journal.accept(key(1))

    async def test_a_cancelled_writer_loses_nothing_of_others(self) -> None:
        """A cancelled writer does not disturb other writers."""
        async with self.process() as journal, asyncio.TaskGroup() as group:
            tasks = [group.create_task(journal.accept(key(number))) for number in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            assert all([await task for task in tasks[1::2]])


CHILD = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from adapters.journal import SqliteJournal
from bot.conversation import Ending, TurnKey

async def main() -> None:
    async with SqliteJournal(Path(sys.argv[1]), lambda: datetime.now(UTC)) as journal:
        async def accept(channel: int) -> None:
            for number in range(100_000):
                assert await journal.accept(TurnKey("slack", "T", str(channel), str(number)), "text")
                sys.stdout.write(f"{channel} {number}\\n")
                sys.stdout.flush()
        async with asyncio.TaskGroup() as group:
            for channel in range(5):
                group.create_task(accept(channel))

asyncio.run(main())
"""


@pytest.mark.sockets
async def test_accepted_turns_survive_a_kill(tmp_path: Path) -> None:
    """The next process finds every acknowledged turn of a killed one, and none before the kill."""
    file = tmp_path / "turns.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(file), env=BARE, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with SqliteJournal(file, now) as journal:
        lines = [await child.stdout.readline() for _ in range(200)]
        assert not await journal.unfinished("slack")
        child.send_signal(signal.SIGKILL)
        lines += (await child.stdout.read()).splitlines()
        assert await child.wait() == -signal.SIGKILL
        records: Sequence[UnfinishedTurn] = ()
        while not records:  # a dead process is observed for two heartbeats
            await asyncio.sleep(0.1)
            records = await journal.unfinished("slack")
        found = {(record.key.channel, record.key.message) for record in records}
    acknowledged = {tuple(line.decode().split()) for line in lines}
    assert len(acknowledged) >= 200
    assert acknowledged <= found
    assert names(tmp_path) == [file.name]


@pytest.mark.sockets
async def test_two_processes_beside_each_other_answer_once(tmp_path: Path) -> None:
    """While a new version starts, Discord sends each question to both processes; one of them answers it whole."""
    words = " ".join(f"word{number}" for number in range(20))
    async with OpenAIDouble(default=Answer(words, words_per_second=80)) as model, DiscordDouble().running() as double:
        guild, dana = double.world.guild(), double.world.user("Dana")
        channels = [double.world.channel(guild, f"c{number}") for number in range(5)]
        environment = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_MODEL": "m",
            **double.environment,
            "JOURNAL_URL": f"sqlite:///{tmp_path}/turns.db",
        }
        async with bot(environment) as old, bot(environment) as new:

            async def answered(turns: int) -> None:
                while sum("turn ended" in line for line in (*old.lines, *new.lines)) < turns:
                    await asyncio.sleep(0.02)

            await double.until(lambda: double.gateway.connected >= 2)
            for channel in channels[:4]:
                double.say(channel, f"<@{double.world.bot}> why?", author=dana)
            await answered(4)
            assert await old.stop() == 0
            double.say(channels[4], f"<@{double.world.bot}> and now?", author=dana)
            await answered(5)
            assert await new.stop() == 0
        for channel in channels:
            _question, *answers = double.shown(channel)
            assert [answer.text.split() for answer in answers] == [words.split()]
    assert names(tmp_path) == ["turns-records.db", "turns.db"]
