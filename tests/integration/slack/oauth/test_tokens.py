"""Tokens of many workspaces: rotation by their owner, new installations, ends, and a database that is away.

Slack's server and the client are real, the clock is virtual: twelve hours pass at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from adapters.slack.events.parse import Identity
from bot.errors import Failure, Forbidden, Retryable
from bot.ownership.telemetry import Rotation
from tests.servers.limits import Kind
from tests.servers.slack_oauth import TOKEN_SECONDS, SlackOAuth
from tests.support.installations import MemoryInstallations
from tests.support.slack_oauth import Process, install, options_for, process

pytestmark = pytest.mark.sockets(virtual=True, seconds=500_000)

HOUR = 3_600.0


@asynccontextmanager
async def processes(number: int = 1) -> AsyncIterator[tuple[SlackOAuth, MemoryInstallations, list[Process]]]:
    """Processes with one store, at a loopback Slack."""
    store = MemoryInstallations()
    async with SlackOAuth().running() as server, AsyncExitStack() as stack:
        options = options_for(server)
        opened = [await stack.enter_async_context(process(store, options, seed)) for seed in range(number)]
        yield server, store, opened


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


async def until_refreshed(server: SlackOAuth) -> None:
    """Wait until Slack has answered a rotation, or is about to."""
    while not server.refreshed:
        await asyncio.sleep(0.5)


async def test_each_workspace_has_its_token() -> None:
    """Tokens, identities and workspaces are told apart; a workspace without the app has none."""
    async with processes() as (server, _, (one,)):
        for team in ("T1", "T2"):
            installed = await install(server, one, team)
            assert await one.installations.token(team) == installed.tokens.access
            assert one.installations.identity(team) == Identity(team=team, user=f"UBOT{team}", bot=f"B{team}")
            assert await one.installations.team_of_bot(f"UBOT{team}") == team
        assert await one.installations.teams() == ["T1", "T2"]
        assert one.won.lanes == ["T1", "T2"]
        with pytest.raises(Forbidden, match="T3"):
            await one.installations.token("T3")


async def test_the_owner_rotates_long_before_the_end() -> None:
    """Two hours before a token ends there is another, without any question; each refresh token is used once."""
    async with processes() as (server, _, (one,)):
        before = (await install(server, one)).tokens
        told: list[tuple[str, str]] = []
        one.installations.tell(lambda team, token: told.append((team, token)))
        assert await one.installations.token("T1") == before.access
        await asyncio.sleep(TOKEN_SECONDS - 2.1 * HOUR)
        assert server.refreshed == []
        await asyncio.sleep(0.2 * HOUR)
        assert server.refreshed == ["T1"]
        after = await one.installations.token("T1")
        assert after != before.access
        assert server.works(after)
        assert told == [("T1", after)]
        await asyncio.sleep(30 * HOUR)
        assert server.works(await one.installations.token("T1"))
        assert server.refused == []
        assert one.recorder.rotations[Rotation.DONE] == len(server.refreshed) == 4


async def test_another_process_does_not_rotate() -> None:
    """Without the lane, a process leaves the rotation to its owner, and soon has the new token."""
    async with processes(2) as (server, _, (one, two)):
        await install(server, one)
        before = await two.installations.token("T1")
        await asyncio.sleep(TOKEN_SECONDS - 1.9 * HOUR)
        assert await two.installations.token("T1") == await one.installations.token("T1") != before
        assert (one.recorder.rotations, two.recorder.rotations) == ({Rotation.DONE: 1}, {})


async def test_an_expired_token_is_rotated_before_its_use() -> None:
    """After a long outage, processes that need a token at once make one call of Slack, and all have the new one."""
    store = MemoryInstallations()
    async with SlackOAuth().running() as server:
        options = options_for(server)
        async with process(store, options) as one:
            await install(server, one)
        await asyncio.sleep(20 * HOUR)
        async with process(store, options, 2) as two, process(store, options, 3) as three:
            tokens = await asyncio.gather(*(each.installations.token("T1") for each in (two, three, two, three)))
        assert len(set(tokens)) == 1
        assert server.works(tokens[0])
        assert server.refreshed == ["T1"]
        assert server.refused == []


async def test_new_tokens_outlive_a_database_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """If the database goes away between Slack's answer and the save, the new token is used at once and saved later."""
    async with processes() as (server, store, (one,)):
        before = (await install(server, one)).tokens
        await one.installations.token("T1")
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=1.0)
        await asyncio.sleep(TOKEN_SECONDS - 2 * HOUR)
        await until_refreshed(server)
        store.away = True
        await asyncio.sleep(600.0)
        token = await one.installations.token("T1")
        assert token != before.access
        assert server.works(token)
        assert server.refreshed == ["T1"]
        assert "not saved yet" in caplog.text
        store.away = False
        await asyncio.sleep(20.0)
        found = await store.read("T1")
        assert found is not None
        assert found.tokens.access == token
        assert server.is_refreshable(found.tokens.refresh)
        await asyncio.sleep(12 * HOUR)
        assert server.refused == []


