"""Quick restarts on Slack: a new process must know the rate limits used by its predecessor."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.stress.storm import SlackPlace
from tests.support.process import bot

PATIENCE_SECONDS = 240.0


@dataclass
class Outcome:
    """The result of the restarts."""

    questions: int = 0
    whole: int = 0
    limited: Counter[str] = field(default_factory=Counter)  # 429s by method
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.whole} of {self.questions} whole after {self.seconds:.0f} s; 429s: {dict(self.limited)}"


async def quick_restarts(restarts: int, *, questions: int, words: int = 120, kill: bool = True) -> Outcome:
    """Start, ask, wait a few seconds and stop, `restarts` times; the last process finishes all answers."""
    whole = [f"word{number}" for number in range(words)]
    outcome, asked = Outcome(), 0
    loop = asyncio.get_running_loop()
    answer = Answer(" ".join(whole), words_per_second=40)
    with tempfile.TemporaryDirectory() as folder:
        async with OpenAIDouble(default=answer) as model, SlackDouble().running() as double:
            place = SlackPlace(double, 60)
            environment = place.environment | {
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_KEY": "x",
                "OPENAI_MODEL": "m",
                "JOURNAL_URL": f"sqlite:///{Path(folder) / 'journal.db'}",
                "TICKERTAPE_DRAIN_SECONDS": "0.5",
            }
            for number in range(restarts + 1):
                async with bot(environment) as running:
                    while not place.live:
                        await asyncio.sleep(0.02)
                    for _ in range(questions if number < restarts else 0):
                        await place.ask(asked)
                        asked += 1
                    if number < restarts:
                        await asyncio.sleep(2.5)
                        await running.stop(signal.SIGKILL if kill else signal.SIGTERM)
                        continue
                    began = loop.time()
                    while loop.time() - began < PATIENCE_SECONDS and not all(
                        " ".join(texts).split() == whole for texts in place.answers()
                    ):
                        await asyncio.sleep(0.2)
                    outcome.seconds = loop.time() - began
            outcome.questions = asked
            outcome.whole = sum(" ".join(texts).split() == whole for texts in place.answers())
            outcome.limited = Counter(method for method, _ in double.limited)
    return outcome


if __name__ == "__main__":
    for is_kill in (True, False):
        sys.stdout.write(
            f"{'kill' if is_kill else 'stop'}: {asyncio.run(quick_restarts(10, questions=2, kill=is_kill))}\n"
        )
