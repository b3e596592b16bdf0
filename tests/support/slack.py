"""Helpers of the Slack tests: the platform connected to the loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import SlackOptions, SlackPlatform, file_hosts
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import Body, Channel
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.waiting import until


def options_of(double: SlackDouble, **changes: object) -> SlackOptions:
    """Options for the loopback server."""
    options = SlackOptions(double.bot_token, double.app_token, api_url=double.api_url, ping_seconds=1.0)
    return replace(options, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def connected(
    double: SlackDouble,
    inbox: RecordingInbox | None = None,
    interactions: Interactions = NO_INTERACTIONS,
    *,
    files: str = "",
    **changes: object,
) -> AsyncIterator[tuple[SlackPlatform, RecordingInbox]]:
    """The platform connected to a running loopback server; closed at the end without `stop_accepting`.

    `files` is one more host of attachments.
    """
    hosts = file_hosts(options_of(double)) | ({files} if files else set())
    attachments = Attachments(AttachmentLimits(), hosts=hosts)
    platform, inbox = SlackPlatform(options_of(double, **changes), attachments), inbox or RecordingInbox()
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(platform.run(inbox, interactions))
            try:
                await until(lambda: platform.ready, seconds=PATIENCE)
                yield platform, inbox
            finally:
                running.cancel()
    finally:
        await platform.close()
        await attachments.close()


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
