"""Edited questions reach the core once, and questions are read again as they are now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from adapters.slack import SlackPlatform
from bot.conversation import TurnKey
from bot.errors import Failure, NotFound
from bot.interactions.values import QuestionEdited
from bot.ports import Body, UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

KEY = "k" * 20


@dataclass(slots=True)
class Scene:
    """Ann, a channel, and the platform."""

    double: SlackDouble
    platform: SlackPlatform
    inbox: RecordingInbox
    interactions: RecordingInteractions
    ann: str
    place: str

    @property
    def edits(self) -> list[QuestionEdited]:
        return [event for event in self.interactions.events if isinstance(event, QuestionEdited)]

    async def ask(self, text: str = "<@UBOT> hello", thread: str = "", **fields: object) -> str:
        ts = self.double.say(self.place, text, author=self.ann, thread=thread, **fields)  # type: ignore[arg-type]
        await self.inbox.until(lambda: any(turn.key.message == ts for turn, _ in self.inbox.turns))
        return ts

    async def edit(self, ts: str, text: str, **more: bool) -> None:
        """Edit a message, and wait for all events to be handled."""
        self.double.revise(self.place, ts, text, **more)
        await self.settled()

    async def settled(self) -> None:
        """Wait for all events so far: a later question is handled after them."""
        await self.double.settled()
        await self.ask("<@UBOT> sentinel")

    def key(self, ts: str, generation: int = 1) -> TurnKey:
        return TurnKey("slack", "T1", self.place, ts, generation)


@asynccontextmanager
async def scene(kind: str = "channel", inbox: RecordingInbox | None = None) -> AsyncIterator[Scene]:
    double, interactions = SlackDouble(), RecordingInteractions()
    double.post_seconds = 0.0
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    async with double.running(), connected(double, inbox, interactions) as (platform, recording):
        yield Scene(double, platform, recording, interactions, ann, place)


# ------------------------------------------------------------------------------------------------------------ reported


@pytest.mark.parametrize("kind", ["channel", "im", "mpim"])
async def test_new_words_are_reported_once(kind: str) -> None:
    """An edit of a question reaches the core with its question, conversation, author and age."""
    async with scene(kind) as on:
        ts = await on.ask()
        await on.edit(ts, "<@UBOT> hello there")
        (edit,) = on.edits
        turn = on.inbox.turns[0][0]
        assert (edit.question, edit.conversation) == (turn.key, turn.conversation)
        assert edit.by == turn.author
        assert 0.9 < edit.age < 2.0


async def test_changes_without_new_words_are_ignored() -> None:
    """A preview, a pin, the same words again, an empty text and edits of the bot's own messages report nothing."""
    async with scene() as on:
        ts = await on.ask()
        answer = await on.inbox.turns[0][1].post(Body("one"), KEY + "0")
        await on.inbox.turns[0][1].edit(answer, Body("two"))
        on.double.change(on.place, ts, attachments=[{"title": "A page", "from_url": "https://example.org"}])
        on.double.change(on.place, ts, pinned_to=[on.place])
        await on.edit(ts, "<@UBOT> hello")
        await on.edit(ts, "")
        assert on.edits == []


async def test_a_removed_file_is_an_edit() -> None:
    """Files belong to a question: another list of them is another question."""
    async with scene() as on:
        ts = await on.ask(files=[{"id": "F1", "name": "a.txt", "mimetype": "text/plain"}])
        on.double.change(on.place, ts, files=[])
        await on.settled()
        assert [edit.question.message for edit in on.edits] == [ts]


async def test_an_edit_without_its_earlier_version_is_compared_with_the_cache() -> None:
    """Slack may leave out the version before; then our own record tells whether words changed."""
    async with scene() as on:
        ts = await on.ask()
        message = on.double.world.messages[on.place][ts]
        change = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": on.place}
        change |= {"channel_type": "channel", "ts": on.double.world.now()}
        on.double.event({**change, "message": message | {"edited": {"ts": on.double.world.now()}}})
        await on.settled()
        assert on.edits == []
        on.double.event({**change, "message": message | {"text": "<@UBOT> bye", "edited": {"ts": ts}}})
        await on.settled()
        assert len(on.edits) == 1


@pytest.mark.parametrize("mentions", [False, True])
async def test_an_edit_that_adds_the_mention_is_one_question(*, mentions: bool) -> None:
    """Whether or not Slack also tells the mention as an event of its own, the core hears of the question once."""
    async with scene() as on:
        ts = on.double.say(on.place, "hello", author=on.ann)
        await on.edit(ts, "<@UBOT> hello", mentions=mentions)
        assert [edit.question.message for edit in on.edits] == [ts]
        assert on.inbox.questions == ["sentinel"]


async def test_a_mention_event_before_the_edit_is_one_question() -> None:
    """If the mention arrives first, it is answered as any other, and the edit adds nothing."""
    async with scene() as on:
        ts = on.double.say(on.place, "hello", author=on.ann)
        new = {"text": "<@UBOT> hello", "edited": {"ts": on.double.world.now()}}
        event = {**on.double.world.messages[on.place][ts], **new}
        on.double.event({**event, "type": "app_mention", "channel": on.place})
        await on.inbox.turn(1)
        await on.edit(ts, "<@UBOT> hello")
        assert on.inbox.questions == ["hello", "sentinel"]
        assert on.edits == []
        await on.edit(ts, "<@UBOT> bye")
        await on.edit(ts, "<@UBOT> hello")
        assert len(on.edits) == 2


