"""What people do with an answer that is a native stream: stop it, ask again, edit or delete; and a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.servers.openai import Answer
from tests.servers.slack import SlackDouble
from tests.servers.slack_streams import APPEND, START, State
from tests.support.native_streams import EDIT, FINAL_BUTTONS, AgentView, agent_view, words

pytestmark = pytest.mark.sockets(virtual=True)

ANSWER, OTHER = words(100), words(60, "other")
SLOW = words(600)
# The word below a stopped answer.
STOPPED = "Stopped."


async def is_stopped(view: AgentView, root: str) -> None:
    """The answer is cut and says so, in one message without anything left over; the model's stream is closed."""
    async with asyncio.timeout(5.0):
        await view.model.requests[0].left_early.wait()
    await view.rest()
    (shown,) = view.shown(root)
    assert STOPPED in shown
    said = shown.partition("\n\n")[0].split()
    assert said == SLOW.split()[: len(said)]
    assert said
    view.judge()


async def test_slacks_stop_button_ends_the_answer() -> None:
    """Slack has ended the stream itself; the model's stream is closed at once, and one edit adds the word."""
    async with agent_view(SLOW) as view:
        root = view.ask()
        await view.written(APPEND, 3)
        view.double.press_stop(view.channel, root, author=view.user)
        await is_stopped(view, root)
        assert view.double.streams.all[0].state is State.STOPPED_BY_USER


async def test_an_append_meets_slacks_stop_before_the_event() -> None:
    """The event is late or missing: the refused append alone ends the answer."""
    async with agent_view(SLOW) as view:
        root = view.ask()
        await view.written(APPEND, 3)
        view.double.streams.stopped_by(view.channel, root)
        await is_stopped(view, root)


async def test_the_word_stop_ends_the_stream() -> None:
    """The word alone in the thread stops the stream and shows that it was stopped."""
    async with agent_view(SLOW) as view:
        root = view.ask()
        await view.written(APPEND, 3)
        view.ask("stop", thread=root)
        await is_stopped(view, root)
        assert view.double.streams.all[0].state is State.STOPPED


async def test_a_reaction_ends_the_stream() -> None:
    """A stop sign on the streamed message stops it."""
    async with agent_view(SLOW) as view:
        root = view.ask()
        await view.written(APPEND, 3)
        view.double.react(view.channel, view.double.streams.all[0].ts, "octagonal_sign", author=view.user)
        await is_stopped(view, root)


async def test_try_again_replaces_a_streamed_answer() -> None:
    """The new answer takes the streamed message over by edits, whole and once."""
    async with agent_view(OTHER) as view:
        view.model.queue(Answer(ANSWER, words_per_second=20.0))
        root = view.ask()
        await view.answered(ANSWER, root)
        ts = view.double.streams.all[0].ts
        await view.double.press(view.channel, ts, "Try again", author=view.user)
        await view.model.wait_for(2)
        await view.answered(OTHER, root)
        assert [each.ts for each in view.double.shown(view.channel, root)][1:] == [ts]
        assert view.buttons(root) == [FINAL_BUTTONS]
        assert len(view.calls(START)) == 1


async def test_try_again_where_slack_repeats_streamed_text() -> None:
    """The new answer is shown alone, also where edits repeat what was streamed."""
    double = SlackDouble()
    double.streams.repeats_text = True
    async with agent_view(OTHER, double=double) as view:
        view.model.queue(Answer(ANSWER, words_per_second=20.0))
        root = view.ask()
        await view.answered(ANSWER, root)
        await view.double.press(view.channel, view.double.streams.all[0].ts, "Try again", author=view.user)
        await view.model.wait_for(2)
        await view.answered(OTHER, root)


@pytest.mark.parametrize("count", [1, 3])
async def test_try_again_on_an_answer_of_several_streams(count: int) -> None:
    """A longer answer is replaced by a shorter one, and a shorter one by a longer one; nothing surplus stays."""
    long = "\n\n".join(words(60, f"p{part}w") for part in range(40))
    first, second = (long, OTHER) if count > 1 else (OTHER, long)
    async with agent_view(second, rate=100.0) as view:
        view.model.queue(Answer(first, words_per_second=100.0))
        root = view.ask()
        await view.answered(first, root)
        last = view.double.streams.all[-1].ts
        await view.double.press(view.channel, last, "Try again", author=view.user)
        await view.model.wait_for(2)
        await view.answered(second, root)


