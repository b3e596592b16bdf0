"""Whole turns on virtual time: what a reader ends up with, whatever happens on the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Unpack

import pytest

from bot.access import AccessRules, AllowDeny
from bot.conversation import (
    Ending,
    File,
    Finish,
    FinishReason,
    History,
    Message,
    OmittedAttachment,
    Refusal,
    Role,
    Text,
    Turn,
    TurnKey,
)
from bot.errors import (
    Failure,
    Forbidden,
    InvalidRequest,
    ModelRejected,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    ServiceError,
)
from bot.markdown import Piece, PlainMarkdown
from bot.ports import ChannelCapabilities, Controls, Verb
from bot.prompt import PromptLimits
from bot.strings import Strings
from bot.turns.config import TurnLimits
from tests.support.core import CoreHarness, CoreOptions, running_core
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, answer_of, turn, words


async def ask(
    model: ScriptedModel, channel: FakeChannel, question: Turn | None = None, **options: Unpack[CoreOptions]
) -> CoreHarness:
    """One turn from beginning to end."""
    async with running_core(model, **options) as core:
        core.turns.accept(question or turn(), channel)
        await core.idle()
    assert model.open == 0
    return core


# ------------------------------------------------------------------------------------------------------------ the whole


@pytest.mark.parametrize("count", [1, 5, 200, 1000, 3000])
@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_an_answer_arrives_whole(count: int, *, rolling: bool, latency: float) -> None:
    """Every word, in order, in messages within the limit, and no 429 is ever provoked."""
    server = Server(limit=50, period=60.0, rolling=True, latency=latency) if rolling else Server(latency=latency)
    channel = FakeChannel(server)
    core = await ask(ScriptedModel(words(count)), channel)
    assert channel.text.split() == answer_of(words(count)).split()
    assert server.limited == 0
    assert core.journal.messages == list(channel.shown)
    assert core.journal.endings == [Ending.DONE]


@pytest.mark.parametrize("replies", [4, 10])
async def test_many_answers_in_one_channel_arrive_whole(replies: int) -> None:
    """Replies that share a budget all end whole, without a 429, and none is left behind."""
    server = Server()
    shared = FakeChannel(server)
    channels = [
        FakeChannel(server, edits=shared.edits, posts=shared.posts, deletes=shared.deletes) for _ in range(replies)
    ]
    async with running_core(ScriptedModel(words(400))) as core:
        for number, channel in enumerate(channels):
            core.turns.accept(turn(str(number), conversation=str(number)), channel)
        await core.idle()
    assert all(channel.text.split() == answer_of(words(400)).split() for channel in channels)
    assert server.limited == 0
    assert len(core.recorder.records) == replies


@pytest.mark.slow
async def test_long_answers_in_one_workspace_do_not_stand_still() -> None:
    """Four of 3,000 words share 50 edits a minute: the last permits are rationed, not spent and waited for."""
    server = Server(limit=50, period=60.0, rolling=True)
    edits = FakeChannel(server).edits
    channels = [FakeChannel(server, limit=12_000, edits=edits) for _ in range(4)]
    async with running_core(ScriptedModel(words(3000))) as core:
        for number, channel in enumerate(channels):
            core.turns.accept(turn(str(number), conversation=str(number)), channel)
        await core.idle()
    assert server.limited == 0
    for channel in channels:
        times = [wrote.at for wrote in channel.log]
        assert max(after - before for before, after in itertools.pairwise(times)) < 28.0
        assert channel.text.split() == answer_of(words(3000)).split()


async def test_a_short_answer_takes_one_write() -> None:
    """An answer that is complete before its first write is due is posted once, whole."""
    channel = FakeChannel()
    await ask(ScriptedModel(words(5)), channel)
    assert [wrote.verb for wrote in channel.log] == [Verb.POST]


async def test_the_first_write_says_a_few_words_soon() -> None:
    """The first post comes a fifth of a second after the first delta and holds more than one word."""
    channel = FakeChannel()
    core = await ask(ScriptedModel(words(200)), channel)
    record = core.recorder.records[0]
    assert record.first_visible is not None
    assert record.first_delta is not None
    assert record.first_visible - record.first_delta == pytest.approx(0.2, abs=0.01)
    assert len(channel.log[0].text.split()) > 4


async def test_figures_tell_what_the_reader_saw() -> None:
    """The record of a turn holds delays in seconds, counts of writes, and usage."""
    core = await ask(ScriptedModel(words(200)), FakeChannel())
    record = core.recorder.records[0]
    assert record.characters == record.characters_shown == len(answer_of(words(200)))
    assert record.character_delay is not None
    assert 0.2 < record.character_delay < 0.7
    assert record.settle is not None
    assert record.settle < 0.2
    assert record.deltas == 200
    assert record.writes < 12
    assert not record.partial


async def test_hints_show_until_something_is_visible() -> None:
    """Typing is shown while there is nothing to see, and not after."""
    channel = FakeChannel()
    await ask(ScriptedModel([12.0, *words(400)]), channel)
    assert channel.hints == 3


async def test_controls_are_gone_at_the_end() -> None:
    """A live answer can be stopped; a finished one shows nothing to press."""
    channel = FakeChannel(controls=Controls.STOP)
    await ask(ScriptedModel(words(200)), channel)
    assert all(body.controls is Controls.NONE for body in channel.shown.values())


# --------------------------------------------------------------------------------------------------- the model fails

CUT = [*words(100, finish=None), ServiceError("cut")]
MODEL_FAULTS: dict[str, list[Step]] = {
    "cut": CUT,
    "cut at once": [ServiceError("reset", retry_after=0.0)],
    "silence": [*words(50, finish=None), 1000.0],
    "silent from the start": [1000.0],
    "ends without a reason": words(120, finish=None),
    "empty": [Finish(FinishReason.STOP)],
    "limited": [RateLimited("429", retry_after=2.0)],
    "limited without a time": [RateLimited("429")],
    "unanswered": [OutcomeUnknown("time-out")],
}


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("fault", MODEL_FAULTS)
async def test_whatever_the_model_does_the_answer_arrives_whole(fault: str, times: int) -> None:
    """Attempts that fail are made again, the last without streaming, and no text of theirs is left."""
    channel = FakeChannel()
    model = ScriptedModel(
        *[MODEL_FAULTS[fault]] * times, words(300), whole=[Text(answer_of(words(300))), Finish(FinishReason.STOP)]
    )
    core = await ask(model, channel)
    assert channel.text.split() == answer_of(words(300)).split()
    assert core.recorder.records[0].fallback == (times == 3)
    assert core.journal.endings == [Ending.DONE]


async def test_no_text_is_taken_away_before_its_better_is_there() -> None:
    """While a later attempt has less to show than is shown, what is shown stays."""
    channel = FakeChannel(limit=10_000)
    await ask(ScriptedModel(CUT, words(300)), channel)
    lengths = [len(wrote.text) for wrote in channel.writes()]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("reason", RejectionReason)
async def test_what_is_declined_is_not_asked_again(reason: RejectionReason) -> None:
    """Quota, credentials and bad requests are answered with one plain line that holds no exception's text."""
    channel = FakeChannel()
    model = ScriptedModel([ModelRejected("sk-secret insufficient_quota", reason=reason)])
    core = await ask(model, channel)
    assert len(model.calls) == 1
    assert len(channel.shown) == 1
    assert "secret" not in channel.text
    assert core.journal.endings == [Ending.FAILED]


