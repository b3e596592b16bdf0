"""Try again and edited questions: another answer, in the same messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.access import AccessRules, AllowDeny
from bot.completion import CompletionPolicy
from bot.conversation import Announced, Author, Ending, Finish, FinishReason, Reasoning, Text, Turn
from bot.delivery.policy import ReasoningPolicy, WritePolicy
from bot.errors import (
    Failure,
    Forbidden,
    ModelRejected,
    NotEditable,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    ServiceError,
)
from bot.models import UNNAMED, ModelCatalog, ModelInfo
from bot.ports import Controls, Verb
from bot.strings import Strings
from bot.turns.config import TurnLimits
from bot.turns.generations import DEBOUNCE_SECONDS
from bot.turns.hooks import NoMeter, QuotaDecision, TurnHooks
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, answer_of, turn, words
from tests.support.generations import ALL_CONTROLS, MemoryPlatform, at, make_channel, running_generations

ELI = Author("U2", "Eli")
STRINGS = Strings()
REJECTED = ModelRejected("no", reason=RejectionReason.REQUEST)
ONCE = CompletionPolicy(attempts=1)
LISTED = ModelCatalog([UNNAMED, ModelInfo("large", "Large", "large")])


class OneQuestion(NoMeter):
    """Admits the first question alone."""

    def __init__(self) -> None:
        self.admitted: set[str] = set()

    async def admit(self, turn: Turn) -> QuotaDecision:
        self.admitted = self.admitted or {turn.key.digest}
        return QuotaDecision(turn.key.digest in self.admitted)


def story(name: str, count: int, *, rate: float = 200.0) -> list[Step]:
    """An answer of `count` numbered words that begin with a name."""
    script: list[Step] = []
    for number in range(count):
        script += [Text(f"{name}{number} "), 1 / rate]
    return [*script, Finish(FinishReason.STOP)]


def shown(channel: FakeChannel) -> list[str]:
    return channel.text.split()


def expected(script: list[Step]) -> list[str]:
    return answer_of(script).split()


@pytest.mark.parametrize("counts", [(5, 5), (5, 400), (400, 5), (400, 900), (900, 400)], ids=str)
async def test_another_answer_takes_over_the_messages(counts: tuple[int, int]) -> None:
    """The new text stands alone in the messages of the old one; surplus messages are deleted."""
    first, second = story("old", counts[0]), story("new", counts[1])
    channel = make_channel(limit=700)
    async with running_generations(ScriptedModel(first, second), channel) as harness:
        await harness.ask()
        await harness.core.idle()
        before = list(channel.shown)
        assert await harness.retry() == ""
        await harness.core.idle()
    assert shown(channel) == expected(second)
    assert list(channel.shown)[: len(before)] == before[: len(channel.shown)]
    assert channel.server.limited == 0
    assert list(channel.shown.values())[-1].controls == Controls.RETRY | Controls.FEEDBACK
    assert all(not body.controls for body in list(channel.shown.values())[:-1])


async def test_the_old_text_stays_until_there_is_new_text() -> None:
    """Nothing changes before the first word, and all old messages stay until the new text reaches them."""
    channel = make_channel(limit=300)
    model = ScriptedModel(story("old", 200), [5.0, *story("new", 60, rate=10.0)])
    async with running_generations(model, channel) as harness:
        await harness.ask()
        await harness.core.idle()
        before, count = channel.text, len(channel.shown)
        await harness.retry()
        await asyncio.sleep(4.5)
        assert channel.text == before
        await asyncio.sleep(3.0)
        assert next(iter(channel.shown.values())).text.startswith("new0")
        assert len(channel.shown) == count
        await harness.core.idle()
    assert shown(channel) == expected(story("new", 60))


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.STOPPED])
async def test_without_new_text_the_old_answer_stays(ending: Ending) -> None:
    """A failed or stopped answer without any text leaves the old one untouched, with one line behind it."""
    channel = make_channel(limit=700)
    model = ScriptedModel(story("old", 300), [3.0, REJECTED])
    async with running_generations(model, channel, completion=ONCE) as harness:
        await harness.ask()
        await harness.core.idle()
        before = dict(channel.shown)
        await harness.retry()
        await asyncio.sleep(1.0)
        if ending is Ending.STOPPED:
            assert harness.core.turns.stop(at(), by=ELI)
        await harness.core.idle()
        after = list(channel.shown.items())
        assert dict(after[: len(before)]) == before
        (line,) = [body.text for _, body in after[len(before) :]]
        assert STRINGS.kept in line


async def test_stopped_while_waiting_the_old_answer_has_an_honest_line() -> None:
    """A generation stopped in the queue says so behind the old answer, and costs nothing."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(100)), channel) as harness:
        await harness.ask()
        await harness.core.idle()
        before = dict(channel.shown)
        await harness.ask(message="2")
        assert await harness.retry() == ""
        assert harness.core.turns.stop(at(), by=ELI)
        await harness.core.idle()
    assert len(harness.model.calls) == 2
    assert dict(list(channel.shown.items())[:1]) == before
    assert STRINGS.kept in channel.text


