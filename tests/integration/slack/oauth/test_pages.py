"""The pages of an installation, as browsers use them: once, in one browser, in time; anything else is plain words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import aiohttp
import pytest
from yarl import URL

from adapters.http_server import HttpServer
from adapters.slack.oauth.pages import STYLE
from adapters.slack.oauth.routes import EXCHANGES, OAuthRoutes
from adapters.slack.oauth.states import COOKIE
from adapters.slack.scopes import ALL
from bot.errors import Forbidden
from tests.servers.limits import Kind
from tests.servers.slack_oauth import REDIRECT_URL, SlackOAuth
from tests.support.installations import OTHER_KEY, MemoryInstallations, box
from tests.support.slack_oauth import Process, options_for, process

pytestmark = pytest.mark.sockets(virtual=True)


class Clock:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Answer:
    """One page as a browser gets it."""

    status: int
    html: str
    headers: Any

    @property
    def title(self) -> str:
        found = re.search("<h1>(.*?)</h1>", self.html)
        assert found is not None
        return unescape(found[1])

    @property
    def link(self) -> str:
        found = re.search('<a class="next" href="(.*?)">', self.html)
        return unescape(found[1]) if found is not None else ""


class Browser:
    """Keeps the cookie of a page. Its address is the bot's on this machine; Slack's page is elsewhere."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address
        self.cookie = ""

    async def open(self, path: str) -> Answer:
        headers = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        url = URL(self._address).join(URL(path, encoded=True))
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if (given := response.headers.get("Set-Cookie", "")).startswith(f"{COOKIE}="):
                self.cookie = given.partition("=")[2].partition(";")[0]
            return Answer(response.status, await response.text(), response.headers)

    async def follow(self, url: str) -> Answer:
        """Where Slack sends a browser."""
        assert url.startswith(REDIRECT_URL)
        return await self.open(URL(url).raw_path_qs)


@dataclass
class Site:
    """The bot's pages, with Slack and a browser."""

    server: SlackOAuth
    store: MemoryInstallations
    process: Process
    browser: Browser
    session: aiohttp.ClientSession
    clock: Clock
    address: str

    def another_browser(self) -> Browser:
        return Browser(self.session, self.address)

    async def begin(self) -> str:
        """Open the first page; returns the address of Slack's."""
        return (await self.browser.open("/slack/install")).link

    async def install(self, id_: str = "T1") -> Answer:
        return await self.browser.follow(self.server.agree(await self.begin(), id_))


@asynccontextmanager
async def site(**changes: object) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(SlackOAuth().running())
        store, clock, options = MemoryInstallations(), Clock(), options_for(server, **changes)
        one = await stack.enter_async_context(process(store, options))
        routes = OAuthRoutes(
            options=options,
            box=box(),
            store=store,
            api=one.api,
            installations=one.installations,
            wall_clock=clock,
        )
        http = HttpServer(
            host="127.0.0.1", port=0, ready=dict, render_metrics=lambda: (b"", "text/plain"), routes=routes.routes()
        )
        stack.push_async_callback(http.close)
        address = await http.start()
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Site(server, store, one, Browser(session, address), session, clock, address)


async def test_two_workspaces_install_the_app() -> None:
    """Each has its own token and lane afterwards, and a page with the next step."""
    async with site() as here:
        for team in ("T1", "T2"):
            page = await here.install(team)
            assert (page.status, page.title) == (200, "Done")
            assert "/invite" in page.html
            assert page.link == f"https://app.slack.com/client/{team}"
            assert here.server.works(await here.process.installations.token(team))
        assert here.process.won.lanes == ["T1", "T2"]
        found = await here.store.find("T1")
        assert found is not None
        assert (found.bot_id, found.installed_by, found.app) == ("BT1", "U1", "A1")


async def test_an_organisation_installs_the_app() -> None:
    """Its page leads to the choice of workspaces; those with the app can use it at once."""
    async with site() as here:
        here.server.organisations["E1"] = ["T1", "T2"]
        page = await here.install("E1")
        assert page.status == 200
        assert "2 of its workspaces" in page.html
        assert page.link == "https://app.slack.com/manage/E1/integrations/profile/A1/workspaces/add"
        assert here.process.won.lanes == ["T1", "T2"]
        assert here.server.works(await here.process.installations.token("T2"))