async def test_when_all_fails_the_partial_stays_with_an_honest_line() -> None:
    """Received text is kept, and a line says that it is cut, with the reference that the log holds."""
    channel = FakeChannel()
    model = ScriptedModel(CUT, whole=[ServiceError("no")])
    core = await ask(model, channel)
    assert channel.text.startswith("word0 word1 ")
    assert "word99" in channel.text
    assert core.recorder.records[0].key.reference in channel.text
    assert core.recorder.records[0].partial


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.FILTERED])
async def test_an_answer_cut_by_the_model_says_so(reason: FinishReason) -> None:
    """A cut answer never looks finished."""
    channel = FakeChannel()
    await ask(ScriptedModel(words(20, finish=reason)), channel)
    assert "cut here" in channel.text


# ------------------------------------------------------------------------------------------------- the platform fails

PLATFORM_FAULTS: dict[str, Callable[[], Failure]] = {
    "429": lambda: RateLimited("429", retry_after=3.0),
    "429 for all": lambda: RateLimited("429", retry_after=1.0, is_global=True),
    "429 without a time": lambda: RateLimited("429"),
    "503": lambda: ServiceError("503"),
    "reset": lambda: OutcomeUnknown("reset"),
    "stale": lambda: ServiceError("stale", retry_after=0.0),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "when"), [*((fault, "before") for fault in PLATFORM_FAULTS), ("reset", "after")])
