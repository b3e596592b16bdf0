"""An end announced by the model's server while its stream goes on, as readers see it on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from bot.completion import CompletionPolicy
from bot.conversation import Announced, Ending, Finish, FinishReason, Reasoning, Text
from bot.ports import Controls, Verb
from bot.strings import Strings
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, answer_of, turn, words
from tests.unit.bot.turns.test_manager import ask

STALL = CompletionPolicy().idle_seconds
STOP = Announced(FinishReason.STOP)
END = Finish(FinishReason.STOP)
SOON = 0.7  # a write's gap, and a little. Seconds
FOR_EVER = 1000.0


def said(count: int) -> list[Step]:
    return words(count, finish=None)


def told(script: list[Step]) -> str:
    return answer_of(script).strip()


@pytest.mark.parametrize("count", [3, 40, 400])
@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_the_whole_text_is_shown_at_once(count: int, latency: float) -> None:
    """The announcement shows the complete text without buttons. The end itself changes nothing."""
    script = said(count)
    channel = FakeChannel(Server(limit=50, period=60, rolling=True, latency=latency), controls=Controls.STOP)
    async with running_core(ScriptedModel([*script, STOP, FOR_EVER])) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(sum(step for step in script if isinstance(step, float)) + SOON + 2 * latency)
        assert channel.text.split() == told(script).split()
        assert all(body.controls is Controls.NONE for body in channel.shown.values())
        writes, began = len(channel.log), asyncio.get_running_loop().time()
        await core.idle()
        assert asyncio.get_running_loop().time() - began <= STALL
        assert len(channel.log) == writes
    (record,) = core.recorder.records
    assert record.ending is Ending.DONE
    assert record.settle is not None
    assert record.settle <= SOON + 2 * latency


async def test_a_word_that_has_only_begun_is_shown_too() -> None:
    """Text held back while streaming, such as half a word or an open mark, shows once the end is announced."""
    words_: list[Step] = [Text("word "), 1.5]
    script: list[Step] = [*words_ * 8, Text("and **bol"), STOP, FOR_EVER]
    channel = FakeChannel(Server(limit=2, period=8.0))
    async with running_core(ScriptedModel(script)) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(8 * 1.5 + 8.0)
        assert channel.text.endswith("and **bol")
        await core.idle()


@pytest.mark.parametrize(
    ("reason", "line"), [(FinishReason.LENGTH, Strings().length), (FinishReason.FILTERED, Strings().filtered)]
)
async def test_the_notice_of_a_cut_comes_with_it(reason: FinishReason, line: str) -> None:
    """The reader is told at once; and no more where the text goes on after all, nor in the end."""
    script: list[Step] = [*said(40), Announced(reason), FOR_EVER]
    channel = FakeChannel()
    async with running_core(ScriptedModel(script)) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(40 / 40 + SOON + 5.0)
        assert line in channel.text
        await core.idle()
    assert channel.text.count(line) == 1
    goes_on = FakeChannel()
    await ask(ScriptedModel([*said(40), Announced(reason), 5.0, Text("more"), END]), goes_on)
    assert line not in goes_on.text
    assert goes_on.text.endswith("more")


@pytest.mark.parametrize("pause", [0.0, 0.4, 12.0])
async def test_text_behind_it_is_shown_as_any(pause: float) -> None:
    """Later text is added to the same message, and can be stopped again until its own end."""
    script: list[Step] = [*said(40), STOP, pause, *said(40), STOP, END]
    channel = FakeChannel(controls=Controls.STOP)
    core = await ask(ScriptedModel(script), channel)
    assert channel.text.split() == told(script).split()
    assert channel.server.limited == 0
    assert core.journal.endings == [Ending.DONE]


async def test_a_finish_reason_with_each_chunk_costs_no_writes() -> None:
    """Such a stream is written like any other: its ends are not trusted, and spend no reserved permit."""
    plain, marked = FakeChannel(), FakeChannel()
    await ask(ScriptedModel(words(400)), plain)
    script: list[Step] = []
    for step in words(400):
        script += [step, STOP] if isinstance(step, Text) else [step]
    await ask(ScriptedModel(script), marked)
    assert marked.text == plain.text
    assert len(marked.log) <= len(plain.log) + 2
    assert marked.server.limited == 0


async def test_no_file_goes_up_before_the_end() -> None:
    """A file cannot be taken back: it goes up once the stream is over."""
    channel = FakeChannel(limit=140, uploads=100_000)
    script = said(4000)
    async with running_core(ScriptedModel([*script, STOP, FOR_EVER])) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(4000 / 40 + 15.0)
        assert not any(body.files for body in channel.shown.values())
        await core.idle()
    assert sum(bool(body.files) for body in channel.shown.values()) == 1


@pytest.mark.parametrize("asked_after", [-5.0, 0.5, 10.0])
async def test_the_next_question_does_not_wait_for_a_server_that_never_closes(asked_after: float) -> None:
    """The next question waits at most a few seconds behind the announced end, and loses nothing."""
    script = said(400)
    channel, next_one = FakeChannel(), FakeChannel()
    loop = asyncio.get_running_loop()
    async with running_core(ScriptedModel([*script, STOP, FOR_EVER], words(3))) as core:
        began = loop.time()
        core.turns.accept(turn("1"), channel)
        await asyncio.sleep(10.0 + asked_after)
        core.turns.accept(turn("2"), next_one)
        await core.idle()
        assert loop.time() - began <= 10.0 + max(asked_after, 0.0) + 5.0
    assert channel.text.split() == told(script).split()
    assert next_one.text
    assert core.journal.endings == [Ending.DONE, Ending.DONE]


async def test_the_next_question_does_not_cut_text_that_comes() -> None:
    """A waiting question ends no answer with text behind its announced end."""
    script: list[Step] = [*said(40), STOP, 2.5, *said(40), STOP, FOR_EVER]
    channel = FakeChannel()
    async with running_core(ScriptedModel(script, words(3))) as core:
        core.turns.accept(turn("1"), channel)
        await asyncio.sleep(0.1)
        core.turns.accept(turn("2"), FakeChannel())
        await core.idle()
    assert channel.text.split() == told(script).split()


@pytest.mark.parametrize("how", ["stopped", "interrupted"])
async def test_whoever_ends_it_then_ends_a_whole_answer(how: str) -> None:
    """A stop or a shutdown after the announced end finds the answer complete: no notice says otherwise."""
    script = said(40)
    channel, journal = FakeChannel(), FakeJournal(durable=True)
    async with running_core(ScriptedModel([*script, STOP, FOR_EVER]), journal=journal) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(5.0)
        if how == "stopped":
            assert core.turns.stop_conversation("c", by="U1")
        else:
            await core.turns.drain(0.0)
        await core.idle()
    assert channel.text.strip() == told(script)
    assert journal.endings == [Ending.DONE]


async def test_nothing_is_made_of_an_end_without_words() -> None:
    """An announced end without text shows nothing; its meaning is known at the real end."""
    channel = FakeChannel()
    await ask(ScriptedModel([Reasoning("hm"), STOP, 3.0, *said(3), END]), channel)
    assert channel.text.strip() == told(said(3))
    assert [wrote.verb for wrote in channel.log] == [Verb.POST]


async def test_a_later_attempt_that_seems_to_have_ended_takes_nothing_away() -> None:
    """An earlier attempt's text stays until the later one is as long, or has ended."""
    cut: list[Step] = [*said(40), FOR_EVER]
    channel = FakeChannel()
    async with running_core(ScriptedModel(cut, [*said(10), STOP, 15.0, *said(40), END])) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(40 / 40 + STALL + 10.0)
        assert channel.text.split() == told(said(40)).split()
        await core.idle()
    assert channel.text.split() == told([*said(10), *said(40)]).split()
