"""Slack refuses writes for their size or shape, or takes no edits: the text arrives all the same."""

from __future__ import annotations

import asyncio

import pytest

from bot.conversation import Finish, FinishReason, Text
from tests.integration.slack.test_answers import bot
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_world import Wrote
from tests.support.fakes import ScriptedModel, Step

pytestmark = pytest.mark.sockets

SENTENCE = "This is sentence {number} of an answer that somebody waits for. "


def streamed(count: int) -> list[Step]:
    steps: list[Step] = [Text(SENTENCE.format(number=number)) for number in range(count)]
    return [each for step in steps for each in (step, 0.01)] + [Finish(FinishReason.STOP)]


def answer(count: int) -> list[str]:
    return "".join(SENTENCE.format(number=number) for number in range(count)).split()


async def whole(double: SlackDouble, count: int) -> list[str]:
    """Ask, and wait until the whole answer is shown; returns its messages."""
    double.post_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(streamed(count))):
        root = double.say(channel, "<@UBOT> tell", author=ann)
        async with asyncio.timeout(30):
            await double.until(lambda: " ".join(double.answers(channel, root)).split() == answer(count))
        return double.answers(channel, root)


def in_order(writes: list[Wrote]) -> bool:
    """Whether each message was in its final form when the next one was posted."""
    last = {wrote.ts: index for index, wrote in enumerate(writes)}
    posts = [index for index, wrote in enumerate(writes) if wrote.method == "chat.postMessage"]
    return all(max(last[wrote.ts] for wrote in writes[:post]) < post for post in posts[1:])


async def test_a_lower_limit_than_published() -> None:
    """Where markdown blocks may have 3,000 characters, the answer goes on in smaller messages of blocks."""
    double = SlackDouble()
    double.markdown_limit = 3_000
    messages = await whole(double, 150)
    assert len(messages) >= 3
    assert all(each.get("blocks") for each in double.world.messages["C0002"].values() if each["user"] == "UBOT")
    assert in_order(double.writes)


async def test_text_alone_goes_up_in_short_messages() -> None:
    """Where blocks are refused and text may have 900 characters, the answer goes on as text in short messages."""
    double = SlackDouble()
    double.blocks, double.text_limit = False, 900
    messages = await whole(double, 80)
    assert all(len(message) <= 900 for message in messages)
    assert in_order(double.writes)


@pytest.mark.parametrize("too_many", ["msg_blocks_too_long", "invalid_blocks"])
async def test_fewer_blocks_than_published(too_many: str) -> None:
    """Where a message may have 6 blocks, headings go on in smaller messages, and stay blocks."""
    double = SlackDouble()
    double.blocks_limit, double.too_many, double.post_seconds = 6, too_many, 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    text = "\n\n".join(f"## Topic {number}\n\n{SENTENCE.format(number=number) * 5}".strip() for number in range(20))
    script: list[Step] = [Text(text[at : at + 50]) for at in range(0, len(text), 50)]
    async with double.running(), bot(double, ScriptedModel([*script, Finish(FinishReason.STOP)])):
        root = double.say(channel, "<@UBOT> tell", author=ann)
        async with asyncio.timeout(30):
            await double.until(lambda: " ".join(double.answers(channel, root)).split() == text.split())
    assert in_order(double.writes)


@pytest.mark.parametrize("how", ["edit_window_closed", "cant_update_message", "unknown_method", "404", "window"])
async def test_where_nothing_is_edited_the_answer_goes_on_in_new_messages(how: str) -> None:
    """Posted text stays, and the rest follows from its next character."""
    double = SlackDouble()
    if how in ("unknown_method", "404"):
        double.without, double.without_as_404 = {"chat.update"}, how == "404"
    elif how == "window":
        double.edit_window = 0.1
    else:
        double.edit_error = how
    messages = await whole(double, 60)
    assert 2 <= len(messages) <= 4
    assert in_order(double.writes)


async def test_refused_metadata_is_left_out() -> None:
    """A post with refused metadata is repeated without its key."""
    double = SlackDouble()
    body = '{"ok": false, "error": "invalid_metadata_schema"}'
    double.faults.add("POST", "chat.postMessage", Kind.STATUS, status=200, body=body)
    assert len(await whole(double, 5)) == 1


async def test_a_refusal_by_slack_does_not_blame_the_model(caplog: pytest.LogCaptureFixture) -> None:
    """Where no form of the text is taken, the log names the platform, and no reader is told of the model."""
    double = SlackDouble()
    double.post_seconds = 0.0
    double.refuses = "sentence 150 "
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(streamed(200))):
        root = double.say(channel, "<@UBOT> tell", author=ann)
        async with asyncio.timeout(30):
            await double.until(lambda: "platform refused" in "".join(double.answers(channel, root)[-1:]))
        assert "the model" not in double.answers(channel, root)[-1]
    assert "refused by the platform" in caplog.text