@pytest.mark.parametrize("times", [1, 3])
async def test_every_write_may_fail_and_the_answer_is_whole_once(fault: str, when: str, times: int) -> None:
    """Whichever write fails, before or (its answer lost) after it was applied, the whole answer is there, once."""
    for number in itertools.count():
        count = itertools.count()
        fired = 0

        def plan(verb: Verb, *, count: itertools.count[int] = count, number: int = number) -> Failure | None:
            nonlocal fired
            if number <= next(count) < number + times:
                fired += 1
                return PLATFORM_FAULTS[fault]()
            return None

        channel = FakeChannel(Server(limit=15), limit=400, fault=plan, applied_first=when == "after")
        core = await ask(ScriptedModel(words(400)), channel)
        assert channel.text.split() == answer_of(words(400)).split()
        assert core.journal.endings == [Ending.DONE]
        if not fired:
            break
    assert number > 8


@pytest.mark.parametrize("failure", [NotFound("deleted"), Forbidden("403")])
async def test_when_there_is_no_place_to_write_the_model_is_not_paid(failure: Failure) -> None:
    """A deleted message or a closed channel ends the model's stream at once."""
    edits = itertools.count()

    def deleted(verb: Verb) -> Failure | None:
        return failure if verb is Verb.EDIT and next(edits) == 2 else None

    channel = FakeChannel(fault=deleted)
    model = ScriptedModel(words(4000))
    core = await ask(model, channel)
    assert core.recorder.records[0].seconds < 10
    assert core.journal.endings == [Ending.GONE]


async def test_a_bug_in_an_adapter_ends_its_own_turn_only() -> None:
    """An unexpected exception is logged at the boundary, and the next turn is answered."""

    def bug(verb: Verb) -> Failure | None:
        raise ZeroDivisionError

    good = FakeChannel()
    async with running_core(ScriptedModel(words(50))) as core:
        core.turns.accept(turn("1", conversation="a"), FakeChannel(fault=bug))
        core.turns.accept(turn("2", conversation="b"), good)
        await core.idle()
    assert good.text.split() == answer_of(words(50)).split()
    assert sorted(ending.value for ending in core.journal.endings) == ["done", "failed"]


async def test_a_channel_that_never_works_is_given_up() -> None:
    """Failures in a row have an end, and so has the turn."""
    core = await ask(ScriptedModel(words(10)), FakeChannel(fault=lambda verb: ServiceError("503")))
    assert core.journal.endings == [Ending.FAILED]
    assert core.recorder.records[0].seconds < 400


async def test_text_that_a_platform_refuses_ends_in_an_honest_line() -> None:
    """What is shown stays, without anything to press, and says that it is cut; the model is not read on."""
    edits = itertools.count()
    channel = FakeChannel(controls=Controls.STOP)
    channel.fault = lambda verb: InvalidRequest("bad") if verb is Verb.EDIT and next(edits) == 1 else None
    core = await ask(ScriptedModel(words(4000)), channel)
    assert channel.text.startswith("word0 ")
    assert core.recorder.records[0].key.reference in channel.text
    assert all(body.controls is Controls.NONE for body in channel.shown.values())
    assert core.journal.endings == [Ending.FAILED]
    assert core.recorder.records[0].seconds < 10


