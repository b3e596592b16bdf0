"""The contract of the store of installations, for every store: a test file subclasses `InstallationsContract`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest

from adapters.shared.cache import loop_time
from adapters.slack.oauth.values import Installation, InstallationStore, Tokens
from tests.support.installations import expiring, installation


async def saved(store: InstallationStore, id_: str = "T1", access: str = "xoxb-1", **changes: object) -> Installation:
    """Save an installation; returns it as stored."""
    await store.save(installation(id_, access, **changes))
    found = await store.read(id_)
    assert found is not None
    return found


class InstallationsContract(ABC):
    """What each store promises."""

    @abstractmethod
    def store(self) -> AbstractAsyncContextManager[InstallationStore]:
        """An empty store."""

    async def test_an_installation_comes_back_as_it_was_saved(self) -> None:
        """All fields survive, the time of expiry to a second; the store gives the revision."""
        async with self.store() as store:
            made = installation(scopes=frozenset({"chat:write", "im:history"}), tokens=expiring("xoxb-1", 43_200.0))
            await store.save(made)
            found = await store.find("T1")
            assert found is not None
            assert (found.tokens.access, found.tokens.refresh) == (made.tokens.access, made.tokens.refresh)
            assert found.tokens.expires_at == pytest.approx(made.tokens.expires_at, abs=1.0)
            assert (found.bot_user, found.bot_id, found.app) == (made.bot_user, made.bot_id, made.app)
            assert (found.scopes, found.installed_by) == (made.scopes, made.installed_by)
            assert await store.read("T1") == found or found.revision == (await saved(store)).revision - 1

    async def test_a_token_without_rotation_never_expires(self) -> None:
        """Without a time of expiry there is none afterwards, and nothing to rotate."""
        async with self.store() as store:
            found = await saved(store)
            assert found.tokens == Tokens("xoxb-1")
            assert await store.expiring(1e6) == []

    async def test_an_unknown_workspace_has_none(self) -> None:
        """A workspace without an installation is told apart from a failure."""
        async with self.store() as store:
            await saved(store)
            assert await store.find("T2") is None
            assert await store.read("T2") is None
            assert await store.teams() == ["T1"]

    async def test_a_second_installation_replaces_the_first(self) -> None:
        """An app installed again has its new token, with a later revision."""
        async with self.store() as store:
            first = await saved(store)
            second = await saved(store, access="xoxb-2")
            assert second.tokens.access == "xoxb-2"
            assert second.revision > first.revision
            assert await store.teams() == ["T1"]

    async def test_an_organisation_holds_for_its_workspaces(self) -> None:
        """A workspace has its own installation, else that of its organisation."""
        async with self.store() as store:
            await saved(store, "E1", "xoxb-org")
            await saved(store, "T1", "xoxb-own")
            assert await store.set_teams("E1", ["T2", "T1", "T2"]) == (("T1", "T2"), ())
            for team, access in {"T1": "xoxb-own", "T2": "xoxb-org"}.items():
                found = await store.find(team)
                assert found is not None
                assert found.tokens.access == access
            assert await store.teams() == ["T1", "T2"]
            assert await store.organisations() == ["E1"]

    async def test_workspaces_join_and_leave_an_organisation(self) -> None:
        """The changes are told; a workspace with an installation of its own has not left."""
        async with self.store() as store:
            await saved(store, "E1")
            await saved(store, "T1")
            await store.set_teams("E1", ["T1", "T2"])
            assert await store.set_teams("E1", ["T3"]) == (("T3",), ("T2",))
            assert await store.teams() == ["T1", "T3"]
            assert await store.set_teams("E2", ["T4"]) == ((), ())
            assert await store.teams() == ["T1", "T3"]

    async def test_an_ended_installation_is_gone(self) -> None:
        """Its tokens cannot be read, and its workspace is told."""
        async with self.store() as store:
            found = await saved(store, tokens=expiring("xoxb-1", 60.0))
            assert await store.end("T1", found.revision) in (["T1"], ("T1",))
            assert await store.find("T1") is None
            assert await store.teams() == []
            assert await store.expiring(1e6) == []
            assert await store.end("T1", found.revision) is None
            assert not await store.replace_tokens("T1", Tokens("xoxb-2"), found.revision)

    async def test_a_late_end_spares_a_new_installation(self) -> None:
        """An end counts for the tokens it was meant for."""
        async with self.store() as store:
            first = await saved(store)
            await saved(store, access="xoxb-2")
            assert await store.end("T1", first.revision) is None
            found = await store.find("T1")
            assert found is not None
            assert found.tokens.access == "xoxb-2"

    async def test_an_installation_can_return(self) -> None:
        """After its end, the app is installed again."""
        async with self.store() as store:
            await store.end("T1", (await saved(store)).revision)
            assert (await saved(store, access="xoxb-2")).tokens.access == "xoxb-2"

    async def test_the_end_of_an_organisation_ends_its_workspaces(self) -> None:
        """All workspaces without an installation of their own are told, and all have lost the organisation's."""
        async with self.store() as store:
            found = await saved(store, "E1")
            await saved(store, "T1")
            await store.set_teams("E1", ["T1", "T2", "T3"])
            lost = await store.end("E1", found.revision)
            assert lost is not None
            assert list(lost) == ["T2", "T3"]
            assert await store.teams() == ["T1"]

    async def test_the_end_of_a_workspace_leaves_its_organisation(self) -> None:
        """A workspace whose organisation has the app is not lost with its own installation."""
        async with self.store() as store:
            await saved(store, "E1", "xoxb-org")
            found = await saved(store)
            await store.set_teams("E1", ["T1"])
            lost = await store.end("T1", found.revision)
            assert lost is not None
            assert list(lost) == []
            left = await store.find("T1")
            assert left is not None
            assert left.tokens.access == "xoxb-org"

    async def test_expiring_tokens_are_listed_with_their_workspaces(self) -> None:
        """The next to expire comes first; those with time left are not listed."""
        async with self.store() as store:
            await saved(store, "T1", tokens=expiring("xoxb-1", 3_000.0))
            await saved(store, "T2", tokens=expiring("xoxb-2", 9_000.0))
            await saved(store, "E1", tokens=expiring("xoxb-3", 1_000.0))
            await store.set_teams("E1", ["T3", "T4"])
            assert await store.expiring(7_200.0) == [("E1", ("T3", "T4")), ("T1", ("T1",))]

    async def test_a_lock_admits_one_at_a_time(self) -> None:
        """The second holder sees what the first one has saved."""
        async with self.store() as store:
            await saved(store, tokens=expiring("xoxb-0", 60.0))
            seen: list[str] = []

            async def append() -> None:
                async with store.lock("T1") as locked:
                    assert locked is not None
                    seen.append(locked.installation.tokens.access)
                    await asyncio.sleep(0)
                    await locked.save(expiring(f"{seen[-1]}+", 60.0))

            await asyncio.gather(append(), append())
            assert seen == ["xoxb-0", "xoxb-0+"]
            found = await store.find("T1")
            assert found is not None
            assert found.tokens.access == "xoxb-0++"

    async def test_a_lock_that_fails_saves_nothing(self) -> None:
        """The tokens stay as they were if the block raises."""
        async with self.store() as store:
            before = await saved(store)

            async def fail() -> None:
                async with store.lock("T1") as locked:
                    assert locked is not None
                    await locked.save(Tokens("xoxb-2"))
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await fail()
            assert await store.read("T1") == before

    async def test_a_lock_of_nothing(self) -> None:
        """Without an installation there is nothing to lock."""
        async with self.store() as store, store.lock("T9") as locked:
            assert locked is None

    async def test_tokens_are_replaced_once(self) -> None:
        """A repeated or late replacement changes nothing, and says so."""
        async with self.store() as store:
            revision = (await saved(store)).revision
            assert await store.replace_tokens("T1", Tokens("xoxb-2"), revision)
            assert not await store.replace_tokens("T1", Tokens("xoxb-3"), revision)
            found = await store.find("T1")
            assert found is not None
            assert found.tokens.access == "xoxb-2"

    async def test_the_workspace_of_a_bot_user(self) -> None:
        """A bot user belongs to one workspace; an organisation's belongs to many."""
        async with self.store() as store:
            await saved(store, "T1")
            await saved(store, "E1")
            assert await store.team_of_bot("UBOTT1") == "T1"
            assert await store.team_of_bot("UBOTE1") == ""
            assert await store.team_of_bot("U1") == ""

    async def test_a_state_is_used_once(self) -> None:
        """Of several uses at once, one is the first."""
        async with self.store() as store:
            uses = await asyncio.gather(*(store.spend_state(b"a state", 600.0) for _ in range(4)))
            assert sorted(uses) == [False, False, False, True]
            assert await store.spend_state(b"another", 600.0)
            assert loop_time() >= 0.0