async def test_a_recovered_answer_has_final_controls() -> None:
    """The next process completes the answer, with the buttons below."""
    journal, channel = FakeJournal(durable=True), make_channel()
    async with running_generations(ScriptedModel(words(100)), channel, journal) as harness:
        await harness.ask()
        await asyncio.sleep(1.0)
    async with running_generations(ScriptedModel(words(100)), channel, FakeJournal(of=journal)) as harness:
        (left,) = await harness.core.turns.unfinished_turns("memory")
        harness.core.turns.accept(replace(turn(), key=left.key), channel)
        await harness.core.idle()
    assert [body.controls for body in channel.shown.values()] == [Controls.RETRY | Controls.FEEDBACK]


async def test_a_line_behind_an_answer_is_replaced_too() -> None:
    """The next answer takes over the line of a failed one."""
    channel = make_channel(limit=700)
    model = ScriptedModel(story("old", 20), [REJECTED], story("new", 10))
    async with running_generations(model, channel, completion=ONCE) as harness:
        await harness.ask()
        await harness.core.idle()
        for _ in range(2):
            assert await harness.retry() == ""
            await harness.core.idle()
    assert shown(channel) == expected(story("new", 10))
    assert len(channel.shown) == 1


async def test_an_answer_that_fails_after_text_leaves_no_old_text() -> None:
    """The new text stays with an honest line, and no old message is left."""
    channel = make_channel(limit=300)
    cut: list[Step] = [*story("new", 60)[:-1], ServiceError("cut")]
    model = ScriptedModel(story("old", 200), cut, whole=[ServiceError("cut")])
    async with running_generations(model, channel, completion=ONCE) as harness:
        await harness.ask()
        await harness.core.idle()
        await harness.retry()
        await harness.core.idle()
    assert "old" not in channel.text
    assert [word for word in shown(channel) if word.startswith("new")] == expected(cut)
    assert STRINGS.cut.partition("(")[0].strip() in channel.text


class Rejecting:
    """Rejects writes of a verb while `left` lasts."""

    def __init__(self, verb: Verb, failure: Failure, times: int = 1) -> None:
        self.verb, self.failure, self.left, self.is_on = verb, failure, times, False

    def __call__(self, verb: Verb) -> Failure | None:
        if not self.is_on or verb is not self.verb or not self.left:
            return None
        self.left -= 1
        return self.failure


@pytest.mark.parametrize("counts", [(5, 5), (300, 20), (20, 300)], ids=str)
@pytest.mark.parametrize(
    ("verb", "failure", "times"),
    [
        (Verb.EDIT, NotEditable("too old"), 1),
        (Verb.EDIT, NotEditable("too old"), 99),
        (Verb.EDIT, ServiceError("503"), 3),
        (Verb.EDIT, OutcomeUnknown("lost"), 2),
        (Verb.EDIT, RateLimited("429", retry_after=1.0), 2),
        (Verb.DELETE, ServiceError("503"), 2),
        (Verb.POST, OutcomeUnknown("lost"), 1),
    ],
    ids=lambda value: repr(value) if isinstance(value, Failure) else None,
)
async def test_rejected_writes_leave_the_new_text_alone(
    verb: Verb, failure: Failure, times: int, counts: tuple[int, int]
) -> None:
    """Whatever is rejected on the way: in the end there is the new text once, and nothing of the old one."""
    fault = Rejecting(verb, failure, times)
    channel = make_channel(limit=300, fault=fault)
    second = story("new", counts[1])
    async with running_generations(ScriptedModel(story("old", counts[0]), second), channel) as harness:
        await harness.ask()
        await harness.core.idle()
        fault.is_on = True
        await harness.retry()
        await harness.core.idle()
    assert shown(channel) == expected(second)