async def test_a_platform_that_refuses_everything_is_given_up() -> None:
    """Not even our own line is taken: the turn ends, and so does the asking."""
    core = await ask(ScriptedModel(words(10)), FakeChannel(fault=lambda verb: InvalidRequest("bad")))
    assert core.journal.endings == [Ending.FAILED]


async def test_endless_429s_have_an_end() -> None:
    """A platform that never stops ordering pauses does not keep a turn for ever."""
    channel = FakeChannel(fault=lambda verb: RateLimited("429", retry_after=5.0))
    core = await ask(ScriptedModel(words(10)), channel)
    assert core.journal.endings == [Ending.FAILED]
    assert core.recorder.records[0].seconds < 1000


async def test_a_write_in_flight_at_the_end_is_waited_for() -> None:
    """An older text that arrives late is overwritten, even where what is wanted was shown before."""
    channel = FakeChannel(Server(latency=4.0))
    first: list[Step] = [Text("Hello world"), 6.0, Text(" and some wrong text"), 3.0, ServiceError("cut")]
    model = ScriptedModel(first, [Text("Hello world"), Finish(FinishReason.STOP)])
    await ask(model, channel)
    assert channel.text == "Hello world"


async def test_a_later_attempt_that_is_cut_shorter_takes_nothing_away() -> None:
    """An empty answer that hit its length limit does not replace the text of the attempt before."""
    channel = FakeChannel()
    await ask(ScriptedModel(CUT, [Finish(FinishReason.LENGTH)]), channel)
    assert channel.text.startswith("word0 ")
    assert "length limit" in channel.text


async def test_a_refusal_stands_in_the_place_of_what_was_said_before() -> None:
    """The model's own words for not answering replace what it had begun."""
    channel = FakeChannel()
    script: list[Step] = [
        Text("Sure, here is how: "),
        2.0,
        Refusal("I can't "),
        Refusal("do that."),
        Finish(FinishReason.STOP),
    ]
    await ask(ScriptedModel(script), channel)
    assert channel.text == "I can't do that."


class BrokenFakeJournal(FakeJournal):
    """A journal on a full disk."""

    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        raise OSError("no space left on device")

    async def posted(self, key: TurnKey, message: str) -> None:
        raise OSError("no space left on device")

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        raise OSError("no space left on device")


async def test_a_journal_that_breaks_costs_no_answer() -> None:
    """The bot goes on answering, with a line in the log."""
    channel = FakeChannel()
    async with running_core(ScriptedModel(words(100)), journal=BrokenFakeJournal()) as core:
        core.turns.accept(turn(), channel)
        await core.idle()
    assert channel.text.split() == answer_of(words(100)).split()


class SlowFakeJournal(FakeJournal):
    """A journal on a slow disk."""

    async def posted(self, key: TurnKey, message: str) -> None:
        await asyncio.sleep(0.5)
        await super().posted(key, message)


async def test_a_slow_journal_misses_no_message() -> None:
    """A turn does not end before its messages are written down."""
    channel, journal = FakeChannel(limit=200), SlowFakeJournal()
    async with running_core(ScriptedModel(words(100)), journal=journal) as core:
        core.turns.accept(turn(), channel)
        await core.idle()
    assert journal.messages == list(channel.shown)


class BrokenRenderer(PlainMarkdown):
    """A renderer with a bug."""

    def render(self, piece: Piece) -> str:
        if "word9" in piece.source:
            raise ZeroDivisionError
        return super().render(piece)


async def test_a_bug_in_a_renderer_ends_its_own_turn_only() -> None:
    """Text that cannot be rendered costs one answer, and the others go on."""

    class Channel(FakeChannel):
        @property
        def caps(self) -> ChannelCapabilities:
            return ChannelCapabilities(2000, len, BrokenRenderer())

    good = FakeChannel()
    async with running_core(ScriptedModel(words(50))) as core:
        core.turns.accept(turn("1", conversation="a"), Channel())
        core.turns.accept(turn("2", conversation="b"), good)
        await core.idle()
    assert good.text.split() == answer_of(words(50)).split()
    assert sorted(ending.value for ending in core.journal.endings) == ["done", "failed"]


# ---------------------------------------------------------------------------------------------------------- taking in