async def test_an_edit_that_removes_the_mention_asks_nothing() -> None:
    """Words to nobody are no question."""
    async with scene() as on:
        ts = await on.ask()
        await on.edit(ts, "hello all")
        assert on.edits == []


async def test_follow_ups_are_edited_by_the_rules_of_new_ones() -> None:
    """In a thread with the bot an edit needs no mention; in another thread it is nobody's business."""
    async with scene() as on:
        root = await on.ask()
        mine = await on.ask("and then?", thread=root)
        other = on.double.say(on.place, "lunch?", author=on.ann)
        theirs = on.double.say(on.place, "yes", author=on.ann, thread=other)
        on.double.revise(on.place, theirs, "no")
        on.double.revise(on.place, mine, "and now?")
        await on.interactions.until(lambda: bool(on.edits))
        await on.settled()
        assert [edit.question.message for edit in on.edits] == [mine]


async def test_edits_by_bots_are_ignored() -> None:
    """A program that edits its message asks nothing."""
    async with scene("im") as on:
        robot = on.double.world.user("Robot", bot=True)
        ts = on.double.say(on.place, "tick", author=robot)
        await on.edit(ts, "tock")
        assert on.edits == []


async def test_a_failed_lookup_loses_one_edit_alone() -> None:
    """A failed lookup of the author loses the edit alone: later events are handled."""
    async with scene() as on:
        ts = on.double.say(on.place, "hello", author=on.ann)
        body = b'{"ok": false, "error": "missing_scope"}'
        on.double.faults.add("GET", "users.info", Kind.STATUS, status=200, body=body)
        on.double.revise(on.place, ts, "<@UBOT> hello")
        await on.double.transcript.wait_for("GET", "users.info")
        await on.settled()
        assert on.edits == []


# ---------------------------------------------------------------------------------------------------------- read again


@pytest.mark.parametrize("kind", ["channel", "im"])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_question_is_read_again_as_it_is_now(kind: str, *, in_thread: bool) -> None:
    """The turn of a new generation has today's words, the same conversation, author and access ids."""
    async with scene(kind) as on:
        root = await on.ask() if in_thread else ""
        ts = await on.ask("<@UBOT> one", root)
        first, channel = on.inbox.turns[-1]
        posted = await channel.post(Body("the old answer"), KEY + "0")
        on.double.world.messages[on.place][ts]["text"] = "<@UBOT> one two"
        opened = await on.platform.open_question(on.key(ts), (posted,))
        assert opened.turn == replace(first, key=on.key(ts), question=opened.turn.question)
        assert opened.turn.question.text == "one two"
        await opened.channel.edit(posted, Body("the new answer"))
        assert on.double.answers(on.place)[-1] == "the new answer"


async def test_the_model_does_not_see_the_answer_to_be_replaced() -> None:
    """The history of a new generation has earlier turns, and no message of the present answer."""
    async with scene("im") as on:
        await on.ask("before")
        await on.inbox.turns[0][1].post(Body("answer before"), "b" * 20 + "0")
        ts = await on.ask("now")
        ids = [await on.inbox.turns[1][1].post(Body(f"part {n}"), on.key(ts, 0).digest[:20] + str(n)) for n in range(2)]
        opened = await on.platform.open_question(on.key(ts), ids)
        history = await opened.channel.history(10)
        assert [message.text for message in history.messages] == ["before", "answer before"]


@pytest.mark.parametrize("kind", ["channel", "im"])
@pytest.mark.parametrize("has_replies", [False, True])
async def test_a_deleted_question_is_not_found(kind: str, *, has_replies: bool) -> None:
    """A deleted question is gone, also if Slack leaves a tombstone for its thread."""
    async with scene(kind) as on:
        ts = await on.ask()
        if has_replies:
            on.double.say(on.place, "a reply", author=on.ann, thread=ts, quiet=True)
        on.double.remove(on.place, ts)
        with pytest.raises(NotFound):
            await on.platform.open_question(on.key(ts), ())


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.GARBLED])
async def test_a_failed_read_is_repeated_once(kind: Kind) -> None:
    """One failed read costs a second; more raise a failure, which is not "gone"."""
    async with scene("im") as on:
        ts = await on.ask()
        on.double.faults.add("GET", "conversations.history", kind)
        assert (await on.platform.open_question(on.key(ts), ())).turn.question.text == "hello"
        on.double.faults.add("GET", "conversations.history", kind, times=2)
        with pytest.raises(Failure) as failure:
            await on.platform.open_question(on.key(ts), ())
        assert not isinstance(failure.value, NotFound)


async def test_an_interrupted_generation_goes_on_after_a_restart() -> None:
    """The journalled event of a new generation restores its turn, with its generation and its messages."""
    async with scene() as on:
        ts = await on.ask()
        posted = await on.inbox.turns[0][1].post(Body("old"), KEY + "0")
        opened = await on.platform.open_question(on.key(ts), (posted,))
        on.double.world.messages[on.place][ts]["text"] = "no mention any more"
        again = await on.platform.open_question(on.key(ts, 2), (posted,))
        double = on.double
    for stored in (opened, again):
        inbox = RecordingInbox()
        inbox.unfinished = [UnfinishedTurn(stored.turn.key, stored.event, (posted,), age=5.0)]
        async with double.running(), connected(double, inbox):
            turn, channel = await inbox.turn(1)
            assert turn == stored.turn
            await channel.edit(posted, Body("new"))
            assert double.answers(on.place) == ["new"]
