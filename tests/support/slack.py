"""Helpers of the Slack tests: the platform or the program at the loopback server, over the test's transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import ClientSession

from adapters.http_server import HttpServer
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import EVENTS, PATH, BotTokens, SlackOptions, SlackPlatform, file_hosts
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ownership.access import SoleOwner
from bot.ports import Body, Channel
from tests.servers.ports import free_port
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.transport import Transport
from tests.support.waiting import POLL_SECONDS, until

# The platform's name in tests with several platforms, for Slack over HTTP.
OVER_HTTP = "slack-http"


def options_of(double: SlackDouble, **changes: object) -> SlackOptions:
    """Options for the loopback server and the test's transport."""
    if double.transport is Transport.HTTP:
        options = SlackOptions(
            double.bot_token, signing_secret=double.requests.signing_secret, api_url=double.api_url, ping_seconds=1.0
        )
    else:
        options = SlackOptions(double.bot_token, double.app_token, api_url=double.api_url, ping_seconds=1.0)
    return replace(options, **changes)  # type: ignore[arg-type]


def sole_platform(options: SlackOptions, attachments: Attachments, tokens: BotTokens | None = None) -> SlackPlatform:
    """The platform of a process without others."""
    lanes = SoleOwner()
    platform = SlackPlatform(options, attachments, lanes, tokens=tokens)
    lanes.attach({platform.name: platform})
    return platform


@asynccontextmanager
async def reachable(double: SlackDouble, platform: SlackPlatform) -> AsyncIterator[asyncio.Event]:
    """The platform's request URL, served, and known to Slack once the platform runs; nothing over the socket.

    The event is set once Slack knows the way. Events are repeated on command, as over the socket.
    """
    known = asyncio.Event()
    if double.transport is Transport.SOCKET:
        known.set()
        yield known
        return
    server = HttpServer(
        host="127.0.0.1",
        port=0,
        ready=lambda: {platform.name: platform.ready},
        render_metrics=lambda: (b"", "text/plain"),
        routes=platform.routes(),
        bodies=[EVENTS],
    )
    before, double.requests.retry_seconds = double.requests.url, ()
    url = await server.start() + PATH

    async def move_when_ready() -> None:
        await until(lambda: platform.ready, seconds=PATIENCE)
        double.requests.move(url)
        known.set()

    try:
        async with asyncio.TaskGroup() as group:
            moving = group.create_task(move_when_ready())
            try:
                yield known
            finally:
                moving.cancel()
    finally:
        double.requests.move(before)
        await server.close()


@asynccontextmanager
async def connected(
    double: SlackDouble,
    inbox: RecordingInbox | None = None,
    interactions: Interactions = NO_INTERACTIONS,
    *,
    files: str = "",
    tokens: BotTokens | None = None,
    **changes: object,
) -> AsyncIterator[tuple[SlackPlatform, RecordingInbox]]:
    """The platform connected to a running loopback server; closed at the end without `stop_accepting`.

    `files` is one more host of attachments; `tokens` are those of several workspaces.
    """
    hosts = file_hosts(options_of(double)) | ({files} if files else set())
    attachments = Attachments(AttachmentLimits(), hosts=hosts)
    platform = sole_platform(options_of(double, **changes), attachments, tokens)
    inbox = inbox or RecordingInbox()
    try:
        async with reachable(double, platform) as known, asyncio.TaskGroup() as group:
            running = group.create_task(platform.run(inbox, interactions))
            try:
                await until(lambda: platform.ready and known.is_set(), seconds=PATIENCE)
                yield platform, inbox
            finally:
                running.cancel()
    finally:
        await platform.close()
        await attachments.close()


def transport_of(platform: str) -> Transport:
    """The transport of a platform's name."""
    return Transport.HTTP if platform == OVER_HTTP else Transport.SOCKET


def for_program(transport: Transport | None = None) -> SlackDouble:
    """A double for a program yet to be started, over the test's transport if none is given.

    `SlackDouble.environment` names the port of the request URL.
    """
    double = SlackDouble(transport=transport)
    if double.transport is Transport.HTTP:
        double.requests.move(f"http://127.0.0.1:{free_port()}{PATH}")
    return double


async def program_ready(double: SlackDouble) -> None:
    """Wait until a program receives events."""
    if double.transport is Transport.SOCKET:
        await double.until(lambda: bool(double.sockets.live))
        return
    url = double.requests.url.removesuffix(PATH) + "/readyz"
    async with ClientSession() as session:
        while not await _is_ready(session, url):
            await asyncio.sleep(POLL_SECONDS)


async def _is_ready(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except OSError:
        return False


async def soon(double: SlackDouble, condition: Callable[[], bool]) -> None:
    """Wait for a change at the server."""
    async with asyncio.timeout(PATIENCE):
        await double.until(condition)


async def told(double: SlackDouble, user: str, count: int = 1) -> list[str]:
    """The private messages to a person, once there are so many."""
    await soon(double, lambda: len(double.interactive.seen_by(user)) >= count)
    return double.interactive.seen_by(user)


async def answer(channel: Channel, text: str, key: str = "") -> str:
    """Post one message as an answer to the newest question."""
    return await channel.post(Body(text), key or "k" * 20 + "1")
