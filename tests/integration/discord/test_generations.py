"""Further answers in Discord, with the whole core: try again, and edited questions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from bot.conversation import Ending, Text
from tests.servers.discord import DiscordDouble
from tests.servers.limits import Kind
from tests.support.core import ended
from tests.support.discord import Bot, process
from tests.support.fakes import FakeJournal, ScriptedModel, Step, answer_of, words
from tests.support.waiting import until

LONG = words(900, rate=1_000.0)  # three messages
SHORT: list[Step] = [Text("Something "), 0.1, *words(30, rate=100.0)]


@asynccontextmanager
async def stage(*scripts: Iterable[Step]) -> AsyncIterator[tuple[Bot, FakeJournal, ScriptedModel]]:
    """A bot on a fresh server, not running yet."""
    double = DiscordDouble()
    async with double.running():
        yield Bot(double), FakeJournal(durable=True), ScriptedModel(*scripts)


def answers(bot: Bot) -> list[str]:
    """The ids of the bot's messages, from top to bottom."""
    return [one.id for one in bot.double.shown(bot.general) if one.author == "Tickertape"]


def text_of(bot: Bot) -> str:
    """All words of the bot."""
    return " ".join(" ".join(bot.double.answers(bot.general)).split())


def answer_writes(bot: Bot) -> list[str]:
    """The methods of all posts and edits, in order."""
    return [entry.method for entry in bot.double.transcript.of(path="/messages") if entry.method in ("POST", "PATCH")]


def read_of(script: Iterable[Step]) -> str:
    return " ".join(answer_of(script).split())


@pytest.mark.sockets
@pytest.mark.parametrize("restarted", [False, True], ids=["here", "restarted"])
@pytest.mark.parametrize(("first", "second"), [(LONG, SHORT), (SHORT, LONG)], ids=["shorter", "longer"])
async def test_try_again_replaces_an_answer_in_place(first: list[Step], second: list[Step], *, restarted: bool) -> None:
    """The same messages show the new text alone, surplus ones are deleted, and no limit is hit.

    The model is not shown its first answer.
    """
    async with stage(first, second) as (bot, journal, model):
        async with process(bot, model, journal):
            question = bot.ask("hi")
            await ended(journal, 1)
            before = answers(bot)
            if not restarted:
                bot.double.press(bot.general, before[-1], user=bot.ada, custom_id=f"retry:{question}")
                await ended(journal, 2)
        if restarted:
            async with process(bot, model, FakeJournal(durable=True, of=journal)):
                bot.double.press(bot.general, before[-1], user=bot.ada, custom_id=f"retry:{question}")
                await ended(journal, 2)

        after = answers(bot)
        assert text_of(bot) == read_of(second)
        assert after[: len(before)] == before[: len(after)]
        assert bot.double.controls(bot.general, after[-1])[0] == f"retry:{question}"
        assert [bot.double.controls(bot.general, one) for one in after[:-1]] == [[]] * (len(after) - 1)
        assert (bot.double.limited, {kind for _, kind in bot.double.acknowledged}) == ([], {6})
        asked_first, asked_second = (prompt.messages for _, prompt in model.calls)
        assert asked_first == asked_second


@pytest.mark.sockets
async def test_the_old_answer_stays_until_there_is_new_text() -> None:
    """While the model thinks, no write takes it away: each later text is a beginning of the new answer."""
    other = words(40, rate=100.0)
    async with stage(SHORT, [1.0, *other]) as (bot, journal, model), process(bot, model, journal):
        question = bot.ask("hi")
        await ended(journal, 1)
        [answer] = answers(bot)
        texts = bot.double.posts[answer].texts
        old, count = texts[-1][1], len(texts)
        bot.double.press(bot.general, answer, user=bot.ada, custom_id=f"retry:{question}")
        assert await ended(journal, 2) == [Ending.DONE, Ending.DONE]

        later = [text for _, text in texts[count:] if text != old]
        assert later
        assert all(text.strip() and read_of(other).startswith(text.strip()) for text in later)


@pytest.mark.sockets
async def test_presses_that_start_nothing_are_answered_privately() -> None:
    """Somebody else's answer, one pressed twice, and one whose question was deleted: a line each, nothing lost."""
    async with stage(SHORT, [0.5, *LONG]) as (bot, journal, model), process(bot, model, journal):
        question = bot.ask("hi")
        await ended(journal, 1)
        answer = answers(bot)[-1]
        bot.double.press(bot.general, answer, user=bot.bob)
        await until(lambda: len(bot.double.private(bot.bob)) == 1)
        assert len(model.calls) == 1
        for _ in range(3):
            bot.double.press(bot.general, answer, user=bot.ada, custom_id=f"retry:{question}")
        await until(lambda: len(bot.double.private(bot.ada)) == 2)
        await ended(journal, 2)
        assert (text_of(bot), len(model.calls)) == (read_of(LONG), 2)
        bot.double.remove(bot.general, question)
        bot.double.press(bot.general, answers(bot)[-1], user=bot.ada, custom_id=f"retry:{question}")
        await until(lambda: len(bot.double.private(bot.ada)) == 3)

        assert "deleted" in bot.double.private(bot.ada)[-1]
        assert text_of(bot) == read_of(LONG)


