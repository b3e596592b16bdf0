"""The operator's page over HTTP, with the records in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from adapters.admin.sessions import FAILED_LOGINS
from bot.conversation import Author, TurnKey
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.records import VoteRecord, person
from bot.turns.live import LiveTurn
from tests.support.admin import NOW, TOKEN, Admin, admin

pytestmark = pytest.mark.sockets

EVIL = "<script>alert(1)</script>"


@asynccontextmanager
async def client(
    admin: Admin, headers: Mapping[str, str] | None = None, *, logged_in: bool = False
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with cookies, for an address without a domain; perhaps logged in."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(admin.url, headers=headers, cookie_jar=jar) as session:
        if logged_in:
            async with session.post("/admin/login", data={"token": TOKEN}) as answer:
                assert answer.status == 200
        yield session


BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.quick
async def test_without_a_session_every_path_is_the_login_form() -> None:
    """401 with the form as the body, for every method and path, and never a redirect."""
    async with admin() as page, client(page) as session:
        for method, path in [
            ("GET", "/admin"),
            ("GET", "/admin/"),
            ("GET", "/admin/login"),
            ("GET", "/admin/live"),
            ("GET", "/admin/style.css"),
            ("GET", "/admin/nothing/here"),
            ("POST", "/admin"),
            ("POST", "/admin/quotas"),
            ("POST", "/admin/logout"),
            ("PUT", "/admin/live"),
            ("DELETE", "/admin"),
            ("OPTIONS", "/admin"),
        ]:
            async with session.request(method, path, allow_redirects=False) as answer:
                text = await answer.text()
            assert answer.status == 401, (method, path)
            assert '<form method="post" action="/admin/login">' in text
            assert "Set-Cookie" not in answer.headers
        async with session.head("/admin") as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": "tickertape_admin=forged"},
        {"Cookie": f"tickertape_admin={TOKEN}"},
    ],
)
async def test_wrong_credentials_are_refused(headers: Mapping[str, str]) -> None:
    """Neither a wrong token nor a forged cookie opens the page."""
    async with admin() as page, client(page, headers) as session, session.get("/admin") as answer:
        assert answer.status == 401


@pytest.mark.quick
async def test_the_token_opens_the_page_as_a_header_and_by_the_form() -> None:
    """The cookie is for this path only, unreadable for scripts, and never sent from other sites."""
    async with admin() as page:
        async with client(page, BEARER) as session, session.get("/admin") as answer:
            assert answer.status == 200
            assert "Live turns" in await answer.text()
        async with client(page) as session:
            async with session.post("/admin/login", data={"token": f" {TOKEN} "}, allow_redirects=False) as answer:
                cookie = answer.headers["Set-Cookie"]
                for words in ("HttpOnly", "SameSite=Strict", "Path=/admin", "Max-Age="):
                    assert words in cookie
                assert TOKEN not in cookie
            async with session.get("/admin") as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"] == "no-store"
                assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
                text = await answer.text()
                assert "://" not in text
                assert TOKEN not in text


async def test_the_cookie_is_secure_behind_https() -> None:
    """A proxy in front tells by X-Forwarded-Proto."""
    async with (
        admin() as page,
        client(page, {"X-Forwarded-Proto": "https"}) as session,
        session.post("/admin/login", data={"token": TOKEN}, allow_redirects=False) as answer,
    ):
        assert "; Secure" in answer.headers["Set-Cookie"]


@pytest.mark.quick
async def test_logging_out_ends_the_session() -> None:
    """The old cookie is worth nothing afterwards."""
    async with admin() as page, client(page, logged_in=True) as session:
        cookie = {each.key: each.value for each in session.cookie_jar}
        form = await form_token(session)
        async with session.post("/admin/logout", data={"form": form}) as answer:
            assert answer.status == 401
        async with client(page) as other, other.get("/admin", cookies=cookie) as answer:
            assert answer.status == 401


async def form_token(session: aiohttp.ClientSession) -> str:
    """The hidden field of the page's forms."""
    async with session.get("/admin") as answer:
        text = await answer.text()
    return text.partition('name="form" value="')[2].partition('"')[0]