async def test_an_undeletable_message_does_not_end_the_answer() -> None:
    """A surplus message that cannot be deleted is left; the answer is whole."""
    fault = Rejecting(Verb.DELETE, Forbidden("no"), 99)
    channel = make_channel(limit=300, fault=fault)
    async with running_generations(ScriptedModel(story("old", 100), story("new", 20)), channel) as harness:
        await harness.ask()
        await harness.core.idle()
        fault.is_on = True
        await harness.retry()
        await harness.core.idle()
        assert harness.core.recorder.records[-1].ending is Ending.DONE
    assert shown(channel)[:20] == expected(story("new", 20))


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("when", ["before", "while waiting", "while writing"])
async def test_a_deleted_old_message_does_not_matter(index: int, when: str) -> None:
    """A message of the old answer that somebody deleted is not missed: the new text is whole."""
    channel = make_channel(limit=300)
    second = [2.0, *story("new", 120, rate=20.0)]
    async with running_generations(ScriptedModel(story("old", 140), second), channel) as harness:
        await harness.ask()
        await harness.core.idle()
        message = list(channel.shown)[index]
        if when == "before":
            del channel.shown[message]
        await harness.retry()
        await asyncio.sleep(1.0)
        if when == "while waiting":
            del channel.shown[message]
            harness.core.turns.message_deleted(at(message))
        elif when == "while writing" and index:
            await asyncio.sleep(1.5)
            del channel.shown[message]
            harness.core.turns.message_deleted(at(message))
        await harness.core.idle()
    assert shown(channel) == expected(second)


# ------------------------------------------------------------------------------------------------------ pressing


async def test_only_the_asker_and_admins_may_try_again() -> None:
    """Others get a private line, and nothing happens; an admin is named by the operator or the platform."""
    channel = make_channel()
    access = AccessRules(admins=frozenset({"U9"}))
    async with running_generations(ScriptedModel(words(5)), channel, access=access) as harness:
        await harness.ask()
        await harness.core.idle()
        assert await harness.retry(by=ELI) == STRINGS.retry_others
        assert len(harness.model.calls) == 1
        for by in (Author("U9", "Ann"), replace(ELI, manages=True)):
            assert await harness.retry(by=by) == ""
            await harness.core.idle()
    assert len(harness.model.calls) == 3


async def test_a_denied_person_may_not_try_again() -> None:
    """Access applies as for a question."""
    access = AccessRules(users=AllowDeny(deny=frozenset({"U3"})))
    async with running_generations(ScriptedModel(words(5)), access=access) as harness:
        await harness.ask()
        await harness.core.idle()
        assert await harness.retry(by=Author("U3", "Fay", manages=True)) == STRINGS.no_access


async def test_pressed_twice_it_is_answered_once() -> None:
    """Presses at once, and presses while the answer runs, start one generation."""
    async with running_generations(ScriptedModel(words(200))) as harness:
        await harness.ask()
        await asyncio.sleep(0.5)
        assert await harness.retry() == STRINGS.retry_running
        await harness.core.idle()
        notices = await asyncio.gather(*(harness.retry() for _ in range(5)))
        assert sorted(notices) == sorted(["", *[STRINGS.retry_running] * 4])
        await harness.core.idle()
    assert len(harness.model.calls) == 2


async def test_a_press_just_before_the_end_waits_for_it() -> None:
    """The button appears with the last write, a moment before the turn's end is recorded: a quick press counts."""
    async with running_generations(ScriptedModel(words(40))) as harness:
        await harness.ask()
        notice = STRINGS.retry_running
        while notice == STRINGS.retry_running:
            notice = await harness.retry()
        await harness.core.idle()
        assert notice == ""
    assert len(harness.model.calls) == 2


async def test_two_processes_make_one_generation() -> None:
    """Both have the same journal: the second press finds it taken."""
    journal = FakeJournal(durable=True)
    async with running_generations(ScriptedModel(words(5)), journal=journal) as harness:
        await harness.ask()
        await harness.core.idle()
        async with running_generations(ScriptedModel(words(5)), harness.platform.channel, journal) as other:
            other.platform.questions |= harness.platform.questions
            notices = await asyncio.gather(harness.retry(), other.retry())
            await asyncio.gather(harness.core.idle(), other.core.idle())
        assert sorted(notices) == sorted(["", STRINGS.retry_running])
    assert len(harness.model.calls) + len(other.model.calls) == 2


