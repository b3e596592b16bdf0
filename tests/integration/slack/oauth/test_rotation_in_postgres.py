"""Rotation by several processes with one database, in real time: one call of Slack, also over a broken link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.postgres.installations import PostgresInstallations
from bot.errors import Forbidden
from bot.ownership.telemetry import Rotation
from tests.servers.faulty_link import FaultyLink, faulty_link
from tests.servers.limits import Kind
from tests.servers.slack_oauth import TOKEN_SECONDS, SlackOAuth
from tests.support.installations import box
from tests.support.postgres import engine, read_rows
from tests.support.slack_oauth import Process, install, options_for, process
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=60)

# So long before its end a token counts as expiring: the first ones do, later ones live ten times as long.
EVER = TOKEN_SECONDS + 60.0


@dataclass
class Node:
    """A process with its store, and its link to the database."""

    process: Process
    store: PostgresInstallations
    link: FaultyLink


@asynccontextmanager
async def nodes(server: SlackOAuth, url: str, *, number: int = 2) -> AsyncIterator[list[Node]]:
    """Processes that rotate at a call of theirs, not by their timers."""
    options = options_for(server, rotate_before=EVER, poll_seconds=600.0, cache_seconds=0.0)
    sealed = box()
    async with AsyncExitStack() as stack:
        made: list[Node] = []
        for seed in range(number):
            through, link = await stack.enter_async_context(faulty_link(url))
            opened = await stack.enter_async_context(engine(through))
            store = PostgresInstallations(opened, sealed)
            made.append(Node(await stack.enter_async_context(process(store, options, seed)), store, link))
        yield made


async def test_two_processes_at_once_make_one_call(database: str) -> None:
    """Both look for tokens to rotate at the same moment, and both have the new one afterwards."""
    async with SlackOAuth().running() as server, nodes(server, database) as (one, two):
        await install(server, one.process)
        await two.process.lanes.announce("slack", ["T1"])
        server.tokens_last = 10 * TOKEN_SECONDS  # the next ones do not expire soon
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=0.3)
        await asyncio.gather(*(each.process.installations.rotate_expiring() for each in (one, two)))
        tokens = [await each.process.installations.token("T1") for each in (one, two)]
        assert tokens[0] == tokens[1]
        assert server.works(tokens[0])
        assert server.refreshed == ["T1"]
        assert server.refused == []
        rotations = [each.process.recorder.rotations[Rotation.DONE] for each in (one, two)]
        assert sum(rotations) == 1


async def test_a_link_that_swallows_data_during_a_rotation_costs_no_token(database: str) -> None:
    """The new token is used at once, and is in the database as soon as the link works; nobody rotates twice."""
    async with SlackOAuth().running() as server, nodes(server, database) as (one, two):
        await install(server, one.process)
        await one.process.installations.token("T1")
        server.tokens_last = 10 * TOKEN_SECONDS
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=0.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.process.installations.rotate_expiring())
            await until(lambda: bool(server.refreshed))
            one.link.swallow()
        token = await one.process.installations.token("T1")
        assert server.works(token)
        one.link.close_all()
        one.link.heal()

        async def is_saved() -> bool:
            found = await two.store.read("T1")
            return found is not None and found.tokens.access == token

        while not await is_saved():
            await asyncio.sleep(0.1)
        await two.process.lanes.announce("slack", ["T1"])
        await two.process.installations.rotate_expiring()
        assert await two.process.installations.token("T1") == token
        assert server.refreshed == ["T1"]
        assert server.refused == []


async def test_a_commit_without_an_answer_is_recognised(database: str) -> None:
    """If the database commits but its answer is lost, the repeated save changes nothing."""
    async with SlackOAuth().running() as server, nodes(server, database, number=1) as (one,):
        await install(server, one.process)
        await one.process.installations.token("T1")
        server.tokens_last = 10 * TOKEN_SECONDS
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=0.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.process.installations.rotate_expiring())
            await until(lambda: bool(server.refreshed))
            one.link.become_deaf()
        token = await one.process.installations.token("T1")
        one.link.close_all()
        one.link.heal()
        await until(lambda: not one.process.installations.has_unsaved)
        found = await one.store.read("T1")
        assert found is not None
        assert found.tokens.access == token
        assert server.is_refreshable(found.tokens.refresh)
        (row,) = await read_rows(database, "SELECT revision FROM tickertape.slack_installations")
        assert row["revision"] == 2


async def test_a_process_without_the_new_token_says_so_until_it_is_saved(database: str) -> None:
    """Another owner is refused while the first one cannot save; later it has the token without a rotation."""
    async with SlackOAuth().running() as server, nodes(server, database) as (one, two):
        await install(server, one.process)
        await one.process.installations.token("T1")
        server.tokens_last = 10 * TOKEN_SECONDS
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=0.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.process.installations.rotate_expiring())
            await until(lambda: bool(server.refreshed))
            one.link.refuse()
        await two.process.lanes.announce("slack", ["T1"])
        await two.process.installations.rotate_expiring()
        assert two.process.recorder.rotations == {Rotation.REFUSED: 1}
        one.link.heal()
        await until(lambda: not one.process.installations.has_unsaved)
        new = await one.process.installations.token("T1")
        assert await two.process.installations.token("T1") == new
        assert server.works(new)


async def test_an_end_is_seen_by_all_processes(database: str) -> None:
    """After an uninstall at one process, the other has no token either."""
    async with SlackOAuth().running() as server, nodes(server, database) as (one, two):
        await install(server, one.process)
        await two.process.installations.token("T1")
        server.uninstall("T1")
        assert await one.process.installations.removed("T1")
        with pytest.raises(Forbidden):
            await two.process.installations.token("T1")
