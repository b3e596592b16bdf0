"""Helpers of the Slack tests: the platform running against the double, and an inbox that keeps what it is brought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import SlackOptions, SlackPlatform, file_hosts
from bot.conversation import Author, Turn, TurnKey
from bot.ports import Body, Channel
from tests.servers.slack import SlackDouble
from tests.support.fakes import OpenInbox

# A test that waits longer than this for something has failed; real seconds.
PATIENCE = 10.0


class Taken(OpenInbox):
    """An inbox that keeps every turn with its channel."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[tuple[Turn, Channel]] = []
        self._changed = asyncio.Event()

    def accept(self, turn: Turn, channel: Channel) -> None:
        self.turns.append((turn, channel))
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that the platform brings holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def receive(self, key: TurnKey, event: str) -> bool:
        fresh = await super().receive(key, event)
        self._changed.set()
        return fresh

    def dismiss(self, key: TurnKey) -> None:
        super().dismiss(key)
        self._changed.set()

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        self._changed.set()
        return super().stop(at, by=by)

    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        self._changed.set()
        return super().stop_conversation(conversation, by=by)

    def message_deleted(self, at: TurnKey) -> None:
        super().message_deleted(at)
        self._changed.set()

    @property
    def texts(self) -> list[str]:
        return [turn.question.text for turn, _ in self.turns]

    async def number(self, count: int) -> tuple[Turn, Channel]:
        """Wait for turn number `count`, counted from one."""
        await self.until(lambda: len(self.turns) >= count)
        return self.turns[count - 1]


def options_of(double: SlackDouble, **changes: object) -> SlackOptions:
    """What the platform is told, to meet the double."""
    options = SlackOptions(double.bot_token, double.app_token, api_url=double.api_url, ping_seconds=1.0)
    return replace(options, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def connected(
    double: SlackDouble, inbox: Taken | None = None, *, files: str = "", **changes: object
) -> AsyncIterator[tuple[SlackPlatform, Taken]]:
    """The platform, connected to a double that is running; closed at the end, without a goodbye to anybody.

    `files` is one more address that attachments may be read from.
    """
    hosts = file_hosts(options_of(double)) | ({files} if files else set())
    attachments = Attachments(AttachmentLimits(), hosts=hosts)
    platform, inbox = SlackPlatform(options_of(double, **changes), attachments), inbox or Taken()
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(platform.run(inbox))
            try:
                async with asyncio.timeout(PATIENCE):
                    while not platform.ready:
                        await asyncio.sleep(0.01)
                yield platform, inbox
            finally:
                running.cancel()
    finally:
        await platform.close()
        await attachments.close()


async def answer(channel: Channel, text: str, key: str = "") -> str:
    """Post one message as an answer to the newest question."""
    return await channel.post(Body(text), key or "k" * 20 + "1")
