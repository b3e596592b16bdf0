"""Fault injection: a whole reply, from the question to the journal's ending, with faults at chosen calls of the ports.

A `World` (the platform's messages, the journal) survives its processes. A `Process` runs on virtual time, and can be
killed at any call of a port. `judge` checks the messages at the end. `tests/stress/test_fault_injection.py` chooses
faults and calls.

Every call of a port goes through `Process.through`. A fault acts before the call, or after it and before its response,
or delays it. A killed process makes no further call.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from adapters.openai import OpenAIOptions, chat_completions
from bot.conversation import (
    Delta,
    Ending,
    Finish,
    FinishReason,
    History,
    Image,
    Message,
    Part,
    Prompt,
    Reasoning,
    Role,
    Text,
    Turn,
    TurnKey,
)
from bot.delivery.policy import ReasoningPolicy, WritePolicy
from bot.errors import Failure, ModelRejected, RejectionReason
from bot.journal import Answered
from bot.ports import Body, Controls, NextWriteAt, UnfinishedTurn, Verb, at_once
from bot.rate_limits import FixedWindow, WindowReport
from bot.strings import Strings
from bot.turns.manager import TurnManager
from tests.servers.openai_scripts import Answer, Manner, chat_whole
from tests.servers.requests import out_of_order, seen
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns
from tests.support.fakes import FakeChannel, FakeJournal, Server, turn
from tests.support.streams import ScriptedModel, steps_of

# Part of every injected failure's message; no reader may see it.
SECRET = "boom-5c1f"

WORDS = Strings()

# Frequent reasoning previews, as targets for faults.
WRITING = WritePolicy(reasoning_preview=ReasoningPolicy(shown=True, gap_seconds=1.0))

# Virtual seconds from the end of a process to the next start. The platform's window closes in between, because a real
# start takes seconds.
RESTART_SECONDS = 6.0

# The text of a refusal; it counts as an answer.
REFUSED = "I cannot say."

# The longest scene in virtual seconds (a turn gives up after 900 s, and turns may wait for each other).
WHOLE_SECONDS = 6000.0

# More starts than injected deaths.
STARTS = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """A question and its answer without faults.

    `chunks` are the chunks of a whole answer in the first process, the second and so on (the last value for all later
    ones), with `words` words each. `retries` are the chunks of the second attempt, the third and so on, if different.
    `limit` is the longest message, in characters.
    """

    name: str
    chunks: tuple[int, ...] = (8,)
    retries: tuple[int, ...] = ()
    words: int = 8
    limit: int = 2000
    questions: int = 1
    durable: bool = True
    shared: bool = False  # one channel and its budgets for all questions
    delivered_again: bool = False  # in the middle of the answer, and after it
    gap_seconds: float = 0.3  # between chunks
    thoughts: int = 0  # chunks of reasoning before the answer
    uploads: int = 0  # the largest file, in bytes
    max_messages: int = 10
    picky: bool = False  # the model's server requires alternating roles, little text and no images
    finish: str = "stop"  # the server's finish reason
    manner: Manner | None = None  # the server's dialect; the adapter then decodes its stream

    def chunks_of(self, process: int, attempt: int) -> int:
        if attempt and self.retries:
            return self.retries[min(attempt, len(self.retries)) - 1]
        return self.chunks[min(process, len(self.chunks) - 1)]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a port. `attempt` and `chunk` number a model's stream, from 0."""

    process: int
    name: str
    attempt: int = 0
    chunk: int = 0