@pytest.mark.parametrize(
    ("prepare", "notice"),
    [
        (lambda platform: platform.questions.clear(), STRINGS.retry_gone),
        (lambda platform: setattr(platform, "fault", lambda: ServiceError("503")), STRINGS.retry_unread),
        (lambda platform: setattr(platform, "fault", lambda: Forbidden("no")), STRINGS.retry_unread),
    ],
    ids=["gone", "unread", "forbidden"],
)
async def test_an_unreadable_question_is_explained(prepare: Callable[[MemoryPlatform], None], notice: str) -> None:
    """The old answer stays, and the person learns why."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(5)), channel) as harness:
        await harness.ask()
        await harness.core.idle()
        prepare(harness.platform)
        assert await harness.retry() == notice
        await harness.core.idle()
    assert shown(channel) == expected(words(5))


async def test_an_unknown_answer_and_a_stopping_bot_are_explained() -> None:
    """An answer that the journal does not know, and a press during shutdown, start nothing."""
    async with running_generations(ScriptedModel(words(5))) as harness:
        harness.platform.questions["7"] = "why?"
        assert await harness.retry("7") == STRINGS.retry_unknown
        await harness.ask()
        await harness.core.idle()
        await harness.core.turns.drain(1.0)
        assert await harness.retry() == STRINGS.stopping
    assert len(harness.model.calls) == 1


async def test_a_full_queue_is_explained() -> None:
    """With too many questions waiting in the conversation, the press gets the same line as a question."""
    async with running_generations(ScriptedModel(words(100)), limits=TurnLimits(waiting=1)) as harness:
        await harness.ask()
        await harness.core.idle()
        for message in ("2", "3"):
            await harness.ask(message=message)
        assert await harness.retry() == STRINGS.busy


async def test_another_model_reaches_the_prompt() -> None:
    """The name chosen for this answer is asked, and the history does not hold the first answer."""
    async with running_generations(ScriptedModel(words(5)), models=LISTED) as harness:
        await harness.ask()
        await harness.core.idle()
        await harness.retry(model="large")
        await harness.core.idle()
    prompt = harness.model.calls[1][1]
    assert prompt.model == "large"
    assert [message.text for message in prompt.messages] == ["Dana: why?"]


async def test_a_removed_model_is_not_asked() -> None:
    """An old message may offer a model that the operator has removed: a line instead of an answer."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(5)), channel, models=LISTED) as harness:
        await harness.ask()
        await harness.core.idle()
        assert await harness.retry(model="removed") == STRINGS.retry_model
        await harness.core.idle()
    assert len(harness.model.calls) == 1
    assert shown(channel) == expected(words(5))


async def test_the_press_survives_the_process() -> None:
    """A crash right after the press: the next process makes the answer, in the same messages."""
    journal, channel = FakeJournal(durable=True), make_channel(limit=300)
    async with running_generations(ScriptedModel(story("old", 100)), channel, journal) as harness:
        await harness.ask()
        await harness.core.idle()
        before = list(channel.shown)
        assert await harness.retry() == ""
    second = story("new", 150)
    async with running_generations(ScriptedModel(second), channel, FakeJournal(of=journal)) as harness:
        (left,) = await harness.core.turns.unfinished_turns("memory")
        assert (left.key, left.messages) == (at(generation=1), tuple(before))
        harness.core.turns.accept(replace(turn(), key=left.key), channel)
        await harness.core.idle()
    assert shown(channel) == expected(second)
    assert list(channel.shown)[: len(before)] == before


# ------------------------------------------------------------------------------------------------------------ edits


async def test_an_edited_question_is_answered_again() -> None:
    """The new answer stands in the old messages, 2 s after the last of several edits."""
    channel = make_channel()
    model = ScriptedModel(story("old", 30), story("new", 20))
    async with running_generations(model, channel) as harness:
        await harness.ask("what?")
        await harness.core.idle()
        for text in ("when?", "who?", "why?"):
            harness.edit(text)
            await asyncio.sleep(DEBOUNCE_SECONDS / 2)
        assert harness.asked == ["what?"]
        await asyncio.sleep(DEBOUNCE_SECONDS)
        await harness.core.idle()
    assert harness.asked == ["what?", "why?"]
    assert shown(channel) == expected(story("new", 20))
    assert len(channel.shown) == 1


