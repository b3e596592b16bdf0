"""Answers as native streams on the virtual clock: growth, ends, limits, and every failure at every write."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from bot.conversation import Ending, Finish, FinishReason, Reasoning, Text
from bot.delivery.policy import ReasoningPolicy, WritePolicy
from bot.errors import (
    Failure,
    OutcomeUnknown,
    RateLimited,
    ServiceError,
    StreamRefused,
)
from bot.ports import Controls, StreamCapabilities, Verb
from bot.rate_limits import LeakyBucket, RollingWindow
from tests.support.core import running_core
from tests.support.fakes import (
    STREAM_LIMITS,
    FakeChannel,
    FakeJournal,
    ScriptedModel,
    Server,
    Step,
    answer_of,
    stream_budgets,
    turn,
    words,
)

FINAL = Controls.RETRY | Controls.FEEDBACK
CAPS = StreamCapabilities(9_000, lambda text: len(text.encode()), 280.0)


def channel(**chosen: object) -> FakeChannel:
    """A place in Slack's agent view, with limits of its own."""
    made = channels(1)[0]
    for name, value in chosen.items():
        setattr(made, name, value)
    return made


def channels(count: int) -> list[FakeChannel]:
    """Places in one workspace."""
    server = Server(limit=50, period=60.0, rolling=True, counts_posts=False, streams=STREAM_LIMITS)
    edits, streams = RollingWindow(50, 60.0), stream_budgets()
    return [
        FakeChannel(
            server,
            limit=11_500,
            controls=FINAL | Controls.STOP,
            edits=edits,
            posts=LeakyBucket(1.05),
            stream=CAPS,
            streams=streams,
        )
        for _ in range(count)
    ]


async def answered(script: Iterable[Step], *places: FakeChannel) -> None:
    """Play an answer in each place, and check that nothing is left over."""
    await answered_by(ScriptedModel(script), *places)


async def answered_by(model: ScriptedModel, *places: FakeChannel) -> None:
    async with running_core(model) as core:
        for number, place in enumerate(places):
            core.turns.accept(turn(str(number), conversation=str(number)), place)
        await core.idle()
    for place in places:
        assert not place.opened
        assert place.server.limited == 0
        assert [*place.shown.values()][-1].controls == FINAL


def verbs(place: FakeChannel) -> list[Verb]:
    return [wrote.verb for wrote in place.writes()]


def said(place: FakeChannel) -> list[str]:
    return place.text.split()


async def test_an_answer_is_started_appended_to_and_stopped() -> None:
    """The stop carries the rest and the controls: no edit follows."""
    place = channel(drops_leading_space=True)
    await answered(words(120), place)
    assert place.text == answer_of(words(120)).rstrip()
    assert verbs(place) == [Verb.START, *[Verb.APPEND] * 4, Verb.STOP]


async def test_a_short_answer_is_posted_whole() -> None:
    """One write is cheaper than a start and a stop."""
    place = channel()
    await answered([Text("Yes."), Finish(FinishReason.STOP)], place)
    assert verbs(place) == [Verb.POST]


async def test_markdown_is_whole_with_one_edit_at_most() -> None:
    """Code, lists and tables are appended in whole lines."""
    text = "# Head\n\n" + "\n".join(f"- item **{n}** `x{n}`" for n in range(60)) + "\n\n```py\n  a\n    b\n```\n\nend"
    place = channel(drops_leading_space=True)
    await answered([step for part in text.split(" ") for step in (Text(f"{part} "), 0.05)] + words(1), place)
    assert place.text.startswith(text)
    assert verbs(place).count(Verb.EDIT) <= 1


async def test_a_full_message_continues_in_the_next_stream() -> None:
    """Nothing is appended beyond the end of a message, and none is edited."""
    place = channel()
    script = words(2_400, rate=100.0)
    await answered(script, place)
    assert said(place) == answer_of(script).split()
    assert verbs(place).count(Verb.START) == 3
    assert not {Verb.EDIT, Verb.POST} & {*verbs(place)}
    assert all(len(body.text.encode()) <= 9_000 for body in place.shown.values())


PARAGRAPH = " ".join(f"w{number}" for number in range(80)) + ".\n\n"
ITEM = "- item with a few words and an end.\n"
CODE = "Look:\n\n```py\n" + "\n".join(f"x = {number}" for number in range(40)) + "\n```\n\n"


