"""The reasoning preview before an answer begins: its text, its times, and its cost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.playground.rendering import PlaygroundMarkdown, without_small_print
from adapters.slack.messages.renderer import SlackMarkdown, strip_our_markup
from bot.conversation import Ending, Finish, FinishReason, Reasoning, Retraction, Text, TurnKey
from bot.delivery.policy import ReasoningPolicy, WritePolicy
from bot.delivery.reasoning_preview import MAX_PREVIEW_LENGTH, ReasoningPreview
from bot.errors import (
    Failure,
    InvalidRequest,
    ModelRejected,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    ServiceError,
)
from bot.markdown import Renderer
from bot.ports import Controls, Verb
from bot.rate_limits import LeakyBucket, RollingWindow
from bot.strings import Strings
from bot.telemetry import TurnRecord
from tests.integration.playground.test_playground import playground_channel
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, answer_of, turn, words

LINE = WritePolicy(reasoning_preview=ReasoningPolicy(shown=True))
STOP = Finish(FinishReason.STOP)


async def answered(model: ScriptedModel, channel: FakeChannel, policy: WritePolicy = LINE) -> TurnRecord:
    async with running_core(model, writes=policy) as core:
        core.turns.accept(turn(), channel)
        await core.turns.idle()
    assert model.open == 0
    return core.recorder.of("1")


def thinking(seconds: float, *, rate: float = 20.0) -> list[Step]:
    """Thinking aloud for so long: a numbered sentence of four words a second or so."""
    script: list[Step] = []
    for number in range(round(seconds * rate)):
        script += [Reasoning(f"word{number}{'. ' if number % 5 == 4 else ' '}"), 1 / rate]
    return script


def lines(channel: FakeChannel) -> list[float]:
    """When lines of thinking were written, from the beginning on."""
    return [wrote.at - 1000 for wrote in channel.writes() if "Thinking:" in wrote.text]


def first_text(channel: FakeChannel) -> float:
    return next(wrote.at - 1000 for wrote in channel.writes() if wrote.text and "Thinking:" not in wrote.text)


# --------------------------------------------------------------------------------------------------- what the line says


@pytest.mark.parametrize(
    ("thought", "line"),
    [
        ("They ask", "They ask"),
        ("They ask for the time. I sh", "They ask for the time."),
        ("They ask for the time. Hmm. e.g. noon", "They ask for the time."),
        ("Hmm.\n", "Hmm."),
        ("**Looking at dates**\n\nThe user wants dates. So", "Looking at dates"),
        ("**One**\n\nSome words here.\n\n**Looking further**\n\nMore words", "Looking further"),
        ("## Dates\nThe user wants", "Dates"),
        ("- first of all this.\n- then that one.\n", "then that one."),
        ("See https://example.org/a?b and <@U123>, @everyone, `x_y` **now**.\n", "See … and U123, everyone, x y now."),
        ("他们问现在几点。他们想知道的是当地的时间\uff01然后", "他们想知道的是当地的时间\uff01"),
        ("a\u202eb\x00c\ud83d and \U0001f600 enough words.\n", "a b c and \U0001f600 enough words."),
        ("\n \n", ""),
        ("```\n", ""),
        ("word " * 200, "…" + ("word " * 200)[-119:].strip()),
        ("A long one " + "word " * 50 + "ends. ", ("A long one " + "word " * 50)[:119].strip() + "…"),
    ],
)
def test_what_the_line_says(thought: str, line: str) -> None:
    """The present heading or the last whole sentence, in words alone."""
    said = ReasoningPreview()
    said.feed(thought)
    assert said.line == line or (len(line) > 100 and said.line.strip("…") in thought and len(said.line) <= 120)


@example("://", [])
@example(":*//", ["a"])
@given(st.text(), st.lists(st.text(max_size=400), max_size=8))
def test_the_line_is_one_short_line_however_it_is_cut(first: str, more: list[str]) -> None:
    """Chunks make no difference, and the line has no markup, link or control character."""
    whole, cut = ReasoningPreview(), ReasoningPreview()
    whole.feed(first + "".join(more))
    for chunk in (first, *more):
        cut.feed(chunk)
    assert cut.line == whole.line
    assert len(cut.line) <= MAX_PREVIEW_LENGTH
    assert cut.line.isprintable()
    assert not set(cut.line) & set("*_`~|#<>[]@\\")
    assert "://" not in cut.line


@pytest.mark.parametrize("renderer", [DiscordMarkdown(), SlackMarkdown(), PlaygroundMarkdown()])
def test_the_line_is_small_print_that_is_never_read_back(renderer: Renderer) -> None:
    """On each platform it is a one-line notice, recognised as ours, and never part of the model's history."""
    thought = ReasoningPreview()
    thought.feed("<!channel> <@U0123ABC> @everyone _is_ **bold** [x](http://y.z) {thought}.\n")
    notice = renderer.notice(Strings().thinking.format(thought=thought.line))
    assert "\n" not in notice
    assert "Thinking: " in notice
    assert not [sign for sign in ("<", "@", "](", "://") if sign in notice]
    read_back = strip_our_markup(notice) if isinstance(renderer, SlackMarkdown) else without_small_print(notice)
    assert read_back == ""