@pytest.mark.parametrize("at", [3, 0])
async def test_an_edited_question_is_answered_anew(at: int) -> None:
    """In the middle of a stream, and after it, the new answer stands in the streamed message."""
    async with agent_view(OTHER) as view:
        view.model.queue(Answer(SLOW if at else ANSWER, words_per_second=20.0))
        root = view.ask()
        if at:
            await view.written(APPEND, at)
        else:
            await view.answered(ANSWER, root)
        view.double.revise(view.channel, root, "tell me something else")
        await view.model.wait_for(2)
        await view.answered(OTHER, root)
        assert len(view.shown(root)) == 1
        assert view.buttons(root) == [FINAL_BUTTONS]


@pytest.mark.parametrize("what", ["question", "answer"])
async def test_a_deletion_ends_the_answer(what: str) -> None:
    """A deleted question or streamed message closes the model's stream; nothing is written anew, nothing stays open."""
    async with agent_view(SLOW) as view:
        root = view.ask()
        await view.written(APPEND, 3)
        view.double.remove(view.channel, root if what == "question" else view.double.streams.all[0].ts)
        async with asyncio.timeout(10.0):
            await view.model.requests[0].left_early.wait()
        await view.rest()
        assert len(view.shown(root)) == (what == "question")
        assert len(view.calls(START)) == 1
        view.judge()


async def test_a_drain_finishes_or_marks_open_streams() -> None:
    """After SIGTERM a nearly whole answer is finished, another is marked as interrupted, and no stream stays open."""
    async with agent_view(SLOW) as view:
        view.model.queue(Answer(OTHER, words_per_second=10.0), Answer(SLOW, words_per_second=10.0))
        bob = view.double.world.user("Bob")
        root = view.ask()
        await view.written(APPEND, 5)
        other = view.ask(user=bob)
        await view.written(START, 2)
        await view.written(APPEND, 12)
        for platform in view.bot.platforms:
            await platform.stop_accepting()
        await view.bot.turns.drain(8.0)
        assert view.shown(root) == [OTHER]
        assert view.double.streams.spinners == []
        (marked,) = view.shown(other, bob)
        assert "Interrupted" in marked
        assert view.double.limited == []


@pytest.mark.parametrize("method", [START, APPEND, EDIT])
async def test_a_killed_stream_is_completed_by_the_next_process(method: str, tmp_path: Path) -> None:
    """After a kill -9 the same message is completed, once, and its stream is closed."""
    double = SlackDouble()
    journal = f"sqlite:///{tmp_path / 'journal.db'}"
    first = words(30) if method == EDIT else SLOW
    async with agent_view(first, double=double, JOURNAL_URL=journal) as view:
        root = view.ask()
        await view.written(START if method == START else APPEND, 1)
        user, ts = view.user, double.streams.all[0].ts
        if method == EDIT:  # nearly at its end
            await view.until(lambda: "word29" in view.shown(root)[0])
    async with agent_view(ANSWER, double=double, JOURNAL_URL=journal) as view:
        view.user = user
        await view.until(lambda: " ".join(view.shown(root)).split() == ANSWER.split())
        await view.answered(ANSWER, root)
        assert [each.ts for each in double.shown(view.channel, root)][1:] == [ts]
        assert view.buttons(root) == [FINAL_BUTTONS]


async def test_a_killed_stream_is_not_shown_above_its_correction(tmp_path: Path) -> None:
    """Where edits repeat streamed text, the next process notices it too, whatever the first had streamed."""
    double = SlackDouble()
    double.streams.repeats_text = True
    journal = f"sqlite:///{tmp_path / 'journal.db'}"
    async with agent_view(SLOW, double=double, JOURNAL_URL=journal) as view:
        root = view.ask()
        await view.written(START)
        user = view.user
    async with agent_view(OTHER, double=double, JOURNAL_URL=journal) as view:
        view.user = user
        await view.until(lambda: "".join(view.shown(root)).endswith(OTHER))
        await view.answered(OTHER, root)