async def test_a_running_answer_ends_without_a_word() -> None:
    """Its text stays until the new answer's first text; no notice is written, and its journal entry ends."""
    channel, journal = make_channel(limit=300), FakeJournal(durable=True)
    model = ScriptedModel(story("old", 400, rate=20.0), [3.0, *story("new", 20)])
    async with running_generations(model, channel, journal) as harness:
        await harness.ask("what?")
        await asyncio.sleep(6.0)
        harness.edit("why?", age=1_000.0)
        await asyncio.sleep(DEBOUNCE_SECONDS + 1.0)
        assert model.open == 1  # the first stream is closed
        writes = len(channel.log)
        await asyncio.sleep(1.0)
        assert (len(channel.log), "old0 " in channel.text) == (writes, True)
        await harness.core.idle()
    assert shown(channel) == expected(story("new", 20))
    assert not any(STRINGS.stopped in write.text for write in channel.log)
    assert journal.ends == {at(): Ending.STOPPED, at(generation=1): Ending.DONE}


async def test_a_preview_does_not_outlive_its_turn() -> None:
    """An edit during the model's reasoning removes the preview, so it is not left if the next answer fails."""
    channel = make_channel()
    writes = WritePolicy(reasoning_preview=ReasoningPolicy(shown=True))
    thinking: list[Step] = [Reasoning("Let me think about this one. "), 2.0, Reasoning("And more of it. "), 60.0]
    model = ScriptedModel(thinking, [1.0, REJECTED])
    async with running_generations(model, channel, writes=writes, completion=ONCE) as harness:
        await harness.ask()
        await asyncio.sleep(3.0)
        assert "Thinking" in channel.text
        harness.edit("who?")
        await harness.core.idle()
        await asyncio.sleep(DEBOUNCE_SECONDS + 1.0)
        await harness.core.idle()
    assert len(harness.model.calls) == 2
    (body,) = channel.shown.values()
    assert "Thinking" not in body.text
    assert STRINGS.kept not in body.text


async def test_a_waiting_question_is_answered_once_with_its_new_words() -> None:
    """The edit of a question behind another changes only its words."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(200)), channel) as harness:
        await harness.ask("first?", "1")
        await harness.ask("second?", "2")
        harness.edit("mended?", "2")
        await harness.core.idle()
        await asyncio.sleep(DEBOUNCE_SECONDS * 2)
    assert harness.asked == ["first?", "mended?"]
    assert channel.server.limited == 0
    assert not harness.core.turns.queues.accepted


@pytest.mark.parametrize(
    ("age", "edit_seconds", "answers"), [(299.0, 300.0, 2), (301.0, 300.0, 1), (1.0, 0.0, 1)], ids=str
)
async def test_old_questions_are_left_alone(age: float, edit_seconds: float, answers: int) -> None:
    """An edit counts within the operator's time after the post; zero is never."""
    async with running_generations(ScriptedModel(words(5)), edit_seconds=edit_seconds) as harness:
        await harness.ask()
        await harness.core.idle()
        harness.edit("who?", age=age)
        await asyncio.sleep(DEBOUNCE_SECONDS + 1.0)
        await harness.core.idle()
    assert len(harness.model.calls) == answers


async def test_only_the_newest_question_of_a_conversation_is_answered_again() -> None:
    """An edit of an earlier one would contradict what follows; other conversations do not matter."""
    async with running_generations(ScriptedModel(words(5))) as harness:
        await harness.ask("one?", "1")
        await harness.ask("two?", "2")
        await harness.ask("other?", "3", conversation="d")
        await harness.core.idle()
        for text, message in (("ONE?", "1"), ("TWO?", "2")):
            harness.edit(text, message)
        await asyncio.sleep(DEBOUNCE_SECONDS + 1.0)
        await harness.core.idle()
    assert harness.asked == ["one?", "other?", "two?", "TWO?"]


async def test_an_edit_can_make_a_question() -> None:
    """A message that was no question, and mentions the bot now, is answered for the first time."""
    async with running_generations(ScriptedModel(words(5))) as harness:
        harness.edit("and now?", "5")
        await asyncio.sleep(DEBOUNCE_SECONDS + 1.0)
        await harness.core.idle()
        assert list(harness.core.journal.entries) == [at("5")]
    assert harness.asked == ["and now?"]