async def test_the_playground_shows_it_likewise() -> None:
    """The page shows it as small print in the answer's own message until that begins."""
    channel, channel_state, _, page_events = playground_channel()
    async with running_core(ScriptedModel([*thinking(8), *words(50)]), writes=LINE) as core:
        core.turns.accept(turn(), channel)
        await core.turns.idle()
    written = [event["message"] for event in await page_events.events() if "message" in event]
    told = ['<p class="small-print">Thinking: ' in message["html"] for message in written]
    assert told[:2] == [True, True]
    assert not any(told[2:])
    assert {message["id"] for message in written} == {written[0]["id"]}
    assert channel_state.messages[written[0]["id"]].text == answer_of(words(50)).rstrip()


# ------------------------------------------------------------------------------------------------------- when it shows


async def test_thinking_is_hidden_unless_it_is_asked_for() -> None:
    """By default the writes and their times equal those for a silent model."""
    quiet: list[Step] = [20.0, *words(100)]
    seen = []
    for script in ([*thinking(20), *words(100)], quiet):
        channel = FakeChannel()
        began = asyncio.get_running_loop().time()
        await answered(ScriptedModel(script), channel, WritePolicy())
        seen.append([(round(wrote.at - began, 2), wrote.verb, wrote.text) for wrote in channel.log])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_a_line_shows_until_the_answer_begins(latency: float) -> None:
    """In the same message, rarely, and then the answer's first text is as soon there as without it."""
    channel = FakeChannel(Server(latency=latency), controls=Controls.STOP)
    record = await answered(ScriptedModel([*thinking(21.5), *words(100)]), channel)
    at = lines(channel)
    assert at[0] == pytest.approx(1.0 + latency / 2, abs=0.1)
    assert len(at) == 4
    assert all(later - earlier >= 6.0 for earlier, later in itertools.pairwise(at))
    assert first_text(channel) == pytest.approx(21.5 + 0.2 + latency / 2, abs=0.06)
    assert channel.writes()[0].text == "*Thinking: word15 word16 word17 word18 word19.*"
    assert channel.text == answer_of(words(100)).rstrip()
    assert list(channel.shown) == ["m1"]
    assert channel.server.limited == 0
    assert record.first_delta == pytest.approx(21.5, abs=0.01)
    assert record.first_visible == pytest.approx(21.7 + latency, abs=0.06)
    assert record.ending is Ending.DONE


@pytest.mark.slow
async def test_the_line_holds_up_no_text() -> None:
    """The first words come when they would have come, and the rest has but one edit less to come by."""
    for seconds in (1.05, 1.5, 3.0, 6.9, 7.05, 7.1, 8.0, 12.0, 13.1, 20.0, 60.0):
        delays, firsts = [], []
        for policy in (LINE, WritePolicy()):
            channel = FakeChannel()
            began = asyncio.get_running_loop().time() - 1000
            record = await answered(ScriptedModel([*thinking(seconds), *words(200)]), channel, policy)
            firsts.append(first_text(channel) - began)
            assert record.character_delay is not None
            delays.append(record.character_delay)
        assert firsts[0] <= firsts[1] + 0.01, seconds
        assert delays[0] <= delays[1] + 0.35, (seconds, delays)


async def test_who_thinks_for_a_moment_shows_no_line() -> None:
    """An answer beginning within a second goes up without a preview."""
    channel = FakeChannel()
    await answered(ScriptedModel([*thinking(0.9), *words(20)]), channel)
    assert lines(channel) == []


async def test_the_line_can_be_stopped_from() -> None:
    """Its message has the stop button of a live answer, and none after the end."""
    channel = FakeChannel(controls=Controls.STOP)
    model = ScriptedModel([*thinking(60), *words(10)])
    async with running_core(model, writes=LINE) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(3)
        (message,) = channel.shown
        assert channel.shown[message].controls is Controls.STOP
        assert core.turns.stop(TurnKey("memory", "W", "C", message), by="U1")
        await core.turns.idle()
    assert channel.text == "*Stopped.*"
    assert channel.shown[message].controls is Controls.NONE
    assert core.recorder.of("1").first_visible is None


