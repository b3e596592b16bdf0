"""Two whole programs on one database and one Slack workspace: one owns it, and the other takes over."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.e2e.test_postgres import environment, whole
from tests.e2e.test_program import SlackPlace, numbered
from tests.servers.faulty_link import FaultyLink, faulty_link
from tests.servers.limits import Kind
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.postgres import read_rows
from tests.support.process import Running, bot
from tests.support.slack import for_program
from tests.support.transport import Transport
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=120)

WORDS = numbered(60)
TAKEN = "lane taken"


@dataclass
class Pair:
    """Both programs: the owner of the workspace with its link to the database, and the other one."""

    owner: Running
    other: Running
    place: SlackPlace
    model: OpenAIDouble
    link: FaultyLink

    async def begin(self) -> str:
        """Ask a question whose answer takes three seconds, and wait for some of it."""
        question = self.place.ask("why?")
        await until(lambda: bool(self.place.answers(question)))
        return question


@asynccontextmanager
async def two_processes(database: str) -> AsyncIterator[Pair]:
    double = for_program(Transport.SOCKET)
    double.sockets.spreads = True
    async with (
        OpenAIDouble(default=Answer(WORDS, words_per_second=20)) as model,
        double.running(),
        faulty_link(database) as (first, first_link),
        faulty_link(database) as (second, second_link),
    ):
        place = SlackPlace(double)
        async with bot(environment(model, first, place)) as one, bot(environment(model, second, place)) as other:
            await until(lambda: len(double.sockets.live) >= 2)
            await until(lambda: any(TAKEN in line for each in (one, other) for line in each.lines))
            if any(TAKEN in line for line in one.lines):
                yield Pair(one, other, place, model, first_link)
            else:
                yield Pair(other, one, place, model, second_link)


async def endings(database: str) -> list[str | None]:
    return [row[0] for row in await read_rows(database, "SELECT ending FROM tickertape.turns")]


async def test_an_event_at_either_process_is_answered_once_by_the_owner(database: str) -> None:
    """Slack sends events to both in turn."""
    async with two_processes(database) as pair:
        questions = [(pair.place.ask("why?", place=number), number) for number in range(4)]
        await until(lambda: all(whole(pair.place, *each) for each in questions))
        assert [await each.stop() for each in (pair.other, pair.owner)] == [0, 0]
        assert not any("turn ended" in line for line in pair.other.lines)
        assert sum("turn ended" in line for line in pair.owner.lines) == 4
        assert len(pair.model.requests) == 4
    assert await endings(database) == ["done"] * 4


async def test_the_other_process_completes_the_answer_of_a_killed_owner(database: str) -> None:
    """In the same message, within seven seconds."""
    async with two_processes(database) as pair:
        loop = asyncio.get_running_loop()
        question = await pair.begin()
        pair.owner.process.kill()
        killed = loop.time()
        await pair.other.says("recovering unfinished turns")
        assert loop.time() - killed < 7.0
        await until(lambda: whole(pair.place, question))
        assert len(pair.place.answers(question)) == 1
        assert await pair.other.stop() == 0
    assert await endings(database) == ["done"]


async def test_a_write_of_the_killed_owner_that_arrives_last_is_replaced(database: str) -> None:
    """Slack applies it nine seconds late, over the whole answer. Readers see the whole answer again soon after."""
    async with two_processes(database) as pair:
        question = await pair.begin()
        faults = pair.place.double.faults
        faults.add("POST", r"/chat\.update$", Kind.HELD, seconds=9.0)
        await until(lambda: bool(faults.fired))
        pair.owner.process.kill()
        await pair.other.says("turn ended")
        await until(lambda: whole(pair.place, question))
        await until(lambda: not whole(pair.place, question), seconds=15.0)
        await until(lambda: whole(pair.place, question), seconds=15.0)
        assert len(pair.place.answers(question)) == 1
        assert await pair.other.stop() == 0
    assert await endings(database) == ["done"]


async def test_a_suspended_owner_writes_nothing_after_it_wakes(database: str) -> None:
    """Another process has its answer by then."""
    async with two_processes(database) as pair:
        question = await pair.begin()
        pair.owner.process.send_signal(signal.SIGSTOP)
        try:
            await pair.other.says("recovering unfinished turns")
            await until(lambda: whole(pair.place, question))
        finally:
            pair.owner.process.send_signal(signal.SIGCONT)
        writes = len(pair.place.double.writes)
        await pair.owner.says("declared dead by another process")
        await pair.owner.says("turn left to another process")
        assert len(pair.place.double.writes) == writes
        assert len(pair.place.answers(question)) == 1
        assert [await each.stop() for each in (pair.owner, pair.other)] == [0, 0]
    assert await endings(database) == ["done"]


async def test_an_owner_whose_database_falls_silent_hands_over_and_comes_back(database: str) -> None:
    """Its connections swallow everything without closing. No answer is lost or written twice, and no limit exceeded."""
    async with two_processes(database) as pair:
        questions = [(pair.place.ask("why?", place=number), number) for number in range(4)]
        await until(lambda: all(pair.place.answers(*each) for each in questions))
        pair.link.swallow()
        await pair.other.says("recovering unfinished turns")
        await until(lambda: all(whole(pair.place, *each) for each in questions))
        pair.link.heal()
        await pair.owner.says("declared dead by another process")
        later = [(pair.place.ask("and then?", place=number), number) for number in range(4)]
        await until(lambda: all(whole(pair.place, *each) for each in later))
        assert [len(pair.place.answers(*each)) for each in (*questions, *later)] == [1] * 8
        assert pair.place.double.limited == []
        assert [await each.stop() for each in (pair.owner, pair.other)] == [0, 0]
    assert await endings(database) == ["done"] * 8


async def test_a_process_goes_on_with_the_next_host_of_its_address(database: str) -> None:
    """The first host refuses every connection from the middle of an answer on."""
    double = for_program(Transport.SOCKET)
    async with (
        OpenAIDouble(default=Answer(WORDS, words_per_second=20)) as model,
        double.running(),
        faulty_link(database) as (first, link),
        faulty_link(database) as (second, _),
    ):
        place = SlackPlace(double)
        hosts = ",".join(urlsplit(each).netloc.rpartition("@")[2] for each in (first, second))
        url = urlsplit(database)
        address = f"postgresql://{url.username}@{hosts}{url.path}?target_session_attrs=read-write"
        async with bot(environment(model, address, place)) as running:
            await until(lambda: len(double.sockets.live) >= 1)
            question = place.ask("why?")
            await until(lambda: bool(place.answers(question)))
            assert link.connections
            link.refuse()
            await until(lambda: whole(place, question))
            question = place.ask("and then?")
            await until(lambda: whole(place, question))
            assert await running.stop() == 0
    assert await endings(database) == ["done", "done"]


async def test_an_answer_goes_on_elsewhere_at_a_deploy(database: str) -> None:
    """A process that stops gives its idle workspaces up at once; a new question is answered by the other."""
    async with two_processes(database) as pair:
        pair.owner.process.terminate()
        await pair.other.says(TAKEN)
        question = pair.place.ask("why?")
        await until(lambda: whole(pair.place, question))
        assert await pair.owner.stop() == 0
        assert await pair.other.stop() == 0
    assert await endings(database) == ["done"]
