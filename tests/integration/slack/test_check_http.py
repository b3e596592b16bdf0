"""`check` over HTTP tries the way of Slack's requests to the bot, and names its faults."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from adapters.shared.diagnostics import CheckResult
from adapters.slack import PATH, RequestUrlToCheck, SlackOptions, check, parse_address
from bot.errors import InvalidRequest
from config import slack_manifest
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.slack import options_of
from tests.support.slack_requests import endpoint

pytestmark = pytest.mark.sockets

GOOD_SECRET = "0123456789abcdef" * 2
HERE = ("127.0.0.1", 8080)


def over_http(double: SlackDouble, **changes: str) -> SlackOptions:
    """Options for events over HTTP."""
    return options_of(double, **{"app_token": "", "signing_secret": GOOD_SECRET, **changes})


async def tried(options: SlackOptions, url: str = "", clock: Callable[[], datetime] | None = None) -> list[CheckResult]:
    """The results of a check with this request URL."""
    way = RequestUrlToCheck(*HERE, url, clock or (lambda: datetime.now(UTC)))
    return await check(options, way)


@asynccontextmanager
async def site(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server with this answer to every request; yields its host and port."""
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def url_result(url: str, clock: Callable[[], datetime] | None = None) -> CheckResult:
    """The result about a request URL; the tokens are not tried."""
    double = SlackDouble()
    async with double.running():
        (found,) = [each for each in await tried(over_http(double), url, clock) if each.subject == "Slack request URL"]
    return found


async def test_without_a_url_the_way_is_explained() -> None:
    """Without an app token all is well; the lines name the addresses, the three places and the next step."""
    double = SlackDouble()
    async with double.running():
        results = await tried(over_http(double))
    assert [(each.subject, each.ok, each.warning) for each in results] == [
        ("Slack bot token", True, False),
        ("Slack scopes", True, False),
        ("Slack app", True, False),
        ("Slack signing secret", True, False),
        ("Slack request URL", True, False),
    ]
    told = results[-1].message + results[-1].fix
    places = ("Event Subscriptions", "Interactivity", "slash command")
    for words in (f"http://127.0.0.1:8080{PATH}", *places, "check --url", "manifest"):
        assert words in told


@pytest.mark.parametrize(
    ("secret", "ok", "words"),
    [
        ("xoxb-1-hunter2", False, "token"),
        ("xapp-1-hunter2", False, "token"),
        ("hunter2", True, "32 hexadecimal digits"),
        (GOOD_SECRET.upper(), True, "32 hexadecimal digits"),
    ],
)
async def test_a_secret_that_looks_wrong(secret: str, ok: bool, words: str) -> None:
    """A token in its place fails, another form is a warning; neither is printed."""
    double = SlackDouble()
    async with double.running():
        results = await tried(over_http(double, signing_secret=secret))
    (found,) = [each for each in results if each.subject == "Slack signing secret"]
    assert (found.ok, found.warning) == (ok, ok)
    assert words in found.message
    assert "App Credentials" in found.fix
    assert "hunter2" not in repr(results)


@pytest.mark.parametrize("is_on", [True, False])
async def test_socket_mode_takes_all_events(is_on: bool) -> None:
    """With an app token beside HTTP, an enabled Socket Mode fails the check: Slack would send nothing to the URL."""
    double = SlackDouble()
    if not is_on:
        refusal = b'{"ok": false, "error": "link_disabled"}'
        double.faults.add("POST", "apps.connections.open", Kind.STATUS, status=200, body=refusal)
    async with double.running():
        results = await tried(over_http(double, app_token=double.app_token))
    found = [each for each in results if each.subject == "Slack Socket Mode"]
    assert [each.ok for each in found] == [not is_on]
    assert all("xapp" not in repr(each) for each in results)


@pytest.mark.quick
async def test_a_real_way_works() -> None:
    """The challenge returns from the bot's own endpoint, also in a large body; plain HTTP is a warning."""
    double = SlackDouble()
    async with double.running(), endpoint(double) as slack:
        options = over_http(double, signing_secret="8f742231b10e8888abcd99yyyzzz85a5")
        found = (await tried(options, parse_address(str(slack.url.origin()))))[-1]
        assert (found.ok, found.warning) == (True, True)
        assert "works in" in found.message
        found = (await tried(over_http(double), str(slack.url)))[-1]
        assert not found.ok
        assert "another signing secret" in found.message
        assert slack.inbox.received == []


async def test_clocks_that_differ() -> None:
    """A 401 for a wrong clock is told apart from a wrong secret."""
    double = SlackDouble()
    async with double.running(), endpoint(double) as slack:
        options = over_http(double, signing_secret="8f742231b10e8888abcd99yyyzzz85a5")
        found = (await tried(options, str(slack.url), lambda: datetime.now(UTC) - timedelta(hours=1)))[-1]
    assert not found.ok
    assert "differ by 3" in found.message


