"""Traces: the times of a model's output, regular or seeded, for playing and for bounds.

All chunks arrive on ticks of 25 ms. So the played trace and the bounded trace are the same, and the bound can be
computed on whole numbers (see `benchmarks.latency.bound`).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bot.conversation import Finish, FinishReason, Text
from bot.markdown import Piece, PlainMarkdown, Splitter
from tests.support.fakes import Step

# One word at the 40 words a second of all scenarios. Seconds.
TICK = 0.025


@dataclass(frozen=True)
class Trace:
    """The chunks of one answer, each with the tick of its arrival; ticks do not fall."""

    chunks: tuple[tuple[int, str], ...]

    @cached_property
    def text(self) -> str:
        """The whole answer."""
        return "".join(text for _, text in self.chunks)

    @cached_property
    def arrivals(self) -> tuple[tuple[int, int], ...]:
        """(tick, characters), of visible characters: readers do not wait for blanks."""
        return tuple((tick, seen) for tick, text in self.chunks if (seen := visible(text)))

    def script(self) -> list[Step]:
        """What a `ScriptedModel` plays; the end is known one tick after the last word, as with a real stream."""
        script: list[Step] = []
        now = 0
        for tick, text in self.chunks:
            if tick > now:
                script.append((tick - now) * TICK)
            script.append(Text(text))
            now = tick
        return [*script, TICK, Finish(FinishReason.STOP)]

    def cuts(self, limit: int) -> tuple[int, ...]:
        """The tick of the last chunk of each message but the last, with `limit` characters in a message.

        It is the core's own splitter that cuts, since the bound is for writers that go on in a new message when one is
        full and not before.
        """
        splitter = Splitter(_rendered, limit)
        splitter.feed(self.text)
        ends = itertools.accumulate(visible(piece.source) for piece in splitter.pieces())
        so_far = list(itertools.accumulate(seen for _, seen in self.arrivals))
        ticks = [next(at for (at, _), sum_ in zip(self.arrivals, so_far, strict=True) if sum_ >= end) for end in ends]
        return tuple(ticks[:-1])


def visible(text: str) -> int:
    """How many characters a reader sees."""
    return len("".join(text.split()))


def regular(words: int) -> Trace:
    """So many numbered words, one a chunk and one a tick: 40 a second."""
    return Trace(tuple((number, f"word{number} ") for number in range(words)))


def bursty(words: int, seed: int) -> Trace:
    """Chunks of one to twelve words, about 40 a second in the mean, as from a server with blocks."""
    seeded = random.Random(seed)  # noqa: S311 (seeded, so that results are the same everywhere)

    def gap(words: int) -> int:
        return max(round(words * seeded.expovariate(1.0)), 1)

    return _irregular(words, lambda: seeded.randint(1, 12), gap)


def pausing(words: int, seed: int) -> Trace:
    """A word a tick, but after one word in fifty a pause of one to four seconds: a thinking model."""
    seeded = random.Random(seed)  # noqa: S311 (seeded, so that results are the same everywhere)

    def gap(words: int) -> int:
        return words if seeded.random() > 1 / 50 else seeded.randint(40, 160)

    return _irregular(words, lambda: 1, gap)


def _irregular(words: int, size: Callable[[], int], gap: Callable[[int], int]) -> Trace:
    chunks: list[tuple[int, str]] = []
    number = tick = 0
    while number < words:
        count = min(size(), words - number)
        chunks.append((tick, "".join(f"word{each} " for each in range(number, number + count))))
        number += count
        tick += gap(count)
    return Trace(tuple(chunks))


def _rendered(piece: Piece) -> int:
    return len(PlainMarkdown().render(piece))