async def test_a_model_that_thinks_for_two_minutes_is_not_cut() -> None:
    """A thought is a sign of life: the time for a first word does not run while a model thinks aloud."""
    for policy in (LINE, WritePolicy()):
        channel, model = FakeChannel(), ScriptedModel([*thinking(120, rate=1.0), *words(10)])
        record = await answered(model, channel, policy)
        assert record.attempts == 1
        assert record.first_delta == pytest.approx(120, abs=0.1)
        assert channel.text == answer_of(words(10)).rstrip()


# ---------------------------------------------------------------------------------------------------------- honest ends


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ([*thinking(3), ModelRejected("no", reason=RejectionReason.QUOTA)], "*The bot's account"),
        ([*thinking(3), ServiceError("cut")], "*No answer could be had"),
        ([*thinking(3), STOP], "*The model thought about this and then gave no answer."),
        ([*thinking(3), Finish(FinishReason.LENGTH)], "*The answer was cut here: the model reached"),
    ],
)
async def test_an_answer_that_never_began_ends_honestly(script: Sequence[Step], end: str) -> None:
    """The notice of the end replaces the preview; reasoning is no partial answer."""
    channel = FakeChannel()
    record = await answered(ScriptedModel(script), channel)
    assert lines(channel)
    assert channel.text.startswith(end)
    assert "Thinking" not in channel.text
    assert list(channel.shown) == ["m1"]
    assert record.first_visible is None
    assert record.characters_shown == 0


async def test_another_attempt_thinks_anew() -> None:
    """A cut attempt's reasoning is not mixed with the next one's."""
    channel = FakeChannel()
    second: list[Step] = [Reasoning("A second thought of it. "), 8.0, Text("Noon."), STOP]
    await answered(ScriptedModel([*thinking(2.2), ServiceError("cut")], second), channel)
    assert [wrote.text for wrote in channel.writes()][-2:] == ["*Thinking: A second thought of it.*", "Noon."]
    assert channel.text == "Noon."


async def test_being_stopped_by_the_operator_replaces_the_line() -> None:
    """A shutdown replaces the preview with its notice."""
    channel = FakeChannel()
    async with running_core(ScriptedModel([*thinking(60), *words(10)]), writes=LINE) as core:
        core.turns.accept(turn(), channel)
        await asyncio.sleep(3)
        await core.turns.drain(0.0)
    assert channel.text.startswith("*Interrupted")


FAULTS = [ServiceError("no"), OutcomeUnknown("lost"), RateLimited("429", retry_after=2.0), InvalidRequest("refused")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("applied", [False, True])
async def test_a_fault_at_each_write(fault: Failure, number: int, *, applied: bool) -> None:
    """After a fault at any write no preview is left, and a rejected preview costs the answer nothing."""
    count = 0

    def fails(verb: Verb) -> Failure | None:
        nonlocal count
        count += 1
        return fault if count - 1 == number else None

    channel = FakeChannel(fault=fails, applied_first=applied and isinstance(fault, OutcomeUnknown))
    model = ScriptedModel([*thinking(12), *words(60)])
    record = await answered(model, channel)
    assert "Thinking" not in channel.text
    refused = channel.log[number] if number < len(channel.log) else None
    if isinstance(fault, InvalidRequest) and refused and "Thinking" not in refused.text and number < 8:
        assert record.ending is Ending.FAILED
    else:
        assert channel.text == answer_of(words(60)).rstrip()
        assert len(channel.shown) == 1
        assert record.ending is Ending.DONE


# ------------------------------------------------------------------------------------------------- after a crash


def at(message: str) -> TurnKey:
    return TurnKey("memory", "W", "C", message)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.05, 3.0, 7.2, 10.0, 10.15, 10.25, 11.0, 14.0])
async def test_a_process_that_died_while_it_thought(seconds: float) -> None:
    """The next one writes into the same message, and takes no text away for a line of its thinking."""
    channel, journal = FakeChannel(), FakeJournal(durable=True)
    async with running_core(ScriptedModel([*thinking(10), *words(200)]), journal=journal, writes=LINE) as core:
        assert await core.turns.receive(at("Q"), "the event")
        core.turns.accept(turn("Q"), channel)
        await asyncio.sleep(seconds)
    before, died, shown = list(channel.shown), len(channel.log), channel.text
    journal = FakeJournal(of=journal)
    async with running_core(ScriptedModel([*thinking(10), *words(200)]), journal=journal, writes=LINE) as core:
        assert len(await core.turns.unfinished_turns("memory")) == 1
        core.turns.accept(turn("Q"), channel)
        await core.turns.idle()
    assert channel.text == answer_of(words(200)).rstrip()
    assert list(channel.shown)[: len(before)] == before
    assert len(channel.shown) == 1
    assert journal.endings == [Ending.DONE]
    again = channel.log[died:]
    assert not any("Thinking" in wrote.text for wrote in again)
    assert "Thinking" in shown or all(len(wrote.text) >= len(shown) for wrote in again)