ANSWERS: Mapping[str, tuple[web.Response, str]] = {
    "404": (web.Response(status=404), "does not know the path"),
    "405": (web.Response(status=405), "takes no POST"),
    "413": (web.Response(status=413), "size"),
    "403": (web.Response(status=403), "firewall"),
    "502": (web.Response(status=502), "does not reach the bot"),
    "503": (web.Response(status=503), "not ready"),
    "504": (web.Response(status=504), "no answer from the bot"),
    "500": (web.Response(status=500), "answers 500"),
    "login": (web.Response(status=401, headers={"WWW-Authenticate": "Basic"}), "password"),
    "401": (web.Response(status=401), "another signing secret"),
    "redirect": (
        web.Response(status=301, headers={"Location": "https://b.example/x?token=hunter2"}),
        "https://b.example/x",
    ),
    "bad redirect": (web.Response(status=302), "nowhere"),
    "other page": (web.Response(text="<h1>Welcome hunter2</h1>"), "without the challenge"),
    "odd JSON": (web.Response(text="[1, 2]"), "without the challenge"),
    "binary": (web.Response(body=b"\xff\x00" * 9_000), "without the challenge"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answers_of_others(case: str) -> None:
    """Each answer has one line with its likely sender, and a remedy; its content is not repeated."""
    prepared, words = ANSWERS[case]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=prepared.status, body=prepared.body, headers=prepared.headers)

    async with site(answer) as host:
        found = await url_result(f"http://{host}{PATH}")
    assert not found.ok
    assert words in found.message
    assert found.fix
    assert "hunter2" not in repr(found)
    assert len(found.message.splitlines()) == 1


async def echo(request: web.Request) -> web.Response:
    """Answers any challenge, signed or not."""
    return web.json_response({"challenge": (await request.json())["challenge"]})


async def test_a_url_that_takes_any_signature() -> None:
    """An endpoint with an answer to a wrong signature fails the check."""
    async with site(echo) as host:
        found = await url_result(f"http://{host}{PATH}")
    assert not found.ok
    assert "wrong signature" in found.message


async def test_a_proxy_with_small_bodies() -> None:
    """A proxy without room for larger bodies is found by the larger request."""

    async def small(request: web.Request) -> web.Response:
        body = await request.read()
        return (
            web.Response(status=413)
            if len(body) > 8_192
            else web.json_response({"challenge": json.loads(body)["challenge"]})
        )

    async with site(small) as host:
        found = await url_result(f"http://{host}{PATH}")
    assert not found.ok
    assert "100 kB" in found.message


async def test_a_slow_way() -> None:
    """After Slack's three seconds without an answer, the check says so."""

    async def slow(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with site(slow) as host:
        found = await url_result(f"http://{host}{PATH}")
    assert not found.ok
    assert "within 3 s" in found.message


async def test_addresses_without_a_server() -> None:
    """A name without an address, a closed port, and plain HTTP behind https are told apart."""
    async with site(echo) as host:
        plain = await url_result(f"https://{host}{PATH}")
    closed = await url_result(f"http://{host}{PATH}")
    nowhere = await url_result(f"https://bot.invalid{PATH}")
    assert [plain.ok, closed.ok, nowhere.ok] == [False, False, False]
    assert "certificate" in plain.message
    assert "refuses connections" in closed.message
    assert "bot.invalid" in nowhere.message


async def test_a_connection_that_breaks() -> None:
    """A server's hang-up gets its own line."""

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with site(hang_up) as host:
        found = await url_result(f"http://{host}{PATH}")
    assert not found.ok
    assert "breaks the connection" in found.message


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://bot.example.com", f"https://bot.example.com{PATH}"),
        (" https://bot.example.com/ ", f"https://bot.example.com{PATH}"),
        (f"https://bot.example.com:8443{PATH}", f"https://bot.example.com:8443{PATH}"),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:8080{PATH}"),
        (f"https://host.example/bots/1{PATH}", f"https://host.example/bots/1{PATH}"),
    ],
)
def test_addresses(text: str, url: str) -> None:
    """A bare address gets the path; any other path stays."""
    assert parse_address(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "bot.example.com",
        "ftp://a.example",
        "https://",
        "",
        "/x",
        "https://[::1",
        "https://a.example?x=1",
        "https://a.example#x",
        "https://a.example:99999",
        "https://u:hunter2@a.example",
    ],
)
def test_bad_addresses(text: str) -> None:
    """Anything else is refused in one line without the address: it may hold a password."""
    with pytest.raises(InvalidRequest) as refused:
        parse_address(text)
    assert str(refused.value) == "--url: the address must be like https://bot.example.com"


def test_the_manifest_has_the_path_of_the_route() -> None:
    """The manifest's request URL leads to the route."""
    assert slack_manifest.EVENTS_PATH == PATH