async def test_an_unreadable_edit_leaves_the_answer_running() -> None:
    """A deleted or unreadable question costs no running answer."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(200)), channel) as harness:
        await harness.ask()
        harness.platform.fault = lambda: NotFound("gone")
        harness.edit("who?")
        await harness.core.idle()
    assert shown(channel) == expected(words(200))


async def test_an_edit_to_the_stop_word_asks_nothing() -> None:
    """It is no question; the answer goes on."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(200)), channel) as harness:
        await harness.ask()
        harness.edit("stop")
        await harness.core.idle()
        await asyncio.sleep(DEBOUNCE_SECONDS)
        await harness.core.idle()
    assert shown(channel) == expected(words(200))


async def test_without_room_under_a_quota_an_edit_changes_nothing() -> None:
    """The running answer goes on, and the old one stays."""
    channel = make_channel()
    meter = OneQuestion()
    async with running_generations(ScriptedModel(words(200)), channel, hooks=TurnHooks(meter=meter)) as harness:
        await harness.ask()
        await asyncio.sleep(1.0)
        harness.edit("who?")
        await harness.core.idle()
        assert await harness.retry() == STRINGS.retry_limit
    assert shown(channel) == expected(words(200))
    assert len(harness.model.calls) == 1


@pytest.mark.parametrize("seconds", [2.0, 2.01, 2.05, 2.2, 2.5, 4.0])
@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_a_crash_during_an_edit_leaves_one_answer(seconds: float, latency: float) -> None:
    """Whenever the process dies: the next one makes one answer, and no text of another is left."""
    journal, channel = FakeJournal(durable=True), make_channel(server=Server(limit=100, latency=latency), limit=300)
    model = ScriptedModel(story("old", 400, rate=20.0), story("new", 400, rate=20.0))
    async with running_generations(model, channel, journal) as harness:
        await harness.ask("what?")
        await asyncio.sleep(5.0)
        harness.edit("why?")
        await asyncio.sleep(seconds)
    later = story("later", 300)
    async with running_generations(ScriptedModel(later), channel, FakeJournal(of=journal)) as harness:
        (left,) = await harness.core.turns.unfinished_turns("memory")
        harness.core.turns.accept(replace(turn(), key=left.key), channel)
        await harness.core.idle()
        assert not await harness.core.turns.unfinished_turns("memory")
    assert shown(channel) == expected(later)


async def test_an_answer_whose_successor_has_ended_is_left_alone() -> None:
    """The record of its end was lost; the next process must not write over the newer answer."""
    journal, channel = FakeJournal(durable=True), make_channel()
    async with running_generations(ScriptedModel(story("old", 5), story("new", 5)), channel, journal) as harness:
        await harness.ask()
        await harness.core.idle()
        await harness.retry()
        await harness.core.idle()
    del journal.ends[at()]
    async with running_generations(ScriptedModel(words(5)), channel, FakeJournal(of=journal)) as harness:
        assert not await harness.core.turns.unfinished_turns("memory")
    assert journal.ends == {at(): Ending.STOPPED, at(generation=1): Ending.DONE}
    assert shown(channel) == expected(story("new", 5))


async def test_draining_waits_for_no_debounce() -> None:
    """An edit whose time has not come is not answered by a stopping bot."""
    async with running_generations(ScriptedModel(words(5))) as harness:
        await harness.ask()
        await harness.core.idle()
        harness.edit("who?")
        before = asyncio.get_running_loop().time()
        await harness.core.turns.drain(10.0)
        assert asyncio.get_running_loop().time() - before < 1.0
        await asyncio.sleep(DEBOUNCE_SECONDS * 2)
    assert len(harness.model.calls) == 1


# ---------------------------------------------------------------------------------------------------------- preface


def prefaced(asked: Turn) -> Turn:
    return replace(asked, preface="> why is that so?")


@pytest.mark.parametrize("count", [5, 300])
async def test_a_preface_stands_above_every_answer(count: int) -> None:
    """It comes with the first text, counts for no figure, and reaches no model."""
    channel = make_channel(limit=300)
    async with running_generations(ScriptedModel([2.0, *words(count)]), channel) as harness:
        harness.core.turns.accept(prefaced(turn()), channel)
        await asyncio.sleep(1.9)
        assert not channel.shown
        await harness.core.idle()
        record = harness.core.recorder.records[-1]
    text = channel.text
    assert text.startswith("> why is that so?\n\nword0")
    assert text.split()[5:] == expected(words(count))
    assert (record.characters, record.characters_shown) == (len(answer_of(words(count))),) * 2
    assert all(body.text.strip() != "> why is that so?" for body in channel.shown.values())
    assert "why is that so" not in str(harness.model.calls)


