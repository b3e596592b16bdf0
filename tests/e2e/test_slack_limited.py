"""The whole program as a limited app over HTTP: killed amid its answers, asked again, and checked."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.e2e.test_program import numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.process import bot
from tests.support.slack import for_program, program_ready
from tests.support.transport import Transport

pytestmark = pytest.mark.sockets(seconds=120)

# Words at a rate that leaves the answers in the middle at the kill, and room for their edits within a minute.
WORDS = numbered(80)
QUESTIONS = 12


async def test_a_kill_amid_answers_of_a_limited_app(tmp_path: Path) -> None:
    """All complete in their messages; follow-ups in their threads then need no read, and `check` passes meanwhile."""
    double = for_program(Transport.HTTP)
    double.limit_history()
    double.requests.retry_seconds = (0.1,) * 1_200
    double.post_seconds = 0.0
    dana, channels = double.world.user("Dana"), [double.world.channel() for _ in range(QUESTIONS)]
    async with OpenAIDouble(default=Answer(WORDS, words_per_second=20)) as model, double.running():
        environment = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        environment |= double.environment | {"JOURNAL_URL": f"sqlite:///{tmp_path}/journal.db"}
        async with bot(environment) as first:
            await program_ready(double)
            threads = [(each, double.say(each, "<@UBOT> tell", author=dana)) for each in channels]
            async with asyncio.timeout(60):
                await double.until(lambda: all(double.answers(*each) for each in threads))
                # The journal knows the last post too, once later edits follow it.
                edits = len(double.transcript.of(path="chat.update"))
                await double.transcript.wait_for(path="chat.update", count=edits + 3)
            await first.stop(signal.SIGKILL)
        async with bot(environment) as second:
            await program_ready(double)
            async with asyncio.timeout(90):
                await double.until(lambda: all(double.answers(*each) == [WORDS] for each in threads))
                for channel, root in threads[:5]:
                    double.say(channel, "and why?", author=dana, thread=root)
                await double.until(lambda: all(len(double.answers(*each)) == 2 for each in threads[:5]))
            async with bot(environment, "check", "--url", double.requests.url) as check:
                await check.says("Slack request URL: works in")
            assert await second.stop() == 0
    assert len(double.limited) <= 2
