"""Rendering costs most of a write, so a reply is rendered once for each, whatever arrives in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.journal import MemoryJournal
from bot.conversation import Finish, FinishReason, Text
from bot.delivery.draft import Draft
from bot.delivery.policy import AnswerLimits
from bot.markdown import Piece, PlainMarkdown, utf16_units
from bot.ports import ChannelCapabilities, Verb
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, ScriptedModel, Step, answer_of, turn, words


class CountedMarkdown(PlainMarkdown):
    """Counts its renderings."""

    def __init__(self) -> None:
        self.rendered = 0

    @override
    def render(self, piece: Piece) -> str:
        self.rendered += 1
        return super().render(piece)


@dataclass
class CountedChannel(FakeChannel):
    """A channel that renders with a counter."""

    renderer: CountedMarkdown = field(default_factory=CountedMarkdown)

    @property
    @override
    def caps(self) -> ChannelCapabilities:
        return dataclasses.replace(super().caps, renderer=self.renderer)


async def written(script: list[Step]) -> CountedChannel:
    channel = CountedChannel()
    async with running(make_turns(ScriptedModel(script), MemoryJournal())) as turns:
        turns.accept(turn("Q"), channel)
        await turns.idle()
    assert channel.text.split() == answer_of(script).split()
    return channel


async def test_an_answer_is_rendered_once_for_each_write() -> None:
    """A thousand chunks between the writes of one message cost no rendering of their own."""
    channel = await written(words(250))
    assert len(channel.shown) == 1
    assert channel.renderer.rendered <= len(channel.writes()) + 2


async def test_a_message_that_becomes_full_is_looked_at_closely() -> None:
    """Near a message's end the next write may be a post: the answer is rendered more often, and never waits for it."""
    channel = await written(words(1_000))
    assert len(channel.shown) > 2
    assert channel.renderer.rendered <= 2 * len(channel.writes())


async def test_text_that_shows_nothing_is_no_reason_to_write() -> None:
    """After a guess that proves wrong, nothing is spent; no text is taken away, and none is written twice."""
    parts: list[Step] = [*words(60, finish=None), Text(" [a "), 3.0, Text("link"), 3.0, Text("](https://e.example)")]
    channel = await written([*parts, 3.0, Text(" and more."), Finish(FinishReason.STOP)])
    texts = [wrote.text for wrote in channel.writes(Verb.EDIT)]
    assert len(texts) == len(set(texts))


TEXTS = st.lists(st.text(alphabet="ab *_`|#-[]()>\n", min_size=1, max_size=12), max_size=60)
LOOKS = st.lists(st.tuples(st.none() | st.integers(0, 200), st.booleans()), max_size=60)


@given(TEXTS, LOOKS, st.sampled_from([60, 200]), st.integers(1, 4))
def test_remembered_messages_are_those_of_a_fresh_draft(
    texts: list[str], looks: list[tuple[int | None, bool]], limit: int, count: int
) -> None:
    """However often and in whatever way a draft was asked before, it shows what a new draft of the text shows."""
    draft, so_far = small_draft(limit), ""
    for text, (trims, streams) in zip(texts, looks, strict=False):
        draft.feed(text)
        so_far += text
        fresh = small_draft(limit)
        fresh.feed(so_far)
        for _ in range(2):
            assert asked(draft, count, trims=trims, streams=streams) == asked(
                fresh, count, trims=trims, streams=streams
            )
        assert draft.is_complete == fresh.is_complete


def small_draft(limit: int) -> Draft:
    caps = ChannelCapabilities(limit, utf16_units, DiscordMarkdown())
    return Draft(caps, AnswerLimits(messages=3), lambda: 10)


def asked(draft: Draft, count: int, *, trims: int | None, streams: bool) -> list[object]:
    is_stream: Callable[[int], bool] = lambda _: streams  # noqa: E731 (one line for both answers)
    while (desired := draft.desired(count, whole_words_from=trims, is_stream=is_stream)) is None:
        pass
    return list(desired)
