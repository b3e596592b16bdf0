"""Streams of the model adapter without sockets: scripted bytes, read on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from adapters.openai import chat_completions, responses
from adapters.openai.read_coalescing import CoalescedReader, CoalescingOptions, ReadCoalescer
from adapters.openai.stream_decoder import StreamDecoder
from bot.conversation import Delta, Prompt
from bot.ports import NextWriteAt, at_once
from tests.servers.openai_scripts import Answer, chat_events, responses_events

Step = bytes | float | Exception  # bytes, a pause in seconds, or the error of a broken connection


class Socket:
    """A scripted byte source. After its steps it ends, or with `stays_open` waits for ever."""

    def __init__(self, steps: Sequence[Step], *, stays_open: bool = False) -> None:
        self._steps = list(steps)
        self._open = stays_open

    async def read(self) -> bytes:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif step:
                return step
        if self._open:
            await asyncio.Event().wait()
        return b""

    def pause(self) -> bool:
        return False

    def resume(self) -> None:
        pass


@dataclass
class ScriptedModel:
    """A model over scripted sockets: one per call, the last one repeatedly."""

    sockets: Sequence[Sequence[Step]]
    stays_open: bool = False
    api: str = "chat"
    calls: int = 0

    def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        steps = self.sockets[min(self.calls, len(self.sockets) - 1)]
        self.calls += 1
        return self._read(steps)

    async def _read(self, steps: Sequence[Step]) -> AsyncGenerator[Delta, None]:
        module = responses if self.api == "responses" else chat_completions
        decoder = responses.ResponsesDecoder() if self.api == "responses" else chat_completions.ChatDecoder()
        stream = StreamDecoder(decoder, module.decode_response)
        with CoalescedReader(Socket(steps, stays_open=self.stays_open), ReadCoalescer(CoalescingOptions())) as reader:
            while not stream.done:
                for delta in await stream.read(reader):
                    yield delta


def steps_of(answer: Answer, api: str) -> list[Step]:
    """The bytes and pauses of a server for an answer."""
    events = (responses_events if api == "responses" else chat_events)(
        answer, {"stream_options": {"include_usage": True}}
    )
    planned = list(events)
    steps: list[Step] = []
    for number, each in enumerate(planned):
        encoded = answer.manner.encode(each, first=number == 0, last=number == len(planned) - 1)
        steps += [each.wait, encoded] if each.wait else [encoded]
    return steps