Action = Callable[[], Awaitable[Any]]
Play = Callable[["Process", Action], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the calls named in `on`. With `whole`, the answer is whole nevertheless."""

    name: str
    on: frozenset[str]
    play: Play = field(repr=False)
    whole: bool = True
    closed: bool = False  # the channel is gone: the shown messages are not checked
    forgets: bool = False  # the journal misses a write
    kills: bool = False  # ends the process


@dataclass
class Injected:
    """A fault at the `at`-th matching call, and at the `times - 1` after it."""

    fault: Fault
    at: int
    times: int = 1
    process: int = 0
    fired: int = 0
    _seen: int = 0

    def takes(self, call: Call) -> bool:
        if call.process != self.process or call.name not in self.fault.on:
            return False
        hit = self._is_hit(call)
        self._seen += 1
        self.fired += hit
        return hit

    def _is_hit(self, call: Call) -> bool:
        return self.at <= self._seen < self.at + self.times

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.at} x{self.times} of process {self.process}"


class InAttempts(Injected):
    """A model's fault at chunk `at` of the first `times` attempts."""

    def _is_hit(self, call: Call) -> bool:
        return call.chunk == self.at and call.attempt < self.times


# --------------------------------------------------------------------------------------------------------------- faults


def before(make: Callable[[], Exception]) -> Play:
    """Fail before the call."""

    async def play(process: Process, action: Action) -> Any:
        raise make()

    return play


def after(make: Callable[[], Exception]) -> Play:
    """Fail after the call: the response is lost."""

    async def play(process: Process, action: Action) -> Any:
        await action()
        raise make()

    return play


def slow(seconds: float) -> Play:
    """Delay the call; a caller with a shorter time-out prevents it."""

    async def play(process: Process, action: Action) -> Any:
        await asyncio.sleep(seconds)
        return await action()

    return play


def slow_answer(seconds: float) -> Play:
    """Delay the response."""

    async def play(process: Process, action: Action) -> Any:
        result = await action()
        await asyncio.sleep(seconds)
        return result

    return play


def instead(result: Any) -> Play:
    """Return another result, without the call."""

    async def play(process: Process, action: Action) -> Any:
        return result

    return play


async def killed_before(process: Process, action: Action) -> Any:
    process.die()


async def killed_after(process: Process, action: Action) -> Any:
    await action()
    process.die()


async def terminated_before(process: Process, action: Action) -> Any:
    process.stop_signal.set()
    return await action()


async def terminated_after(process: Process, action: Action) -> Any:
    result = await action()
    process.stop_signal.set()
    return result


# --------------------------------------------------------------------------------------------------- ports with faults


class FaultyModel:
    """Answers with words numbered by process, attempt and position."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        process, world = self._process, self._process.world
        if world.scene.picky:
            refuse(prompt, world)
        attempt = process.attempts
        process.attempts += 1
        world.asked += 1
        world.open += 1
        try:
            deltas = answer(process, attempt)
            world.whole.add(_text(deltas))
            failure: Failure | None = None
            if world.scene.manner is not None:
                deltas, failure = await as_sent(_text(deltas), world.scene.finish, world.scene.manner)
            elif not stream:
                deltas = [Text(_text(deltas)), deltas[-1]]
            for chunk, delta in enumerate(deltas):
                await asyncio.sleep(world.scene.gap_seconds)
                call = Call(process.number, "delta", attempt % 4, chunk)
                came = await process.through(call, partial(_now, delta))
                if came is None:
                    return  # the stream ends silently
                yield came
            if failure is not None:
                raise failure
        finally:
            world.open -= 1


# The history before a question to a picky server: two people, a failed answer, an image, too many words.
BEFORE = History(
    (
        Message(Role.ASSISTANT, (Text("An answer whose question nobody reads."),)),
        Message(Role.USER, (Text("x" * 400), Image("old.png", "image/png", b"old")), "Kim"),
        Message(Role.USER, (Text(" "),), "Kim"),
        Message(Role.USER, (Text("Is it?"),), "Lee"),
    )
)
ATTACHED = (Image("new.png", "image/png", b"new"),)
PICKY_CHARACTERS = 300


def refuse(prompt: Prompt, world: World) -> None:
    """Reject a prompt as a picky server does, and record a prompt with roles out of order."""
    body = chat_completions.request_body(OpenAIOptions("m"), prompt, stream=True, usage=True)
    texts, images = seen(body)
    world.disorder += filter(None, [out_of_order(body)])
    if images:
        raise ModelRejected(SECRET, reason=RejectionReason.IMAGES)
    if sum(map(len, texts)) > PICKY_CHARACTERS:
        raise ModelRejected(SECRET, reason=RejectionReason.CONTEXT)


async def as_sent(text: str, finish: str, manner: Manner) -> tuple[list[Delta], Failure | None]:
    """The deltas decoded by the adapter from such a server's stream, and its failure if there is one."""
    steps = [step for step in steps_of(Answer(text, finish=finish, manner=manner), "chat") if isinstance(step, bytes)]
    if manner.plain:
        steps = [json.dumps(chat_whole(Answer(text, finish=finish), {})).encode()]
    deltas: list[Delta] = []
    try:
        async for delta in ScriptedModel([steps]).answer(Prompt("", ()), stream=True):
            deltas.append(delta)  # noqa: PERF401 (deltas before a failure count)
    except Failure as failure:
        return deltas, failure
    return deltas, None


async def _now(delta: Delta) -> Delta:
    return delta


def answer(process: Process, attempt: int) -> list[Delta]:
    """A whole answer of numbered words."""
    scene, chunks = process.world.scene, process.world.scene.chunks_of(process.number, attempt)
    name = f"p{process.number}a{attempt}w"
    texts = [
        "".join(f"{name}{number} " for number in range(chunk * scene.words, (chunk + 1) * scene.words))
        for chunk in range(chunks)
    ]
    thoughts = [Reasoning(f"Thought {number} of this one. ") for number in range(scene.thoughts)]
    return [*thoughts, *map(Text, texts), Finish(FinishReason.STOP)]


def _text(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text)).strip()


