"""Installations in PostgreSQL: the contract, encryption at rest, and keys that change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from adapters.postgres.installations import PostgresInstallations
from adapters.slack.oauth.values import InstallationStore, TokensUnreadable
from tests.contracts.installations import InstallationsContract, saved
from tests.support.installations import KEY, OLD_KEY, OTHER_KEY, box, expiring
from tests.support.postgres import engine, read_rows, run_script

pytestmark = pytest.mark.sockets(seconds=30)


@asynccontextmanager
async def store_with(url: str, *keys: str) -> AsyncIterator[PostgresInstallations]:
    sealed = box(*keys)
    async with engine(url, connections=6) as opened:
        yield PostgresInstallations(opened, sealed)


class TestPostgresInstallations(InstallationsContract):
    """See `tests.contracts.installations`."""

    @pytest.fixture(autouse=True)
    def _open(self, database: str) -> None:
        self.url = database

    @override
    @asynccontextmanager
    async def store(self) -> AsyncIterator[InstallationStore]:
        async with store_with(self.url) as opened:
            yield opened


async def test_no_token_is_readable_in_the_database(database: str) -> None:
    """Neither token is anywhere in the row, and after the end not even encrypted."""
    async with store_with(database) as store:
        found = await saved(store, tokens=expiring("xoxb-secret", 60.0))
        (row,) = await read_rows(database, "SELECT * FROM tickertape.slack_installations")
        assert "secret" not in repr(list(row.values()))
        await store.end("T1", found.revision)
    (row,) = await read_rows(database, "SELECT tokens, expires_at, gone_at FROM tickertape.slack_installations")
    assert row["tokens"] is None
    assert row["gone_at"] is not None


async def test_a_new_key_takes_over(database: str) -> None:
    """With a newer key before it, the old one still opens; the next save uses the new one alone."""
    async with store_with(database, OLD_KEY) as store:
        await saved(store)
    async with store_with(database, KEY, OLD_KEY) as store:
        assert await store.expiring(7_200.0) == [("T1", ("T1",))]
        async with store.lock("T1") as locked:
            assert locked is not None
            assert locked.has_older_key
            await locked.save(locked.installation.tokens)
        assert await store.expiring(7_200.0) == []
    async with store_with(database, KEY) as store:
        found = await store.find("T1")
        assert found is not None
        assert found.tokens.access == "xoxb-1"


async def test_tokens_without_their_key_are_one_line(database: str) -> None:
    """The line names the workspace and the setting; other workspaces go on, and a new installation helps."""
    async with store_with(database, OLD_KEY) as store:
        await saved(store)
    async with store_with(database, OTHER_KEY) as store:
        await saved(store, "T2")
        for read in (store.find, store.read):
            with pytest.raises(TokensUnreadable, match=r"T1.*TICKERTAPE_SECRETS"):
                await read("T1")
        assert await store.find("T2") is not None
        assert await store.teams() == ["T1", "T2"]
        await saved(store)
        assert await store.find("T1") is not None


async def test_tokens_of_another_row_are_refused(database: str) -> None:
    """Whoever can write rows but lacks the key cannot give a workspace the tokens of another."""
    async with store_with(database) as store:
        await saved(store)
        await saved(store, "T2", "xoxb-2")
        await run_script(
            database,
            "UPDATE tickertape.slack_installations SET tokens = "
            "(SELECT tokens FROM tickertape.slack_installations WHERE id = 'T2')",
        )
        with pytest.raises(TokensUnreadable, match="another installation"):
            await store.find("T1")


async def test_installations_are_counted_by_key(database: str) -> None:
    """An operator sees how many installations still need an older key."""
    async with store_with(database, OLD_KEY) as store:
        await saved(store)
    async with store_with(database, KEY, OLD_KEY) as store:
        await saved(store, "T2")
        await saved(store, "T3")
        newest, older = box(KEY, OLD_KEY).names
        assert await store.count_by_key() == {newest: 2, older: 1}


async def test_spent_states_are_forgotten_in_the_end(database: str) -> None:
    """The table does not grow with each installation for ever."""
    async with store_with(database) as store:
        await store.spend_state(b"old", -1.0)
        await store.spend_state(b"new", 600.0)
        await store.spend_state(b"newer", 600.0)
    rows = await read_rows(database, "SELECT digest FROM tickertape.slack_spent_states ORDER BY 1")
    assert [row["digest"] for row in rows] == [b"new", b"newer"]
