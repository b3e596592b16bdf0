"""Whole answers in the agent view of the loopback Slack: asked, streamed, and judged as a reader sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.bootstrap import Bot
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import labels_of
from tests.servers.slack_streams import APPEND, START, STOP
from tests.support.whole_program import slack_bot

EDIT, POST = "chat.update", "chat.postMessage"

# Virtual seconds: an answer is at rest when nothing has been written for so long, and the longest wait for that. A lost
# response is noticed after ten seconds.
REST_SECONDS = 25.0
WAIT_SECONDS = 2_000.0
# Buttons of a whole answer.
FINAL_BUTTONS = ["Try again", "Good answer", "Bad answer"]


def words(count: int, word: str = "word") -> str:
    """An answer of numbered words."""
    return " ".join(f"{word}{number}" for number in range(count))


@dataclass
class AgentView:
    """One person in the agent view, the program, and the model's server."""

    double: SlackDouble
    model: OpenAIDouble
    bot: Bot
    user: str

    @property
    def channel(self) -> str:
        """The person's direct messages with the bot."""
        return self.double.direct_with(self.user)

    def ask(self, text: str = "tell", *, thread: str = "", user: str = "") -> str:
        """Ask in the agent view; returns the question's ts."""
        return self.double.ask_agent(user or self.user, text, thread=thread)

    def shown(self, root: str, user: str = "") -> list[str]:
        """The bot's messages in a question's thread."""
        return self.double.answers(self.double.direct_with(user or self.user), root)

    def buttons(self, root: str) -> list[list[str]]:
        """The buttons below each of the bot's messages in a thread."""
        thread = self.double.world.thread(self.channel, root)
        ours = [message for message in thread if message.get("user") == self.double.world.bot_user]
        return [labels_of(message.get("blocks") or []) for message in ours]

    def calls(self, *methods: str) -> list[str]:
        """The writes that were applied, by method; those of `methods`, if given."""
        return [wrote.method for wrote in self.double.writes if not methods or wrote.method in methods]

    async def written(self, method: str, count: int = 1) -> None:
        """Wait until so many writes of a method were applied."""
        await self.until(lambda: len(self.calls(method)) >= count)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a change at Slack's side."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.double.until(holds)

    async def rest(self) -> None:
        """Wait until nothing is written any more."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.bot.turns.idle()
            before = -1
            while before != len(self.double.writes):
                before = len(self.double.writes)
                await asyncio.sleep(REST_SECONDS)
                await self.bot.turns.idle()  # the question may have come since

    async def answered(self, text: str, *roots: str) -> None:
        """Wait until all is at rest; each question has this answer then, whole and once, and nothing is left over."""
        await self.rest()
        for root in roots:
            assert " ".join(self.shown(root)).split() == text.split(), self.shown(root)
        self.judge()

    def judge(self) -> None:
        """Nothing is left over: no open stream, no sign of progress, no 429."""
        assert self.double.streams.open == []
        assert self.double.streams.spinners == []
        assert self.double.limited == []


@asynccontextmanager
async def agent_view(
    answer: str | Answer, *, rate: float = 20.0, double: SlackDouble | None = None, **variables: str
) -> AsyncIterator[AgentView]:
    """The program with one person in the agent view; the model sends `answer`, at `rate` words a second.

    Leaving the context is a kill -9.
    """
    script = answer if isinstance(answer, Answer) else Answer(answer, words_per_second=rate)
    double = double or SlackDouble()
    user = double.world.user("Ann")
    async with double.running(), OpenAIDouble(default=script) as model, slack_bot(double, model, **variables) as bot:
        yield AgentView(double, model, bot, user)


def streamed_only(view: AgentView) -> bool:
    """Whether everything was written by native streams."""
    return set(view.calls()) <= {START, APPEND, STOP}