class FaultyChannel(FakeChannel):
    """A channel with faults at every call."""

    process: Process

    async def attachments(self) -> tuple[Part, ...]:
        result: tuple[Part, ...] = await self.process.through("attached", super().attachments)
        return result

    async def history(self, limit: int) -> History:
        result: History = await self.process.through("history", lambda: FakeChannel.history(self, limit))
        return result

    async def post(self, body: Body, key: str) -> str:
        result: str = await self._writing("post", Verb.POST, lambda: FakeChannel.post(self, body, key))
        return result

    async def edit(self, message: str, body: Body) -> None:
        await self._writing("edit", Verb.EDIT, lambda: FakeChannel.edit(self, message, body))

    async def delete(self, message: str) -> None:
        await self._writing("delete", Verb.DELETE, lambda: FakeChannel.delete(self, message))

    async def _writing(self, name: str, verb: Verb, action: Action) -> Any:
        """A write with the window in its response, as Discord's have; it corrects writes not counted."""
        sent = asyncio.get_running_loop().time()
        try:
            return await self.process.through(name, action)
        finally:
            self._observe(verb, sent)

    def _observe(self, verb: Verb, sent: float) -> None:
        now = asyncio.get_running_loop().time()
        (budget,) = self.budgets(verb)
        counted = self.server.counted(verb)
        if counted and isinstance(budget, FixedWindow):
            seconds_left = counted[0] + self.server.period - now
            report = WindowReport(self.server.limit, self.server.limit - len(counted), seconds_left)
            if seconds_left > 0:
                budget.observe(now, report, sent=sent)

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        found: str | None = await self.process.through("find", lambda: FakeChannel.find(self, key, known))
        return found if found in self.shown else None  # a deleted message is not found

    async def show_working(self) -> None:
        await self.process.through("working", super().show_working)


class FaultyJournal(FakeJournal):
    """A journal with faults at every call."""

    def __init__(self, process: Process, of: FakeJournal) -> None:
        super().__init__(durable=process.world.scene.durable, of=of)
        self._process = process

    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        result: bool = await self._process.through("accept", lambda: FakeJournal.accept(self, key, event, messages))
        return result

    async def newest_answer(self, question: TurnKey) -> Answered | None:
        newest: Answered | None = await self._process.through(
            "newest", lambda: FakeJournal.newest_answer(self, question)
        )
        return newest

    async def update_event(self, key: TurnKey, event: str) -> None:
        await self._process.through("keep", lambda: FakeJournal.update_event(self, key, event))

    async def drop(self, key: TurnKey) -> None:
        await self._process.through("drop", lambda: FakeJournal.drop(self, key))

    async def posted(self, key: TurnKey, message: str) -> None:
        await self._process.through("posted", lambda: FakeJournal.posted(self, key, message))

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        await self._process.through("ended", lambda: FakeJournal.ended(self, key, ending))

    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        result: Sequence[UnfinishedTurn] = await self._process.through(
            "unfinished", lambda: FakeJournal.unfinished(self, platform)
        )
        return result


# ------------------------------------------------------------------------------------------------------------- a world