async def test_the_first_page_asks_for_all_scopes() -> None:
    """Slack's page gets our client, scopes and address; the cookie is for this host over https alone."""
    async with site() as here:
        page = await here.browser.open("/slack/install")
        query = URL(page.link).query
        assert set(query["scope"].split(",")) == ALL
        assert query["redirect_uri"] == REDIRECT_URL
        for attribute in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"):
            assert attribute in page.headers["Set-Cookie"]
        assert "Domain" not in page.headers["Set-Cookie"]
        assert here.store.spent == {}


async def test_the_pages_are_safe_and_accessible() -> None:
    """No page loads or runs anything, or is kept or framed; each has a language, a title and one heading."""
    async with site() as here:
        pages = [
            await here.browser.open("/slack/install"),
            await here.install(),
            await here.browser.open("/slack/oauth_redirect"),
        ]
        for page in pages:
            policy = page.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'sha256-")
            assert "frame-ancestors 'none'" in policy
            assert page.headers["Cache-Control"] == "no-store"
            assert page.headers["Referrer-Policy"] == "no-referrer"
            assert page.headers["X-Content-Type-Options"] == "nosniff"
            assert '<html lang="en">' in page.html
            assert f"<title>{page.title}</title>" in page.html
            assert page.html.count("<h1>") == page.html.count("<main>") == 1
            assert STYLE in page.html
            assert "<script" not in page.html
            assert page.link


async def test_a_state_works_once() -> None:
    """A reloaded or replayed address installs nothing more, and says that nothing is left to do."""
    async with site() as here:
        url = here.server.agree(await here.begin(), "T1")
        assert (await here.browser.follow(url)).status == 200
        calls = len(here.server.transcript.of("", "oauth.v2.access"))
        page = await here.browser.follow(url)
        assert page.status == 400
        assert "nothing is left to do" in page.html
        assert page.link == "/slack/install"
        assert len(here.server.transcript.of("", "oauth.v2.access")) == calls


async def test_a_state_belongs_to_one_browser() -> None:
    """Nobody can make another person's browser finish an installation; the own browser still can."""
    async with site() as here:
        url = here.server.agree(await here.begin(), "T1")
        stranger = here.another_browser()
        assert (await stranger.follow(url)).status == 400
        await stranger.open("/slack/install")
        assert (await stranger.follow(url)).status == 400
        assert await here.store.teams() == []
        assert (await here.browser.follow(url)).status == 200


async def test_several_tabs_work() -> None:
    """A second tab does not spoil the first one's installation."""
    async with site() as here:
        first, second = await here.begin(), await here.begin()
        assert (await here.browser.follow(here.server.agree(first, "T1"))).status == 200
        assert (await here.browser.follow(here.server.agree(second, "T2"))).status == 200


async def test_a_state_expires() -> None:
    """After ten minutes the browser is asked to start again, and Slack is not called."""
    async with site() as here:
        url = here.server.agree(await here.begin(), "T1")
        here.clock.now += timedelta(seconds=601)
        page = await here.browser.follow(url)
        assert (page.status, page.link) == (400, "/slack/install")
        assert here.server.transcript.of("", "oauth.v2.access") == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?state=&code=c",
        "?state=x&code=c",
        "?state=%00%ff&code=c",
        f"?state={'x' * 1_001}&code=c",
        "?error=access_denied",
        "?error=%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
async def test_invented_addresses_get_a_page(query: str) -> None:
    """Whatever strangers send, the page is the same, and repeats nothing of it."""
    async with site() as here:
        page = await here.browser.open(f"/slack/oauth_redirect{query}")
        assert page.status == 400
        assert page.title == "This page can no longer be used"
        assert "alert" not in page.html


