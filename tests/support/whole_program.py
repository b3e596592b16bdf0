"""The whole program in the test's own process and event loop: its settings, adapters, core, and the real SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bot.bootstrap import Bot, open_bot
from config.settings import Settings
from tests.servers.openai import OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.support.slack import program_ready
from tests.support.transport import Transport


@asynccontextmanager
async def slack_bot(double: SlackDouble, model: OpenAIDouble, **variables: str) -> AsyncIterator[Bot]:
    """Run the program on a workspace and a model. Leaving the context is a kill -9; `variables` are more settings."""
    chosen = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m", "JOURNAL_URL": "memory:"}
    settings = Settings.load({"PORT": "0", **double.environment, **chosen, **variables})
    async with AsyncExitStack() as stack:
        bot = await open_bot(settings, stack, lambda line: None)
        for platform in bot.platforms:
            stack.push_async_callback(platform.close)
        if double.transport is Transport.HTTP:
            await bot.http_server.start()
        async with running(bot):
            await program_ready(double)
            yield bot


@asynccontextmanager
async def running(bot: Bot) -> AsyncIterator[None]:
    """Run the turns and the platforms."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bot.turns.run())]
        await bot.turns.started.wait()
        tasks += [group.create_task(platform.run(bot.turns, bot.interactions)) for platform in bot.platforms]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