# --------------------------------------------------------------------------------------------------- a shared budget


async def many(policy: WritePolicy, *, thinkers: int, answers: int) -> tuple[list[FakeChannel], list[TurnRecord]]:
    """Some think for a minute and some answer, in one workspace: all channels, and the figures of the answers."""
    server, edits = Server(limit=50, period=60.0, rolling=True, counts_posts=False), RollingWindow(50, 60.0)
    count = thinkers + answers
    channels = [FakeChannel(server, edits=edits, posts=LeakyBucket(1.05)) for _ in range(count)]
    scripts: list[list[Step]] = [[*thinking(60), *words(5)] for _ in range(thinkers)]
    model = ScriptedModel(*scripts, *(words(1200) for _ in range(answers)))
    async with running_core(model, writes=policy) as core:
        for number, channel in enumerate(channels):
            core.turns.accept(turn(str(number), conversation=str(number)), channel)
            await asyncio.sleep(0.001)
        await core.turns.idle()
    assert server.limited == 0
    for channel in channels:
        assert "Thinking" not in channel.text
    return channels, [core.recorder.of(str(number)) for number in range(thinkers, count)]


@pytest.mark.slow
async def test_lines_give_way_to_text() -> None:
    """All previews together spend a few edits per minute, and readers of answers wait no longer."""
    delays = []
    for policy in (LINE, WritePolicy()):
        channels, records = await many(policy, thinkers=6, answers=3)
        edits = [w for c in channels for w in c.writes(Verb.EDIT) if "Thinking" in w.text]
        assert len(edits) <= 10
        delays.append(sum(record.character_delay or 0 for record in records) / len(records))
    assert delays[0] <= delays[1] * 1.25 + 0.1, delays


@pytest.mark.slow
async def test_many_lines_spend_no_more_than_one() -> None:
    """Forty concurrent reasoning models: at most a preview each, and one edit in six seconds overall."""
    channels, _ = await many(LINE, thinkers=40, answers=0)
    edits = sorted(w.at for c in channels for w in c.writes(Verb.EDIT) if "Thinking" in w.text)
    assert len(edits) <= 10
    for channel in channels:
        assert channel.text == answer_of(words(5)).rstrip()


# --------------------------------------------------------------------------------------------------------- retractions


@pytest.mark.parametrize("policy", [LINE, WritePolicy()], ids=["line", "hidden"])
@pytest.mark.parametrize("limit", [2000, 120])
async def test_text_that_turns_out_to_be_thinking_is_taken_back(policy: WritePolicy, limit: int) -> None:
    """Retracted text shows at first, and goes once the answer has a word, never without one."""
    channel = FakeChannel(Server(limit=100), limit=limit)
    thought = words(100, finish=None)
    script: list[Step] = [*thought, Retraction(), 3.0, Text("Noon."), 2.0, Text(" Or so."), STOP]
    await answered(ScriptedModel(script), channel, policy)
    assert channel.text == "Noon. Or so."
    assert "Noon." in [wrote.text for wrote in channel.writes()]  # before its end, and not only once it is longer
    assert all(wrote.text or wrote.verb is Verb.DELETE for wrote in channel.writes())
    retracted = 1000 + 2.5
    quiet = [wrote for wrote in channel.writes() if retracted + 0.01 < wrote.at < retracted + 2.9]
    assert quiet == []


@pytest.mark.parametrize("after", [[ServiceError("cut")], [STOP], [Finish(FinishReason.LENGTH)]])
async def test_what_was_taken_back_is_no_partial_answer(after: list[Step]) -> None:
    """If no text follows, only the notice of the end is left."""
    channel = FakeChannel()
    await answered(ScriptedModel([*words(50, finish=None), Retraction(), 1.0, *after]), channel)
    assert "word" not in channel.text
    assert channel.text.startswith("*")


async def test_a_later_attempt_takes_back_its_own() -> None:
    """The first attempt's text stays until the second is as long; retracted text does not count."""
    channel = FakeChannel()
    second: list[Step] = [*words(40, finish=None), Retraction(), *words(30)]
    await answered(ScriptedModel([*words(20, finish=None), ServiceError("cut")], second), channel)
    assert channel.text == answer_of(words(30)).rstrip()
