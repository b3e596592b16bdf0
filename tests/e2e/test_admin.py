"""The operator's page of the whole program."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.test_postgres import environment
from tests.e2e.test_program import SlackPlace
from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.process import Running, bot
from tests.support.slack import for_program
from tests.support.transport import Transport

pytestmark = pytest.mark.sockets

TOKEN = "0123456789abcdef-admin"


async def address_of(running: Running) -> str:
    """The address of the program's HTTP server, from its log."""
    line = await running.says("started")
    found = re.search(r"site=(\S+)", line)
    assert found is not None
    return found[1]


async def read(session: aiohttp.ClientSession, path: str, headers: Mapping[str, str] = {}) -> tuple[int, str]:
    """The status and the text of a page."""
    async with session.get(path, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def test_a_live_turn_its_usage_and_no_secret(tmp_path: Path) -> None:
    """A running answer is on the page; later its tokens are. The log never shows the token."""
    answer = Answer("one two three four five six seven eight nine ten " * 3, words_per_second=5)
    async with OpenAIDouble() as model, DiscordDouble().running() as double:
        model.queue(answer)
        guild = double.world.guild()
        channel, asker = double.world.channel(guild, "general"), double.world.user("Dana")
        environment = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_MODEL": "m",
            **double.environment,
            "TICKERTAPE_ADMIN_TOKEN": TOKEN,
        }
        async with bot(environment, folder=tmp_path) as running:
            url = await address_of(running)
            await double.until(lambda: double.gateway.connected > 0)
            async with aiohttp.ClientSession(url) as session:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                assert (await read(session, "/admin"))[0] == 401
                double.say(channel, f"<@{double.world.bot}> why?", author=asker)
                while "streaming" not in (text := (await read(session, "/admin/live", headers))[1]):
                    await asyncio.sleep(0.05)
                assert "Dana" in text
                await running.says("ending=done")
                status, page = await read(session, "/admin", headers)
                assert status == 200
                assert f"<code>{asker}</code>" in page
                assert "1 in the last 6 hours." in page
        assert not [line for line in running.lines if TOKEN in line]


async def test_without_a_token_there_is_no_page(tmp_path: Path) -> None:
    """Every path is 404, with any credentials."""
    environment = {"OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
    async with (
        bot(environment, folder=tmp_path) as running,
        aiohttp.ClientSession(await address_of(running)) as session,
    ):
        for path in ("/admin", "/admin/", "/admin/login", "/admin/live", "/admin/x"):
            assert (await read(session, path, {"Authorization": "Bearer x"}))[0] == 404
        async with session.post("/admin/login", data={"token": "x"}) as answer:
            assert answer.status == 404


async def test_a_process_among_others_shows_its_lease_and_its_lanes(database: str) -> None:
    """With PostgreSQL; the other process has another limit, and both say so."""
    double = for_program(Transport.SOCKET)
    async with OpenAIDouble(default=Answer("one two")) as model, double.running():
        place = SlackPlace(double)
        named = environment(model, database, place) | {"TICKERTAPE_ADMIN_TOKEN": TOKEN}
        async with bot(named) as one, bot(named | {"TICKERTAPE_MAX_CONCURRENT_TURNS": "7"}) as other:
            for running in (one, other):
                async with aiohttp.ClientSession(await address_of(running)) as session:
                    headers = {"Authorization": f"Bearer {TOKEN}"}
                    while "other turns" not in (text := (await read(session, "/admin/live", headers))[1]):
                        await asyncio.sleep(0.05)
                    assert "Lease: valid; last heartbeat" in text
                    assert "Database: answers" in text
                    assert '<th scope="row">slack</th>' in text
                    assert '"settings": "different: turns"' in (await read(session, "/readyz"))[1]
                assert sum("another process has different settings" in line for line in running.lines) == 1
            assert [await each.stop() for each in (one, other)] == [0, 0]