async def test_a_preface_stands_above_a_failure() -> None:
    """Without any text, the preface comes with the honest line and not alone."""
    channel = make_channel()
    async with running_generations(ScriptedModel([REJECTED]), channel, completion=ONCE) as harness:
        harness.core.turns.accept(prefaced(turn()), channel)
        await harness.core.idle()
    (body,) = channel.shown.values()
    assert body.text.startswith("> why is that so?\n\n")
    assert len(body.text) > len("> why is that so?\n\n")


# ---------------------------------------------------------------------------------------------------- final controls


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("count", [1, 3, 40, 300])
async def test_final_controls_cost_no_write(count: int, announced: bool) -> None:
    """The same answer with and without them takes the same number of writes, whatever its length."""
    writes = []
    for controls in (Controls.STOP, Controls.STOP | Controls.RETRY | Controls.FEEDBACK):
        channel = make_channel(server=Server(limit=5), limit=700, controls=controls)
        script = words(count)
        if announced:
            script[-1:] = [Announced(FinishReason.STOP), 1.0, Finish(FinishReason.STOP)]
        async with running_generations(ScriptedModel(script), channel) as harness:
            await harness.ask()
            await harness.core.idle()
        writes.append(len(channel.writes()))
        assert list(channel.shown.values())[-1].controls == controls & ~Controls.STOP
    assert writes[0] == writes[1]


@pytest.mark.parametrize("count", [10, 60])
async def test_final_controls_cost_no_write_beside_others(count: int) -> None:
    """Ten answers in one channel take as many writes with them as without, and each gets them."""
    writes = []
    for controls in (Controls.NONE, Controls.RETRY | Controls.FEEDBACK, ALL_CONTROLS):
        server = Server(limit=5)
        first = make_channel(server=server, controls=controls)
        budgets = {"edits": first.edits, "posts": first.posts, "deletes": first.deletes}
        channels = [make_channel(server=server, controls=controls, **budgets) for _ in range(10)]
        async with running_generations(ScriptedModel(words(count)), first) as harness:
            for number, channel in enumerate(channels):
                harness.core.turns.accept(turn(str(number), conversation=str(number)), channel)
            await harness.core.idle()
        writes.append(sum(len(channel.writes()) for channel in channels))
        final = {list(channel.shown.values())[-1].controls for channel in channels}
        assert final == {controls & ~Controls.STOP}
        assert server.limited == 0
    assert writes == [writes[0]] * 3


async def test_our_own_lines_have_no_controls() -> None:
    """There is nothing to vote on below "I am still busy"."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(5)), channel) as harness:
        await harness.ask("")
        await harness.core.idle()
    assert [body.controls for body in channel.shown.values()] == [Controls.NONE]


async def test_a_question_that_cannot_be_read_again_has_no_button() -> None:
    """The votes stay."""
    channel = make_channel()
    async with running_generations(ScriptedModel(words(5)), channel) as harness:
        harness.core.turns.accept(replace(turn(), can_retry=False), channel)
        await harness.core.idle()
    assert [body.controls for body in channel.shown.values()] == [Controls.FEEDBACK]


async def test_a_failure_offers_another_try_alone() -> None:
    """Without any text there is nothing to vote on."""
    channel = make_channel()
    async with running_generations(ScriptedModel([REJECTED]), channel, completion=ONCE) as harness:
        await harness.ask()
        await harness.core.idle()
    assert [body.controls for body in channel.shown.values()] == [Controls.RETRY]


async def test_a_command_beyond_a_quota_always_gets_a_sentence() -> None:
    """Also where a question in chat is refused in silence; a counted one is counted once."""
    meter = OneQuestion()
    async with running_generations(ScriptedModel(words(5)), hooks=TurnHooks(meter=meter)) as harness:
        first, second = turn("1", conversation="c"), turn("2", conversation="c")
        assert await harness.generations.reserve(first) == ""
        assert await harness.generations.reserve(second) == STRINGS.retry_limit
        await harness.ask()
        await harness.core.idle()
    assert len(harness.model.calls) == 1
