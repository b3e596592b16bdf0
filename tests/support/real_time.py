"""The core between a model's server and a channel in memory, in real time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.openai import OpenAIModel, OpenAIOptions
from bot.backoff import Backoff
from bot.completion import CompletionPolicy
from bot.conversation import History, Message, Part, Role, Text
from bot.delivery.policy import WritePolicy
from bot.turns.manager import TurnManager
from tests.servers.openai import Answer, OpenAIDouble, Script, Taste
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, turn

ANSWER = "Half past nine."
AT_ONCE = CompletionPolicy(backoff=Backoff(0.01, 8.0, jitter=1.0))


@dataclass
class Conversation:
    """The core between a model's server and a channel in memory."""

    double: OpenAIDouble
    turns: TurnManager
    asked: int = 0

    async def ask(self, *said: Message, text: str = "why?", files: tuple[Part, ...] = (), direct: bool = True) -> str:
        """Ask after what was said; what the reader then sees."""
        self.asked += 1
        channel = FakeChannel(past=History(said), files=files)
        self.turns.accept(turn(str(self.asked), text=text, direct=direct), channel)
        await self.turns.idle()
        return channel.text


@asynccontextmanager
async def conversation(taste: Taste, *scripts: Script, api: str = "chat") -> AsyncIterator[Conversation]:
    async with OpenAIDouble(*scripts, default=Answer(ANSWER)) as double:
        double.taste = taste
        model = OpenAIModel(OpenAIOptions("test-model", "x", double.url, api=api))  # type: ignore[arg-type]
        turns = make_turns(
            model, completion=AT_ONCE, writes=WritePolicy(first_seconds=0.0), system_prompt="Be brief.", seed=1
        )
        async with running(turns):
            yield Conversation(double, turns)
        await model.close()


def user(text: str, *more: Part, name: str = "Kim") -> Message:
    """What somebody said before."""
    return Message(Role.USER, (Text(text), *more), name)


def ours(text: str) -> Message:
    """An answer of ours before."""
    return Message(Role.ASSISTANT, (Text(text),))