@dataclass
class World:
    """The state beyond a process: the channels with their messages, and the journal."""

    scene: Scene
    faults: Sequence[Injected] = ()
    drain_seconds: float = 1.0
    journal: FakeJournal = field(default_factory=FakeJournal)
    open: int = 0  # streams of the model
    whole: set[str] = field(default_factory=lambda: {REFUSED})  # all possible whole answers
    starts: int = 0
    disorder: list[str] = field(default_factory=list)  # roles out of order, found by a strict server
    asked: int = 0  # requests to the model

    def __post_init__(self) -> None:
        servers = [Server() for _ in range(self.scene.questions)]
        if self.scene.shared:
            servers = [servers[0]] * self.scene.questions
        self.places = {str(number): FakeChannel(server) for number, server in enumerate(servers)}

    def question(self, number: str) -> Turn:
        return turn(number, conversation=number)

    def process(self, number: int) -> Process:
        """The process that starts as this number."""
        return Process(self, number)

    async def live(self) -> None:
        """Start processes until one ends by itself; then start one more and check that it has nothing to do."""
        for number in range(STARTS):
            self.starts += 1
            process = self.process(number)
            async with asyncio.TaskGroup() as group:
                process.task = group.create_task(process.run())
            await asyncio.sleep(RESTART_SECONDS)
            if not process.dead and not process.stop_signal.is_set():
                break
        else:
            raise AssertionError("no process ended by itself")
        if any(fault.fault.on & {"accept", "ended", "drop"} for fault in self.faults):
            return  # a failed journal may have missed the ending
        before = {number: dict(place.shown) for number, place in self.places.items()}
        last = self.process(STARTS)
        async with asyncio.TaskGroup() as group:
            last.task = group.create_task(last.run())
        assert before == {number: place.shown for number, place in self.places.items()}, "written after the end"
        assert not last.attempts, "the model was asked after the end"


