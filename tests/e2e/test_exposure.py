"""The whole program at an address that other machines reach: whom its page follows, and what its probes tell."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.e2e.test_program import DiscordPlace
from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.process import Running, bot

pytestmark = pytest.mark.sockets(seconds=90)

OPEN = {"TICKERTAPE_HOST": "0.0.0.0", "TICKERTAPE_PLAYGROUND": "on"}
ALLOWED = " Https://Bot.Example:8443/, 192.168.77.5"
SOCKET = "/playground/socket"


def lan_address() -> str:
    """An address of this machine that is not loopback; 127.0.0.1 where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which way that would go
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@asynccontextmanager
async def exposed(**more: str) -> AsyncIterator[tuple[URL, Running]]:
    """The program at every address of this machine, and where another machine would find it."""
    async with OpenAIDouble() as model:
        named = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m", "TICKERTAPE_ALLOWED_HOSTS": ALLOWED}
        async with bot(OPEN | named | more) as running:
            local = URL((await running.says("site=")).split("site=")[1].split()[0])
            yield local.with_host(lan_address()), running


async def status(url: URL, *headers: str, target: str = "/", version: str = "1.1") -> int:
    """The status of a request with just these headers, as no client would let us write it."""
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write("\r\n".join([f"GET {target} HTTP/{version}", *headers, "Connection: close", "", ""]).encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def upgrade(*headers: str) -> list[str]:
    """The headers of a page that opens the socket."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return [*headers, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key]


async def opened(url: URL, *headers: str) -> int:
    """The status that a page gets which opens the socket."""
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write("\r\n".join([f"GET {SOCKET} HTTP/1.1", *upgrade(*headers), "", ""]).encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_a_rebound_name_opens_nothing_at_any_address() -> None:
    """Neither the page nor its files nor its socket; a name that the operator allowed opens all of it."""
    async with exposed() as (lan, _):
        for url in (lan, lan.with_host("127.0.0.1")):
            for path in ("/", "/playground/app.js", SOCKET):
                assert await status(url, "Host: evil.example", target=path) == 403
                assert await status(url, target=path, version="1.0") == 403
            assert await opened(url, "Host: evil.example", "Origin: http://evil.example") == 403
            assert await opened(url, "Host: bot.example", "Origin: http://evil.example") == 403
            assert await opened(url, "Host: localhost", "Origin: http://evil.example") == 403
            assert await opened(url, f"Host: 10.77.1.2:{url.port}", f"Origin: http://10.77.1.2:{url.port}") == 403
            assert await opened(url, "Host: bot.example", "Origin: https://bot.example") == 101
            assert await opened(url, "Host: 192.168.77.5:80", "Origin: http://192.168.77.5") == 101
            assert await opened(url, "Host: LOCALHOST:80", "Origin: http://localhost") == 101
            assert await status(url, "Host: bot.example.") == 200


async def test_two_hosts_are_none() -> None:
    """A request that names two hosts, or another one in what it asks for, is not followed."""
    async with exposed() as (url, _):
        assert await status(url, "Host: localhost", "Host: evil.example") in {400, 403}
        assert await status(url, "Host: localhost", target="http://evil.example/") == 403
        assert await status(url, "Host: evil.example", target="http://localhost/") == 403
        assert await opened(url, "Host: localhost", "Origin: http://localhost", "Origin: http://evil.example") in {
            400,
            403,
        }


async def test_probes_ask_under_any_name() -> None:
    """A probe asks for an IP address, or for none at all."""
    async with exposed() as (url, _):
        for path in ("/healthz", "/readyz", "/metrics"):
            for host in ("evil.example", "10.0.0.7:8080", "[fd00::1]"):
                assert await status(url, f"Host: {host}", target=path) == 200
            assert await status(url, target=path, version="1.0") == 200
            assert await status(url, "Host: x", "Origin: http://evil.example", target=path) == 200


async def test_probes_tell_no_text_no_name_and_no_token() -> None:
    """After a question and its answer: our own words and figures, and nothing of whoever asked what in which channel.

    The metrics alone name the workspace, by its id, and the model.
    """
    async with (
        OpenAIDouble(default=Answer("Zanzibar is the answer.")) as model,
        DiscordDouble().running() as double,
    ):
        place = DiscordPlace(double)
        secrets = {"OPENAI_API_KEY": "sk-very-secret", "OPENAI_MODEL": "qwertymodel"}
        async with bot({"OPENAI_BASE_URL": model.url} | secrets | place.environment) as running:
            await place.until_connected()
            question = place.ask("where are the spices?")
            await running.says("ending=done")
            url = (await running.says("site=")).split("site=")[1].split()[0]
            told = {}
            async with aiohttp.ClientSession(url) as session:
                for path in ("/healthz", "/readyz", "/metrics"):
                    async with session.get(path) as answer:
                        told[path] = str(answer.headers) + await answer.text()
        world = double.world
        hidden = ["Zanzibar", "spices", "Dana", "c0", question, place.asker, *place.channels, world.bot]
        hidden += [double.token, secrets["OPENAI_API_KEY"], model.url]
        labels = [place.guild, secrets["OPENAI_MODEL"]]
        assert "discord" in told["/readyz"]
        assert [each for each in hidden for text in told.values() if each in text] == []
        assert [each for each in labels for path in ("/healthz", "/readyz") if each in told[path]] == []
        assert all(each in told["/metrics"] for each in labels)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.77.1.2"])
async def test_a_page_for_other_machines_needs_names(host: str, tmp_path: Path) -> None:
    """Without any allowed name the program says so in one line, and does not start."""
    async with bot(OPEN | {"TICKERTAPE_HOST": host}, folder=tmp_path) as running:
        assert await running.process.wait() == 2
    (line,) = running.lines
    assert "TICKERTAPE_ALLOWED_HOSTS" in line
    assert host in line


async def test_without_a_page_no_name_is_needed() -> None:
    """With the playground off, a bot listens anywhere, and there is no page to ask for."""
    async with OpenAIDouble() as model, DiscordDouble().running() as double:
        named = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m", "TICKERTAPE_HOST": "0.0.0.0"}
        async with bot(named | DiscordPlace(double).environment) as running:
            url = URL((await running.says("site=")).split("site=")[1].split()[0])
            assert await status(url, "Host: evil.example", target="/healthz") == 200
            assert await status(url, "Host: localhost") == 404