@pytest.mark.sockets
async def test_an_edited_question_is_answered_again() -> None:
    """New text is there after the debounce, in the same messages."""
    async with stage(LONG, SHORT) as (bot, journal, model), process(bot, model, journal):
        question = bot.ask("hi")
        await ended(journal, 1)
        first, *_ = answers(bot)
        bot.double.revise(bot.general, question, f"{bot.me} something else")
        await until(lambda: bot.double.answers(bot.general)[0].startswith("Something"))
        await ended(journal, 2)

        assert (answers(bot), text_of(bot)) == ([first], read_of(SHORT))
        assert model.calls[1][1].messages[-1].text.endswith("something else")
        assert bot.double.limited == []


@pytest.mark.sockets
async def test_a_question_edited_while_it_is_answered() -> None:
    """The running answer is stopped, and the new one takes over its messages."""
    async with stage(words(4_000), SHORT) as (bot, journal, model), process(bot, model, journal):
        question = bot.ask("hi")
        await bot.double.until(lambda: bool(bot.double.answers(bot.general)))
        bot.double.revise(bot.general, question, f"{bot.me} something else")
        await until(lambda: model.open == 0)
        await until(lambda: text_of(bot) == read_of(SHORT))

        assert len(answers(bot)) == 1
        assert bot.double.limited == []


@pytest.mark.sockets
async def test_an_edit_that_adds_the_mention_is_answered() -> None:
    """A message without a mention becomes a question."""
    async with stage(SHORT) as (bot, journal, model), process(bot, model, journal):
        said = bot.double.say(bot.general, "something?", author=bot.ada)
        kept = bot.double.world.messages[bot.general][said]
        kept["mentions"] = [bot.double.world.mentioned(bot.double.world.bot, bot.guild)]
        bot.double.revise(bot.general, said, f"{bot.me} something?")
        await ended(journal, 1)

        assert text_of(bot) == read_of(SHORT)


@pytest.mark.sockets
@pytest.mark.parametrize("writes", [0, 1, 3])
async def test_a_crash_in_another_answer(writes: int) -> None:
    """The next process completes the new answer in the same messages."""
    async with stage(SHORT, LONG) as (bot, journal, model):
        async with process(bot, model, journal):
            question = bot.ask("hi")
            await ended(journal, 1)
            [first] = answers(bot)
            before = len(answer_writes(bot))
            bot.double.press(bot.general, first, user=bot.ada, custom_id=f"retry:{question}")
            await until(lambda: len(journal.entries) == 2)
            await until(lambda: len(answer_writes(bot)) >= before + writes)
        async with process(bot, model, FakeJournal(durable=True, of=journal)):
            await ended(journal, 2)

        assert text_of(bot) == read_of(LONG)
        assert answers(bot)[0] == first
        assert bot.double.limited == []


# -------------------------------------------------------------------------------------------------------------- faults

READS = [("GET", "/messages/"), ("GET", "/members/"), ("POST", "/callback"), ("PATCH", "/messages/")]


@pytest.mark.sockets
@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESET_BEFORE, Kind.RESET_AFTER])
@pytest.mark.parametrize(("method", "path"), READS, ids=["question", "member", "response", "edit"])
async def test_a_fault_at_each_call_of_try_again(method: str, path: str, kind: Kind) -> None:
    """Either the answer is replaced whole and once, or it stays whole, and the presser is told."""
    async with stage(SHORT, LONG) as (bot, journal, model), process(bot, model, journal):
        question = bot.ask("hi")
        await ended(journal, 1)
        bot.state.cache.remove(bot.general, question)
        bot.double.faults.add(method, path, kind, status=503)
        bot.double.press(bot.general, answers(bot)[-1], user=bot.ada, custom_id=f"retry:{question}")
        await until(lambda: len(journal.ends) == 2 or bool(bot.double.private(bot.ada)), seconds=30.0)

        assert text_of(bot) == read_of(LONG if len(journal.ends) == 2 else SHORT)
        assert bot.double.faults.fired
        assert bot.double.limited == []