async def test_tokens_that_are_never_saved_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A process that ends with unsaved tokens says in which workspace the app must be installed again."""
    async with processes() as (server, store, (one,)):
        await install(server, one)
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=1.0)
        await asyncio.sleep(TOKEN_SECONDS - 2 * HOUR)
        await until_refreshed(server)
        store.away = True
        await asyncio.sleep(10.0)
    (line,) = alarms(caplog)
    assert "T1" in line
    assert "/slack/install" in line
    assert one.recorder.rotations == {Rotation.DONE: 1, Rotation.REFUSED: 1}


async def test_an_end_during_a_rotation_waits_for_it() -> None:
    """A process told to stop between Slack's answer and the save still saves."""
    async with processes() as (server, store, (one,)):
        await install(server, one)
        server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=3.0)
        await asyncio.sleep(TOKEN_SECONDS - 2 * HOUR)
        await until_refreshed(server)
    found = await store.read("T1")
    assert found is not None
    assert server.works(found.tokens.access)
    assert server.is_refreshable(found.tokens.refresh)


async def test_a_cancelled_caller_does_not_cut_a_rotation() -> None:
    """Whoever waits for a token may give up; the rotation goes on to its end."""
    store = MemoryInstallations()
    async with SlackOAuth().running() as server:
        async with process(store, options_for(server)) as one:
            await install(server, one)
        await asyncio.sleep(20 * HOUR)
        async with process(store, options_for(server), 2) as two:
            server.faults.add("", "oauth.v2.access", Kind.LATE, seconds=3.0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await two.installations.token("T1")
            assert server.works(await two.installations.token("T1"))
        assert server.refreshed == ["T1"]
        assert server.refused == []


async def test_a_refused_refresh_token_is_one_alarm(caplog: pytest.LogCaptureFixture) -> None:
    """The operator gets one line with the way out; the old token works to its end, then there is none."""
    async with processes() as (server, _, (one,)):
        token = (await install(server, one)).tokens.access
        server.spend_refresh_tokens("T1")
        await asyncio.sleep(TOKEN_SECONDS - 1.5 * HOUR)
        assert await one.installations.token("T1") == token
        await asyncio.sleep(HOUR)
        assert await one.installations.token("T1") == token
        (line,) = alarms(caplog)
        assert "invalid_refresh_token" in line
        assert "https://bot.example.com/slack/install" in line
        assert 1 < one.recorder.rotations[Rotation.REFUSED] < 10  # it is tried again, at longer and longer intervals
        await asyncio.sleep(HOUR)
        with pytest.raises(Forbidden, match="invalid_refresh_token"):
            await one.installations.token("T1")
        await install(server, one)
        assert server.works(await one.installations.token("T1"))


async def test_a_lost_answer_of_slack_costs_the_refresh_token(caplog: pytest.LogCaptureFixture) -> None:
    """If Slack rotated but its answer was lost, nobody has the new token: it is told, and the old one works on."""
    async with processes() as (server, _, (one,)):
        token = (await install(server, one)).tokens.access
        server.faults.add("", "oauth.v2.access", Kind.RESET_AFTER)
        await asyncio.sleep(TOKEN_SECONDS - 1.5 * HOUR)
        assert await one.installations.token("T1") == token
        (line,) = alarms(caplog)
        assert "invalid_refresh_token" in line


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESET_BEFORE, Kind.STALL_BEFORE])
async def test_an_outage_of_slack_is_waited_out(kind: Kind) -> None:
    """A rotation without an effect is repeated, while the old token works."""
    async with processes() as (server, _, (one,)):
        await install(server, one)
        server.faults.add("", "oauth.v2.access", kind, times=20, status=503)
        await asyncio.sleep(TOKEN_SECONDS - HOUR)
        assert server.refreshed == ["T1"]
        assert server.works(await one.installations.token("T1"))
        assert one.recorder.rotations == {Rotation.FAILED: 20, Rotation.DONE: 1}