async def test_a_state_of_another_key_is_none() -> None:
    """Only our own keys make a state."""
    async with site() as here:
        await here.begin()
        forged = box(OTHER_KEY).seal('["install", "", 9999999999, ""]').decode()
        assert (await here.browser.open(f"/slack/oauth_redirect?state={forged}&code=c")).status == 400


async def test_a_decline_is_no_error() -> None:
    """Somebody who declines reads that nothing was installed, and may begin again with the same state."""
    async with site() as here:
        url = await here.begin()
        page = await here.browser.follow(here.server.decline(url))
        assert (page.status, page.title, page.link) == (200, "Nothing was installed", "/slack/install")
        page = await here.browser.follow(here.server.decline(url, "team_not_allowed<b>"))
        assert page.status == 400
        assert "team_not_allowed" not in page.html
        assert await here.store.teams() == []


async def test_a_wrong_secret_is_the_operators_line(caplog: pytest.LogCaptureFixture) -> None:
    """The reader is sent to the operator; the log names the setting, and no secret."""
    async with site() as here:
        here.server.client_secret = "another"
        page = await here.install()
        assert page.status == 502
        assert "operator" in page.html
        assert "SLACK_CLIENT_SECRET" in caplog.text
        assert "hunter2" not in caplog.text
        assert "bad_client_secret" in caplog.text


async def test_a_deleted_workspace_installs_nothing() -> None:
    """If Slack refuses the new token at once, nothing is kept."""
    async with site() as here:
        url = here.server.agree(await here.begin(), "T1")
        here.server.delete("T1")
        page = await here.browser.follow(url)
        assert page.status == 400
        assert "deleted" in page.html
        assert await here.store.teams() == []


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESET_AFTER, Kind.STALL_BEFORE, Kind.GARBLED])
async def test_an_outage_of_slack_is_a_page(kind: Kind) -> None:
    """The page asks for patience; the next attempt works."""
    async with site() as here:
        here.server.faults.add("", "oauth.v2.access", kind, status=500)
        page = await here.install()
        assert page.status == 503
        assert page.headers["Retry-After"] == "60"
        assert (await here.install()).status == 200


async def test_a_database_away_spends_nothing() -> None:
    """The same address works once the database is back, since neither state nor code was used."""
    async with site() as here:
        url = here.server.agree(await here.begin(), "T1")
        here.store.away = True
        assert (await here.browser.follow(url)).status == 503
        here.store.away = False
        assert (await here.browser.follow(url)).status == 200


async def test_workspaces_without_access_are_refused() -> None:
    """The operator's access list counts: the token is given back at once."""
    async with site(accepts=lambda id_: id_ == "T2") as here:
        page = await here.install("T1")
        assert page.status == 403
        assert await here.store.teams() == []
        assert not any(map(here.server.works, here.server.tokens))
        assert (await here.install("T2")).status == 200


async def test_missing_scopes_are_told() -> None:
    """An installation without a required scope works as far as it can; the page names what does not."""
    async with site() as here:
        here.server.granted = "chat:write,app_mentions:read"
        page = await here.install()
        assert page.status == 200
        assert "hear and read direct messages" in page.html
        assert await here.store.teams() == ["T1"]


async def test_strangers_cannot_use_up_slacks_limit(caplog: pytest.LogCaptureFixture) -> None:
    """Invented codes reach Slack a bounded number of times a minute, and the log has few lines of them."""
    async with site() as here:
        statuses = []
        for _ in range(EXCHANGES + 5):
            state = URL(await here.begin()).query["state"]
            statuses.append((await here.browser.open(f"/slack/oauth_redirect?state={state}&code=x")).status)
        assert statuses == [400] * EXCHANGES + [429] * 5
        assert len(here.server.transcript.of("", "oauth.v2.access")) == EXCHANGES
        assert len(caplog.records) <= 3


async def test_an_uninstalled_workspace_installs_again() -> None:
    """After the end, the same pages work again."""
    async with site() as here:
        await here.install()
        here.server.uninstall("T1")
        await here.process.installations.removed("T1")
        with pytest.raises(Forbidden):
            await here.process.installations.token("T1")
        assert (await here.install()).status == 200
        assert here.server.works(await here.process.installations.token("T1"))
