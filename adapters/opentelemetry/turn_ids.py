"""Ids of a turn's trace, made of the turn's key: all processes at work on a turn send into the same trace.

So no trace is stored, or handed over with a lane. Only the extra may load this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, TraceFlags
from typing_extensions import override

from bot.conversation import TurnKey


@dataclass(frozen=True, slots=True)
class TurnTrace:
    """The ids of a turn's trace, and of the span of its first process."""

    trace: int
    first_span: int

    @classmethod
    def of(cls, key: TurnKey) -> TurnTrace:
        """The ids of a turn: uniform, as samplers by a ratio of traces expect, and the same in every process."""
        digest = hashlib.sha256(b"trace\x1f" + key.digest.encode()).digest()
        return cls(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]))

    def links(self) -> Sequence[Link]:
        """From a resumed turn's span to the first one; a killed process has sent none."""
        return [Link(SpanContext(self.trace, self.first_span, is_remote=True, trace_flags=TraceFlags.get_default()))]


class TurnIds(IdGenerator):
    """Random ids, but for the span of a turn begun within `turn`."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._trace: int | None = None
        self._span: int | None = None

    @contextmanager
    def turn(self, trace: TurnTrace, *, resumed: bool) -> Iterator[None]:
        """The next span without a parent is that of the turn: the first one, or one `resumed` after a hand-over."""
        self._trace, self._span = trace.trace, None if resumed else trace.first_span
        try:
            yield
        finally:
            self._trace = self._span = None

    @override
    def generate_trace_id(self) -> int:
        return self._random.generate_trace_id() if self._trace is None else self._trace

    @override
    def generate_span_id(self) -> int:
        return self._random.generate_span_id() if self._span is None else self._span

    @override
    def is_trace_id_random(self) -> bool:
        return True  # as uniform as random ones
