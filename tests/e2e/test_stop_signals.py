"""How the program stops: what its supervisor's signals mean while answers are live."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.test_program import everything, numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=90)


async def test_repeated_stop_signals_leave_the_time_to_finish() -> None:
    """Several SIGTERMs, as Heroku may send them, are one: the answer is finished all the same."""
    async with (
        OpenAIDouble(default=Answer(numbered(100), words_per_second=50)) as model,
        everything("slack", model) as (place, running),
    ):
        question = place.ask("why?")
        received = await model.wait_for(1)
        running.process.terminate()
        await running.says("stopping")
        await until(lambda: len(received.sent) >= 40)
        running.process.terminate()
        await until(lambda: len(received.sent) >= 60)
        assert await running.stop() == 0
        assert " ".join(place.answers(question)).split() == numbered(100).split()


async def test_an_operator_need_not_wait_for_the_drain() -> None:
    """Ctrl-C after a stop signal ends the process at once, in the middle of an answer."""
    async with (
        OpenAIDouble(default=Answer(numbered(4000), words_per_second=50)) as model,
        everything("slack", model, TICKERTAPE_DRAIN_SECONDS="80") as (place, running),
    ):
        place.ask("why?")
        received = await model.wait_for(1)
        running.process.terminate()
        await running.says("stopping")
        assert await running.stop(signal.SIGINT) == 1
        await received.left_early.wait()