async def test_the_same_message_twice_is_answered_once() -> None:
    """A second delivery is dropped, during the answer and after it."""
    channel = FakeChannel()
    async with running_core(ScriptedModel(words(10))) as core:
        core.turns.accept(turn(), channel)
        core.turns.accept(turn(), channel)
        await core.idle()
        core.turns.accept(turn(), channel)
        await core.idle()
    assert len(channel.shown) == 1
    assert core.recorder.refusals == ["duplicate", "duplicate"]


async def test_one_turn_of_a_conversation_at_a_time_and_others_side_by_side() -> None:
    """Answers of one conversation come one after the other; those of two conversations together."""
    model = ScriptedModel(words(400))
    async with running_core(model) as core:
        for number, conversation in enumerate(["a", "a", "b"]):
            core.turns.accept(turn(str(number), conversation=conversation), FakeChannel())
        await asyncio.sleep(1)
        assert model.open == 2
        await core.idle()
    assert len(core.recorder.records) == 3


async def test_too_many_waiting_turns_get_a_polite_line() -> None:
    """The queue of a conversation is bounded, and over it the asker is told."""
    channels = [FakeChannel() for _ in range(4)]
    async with running_core(ScriptedModel(words(100)), limits=TurnLimits(waiting=2)) as core:
        for number, channel in enumerate(channels):
            core.turns.accept(turn(str(number)), channel)
        await core.idle()
    assert channels[3].text == Strings().busy
    assert all("word99" in channel.text for channel in channels[:3])


async def test_lines_of_our_own_are_few_and_wait_for_nobody() -> None:
    """A flood gets one line in each conversation, at once, and takes no place of an answer's."""
    channels = [FakeChannel() for _ in range(60)]
    async with running_core(ScriptedModel(words(400)), limits=TurnLimits(live=1, accepted=2)) as core:
        for number, channel in enumerate(channels):
            core.turns.accept(turn(str(number), conversation=str(number % 10)), channel)
        await asyncio.sleep(1)
        assert sum(channel.text == Strings().busy for channel in channels) == 10
        await core.idle()
    assert len(core.journal.endings) == 12


async def test_access_is_refused_silently_in_a_channel_and_plainly_in_a_dm() -> None:
    """Who may not ask gets no answer; in a DM one line says so."""
    rules = AccessRules(users=AllowDeny(allow=frozenset({"U2"})))
    channel, dm = FakeChannel(), FakeChannel()
    model = ScriptedModel(words(5))
    async with running_core(model, access=rules) as core:
        core.turns.accept(turn("1", conversation="a"), channel)
        core.turns.accept(turn("2", conversation="b", direct=True), dm)
        await core.idle()
    assert not channel.log
    assert (channel.withdrawn, dm.withdrawn) == (1, 0)
    assert dm.text == Strings().no_access
    assert not model.calls


async def test_an_empty_mention_is_answered_without_a_model() -> None:
    """Nothing was asked, so no model is; but in a thread with a history the mention alone is a question."""
    channel, thread = FakeChannel(), FakeChannel(past=History((Message(Role.USER, (Text("hi"),), "Kim"),)))
    model = ScriptedModel(words(5))
    await ask(model, channel, turn(text="  "))
    assert channel.text == Strings().empty_question
    assert not model.calls
    await ask(model, thread, turn(text=""))
    assert len(model.calls) == 1


async def test_an_empty_direct_message_is_not_told_of_mentions() -> None:
    """Nobody is mentioned in a direct message, so that the line there does not speak of it."""
    channel, model = FakeChannel(), ScriptedModel(words(5))
    await ask(model, channel, turn(text="", direct=True))
    assert channel.text == Strings().empty_direct
    assert "mention" not in channel.text
    assert not model.calls


