"""A real Prometheus scrapes the real bot: each panel of the dashboard has data, and each alert can be evaluated."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers.discord import DiscordDouble
from tests.servers.limits import Kind
from tests.servers.openai import Answer, OpenAIDouble, Status
from tests.servers.ports import free_port
from tests.servers.slack import SlackDouble
from tests.support.dashboard import BUILT_IN, Query, queries, queries_below, variable_queries
from tests.support.paths import ROOT
from tests.support.process import Running, bot
from tests.support.prometheus import Prometheus, program, prometheus
from tests.support.transport import Transport
from tests.support.waiting import POLL_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.sockets(seconds=120)]

RULES = ROOT / "config" / "deploy" / "prometheus-rules.yaml"

# The window of the panels' rates: the whole test.
VALUES = BUILT_IN | {"window": "5m", "__range": "5m"}

# The row of processes among others: one with SQLite has none of its figures.
AMONG_OTHERS = "Several processes"

FIRING = 'ALERTS{alertstate="firing"}'

# A failed scrape hides all series until the next one.
SCRAPES = 5

QUICK = {"TICKERTAPE_BACKOFF_SECONDS": "0.05", "TICKERTAPE_STREAM_IDLE_TIMEOUT": "1"}


class Readers:
    """People on both platforms, who ask and vote."""

    def __init__(self, discord: DiscordDouble, slack: SlackDouble, model: OpenAIDouble) -> None:
        self._discord, self._slack, self._model = discord, slack, model
        self._discord_channel = discord.world.channel(discord.world.guild())
        self._slack_channel = slack.world.channel()
        self._dana, self._gil = discord.world.user("Dana"), slack.world.user("Gil")
        self.denied = discord.world.user("Mallory")
        self._ended = 0

    async def ask(self, platform: str, running: Running, *scripts: Answer | Status) -> None:
        """A question and its answer by `scripts`, one after the other."""
        self._model.queue(*scripts)
        if platform == "discord":
            self._discord.say(self._discord_channel, f"<@{self._discord.world.bot}> why?", author=self._dana)
        else:
            self._slack.say(self._slack_channel, f"<@{self._slack.world.bot_user}> why?", author=self._gil)
        self._ended += 1
        while sum("turn ended" in line for line in running.lines) < self._ended:
            await asyncio.sleep(POLL_SECONDS)

    async def vote(self) -> None:
        """A thumbs up below an answer on Discord."""
        controls = [
            (each.id, control)
            for each in self._discord.shown(self._discord_channel)
            for control in self._discord.controls(self._discord_channel, each.id)
            if "up" in control
        ]
        message, control = controls[0]
        self._discord.press(self._discord_channel, message, user=self._dana, custom_id=control)

    def ask_without_access(self) -> None:
        """A question of somebody on the operator's list, who gets no answer."""
        self._discord.say(self._discord_channel, f"<@{self._discord.world.bot}> why?", author=self.denied)


async def live_through(readers: Readers, running: Running, slack: SlackDouble, server: Prometheus) -> None:
    """Twice, with scrapes in between: answers with a cost, without, after failed attempts, cut; a 429; a vote."""
    for _ in range(2):
        await server.scrape()
        await readers.ask("discord", running, Answer("Because of this.", cost=0.002, details=(5, 7)))
        await readers.ask("slack", running, Answer("It is so.", model="mystery"))
        await readers.ask("discord", running, Status(500), Status(500), Status(500), Answer("At last."))
        slack.faults.add("POST", "chat.postMessage", Kind.STATUS, status=429, headers={"Retry-After": "1"})
        await readers.ask("slack", running, Answer("Too long", finish="length"))
        readers.ask_without_access()
        await readers.vote()
    await server.scrape(2)


async def test_each_panel_has_data_and_each_alert_is_evaluated(tmp_path: Path) -> None:
    """After some answers on both platforms nothing is empty, and no alert fires; it does once the key is revoked."""
    program("prometheus")
    port, its_port = free_port(), free_port()
    over_http = SlackDouble(transport=Transport.HTTP)
    async with OpenAIDouble() as model, DiscordDouble().running() as discord, over_http.running() as slack:
        readers = Readers(discord, slack, model)
        slack.requests.move(f"http://127.0.0.1:{port}/slack/events")
        settings = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        own = {"JOURNAL_URL": f"sqlite:///{tmp_path}/turns.db", "TICKERTAPE_DENY_USERS": readers.denied, **QUICK}
        async with (
            bot(settings | discord.environment | slack.environment | own) as running,
            prometheus(tmp_path, f"127.0.0.1:{port}", RULES, its_port) as server,
        ):
            await discord.until(lambda: discord.gateway.connected > 0)
            while not await server.query("tickertape_ready == 1"):
                await server.scrape()
            await live_through(readers, running, slack, server)
            assert await empty_panels(server, without=queries_below(AMONG_OTHERS)) == []
            assert not [each for each in queries_below(AMONG_OTHERS) if await server.query(each.filled(**VALUES))]
            assert await rule_problems(server) == []
            assert not await server.query(FIRING)
            await readers.ask("discord", running, Status(401))  # the key is revoked
            while not (firing := await server.query(FIRING)):
                await server.scrape()
            assert {sample.labels["alertname"] for sample in firing} == {"TickertapeModelRejects"}


async def test_each_panel_of_several_processes_has_data(tmp_path: Path, database: str) -> None:
    """With PostgreSQL a process shows its lease, its lanes and the rest of the row, and no alert fires."""
    program("prometheus")
    port, its_port = free_port(), free_port()
    async with OpenAIDouble() as model, DiscordDouble().running() as discord:
        settings = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m", "PORT": str(port)}
        own = {"JOURNAL_URL": database, "TICKERTAPE_DISCORD_SHARDS": "2"}
        async with (
            bot(settings | discord.environment | own),
            prometheus(tmp_path, f"127.0.0.1:{port}", RULES, its_port) as server,
        ):
            while not await server.query('sum(tickertape_lanes_owned{platform="discord"}) == 2'):
                await server.scrape()
            await server.scrape(2)  # a rate needs two samples
            rest = [each for each in queries() if each not in queries_below(AMONG_OTHERS)]
            assert await empty_panels(server, without=rest, variables=False) == []
            assert not await server.query(FIRING)


async def empty_panels(server: Prometheus, *, without: Sequence[Query], variables: bool = True) -> list[str]:
    """The other queries of panels and variables without data after some scrapes: a busy machine may miss one."""
    wanted = [each for each in queries() if each not in without] + [*(variable_queries() if variables else ())]
    for _ in range(SCRAPES):
        if not await _empty_now(server, wanted):
            return []
        await server.scrape()
    return await _empty_now(server, wanted)


async def _empty_now(server: Prometheus, wanted: Sequence[Query]) -> list[str]:
    return [f"{each.panel}: {each.legend}" for each in wanted if not await server.query(each.filled(**VALUES))]


async def rule_problems(server: Prometheus) -> list[str]:
    """The rules without a successful evaluation."""
    groups = (await server.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(re.findall(r"- alert:", RULES.read_text(encoding="utf-8")))
    return [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
