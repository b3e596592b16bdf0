"""The whole program behind Slack's request URL: strangers, and SIGTERM while events arrive."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import aiohttp
import pytest

from adapters.slack import PATH
from tests.e2e.test_program import SlackPlace, everything, numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack_requests import sign
from tests.support.process import bot
from tests.support.slack import OVER_HTTP, for_program, program_ready
from tests.support.slack_requests import now, signed
from tests.support.transport import Transport
from tests.support.waiting import POLL_SECONDS, until

pytestmark = pytest.mark.sockets(seconds=90)

BODY = b'{"type":"event_callback","event":{"type":"message","text":"words of a stranger"}}'


async def test_strangers_cost_a_line_and_nothing_else() -> None:
    """Wrong signatures, 10 MB, and a byte now and then: plain statuses, few lines, no secret; then a question works."""
    async with (
        OpenAIDouble(default=Answer("Because.")) as model,
        everything(OVER_HTTP, model) as (place, running),
        aiohttp.ClientSession() as session,
    ):
        assert isinstance(place, SlackPlace)
        url, secret = place.double.requests.url, place.double.requests.signing_secret

        async def status(body: bytes, headers: dict[str, str]) -> int:
            async with session.post(url, data=io.BytesIO(body), headers=headers) as response:
                return response.status

        old = str(now() - 86_400)
        yesterday = signed(BODY) | {"X-Slack-Request-Timestamp": old, "X-Slack-Signature": sign(secret, old, BODY)}
        for _ in range(50):
            assert await status(BODY, signed(BODY)) == 401  # another secret's
            assert await status(BODY, yesterday) == 401
            assert await status(BODY, {"Content-Type": "application/json"}) == 401
            assert await status(BODY, signed(BODY) | {"X-Slack-Request-Timestamp": "soon"}) == 401
        assert await status(b"x" * 10_000_000, signed(BODY)) == 413
        async with session.get(url) as response:
            assert response.status == 405
        assert sum("refused requests" in line for line in running.lines) == 3
        assert not any(word in line for line in running.lines for word in (secret, "stranger", "Traceback", "v0="))
        question = place.ask("why?")
        await running.says("turn ended")
        assert place.answers(question) == ["Because."]
        assert await running.stop() == 0


async def test_no_event_is_lost_around_a_stop_signal(tmp_path: Path) -> None:
    """Events during the drain get 503 from a listening server; the next process answers each of them once."""
    double = for_program(Transport.HTTP)
    double.requests.retry_seconds = (0.1,) * 1_200
    double.post_seconds = 0.0
    dana, channels = double.world.user("Dana"), [double.world.channel() for _ in range(12)]
    # The first answers, and with them the drain, last until all the other events have come.
    slow, quick = Answer(numbered(60), words_per_second=8), Answer(numbered(60), words_per_second=30)
    async with OpenAIDouble(slow, slow, slow, default=quick) as model, double.running():
        named = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        environment = named | double.environment | {"JOURNAL_URL": f"sqlite:///{tmp_path}/journal.db"}
        questions: list[tuple[str, str]] = []

        def ask(number: int) -> None:
            text = f"<@{double.world.bot_user}> question {number}?"
            questions.append((channels[number], double.say(channels[number], text, author=dana)))

        async with bot(environment) as first:
            await program_ready(double)
            for number in range(3):
                ask(number)
            await model.wait_for(3)
            first.process.terminate()
            await first.says("stopping")
            url = double.requests.url.removesuffix(PATH)
            async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
                assert response.status == 503
            for number in range(3, 12):
                ask(number)
            await until(lambda: all("503" in each.responses for each in double.deliveries.envelopes[-9:]))
            assert await first.process.wait() == 0
        async with bot(environment) as second:
            await program_ready(double)
            async with asyncio.timeout(60):
                while not all(double.answers(*each) == [numbered(60)] for each in questions):
                    await asyncio.sleep(POLL_SECONDS)
            assert await second.stop() == 0
        assert double.requests.given_up == []
