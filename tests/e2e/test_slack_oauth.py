"""The whole program with many workspaces: installed by browsers, answered, uninstalled during an answer, and back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from html import unescape

import aiohttp
import pytest
from yarl import URL

from adapters.slack import PATH
from tests.e2e.test_program import numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.servers.slack_oauth import CLIENT_ID, CLIENT_SECRET, SlackOAuth
from tests.support.installations import KEY, box
from tests.support.postgres import read_rows
from tests.support.process import Running, bot
from tests.support.slack import for_program, program_ready
from tests.support.transport import Transport
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=90)

INSTALLED = "SELECT id FROM tickertape.slack_installations WHERE gone_at IS NULL ORDER BY id"
LANES = "SELECT name FROM tickertape.lanes ORDER BY name"


def environment(double: SlackDouble, model: OpenAIDouble, url: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "x",
        "OPENAI_MODEL": "m",
        "JOURNAL_URL": url,
        "SLACK_API_URL": double.api_url,
        "SLACK_CLIENT_ID": CLIENT_ID,
        "SLACK_CLIENT_SECRET": CLIENT_SECRET,
        "SLACK_SIGNING_SECRET": double.requests.signing_secret,
        "TICKERTAPE_PUBLIC_URL": "https://bot.example.com",
        "TICKERTAPE_SECRETS": KEY,
        "PORT": str(URL(double.requests.url).port),
    }


def two_workspaces() -> SlackDouble:
    """A server where the app is installed nowhere yet."""
    double = for_program(Transport.HTTP)
    other = double.neighbour("T2", "none yet")
    double.bot_token = "none yet either"
    double.oauth = SlackOAuth()
    for each in (double, other):
        double.oauth.bots[each.world.team] = each.world.bot_user, each.world.bot_id
    return double


@asynccontextmanager
async def program(double: SlackDouble, model: OpenAIDouble, url: str) -> AsyncIterator[Running]:
    async with bot(environment(double, model, url)) as running:
        await program_ready(double)
        yield running


async def install(double: SlackDouble, team: str) -> str:
    """Install the app as a browser does; returns the last page."""
    assert double.oauth is not None
    base = double.requests.url.removesuffix(PATH)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with session.get(f"{base}/slack/install") as response:
            page, cookie = await response.text(), response.headers["Set-Cookie"].partition(";")[0]
        (link,) = re.findall('class="next" href="(.*?)"', page)
        back = URL(double.oauth.agree(unescape(link), team))
        async with session.get(f"{base}{back.raw_path_qs}", headers={"Cookie": cookie}) as response:
            assert response.status == 200
            return await response.text()


def ask(double: SlackDouble, text: str) -> tuple[str, str]:
    """A question by mention in a new channel."""
    channel = double.world.channel()
    return channel, double.say(channel, f"<@{double.world.bot_user}> {text}", author=double.world.user("Dana"))


def is_answered(double: SlackDouble, question: tuple[str, str]) -> bool:
    return double.answers(*question) == ["Because."]


async def test_workspaces_come_and_go_while_the_program_runs(database: str) -> None:
    """Two are installed and answered; one leaves during an answer, which ends there alone; later it is back."""
    box()  # skipped without the library
    double = two_workspaces()
    (other,) = double.neighbours
    model = OpenAIDouble(default=Answer("Because."))
    async with model, double.running(), program(double, model, database) as running:
        for each in (double, other):
            assert "Tickertape is installed" in await install(double, each.world.team)
            question = ask(each, "why?")
            await until(partial(is_answered, each, question))
        model.queue(Answer(numbered(2_000), words_per_second=20))
        lost = ask(other, "a long one?")
        await until(lambda: bool("".join(other.answers(*lost))))
        assert double.oauth is not None
        double.oauth.uninstall("T2")
        other.event({"type": "app_uninstalled"})
        await running.says("the app was removed from T2")
        await running.says("turn ended")
        question = ask(double, "still there?")
        await until(partial(is_answered, double, question))
        assert [row["id"] for row in await read_rows(database, INSTALLED)] == [double.world.team]
        assert [row["name"] for row in await read_rows(database, LANES)] == [double.world.team]
        await install(double, "T2")
        question = ask(other, "and now?")
        await until(partial(is_answered, other, question))
        assert await running.stop() == 0
    assert not any("Traceback" in line for line in running.lines)
    secrets = [CLIENT_SECRET, KEY, *double.oauth.tokens]
    assert not any(secret in line for line in running.lines for secret in secrets)


async def test_an_organisation_grants_and_revokes_workspaces(database: str) -> None:
    """A workspace gets its lane with the event and is answered, with names of its groups; a revoked one loses it."""
    box()
    double = two_workspaces()
    (other,) = double.neighbours
    assert double.oauth is not None
    double.oauth.organisations["E1"] = granted = [double.world.team]
    double.oauth.bots["E1"] = other.world.bot_user, other.world.bot_id
    other.oauth = double.oauth

    async def lanes_are(names: list[str]) -> None:
        while [row["name"] for row in await read_rows(database, LANES)] != names:
            await asyncio.sleep(0.05)

    model = OpenAIDouble(default=Answer("Because."))
    async with model, double.running(), program(double, model, database) as running:
        await install(double, "E1")
        await lanes_are(["T1"])
        granted.append("T2")
        outer: dict[str, object] = {"team_id": None, "enterprise_id": "E1", "authorizations": []}
        double.event({"type": "team_access_granted", "team_ids": ["T2"]}, **outer)
        await lanes_are(["T1", "T2"])
        crew = other.world.group("crew")
        question = ask(other, f"does <!subteam^{crew}> know?")
        await until(partial(is_answered, other, question))
        assert "@crew" in str(model.requests[-1])
        granted.remove("T1")
        double.event({"type": "team_access_revoked", "team_ids": ["T1"]}, **outer)
        await lanes_are(["T2"])
        assert await running.stop() == 0
    assert ("usergroups.list", "missing_argument") not in other.refused


async def test_installations_outlive_the_program(database: str) -> None:
    """After a restart, a question is answered at once, with the token in the database."""
    box()
    double = two_workspaces()
    model = OpenAIDouble(default=Answer("Because."))
    async with model, double.running():
        async with program(double, model, database) as running:
            await install(double, double.world.team)
            assert await running.stop() == 0
        async with program(double, model, database) as running:
            question = ask(double, "why?")
            await until(partial(is_answered, double, question))
            assert await running.stop() == 0


async def test_the_check_tries_the_app(database: str) -> None:
    """The command tells whether Slack accepts the credentials, how many installations there are, and what is wrong."""
    box()
    double = two_workspaces()
    assert double.oauth is not None
    async with OpenAIDouble() as model, double.running():
        async with bot(environment(double, model, database), "check") as running:
            await running.process.wait()
        lines = "\n".join(running.lines)
        assert "Slack accepts the client id and its secret" in lines
        assert "https://bot.example.com/slack/install" in lines
        assert "Slack installations: 0 in the database" in lines
        double.oauth.client_secret = "another"
        async with bot(environment(double, model, database), "check") as running:
            assert await running.process.wait() == 1
        assert any("FAIL Slack app: Slack refuses the credentials" in line for line in running.lines)