async def test_the_model_is_told_who_said_what_and_the_reader_what_was_left_out() -> None:
    """Names stand before words, newest messages are kept, and lines under the answer name what was not read."""
    past = History(tuple(Message(Role.USER, (Text(f"message {number}"),), "Kim") for number in range(30)))
    files = (File("a.txt", "abc"), OmittedAttachment("b.bin", "it is not text"))
    channel, model = FakeChannel(past=past, files=files), ScriptedModel(words(5))
    await ask(model, channel, turn(text="look"), prompt_limits=PromptLimits(messages=3))
    messages = model.calls[0][1].messages
    assert [message.text for message in messages] == [*(f"Kim: message {n}" for n in (27, 28, 29)), "Dana: look"]
    assert messages[-1].parts[1:] == files
    assert "b.bin was left out: it is not text." in channel.text
    assert Strings().history_cut in channel.text


async def test_a_conversation_is_told_once_that_messages_are_left_out() -> None:
    """A long conversation is not reminded under every answer."""
    past = History((Message(Role.USER, (Text("hi"),), "Kim"),), truncated=True)
    first, second = FakeChannel(past=past), FakeChannel(past=past)
    async with running_core(ScriptedModel(words(5))) as core:
        for number, channel in enumerate([first, second]):
            core.turns.accept(turn(str(number)), channel)
            await core.idle()
    assert Strings().history_cut in first.text
    assert Strings().history_cut not in second.text


async def test_a_history_that_could_not_be_read_has_a_notice_of_its_own() -> None:
    """Once for a conversation, and without a word of its length, which is told once it is the reason."""
    unread = History((Message(Role.USER, (Text("hi"),), "Kim"),), truncated=True, unread="no answer in time")
    first, second = FakeChannel(past=unread), FakeChannel(past=replace(unread, unread=""))
    async with running_core(ScriptedModel(words(5))) as core:
        for number, channel in enumerate([first, second]):
            core.turns.accept(turn(str(number)), channel)
            await core.idle()
    assert Strings().history_unread in first.text
    assert Strings().history_cut not in first.text
    assert Strings().history_unread not in second.text
    assert Strings().history_cut in second.text


# ------------------------------------------------------------------------------------------------------------ stopping


async def test_stop_ends_the_stream_at_once_and_says_so() -> None:
    """A reader's stop closes the model's stream; what was received stays, with a line that it was stopped."""
    channel, model = FakeChannel(), ScriptedModel(words(4000))
    async with running_core(model) as core:
        core.turns.accept(turn("Q"), channel)
        await asyncio.sleep(2)
        assert core.turns.stop(TurnKey("memory", "W", "C", next(iter(channel.shown))), by="U1")
        await asyncio.sleep(0.1)
        assert model.open == 0
        await core.idle()
        assert not core.turns.stop(TurnKey("memory", "W", "C", "Q"), by="U1")
    assert Strings().stopped in channel.text
    assert core.journal.endings == [Ending.STOPPED]


async def test_draining_finishes_what_can_be_and_marks_the_rest() -> None:
    """At shutdown a short answer is finished, a long one is marked as interrupted, and nothing new is taken in."""
    short, long, late, waiting = (FakeChannel() for _ in range(4))
    async with running_core(ScriptedModel(words(100), words(4000))) as core:
        core.turns.accept(turn("1", conversation="a"), short)
        await asyncio.sleep(0.1)
        core.turns.accept(turn("2", conversation="b"), long)
        core.turns.accept(turn("3", conversation="b"), waiting)
        await asyncio.sleep(1)
        draining = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            group.create_task(core.turns.drain(20.0))
            await asyncio.sleep(0.1)
            core.turns.accept(turn("4", conversation="d"), late)
        assert asyncio.get_running_loop().time() - draining < 26
    assert "word99" in short.text
    assert "Interrupted" not in short.text
    assert "Interrupted" in long.text
    assert "Interrupted" in waiting.text
    assert not late.log


@pytest.mark.parametrize("failure", [None, Forbidden("no"), ServiceError("down"), RuntimeError("a defect")])
async def test_the_channel_learns_of_the_end(failure: Exception | None) -> None:
    """Each turn's end is told to its channel once, whichever it is."""
    channel = FakeChannel(fault=lambda verb: failure)  # type: ignore[arg-type, return-value]  # a defect is no Failure
    await ask(ScriptedModel(words(5)), channel)
    assert channel.ended_turns == 1