@pytest.mark.parametrize(
    ("part", "count", "ends"),
    [(PARAGRAPH, 25, "w79."), (ITEM, 200, "end."), (CODE, 18, ("```", "Look:"))],
    ids=["paragraphs", "list", "code"],
)
async def test_a_nearly_full_stream_ends_between_blocks(part: str, count: int, ends: str | tuple[str, ...]) -> None:
    """A message is not cut in the middle of a sentence, an item or a block of code: streams take nothing back."""
    place = channel(drops_leading_space=True, stream=replace(CAPS, limit=2_000))
    script: list[Step] = [step for line in (part * count).splitlines(keepends=True) for step in (Text(line), 0.05)]
    await answered([*script, Finish(FinishReason.STOP)], place)
    *full, _ = (body.text.strip() for body in place.shown.values())
    assert len(full) >= 2
    assert all(text.endswith(ends) and 1_600 <= len(text.encode()) + 2 <= 2_002 for text in full)
    assert Verb.EDIT not in verbs(place)


async def test_an_old_stream_continues_in_the_next() -> None:
    """A stream is stopped at the end of its life, although the model is silent just then."""
    place = channel(stream=replace(CAPS, seconds=30.0))
    silence: list[Step] = [Text(""), 15.0] * 3
    script = [*words(50, finish=None), *silence, *words(50)]
    await answered(script, place)
    assert said(place) == answer_of(script).split()
    assert verbs(place).count(Verb.START) == 2
    assert Verb.EDIT not in verbs(place)


async def test_without_another_start_an_old_stream_is_edited() -> None:
    """The same message goes on with edits."""
    place = channel(stream=replace(CAPS, seconds=5.0))

    async def exhaust() -> None:
        await asyncio.sleep(4.0)
        for _ in range(19):
            place.streams[Verb.START].spend(asyncio.get_running_loop().time())

    async with asyncio.TaskGroup() as group:
        group.create_task(exhaust())
        await answered(words(400), place)
    assert said(place) == answer_of(words(400)).split()
    assert len(place.shown) == 1
    assert Verb.EDIT in verbs(place)


async def test_the_twenty_first_start_in_a_minute_is_an_answer_by_edits() -> None:
    """No answer waits for a start."""
    places = channels(25)
    await answered(words(60), *places)
    assert all(said(place) == answer_of(words(60)).split() for place in places)
    firsts = [place.writes()[0] for place in places]
    assert sum(wrote.verb is Verb.START for wrote in firsts) <= 20
    assert max(wrote.at for wrote in firsts) - 1000.0 < 1.0


async def test_held_appends_do_not_hold_the_answer() -> None:
    """After a long pause ordered for appends, the answer goes on by edits."""
    place = channel()
    failures = iter([None, None, RateLimited("429", retry_after=600.0)])
    place.fault = lambda verb: next(failures, None) if verb is Verb.APPEND else None
    await answered(words(1_000), place)
    assert said(place) == answer_of(words(1_000)).split()
    assert Verb.EDIT in verbs(place)
    assert place.writes()[-1].at - 1000.0 < 26.0


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("start", ["**", "wo", " ", "\n\n", "[", "| a |", "```"])
async def test_a_beginning_without_visible_text_is_waited_for(start: str, streams: bool) -> None:
    """Marks, blanks or half a word come first, and seconds later the rest: nothing stands still meanwhile."""
    places = channels(2)
    for place in places if not streams else ():
        place.stream = None
    model = ScriptedModel([Text(start), 3.0, Text("rd one** two "), 3.0, Text("three."), Finish(FinishReason.STOP)])
    async with asyncio.timeout(60.0):
        await answered_by(model, *places)
    assert places[0].text == places[1].text


@pytest.mark.parametrize("ending", [Ending.STOPPED, Ending.INTERRUPTED])
async def test_an_answer_that_is_stopped_closes_its_stream(ending: Ending) -> None:
    """A stop by a reader and a shutdown end the stream, with their notice."""
    place = channel()
    async with running_core(ScriptedModel(words(400))) as core:
        core.turns.accept(turn("1"), place)
        await asyncio.sleep(3.0)
        if ending is Ending.STOPPED:
            core.turns.stop(turn("1").key, by="U1")
            await core.idle()
        else:
            await core.turns.drain(5.0)
    assert not place.opened
    assert place.writes()[-1].verb is Verb.STOP
    assert core.recorder.records[-1].ending is ending


LINE = WritePolicy(reasoning_preview=ReasoningPolicy(shown=True))
THOUGHT = Reasoning("Looking at the dates of it. Then at the rest.")