async def test_many_rotations_wait_for_slacks_limit() -> None:
    """After an outage of hours all workspaces are rotated; a 429 is waited for as Slack says."""
    store = MemoryInstallations()
    async with SlackOAuth().running() as server:
        async with process(store, options_for(server)) as one:
            for number in range(90):
                await install(server, one, f"T{number}")
        await asyncio.sleep(11 * HOUR)
        async with process(store, options_for(server), 2) as two:
            await two.lanes.announce("slack", await two.installations.teams())
            for _ in range(20):  # other calls of the app
                with pytest.raises(Failure):
                    await two.api.exchange("invented")
            await asyncio.sleep(300.0)
        assert sorted(server.refreshed) == sorted(f"T{number}" for number in range(90))
        assert server.limited <= 3


async def test_a_database_away_leaves_the_known_token() -> None:
    """While the database is away, a token read before is used; an unknown one can be asked for again."""
    async with processes() as (server, store, (one,)):
        token = (await install(server, one)).tokens.access
        assert await one.installations.token("T1") == token
        store.away = True
        await asyncio.sleep(600.0)
        assert await one.installations.token("T1") == token
        with pytest.raises(Retryable):
            await one.installations.token("T2")


async def test_an_organisation_serves_its_workspaces() -> None:
    """All have the organisation's token and bot; one that joins later is found by its first use."""
    async with processes() as (server, _, (one,)):
        server.organisations["E1"] = joined = [f"T{number}" for number in range(150)]
        installed = await install(server, one, "E1")
        assert sorted(one.won.lanes) == sorted(joined)
        assert await one.installations.token("T7") == installed.tokens.access
        assert one.installations.identity("T7") == Identity(team="T7", user="UBOTE1", bot="BE1", enterprise="E1")
        with pytest.raises(Forbidden):
            await one.installations.token("T900")
        joined.append("T900")
        await asyncio.sleep(61.0)
        assert await one.installations.token("T900") == installed.tokens.access
        assert "T900" in one.won.lanes


async def test_one_owner_rotates_for_an_organisation() -> None:
    """Two processes with workspaces of one organisation make one call, and both have the new token."""
    async with processes(2) as (server, _, (one, two)):
        server.organisations["E1"] = ["T1", "T2"]
        await install(server, one, "E1")
        await two.lanes.announce("slack", ["T1", "T2"])
        told: list[str] = []
        two.installations.tell(lambda team, _: told.append(team))
        for team in ("T1", "T2"):
            await two.installations.token(team)
        await asyncio.sleep(TOKEN_SECONDS - 1.8 * HOUR)
        tokens = {await each.installations.token(team) for each in (one, two) for team in ("T1", "T2")}
        assert len(tokens) == 1
        assert server.works(tokens.pop())
        assert server.refreshed == ["E1"]
        assert sorted(told) == ["T1", "T2"]