class Process:
    """The bot as one process of the operating system, killable at every call of a port."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.dead = False
        self.stop_signal = asyncio.Event()  # SIGTERM was received
        self.task: asyncio.Task[None] | None = None
        self.attempts = 0  # requests to the model
        self._budgets: dict[str, Any] = {}

    async def through(self, call: Call | str, action: Action) -> Any:
        """Make a call of a port, with its fault if one matches."""
        if self.dead:
            raise asyncio.CancelledError
        if isinstance(call, str):
            call = Call(self.number, call)
        hit = [fault for fault in self.world.faults if fault.takes(call)]
        try:
            return await (hit[0].fault.play(self, action) if hit else action())
        finally:
            if self.dead:
                raise asyncio.CancelledError

    def die(self) -> None:
        """Kill the process: no cleanup reaches the world."""
        self.dead = True
        assert self.task is not None
        self.task.cancel()

    async def run(self) -> None:
        turns = self._turns()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(turns.run())
            await turns.started.wait()
            stop_signal = group.create_task(self.stop_signal.wait())
            await self._bring(turns)
            if self.world.scene.delivered_again:
                await asyncio.sleep(1)
                await self._bring(turns)
                await turns.idle()
                await self._bring(turns)
                assert self.attempts <= self.world.scene.questions, "asked again"
            idle = group.create_task(turns.idle())
            await asyncio.wait([stop_signal, idle], return_when=asyncio.FIRST_COMPLETED)
            if self.stop_signal.is_set():
                await turns.drain(self.world.drain_seconds)
            for task in (running, stop_signal, idle):
                task.cancel()

    async def _bring(self, turns: TurnManager) -> None:
        """Deliver unfinished turns and all questions, also those acknowledged by an earlier process."""
        if self.number % 2:
            await self._take_up(turns)
        for number in self.world.places:
            question = self.world.question(number)
            if self.stop_signal.is_set():
                return
            if await turns.receive(question.key, number):
                turns.accept(question, self._channel(number))
        if not self.number % 2:
            await self._take_up(turns)

    async def _take_up(self, turns: TurnManager) -> None:
        for record in await turns.unfinished_turns("memory"):
            number = record.event or record.key.message
            turns.accept(self.world.question(number), self._channel(number))

    def _channel(self, number: str) -> FaultyChannel:
        place = self.world.places[number]
        channel = FaultyChannel(
            place.server,
            self.world.scene.limit,
            controls=Controls.STOP,
            uploads=self.world.scene.uploads,
            shown=place.shown,
            keys=place.keys,
            log=place.log,
        )
        channel.process = self
        if self.world.scene.picky:
            channel.past, channel.files = BEFORE, ATTACHED
        if self.world.scene.shared:
            shared = self._budgets.setdefault("all", {verb: channel.budgets(verb)[0] for verb in Verb})
            channel.edits, channel.posts, channel.deletes = (shared[v] for v in (Verb.EDIT, Verb.POST, Verb.DELETE))
        return channel

    def _turns(self) -> TurnManager:
        journal = FaultyJournal(self, of=self.world.journal)
        writes = replace(WRITING, max_messages=self.world.scene.max_messages)
        return make_turns(FaultyModel(self), journal, strings=WORDS, writes=writes, seed=self.number)


# ------------------------------------------------------------------------------------------------------------- verdicts

_WORD = re.compile(r"^(p\d+a\d+w)(\d+)$")


def play(scene: Scene, *faults: Injected, drain_seconds: float = 1.0) -> World:
    """Play a scene with faults on its own virtual clock, and judge it. Raises `AssertionError`."""
    world = World(scene, faults, drain_seconds)
    play_in(world)
    judge(world)
    return world


def play_in(world: World) -> None:
    """Run a world to its end on its own virtual clock."""

    async def bounded() -> None:
        async with asyncio.timeout(WHOLE_SECONDS):
            await world.live()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left over: {left}"

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(bounded())


def judge(world: World) -> None:
    """Check a world at its end."""
    fired = [fault.fault for fault in world.faults if fault.fired]
    assert world.open == 0, "a stream of the model is open"
    assert not world.disorder, f"out of order: {world.disorder[0]}"
    for number, place in world.places.items():
        assert place.server.limited == 0, "a 429 was provoked"
        assert SECRET not in place.text, "a failure's text is shown"
        if any(fault.closed for fault in fired):
            continue
        _judge_shown(world, number, place, may_fail=not all(fault.whole for fault in fired))
    for key in () if any(fault.on & {"ended"} for fault in fired) else world.journal.entries:
        ending = world.journal.ends.get(key)
        assert ending is not None, "the journal says that the turn is live"
        assert ending is not Ending.INTERRUPTED or not world.scene.durable, "the journal says interrupted"


def _judge_shown(world: World, number: str, place: FakeChannel, *, may_fail: bool) -> None:
    assert all(body.controls is Controls.NONE for body in place.shown.values()), "a control is left"
    text = " ".join(_read(place).split())
    assert "Thought" not in text, f"a line of thinking is left: {place.text!r}"
    if text in world.whole or _is_cut_at_the_limit(world, place, text):
        has_notices = all(line in place.text for line in (WORDS.no_images, WORDS.history_cut))
        assert has_notices or not world.scene.picky, f"no notice of omissions: {place.text!r}"
        return
    assert may_fail or not world.scene.durable, f"not whole: {place.text!r}"
    found = [match for match in map(_WORD.match, text.split()) if match]
    names = {match[1] for match in found}
    assert len(names) <= 1, f"of several attempts: {place.text!r}"
    assert [int(match[2]) for match in found] == list(range(len(found))), f"not in order: {place.text!r}"
    reference = world.question(number).key.reference
    said = (WORDS.length, WORDS.filtered, WORDS.stopped, WORDS.too_long)
    assert reference in text or any(line in text for line in said), f"no honest line: {place.text!r}"


def _is_cut_at_the_limit(world: World, place: FakeChannel, text: str) -> bool:
    """Whether the maximum of messages shows the beginning of an answer with the notice of the limit."""
    said, line, after = text.partition(f" *{WORDS.limit}*")
    full = bool(line) and not after and len(place.shown) == world.scene.max_messages
    return full and any(whole.startswith(said) for whole in world.whole)


def _read(place: FakeChannel) -> str:
    """The answer as a reader has it, with the files' texts. At most one message has files, with a notice."""
    texts = []
    for body in place.shown.values():
        assert (WORDS.rest in body.text) == bool(body.files), f"not as it says: {body}"
        text = body.text
        for line in (WORDS.rest, WORDS.no_images, WORDS.history_cut):
            text = text.replace(f"*{line}*", "")
        texts += [*(file.text for file in body.files), text]
    assert sum(bool(body.files) for body in place.shown.values()) <= 1, "two messages with files"
    return "\n".join(texts)


def fails(scene: Scene, *faults: Injected, drain_seconds: float = 1.0) -> str:
    """The problem after a scene with these faults; empty if there is none."""
    try:
        play(scene, *faults, drain_seconds=drain_seconds)
    except BaseExceptionGroup as group:
        return f"{scene.name}, {', '.join(map(str, faults))}: {group.exceptions!r}"
    except (AssertionError, Failure, TimeoutError) as error:
        return f"{scene.name}, {', '.join(map(str, faults))}: {error}"
    return ""
