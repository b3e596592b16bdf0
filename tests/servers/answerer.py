"""A scripted inbox in the core's place, for tests of a platform and its page: one write per step, no pacing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from adapters.http_server import HttpServer
from adapters.playground import PlaygroundOptions, PlaygroundPlatform
from adapters.prometheus import PrometheusRecorder
from bot.conversation import Author, Turn, TurnKey
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import Body, Channel, Controls, Verb
from tests.support.inbox import RecordingInbox


class Answerer(RecordingInbox):
    """Answers each turn with the texts of `script`, one write each, `gap` seconds apart.

    All but the last have a stop control. A stopped answer gets one more write with a notice.
    """

    def __init__(self, group: asyncio.TaskGroup, script: Sequence[str] = ("Hello.",), *, gap: float = 0.02) -> None:
        super().__init__()
        self.script = list(script)
        self.gap = gap
        self.stops: list[tuple[str, str]] = []
        self.asked_to_stop = asyncio.Event()
        self.go_on = asyncio.Event()  # cleared: answers pause after their first write
        self.go_on.set()
        self.seen: Callable[[str], Awaitable[object]] | None = None  # returns once a reader sees a write's text
        self.think = 0.0  # seconds of working before the first write
        self.may_post = asyncio.Event()  # cleared: answers work on before their first write
        self.may_post.set()
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: set[str] = set()
        self._live: dict[str, str] = {}

    def accept(self, turn: Turn, channel: Channel) -> None:
        super().accept(turn, channel)
        task = self._group.create_task(self._answer(turn, channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def give_up(self) -> None:
        """Cancel open answers."""
        for task in self._tasks:
            task.cancel()

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        message = at.message
        self.stops.append((message, by.id if isinstance(by, Author) else by))
        self.asked_to_stop.set()
        question = self._live.get(message)
        if question is None:
            return False
        self._stopped.add(question)
        self.go_on.set()
        return True

    async def _answer(self, turn: Turn, channel: Channel) -> None:
        question = turn.key.message
        self._live[question] = question
        await self._work(channel)
        message = await channel.post(self._body(0), turn.key.digest)
        self._live[message] = question
        for index in range(1, len(self.script)):
            await self.go_on.wait()
            await asyncio.sleep(self.gap)
            if self.seen is not None:
                await self.seen(self.script[index - 1])
            if question in self._stopped:
                text = f"{self.script[index - 1]}\n\n{channel.caps.renderer.notice('Stopped.')}"
                await self._edit(channel, message, Body(text))
                break
            await self._edit(channel, message, self._body(index))
        del self._live[message], self._live[question]

    async def _work(self, channel: Channel) -> None:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(channel.show_working())
            await asyncio.sleep(self.think)
            await self.may_post.wait()
            working.cancel()

    def _body(self, index: int) -> Body:
        last = index == len(self.script) - 1
        return Body(self.script[index], controls=Controls.NONE if last else Controls.STOP)

    async def _edit(self, channel: Channel, message: str, body: Body) -> None:
        (budget,) = channel.budgets(Verb.EDIT)
        loop = asyncio.get_running_loop()
        while (wait := budget.ready_at(loop.time(), final=True) - loop.time()) > 0:
            await asyncio.sleep(wait)
        budget.spend(loop.time())
        await channel.edit(message, body)
        budget.record_response(loop.time())


@asynccontextmanager
async def serving(
    script: Sequence[str] = ("Hello.",),
    *,
    gap: float = 0.02,
    port: int = 0,
    options: PlaygroundOptions | None = None,
    interactions: Interactions = NO_INTERACTIONS,
) -> AsyncIterator[tuple[str, Answerer, PlaygroundPlatform]]:
    """A playground on a loopback port with an `Answerer`: its URL, the answerer and the platform."""
    platform = PlaygroundPlatform(options or PlaygroundOptions(model_label="a scripted model"))
    site = HttpServer(
        host="127.0.0.1",
        port=port,
        ready=lambda: {"playground": platform.ready},
        render_metrics=PrometheusRecorder().render_metrics,
        routes=platform.routes(),
    )
    async with asyncio.TaskGroup() as group:
        answerer = Answerer(group, script, gap=gap)
        running = group.create_task(platform.run(answerer, interactions))
        url = await site.start()
        await asyncio.sleep(0)
        try:
            yield url, answerer, platform
        finally:
            await platform.close()
            await site.close()
            running.cancel()
            answerer.give_up()