@pytest.mark.parametrize(
    ("thinks", "spent", "first"),
    [
        (0.5, 0, Verb.START),  # the text comes before a preview would
        (3.0, 0, Verb.POST),  # a preview, replaced by edits
        (3.0, 50, Verb.START),  # no edit could replace a preview
    ],
)
async def test_reasoning_before_a_stream(thinks: float, spent: int, first: Verb) -> None:
    """An answer streams unless a preview of the reasoning stands there; with edits used up, none does."""
    place = channel()
    assert place.edits is not None
    for _ in range(spent):
        place.edits.spend(asyncio.get_running_loop().time())
        place.edits.record_response(asyncio.get_running_loop().time())
    async with running_core(ScriptedModel([THOUGHT, thinks, *words(100)]), writes=LINE) as core:
        core.turns.accept(turn("1"), place)
        await core.idle()
    assert verbs(place)[0] is first
    assert said(place) == answer_of(words(100)).split()
    assert len(place.shown) == 1
    assert not place.opened


async def test_a_deleted_message_ends_the_answer() -> None:
    """A reader deletes the stream: nothing is written any more."""
    place = channel()
    async with running_core(ScriptedModel(words(400))) as core:
        core.turns.accept(turn("1"), place)
        await asyncio.sleep(3.0)
        (message,) = place.shown
        place.shown.clear()
        place.opened.clear()
        core.turns.message_deleted(replace(turn("1").key, message=message))
        await core.idle()
    assert place.shown == {}


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0])
async def test_an_open_stream_of_a_killed_process_is_completed(seconds: float) -> None:
    """Its edit meets an open stream: it is stopped, and shows the whole answer once."""
    place, journal = channel(), FakeJournal(durable=True)
    async with running_core(ScriptedModel(words(400)), journal) as core:
        await core.turns.receive(turn("1").key, "event")
        core.turns.accept(turn("1"), place)
        await asyncio.sleep(seconds)
    assert place.opened
    async with running_core(ScriptedModel(words(400)), FakeJournal(durable=True, of=journal)) as core:
        (unfinished,) = await core.turns.unfinished_turns("memory")
        assert unfinished.messages
        core.turns.accept(turn("1"), place)
        await core.idle()
    assert said(place) == answer_of(words(400)).split()
    assert not place.opened
    assert len(place.shown) == 1


@pytest.mark.parametrize("at", [0.3, 1.0, 2.0])
async def test_the_platform_ends_a_stream_midway(at: float) -> None:
    """The message goes on with edits, and shows the whole answer once."""
    place = channel()

    async def end() -> None:
        await asyncio.sleep(at)
        place.opened.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(end())
        await answered(words(100), place)
    assert said(place) == answer_of(words(100)).split()
    assert len(place.shown) == 1


async def test_a_lower_limit_than_ours_costs_no_text() -> None:
    """A stream refuses text beyond the platform's own limit for ever; an edit has the rest."""
    place = channel(most_streamed=500)
    await answered(words(200), place)
    assert said(place) == answer_of(words(200)).split()


FAILURES: Sequence[Failure] = (
    ServiceError("503"),
    OutcomeUnknown("lost"),
    RateLimited("429", retry_after=2.0),
    StreamRefused("refused"),
)


def at_nth(verb: Verb, nth: int, failure: Failure) -> Callable[[Verb], Failure | None]:
    """Fail the write of this kind and number."""
    count = itertools.count()
    return lambda asked: failure if asked is verb and next(count) == nth else None


@pytest.mark.parametrize("is_applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_every_failure_at_every_write(failure: Failure, *, is_applied: bool) -> None:
    """Nothing is lost, nothing is twice, and no stream stays open."""
    if is_applied and not isinstance(failure, OutcomeUnknown):
        pytest.skip("only a lost response may follow a write")
    script, policy = words(60, rate=20.0), WritePolicy()
    for verb in (Verb.START, Verb.APPEND, Verb.STOP):
        if isinstance(failure, StreamRefused) and verb is not Verb.START:
            continue
        for nth in range(4 if verb is Verb.APPEND else 1):
            place = channel(applied_first=is_applied)
            place.fault = at_nth(verb, nth, failure)
            async with running_core(ScriptedModel(script), writes=policy) as core:
                core.turns.accept(turn("1"), place)
                await core.idle()
            assert said(place) == answer_of(script).split(), (verb, nth)
            assert not place.opened, (verb, nth)
            assert len(place.shown) == 1, (verb, nth)
            assert next(iter(place.shown.values())).controls == FINAL, (verb, nth)
