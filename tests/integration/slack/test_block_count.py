"""Slack counts blocks after it has expanded markdown: the estimate, and whole answers of many blocks."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.slack.messages.block_count import CHARACTERS_PER_BLOCK
from adapters.slack.messages.blocks import MARKDOWN_LIMIT
from adapters.slack.messages.renderer import SlackMarkdown
from bot.conversation import Finish, FinishReason, Text
from bot.markdown import Piece, Splitter, utf16_units
from tests.integration.slack.test_answers import bot
from tests.servers.slack import BLOCKS_LIMIT, SlackDouble
from tests.servers.slack_blocks import expanded
from tests.support.fakes import ScriptedModel, Step

DIALECT = SlackMarkdown(expands=True)

PARAGRAPH = "A paragraph that says in a few plain words, and then in a few more of them, what its topic is about. " * 2
TOPICS = "\n\n".join(f"## Topic {number}\n\n{PARAGRAPH.strip()}" for number in range(30))
SECTIONS = {
    "headings": TOPICS,
    "underlined headings": "\n\n".join(f"Topic {number}\n---\n\nOne line." for number in range(40)),
    "rules": "\n\n---\n\n".join(f"Line {number}." for number in range(60)),
    "tables": "\n\n".join(f"Table {number}\n\n| a | b |\n|---|---|\n| 1 | 2 |" for number in range(40)),
    "tables without outer bars": "\n\n".join(f"a | b\n---|---\n{number} | 2" for number in range(70)),
    "code": "\n\n".join(f"Step {number}:\n\n```sh\nls {number}\n```" for number in range(40)),
    "code of tildes": "\n".join(f"Step {number}:\n~~~\nls {number}\n~~~" for number in range(40)),
    "lists": "\n\n".join(f"**Part {number}**\n\n- one\n- two" for number in range(40)),
    "lists of two kinds": "\n\n".join(f"- one\n- two\n\n1. one\n2. {number}" for number in range(40)),
    "quotes": "\n\n".join(f"> Quote {number}\n\nText" for number in range(40)),
    "headings alone": "\n".join(f"# Topic {number}" for number in range(120)),
}

PARTS = [
    "# Topic\n", "## ", "Topic\n---\n", "---\n", "***\n", "===\n", "| a | b |\n|---|---|\n| c | d |\n",
    "a | b\n--- | ---\n", "```\ncode\n```\n", "~~~\n", "- one\n", "1. one\n", "   - deep\n", "> quote\n",
    "text ", "text\n", "\n", "\n\n", "  ",
]  # fmt: skip
SOURCE = st.lists(st.sampled_from(PARTS), max_size=150).map("".join)


def room(piece: Piece) -> int:
    return utf16_units(piece.closed()) + DIALECT.padding(piece)


def written(text: str) -> int:
    return expanded([{"type": "markdown", "text": text}])


@given(source=SOURCE)
@example(source="Title\n- - -\n")
@example(source="> ```\n> code\nafter\n# Topic\n")
def test_the_room_kept_for_blocks_only_grows(source: str) -> None:
    """The bound grows with the text, so the longest fitting piece does not depend on the chunks."""
    sizes = [room(Piece(source[:end])) for end in range(len(source) + 1)]
    assert sizes == sorted(sizes)


@given(source=SOURCE)
def test_no_message_has_more_blocks_than_slack_takes(source: str) -> None:
    """Each message of any mix is within Slack's count, with room for our own lines."""
    splitter = Splitter(room, MARKDOWN_LIMIT)
    splitter.feed(source)
    assert all(written(DIALECT.render(piece)) <= BLOCKS_LIMIT - 2 for piece in splitter.pieces())


@pytest.mark.parametrize("kind", SECTIONS)
def test_each_kind_of_block_is_counted(kind: str) -> None:
    """Of each kind of block, a message has no more than Slack takes, and is not cut much sooner than it must be."""
    splitter = Splitter(room, MARKDOWN_LIMIT)
    splitter.feed(SECTIONS[kind])
    counts = [written(DIALECT.render(piece)) for piece in splitter.pieces()]
    assert all(count <= BLOCKS_LIMIT - 2 for count in counts)
    assert len(counts) <= 3 * (1 + sum(counts) // BLOCKS_LIMIT)


def test_prose_is_not_cut_for_its_blocks() -> None:
    """Paragraphs are one run of text, however many there are, and long lists are one list."""
    for text in ("A short paragraph.\n\n" * 400, "- an item\n" * 700, "| a | b |\n|---|---|\n" + "| c | d |\n" * 700):
        assert room(Piece(text)) == utf16_units(Piece(text).closed())
    assert CHARACTERS_PER_BLOCK * 44 <= MARKDOWN_LIMIT


def streamed(text: str, size: int = 40) -> list[Step]:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    return [*(step for chunk in chunks for step in (Text(chunk), 0.004)), Finish(FinishReason.STOP)]


@pytest.mark.sockets
@pytest.mark.parametrize("too_many", ["msg_blocks_too_long", "invalid_blocks"])
@pytest.mark.parametrize("kind", ["headings", "tables without outer bars", "headings alone"])
async def test_an_answer_of_many_blocks_arrives_whole(kind: str, too_many: str) -> None:
    """Blocks beyond the limit continue in the next message, without a refusal."""
    double = SlackDouble()
    double.too_many, double.post_seconds = too_many, 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    answer = SECTIONS[kind]
    async with double.running(), bot(double, ScriptedModel(streamed(answer))):
        root = double.say(channel, "<@UBOT> tell", author=ann)
        whole = partial(_shows, double, channel, root, answer)
        async with asyncio.timeout(20):
            await double.until(whole)
        assert len(double.answers(channel, root)) >= 2
    assert double.refused == []


def _shows(double: SlackDouble, channel: str, root: str, answer: str) -> bool:
    return "\n".join(double.answers(channel, root)).split() == answer.split()
