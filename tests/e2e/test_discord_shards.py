"""The whole program in two processes on PostgreSQL: a shard's session outlives its owner."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.test_postgres import WORDS, environment, whole
from tests.e2e.test_program import DiscordPlace
from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.process import bot
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=90)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_session_outlives_its_owner(how: str, database: str) -> None:
    """The other process resumes it without a new one, and answers each question asked meanwhile once."""
    double, loop = DiscordDouble(), asyncio.get_running_loop()
    async with OpenAIDouble(default=Answer(WORDS, words_per_second=60)) as model, double.running():
        place, gateway = DiscordPlace(double), double.gateway
        named = environment(model, database, place)
        async with bot(named) as owner:
            await place.until_connected()
            first = place.ask("one?")
            await until(lambda: whole(place, first))
            async with bot(named) as heir:
                await heir.says("started")
                ended = loop.time()
                if how == "killed":
                    owner.process.kill()
                else:
                    assert await owner.stop() == 0
                second = place.ask("two?", place=1)
                await until(lambda: gateway.resumes != [])
                resumed = loop.time() - ended
                third = place.ask("three?", place=2)
                await until(lambda: whole(place, second, 1) and whole(place, third, 2))
                assert await heir.stop() == 0
        assert resumed < 20  # 5 to 6 s on a quiet machine, of which 5 s are the lease, or the heir's first ones
        assert len(model.requests) == 3
        assert (len(gateway.identifies), len(gateway.resumes), double.limited) == (1, 1, [])
        assert not any("Traceback" in line for line in (*owner.lines, *heir.lines))