@pytest.mark.quick
async def test_ten_failed_logins_a_minute() -> None:
    """The eleventh try is refused, with the right token too; wrong headers count as well."""
    async with admin() as page, client(page) as session:
        for number in range(FAILED_LOGINS):
            if number % 2:
                async with session.get("/admin", headers={"Authorization": "Bearer no"}) as answer:
                    assert answer.status == 401
            else:
                async with session.post("/admin/login", data={"token": "no"}) as answer:
                    assert answer.status == 401
                    assert "not the token" in await answer.text()
        async with session.post("/admin/login", data={"token": TOKEN}) as answer:
            assert answer.status == 429
            assert "Too many wrong tokens" in await answer.text()
        async with session.get("/admin", headers=BEARER) as answer:
            assert answer.status == 429
        async with session.get("/admin") as answer:
            assert answer.status == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Host": "evil.example"}, True),
        ({"Host": "bot.example"}, False),
        ({"Host": "bot.example", "Origin": "https://bot.example"}, False),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Host": "localhost"}, False),
    ],
)
async def test_foreign_hosts_and_origins_are_refused(method: str, headers: Mapping[str, str], foreign: bool) -> None:
    """403 for a foreign Host or Origin, with a valid token too, and before any login."""
    async with admin(frozenset({"bot.example"})) as page, client(page) as session:
        for credentials in (BEARER, {}):
            path = "/admin" if method == "GET" else "/admin/login"
            data = None if method == "GET" else {"token": TOKEN}
            admitted = 303 if method == "POST" else 200 if credentials else 401
            async with session.request(
                method, path, headers={**credentials, **headers}, data=data, allow_redirects=False
            ) as answer:
                assert answer.status == (403 if foreign else admitted)


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("path", "without_fields"), [("/admin/login", 401), ("/admin/quotas", 200)])
@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"token=" + b"x" * 20_000, FORM, 413),
        (b"&".join([b"token=x"] * 101), FORM, 400),
        (b"{}", "application/json", 415),
        (b"\xff\xfe=\x00", FORM, 0),
        (b"", FORM, 0),
    ],
    ids=["long", "many fields", "json", "no text", "empty"],
)
async def test_odd_bodies_are_refused(path: str, without_fields: int, data: bytes, kind: str, status: int) -> None:
    """An unreadable form is a 4xx; one without our fields is no login, and changes no quota. The server goes on."""
    async with admin() as page, client(page, BEARER) as session:
        async with session.post(path, data=data, headers={"Content-Type": kind}) as answer:
            assert answer.status == (status or without_fields)
        assert not await page.quotas.overrides()
        async with session.get("/admin") as answer:
            assert answer.status == 200


@pytest.mark.quick
async def test_a_quota_is_changed_by_our_form_alone() -> None:
    """A form of another session changes nothing; ours does, and the audit log names the operator."""
    async with admin() as page, client(page, logged_in=True) as session:
        fields = {"scope": "user", "period": "day", "unit": "questions", "amount": "7"}
        for forged in ({}, {"form": ""}, {"form": "0" * 64}):
            async with session.post("/admin/quotas", data={**fields, **forged}) as answer:
                assert answer.status == 403
        assert not await page.quotas.overrides()
        form = await form_token(session)
        async with session.post("/admin/quotas", data={**fields, "form": form}) as answer:
            text = await answer.text()
        assert "Saved." in text
        assert "changed here" in text
        assert dict(await page.quotas.overrides()) == {"user.day.questions": "7"}
        (entry,) = await page.records.audit()
        assert (entry.actor, entry.action) == ("operator", "quota")
        for wrong in ({"amount": "many"}, {"amount": "-1"}, {"scope": "role", "role": ""}, {"unit": "stars"}):
            async with session.post("/admin/quotas", data={**fields, **wrong, "form": form}) as answer:
                assert "Nothing changed" in await answer.text()
        assert dict(await page.quotas.overrides()) == {"user.day.questions": "7"}


@pytest.mark.quick
async def test_every_text_is_escaped() -> None:
    """Names, reasons and settings of people are text, never markup."""
    async with admin() as page, client(page, BEARER) as session:
        key = TurnKey("slack", "T", EVIL, EVIL)
        page.turns.append(LiveTurn(key, Author("U", EVIL), 1.0))
        at = NOW.timestamp() - 60
        await page.records.record_vote(VoteRecord("slack", "T", EVIL, "1", EVIL, Vote.DOWN, at, "t", reason=EVIL))
        user = person("slack", EVIL)
        await page.records.write(user, {"persona": EVIL}, by=user)
        entry = LedgerEntry(at, "slack", "T", EVIL, EVIL, "t", EVIL, input_tokens=1_234)
        await page.records.settle(key, [entry], refund=False, ended=True)
        async with session.get("/admin") as answer:
            text = await answer.text()
        assert EVIL not in text
        assert text.count("&lt;script&gt;") >= 8
        assert "1,234" in text
        async with session.get("/admin/live") as answer:
            live = await answer.text()
        assert "queued" in live
        assert EVIL not in live