async def test_an_uninstalled_app_is_forgotten() -> None:
    """Its lane is withdrawn, its tokens are gone; a new installation works."""
    async with processes() as (server, store, (one,)):
        await install(server, one)
        await install(server, one, "T2")
        server.uninstall("T1")
        assert await one.installations.removed("T1")
        assert await one.installations.removed("T1")
        assert one.won.lost == ["T1"]
        with pytest.raises(Forbidden):
            await one.installations.token("T1")
        assert await store.teams() == ["T2"]
        await install(server, one)
        assert server.works(await one.installations.token("T1"))
        assert one.won.lanes == ["T1", "T2", "T1"]


async def test_a_late_word_of_an_end_spares_a_new_installation() -> None:
    """Slack repeats events for hours: an end that is over counts for nothing."""
    async with processes() as (server, _, (one,)):
        await install(server, one)
        server.uninstall("T1")
        again = await install(server, one)
        assert not await one.installations.removed("T1")
        assert await one.installations.token("T1") == again.tokens.access
        assert one.won.lost == []


async def test_an_end_is_asked_again_if_slack_is_away() -> None:
    """Without Slack's word nothing is deleted."""
    async with processes() as (server, store, (one,)):
        await install(server, one)
        server.uninstall("T1")
        server.faults.add("", "auth.test", Kind.STATUS, status=503)
        with pytest.raises(Retryable):
            await one.installations.removed("T1")
        assert await store.teams() == ["T1"]
        assert await one.installations.removed("T1")


async def test_a_workspace_leaves_its_organisation() -> None:
    """Only its own lane is withdrawn; with the organisation's end, all are."""
    async with processes() as (server, _, (one,)):
        server.organisations["E1"] = ["T1", "T2", "T3"]
        await install(server, one, "E1")
        server.organisations["E1"].remove("T2")
        assert await one.installations.removed("T2")
        assert not await one.installations.removed("T1")
        assert one.won.lost == ["T2"]
        server.uninstall("E1")
        assert await one.installations.removed("T1")
        assert sorted(one.won.lost) == ["T1", "T2", "T3"]


async def test_events_tell_the_workspaces_of_an_organisation() -> None:
    """One that joins or leaves is known at once; events for others, and late ones, change nothing."""
    async with processes() as (server, store, (one,)):
        server.organisations["E1"] = joined = ["T1"]
        await install(server, one, "E1")
        joined.append("T2")
        await one.installations.access_changed("E1")
        await one.installations.access_changed("E9")
        assert one.won.lanes == ["T1", "T2"]
        joined.remove("T1")
        await asyncio.gather(one.installations.access_changed("E1"), one.installations.access_changed("E1"))
        assert one.won.lost == ["T1"]
        assert await store.teams() == ["T2"]
        server.faults.add("", "auth.teams.list", Kind.STATUS, status=503)
        with pytest.raises(Retryable):
            await one.installations.access_changed("E1")
        server.uninstall("E1")
        await one.installations.access_changed("E1")
        assert await store.teams() == ["T2"]  # app_uninstalled tells of the end


async def test_a_new_installation_elsewhere_is_noticed() -> None:
    """A token replaced through another process is read within a minute."""
    async with processes(2) as (server, _, (one, two)):
        await install(server, one)
        old = await one.installations.token("T1")
        server.uninstall("T1")
        new = await install(server, two)
        await asyncio.sleep(61.0)
        assert await one.installations.token("T1") == new.tokens.access != old


async def test_older_keys_are_retired() -> None:
    """Tokens under an older key are encrypted anew by their owner, without a call of Slack."""
    async with processes() as (server, store, (one,)):
        await install(server, one)
        store.older_key = True
        await asyncio.sleep(120.0)
        assert not store.older_key
        assert server.refreshed == []
