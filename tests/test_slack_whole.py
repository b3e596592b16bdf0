"""The whole path on Slack: a question over the socket, a model, and what a reader sees in the end."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from adapters.attachments import AttachmentLimits, Attachments
from adapters.journal import MemoryJournal
from adapters.slack import SlackPlatform
from bot.access import AccessRules
from bot.choices import Choices, TurnLimits
from bot.completion import Completion, CompletionPolicy
from bot.prompt import Persona, Prompting
from bot.reply import WritingPolicy
from bot.telemetry import NoRecorder
from bot.turns import Turns
from bot.words import Words
from tests.doubles.limits import Kind
from tests.doubles.slack import SlackDouble
from tests.memory import ScriptedModel, answer_of, words
from tests.slack_world import options_of

pytestmark = pytest.mark.sockets

ANSWER = words(100, rate=60.0)


@asynccontextmanager
async def bot(double: SlackDouble, model: ScriptedModel) -> AsyncIterator[Turns]:
    """The program without its settings: Slack, the core and a model that was written down."""
    recorder, seeded = NoRecorder(), random.Random(7)
    choices = Choices(AccessRules(), Prompting(Persona("Be brief.")), Words(), WritingPolicy(), TurnLimits())
    completion = Completion(model, CompletionPolicy(), recorder, seeded)
    turns = Turns(choices, completion, MemoryJournal(), recorder, random_=seeded, wall_clock=lambda: datetime.now(UTC))
    attachments = Attachments(AttachmentLimits(), hosts=frozenset())
    platform = SlackPlatform(options_of(double), attachments)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turns.run()), group.create_task(platform.run(turns))]
            await turns.started.wait()
            yield turns
            for task in tasks:
                task.cancel()
    finally:
        await platform.close()
        await attachments.close()


async def finished(double: SlackDouble, channel: str, count: int) -> list[str]:
    """The answers, once `count` of them are whole."""
    whole = answer_of(ANSWER).split()
    async with asyncio.timeout(20):
        await double.until(lambda: sum(a.split() == whole for a in double.answers(channel)) == count)
    return double.answers(channel)


async def test_answers_grow_and_arrive_whole() -> None:
    """Three questions at once in one channel: each answer grows in its thread, ends whole, and provokes no 429."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        roots = [double.say(channel, "<@UBOT> tell", author=ann) for _ in range(3)]
        answers = await finished(double, channel, 3)
        assert len(answers) == 3
        assert all(len(double.answers(channel, root)) == 1 for root in roots)
    assert double.limited == []
    assert double.refused == []
    first = [w.text for w in double.writes if w.ts == double.writes[0].ts]
    assert len(first) >= 3
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(first))


async def test_a_post_that_was_lost_is_not_made_twice() -> None:
    """A post whose answer never came is found by its key, and its message is the one that grows."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("POST", "chat.postMessage", Kind.RESET_AFTER)
    double.faults.add("POST", "chat.update", Kind.STATUS, status=503, nth=2)
    double.faults.add("POST", "chat.update", Kind.RESET_AFTER, nth=4)
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        double.say(channel, "<@UBOT> tell", author=ann)
        assert len(await finished(double, channel, 1)) == 1
    assert double.limited == []
