"""In-memory ports for the core on virtual time: a channel and a model that remember, and fail when told to.

The channel passes the same contract suite as the real ones; its limits are enforced as a server would, so that a core
that provokes a 429 is found out here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bot.conversation import (
    Author,
    Delta,
    Ending,
    Finish,
    FinishReason,
    History,
    Message,
    Part,
    Prompt,
    Role,
    Text,
    Turn,
    TurnKey,
)
from bot.errors import (
    ConnectFailed,
    Failure,
    InvalidRequest,
    NotFound,
    RateLimited,
    StreamEnded,
    StreamOpen,
    StreamRefused,
)
from bot.journal import Answered
from bot.markdown import PlainMarkdown
from bot.ports import (
    Body,
    ChannelCapabilities,
    Controls,
    NextWriteAt,
    StreamCapabilities,
    UnfinishedTurn,
    Verb,
    at_once,
)
from bot.rate_limits import Budget, FixedWindow, RollingWindow, WindowReport
from tests.support.trips import Trips, fixed

# Limits of Slack's native streams in a minute, and the life of one beyond ours, in seconds.
STREAM_LIMITS: Mapping[Verb, int] = MappingProxyType({Verb.START: 20, Verb.APPEND: 100, Verb.STOP: 20})
LATE_SECONDS = 20.0

DANA = Author("U1", "Dana")


def turn(
    message: str = "1", *, conversation: str = "c", text: str = "why?", direct: bool = False, asker: Author = DANA
) -> Turn:
    """A question."""
    question = Message(Role.USER, (Text(text),), name=asker.name, id=message)
    return Turn(TurnKey("memory", "W", "C", message), conversation, asker, question, ("C",), direct=direct)


@dataclass(frozen=True, slots=True)
class Wrote:
    """One write that came in."""

    at: float
    verb: Verb
    message: str
    text: str
    failure: str = ""


class Server:
    """A platform with fixed or rolling windows. Counts a write when it arrives: half the latency after it was sent.

    `trips` replaces `latency`. A fixed window is reported in each response, as in Discord's headers.
    """

    def __init__(
        self,
        *,
        limit: int = 5,
        period: float = 5.0,
        rolling: bool = False,
        latency: float = 0.0,
        trips: Trips | None = None,
        counts_posts: bool = True,  # by this limit; Slack's posts have another
        streams: Mapping[Verb, int] = MappingProxyType({}),  # limits of native streams, in the same period
    ) -> None:
        self.limit, self.period, self.rolling = limit, period, rolling
        self.trips = trips or fixed(latency)
        self.counts_posts, self.streams = counts_posts, streams
        self._counted: dict[Verb, deque[float]] = {verb: deque() for verb in Verb}
        self.limited = 0  # 429s that were provoked

    def counted(self, verb: Verb) -> tuple[float, ...]:
        """When those came that it counted last: in the window that is open, if one is."""
        return tuple(self._counted[verb])

    def report(self, verb: Verb, now: float) -> WindowReport | None:
        """The headers of a response written now; None where the platform sends none."""
        counted = self._counted[verb]
        if self.rolling or not counted:
            return None
        return WindowReport(self.limit, max(self.limit - len(counted), 0), counted[0] + self.period - now)

    def count(self, verb: Verb, now: float) -> None:
        """Count a write, or raise `RateLimited` as the platform would."""
        if verb is Verb.POST and not self.counts_posts:
            return
        counted = self._counted[verb]
        if self.rolling:
            while counted and counted[0] + self.period <= now:
                counted.popleft()
        elif counted and counted[0] + self.period <= now:
            counted.clear()
        if len(counted) >= self.streams.get(verb, self.limit):
            self.limited += 1
            raise RateLimited("429", retry_after=counted[0] + self.period - now)
        counted.append(now)


def stream_budgets() -> dict[Verb, Budget]:
    """The budgets of one workspace's native streams."""
    return {verb: RollingWindow(limit, 60.0, paced=verb is not Verb.START) for verb, limit in STREAM_LIMITS.items()}


Fault = Callable[[Verb], Failure | None]


@dataclass
class FakeChannel:
    """A channel that keeps what it was told. `fault` is asked at each write whether it fails."""

    server: Server = field(default_factory=Server)
    limit: int = 2000
    connection: str = "memory:W"
    fault: Fault = lambda verb: None
    applied_first: bool = False  # whether a fault comes after its write was applied (the answer was lost)
    past: History = field(default_factory=History)
    files: tuple[Part, ...] = ()
    uploads: int = 0  # bytes of a file that goes up with a message
    controls: Controls = Controls.NONE
    edits: Budget | None = None
    posts: Budget | None = None
    deletes: Budget | None = None
    stream: StreamCapabilities | None = None
    streams: Mapping[Verb, Budget] = field(default_factory=dict)  # budgets of native streams
    most_streamed: int = 0  # the platform's own limit of one stream, if it is lower
    drops_leading_space: bool = False  # of an appended part, as Slack may
    opened: dict[str, float] = field(default_factory=dict)  # streams that are open, and since when
    shown: dict[str, Body] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    log: list[Wrote] = field(default_factory=list)
    hints: int = 0
    withdrawn: int = 0
    ended_turns: int = 0

    def __post_init__(self) -> None:
        window = self.server
        if self.edits is None:
            rolling = RollingWindow(window.limit, window.period)
            fixed = FixedWindow(window.limit, window.period, paced=True)
            self.edits = rolling if window.rolling else fixed
        self.posts = self.posts or self._unspaced()
        self.deletes = self.deletes or self._unspaced()

    def _unspaced(self) -> Budget:
        window = self.server
        kind = RollingWindow if window.rolling else FixedWindow
        return kind(window.limit, window.period, paced=False)

    @property
    def caps(self) -> ChannelCapabilities:
        return ChannelCapabilities(
            self.limit, len, PlainMarkdown(), controls=self.controls, files=self.uploads, stream=self.stream
        )

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        budget = {Verb.POST: self.posts, Verb.DELETE: self.deletes, **self.streams}.get(verb, self.edits)
        assert budget is not None
        return (budget,)

    async def attachments(self) -> tuple[Part, ...]:
        return self.files

    async def history(self, limit: int) -> History:
        more = self.past.truncated or len(self.past.messages) > limit
        return History(self.past.messages[-limit:], more, self.past.unread)

    async def post(self, body: Body, key: str) -> str:
        assert len(key) <= 25

        def apply() -> str:
            if key not in self.keys:
                self.keys[key] = f"m{len(self.keys) + 1}"
                self.shown[self.keys[key]] = body
            return self.keys[key]

        return await self._write(Verb.POST, "", body, apply)

    async def edit(self, message: str, body: Body) -> None:
        def apply() -> str:
            if message not in self.shown:
                raise NotFound("unknown message")
            if self._is_open(message):
                raise StreamOpen("still streaming")
            if self.shown[message].files and not body.files:  # as Slack, which cannot take them away
                del self.shown[message]
                raise NotFound("a message with files")
            self.shown[message] = replace(body, files=self.shown[message].files)
            return message

        await self._write(Verb.EDIT, message, body, apply)

    async def delete(self, message: str) -> None:
        def apply() -> str:
            if self._is_open(message):
                raise StreamOpen("still streaming")
            self.shown.pop(message, None)
            return message

        await self._write(Verb.DELETE, message, None, apply)

    async def start(self, body: Body, key: str) -> str:
        def apply() -> str:
            if self.stream is None:
                raise StreamRefused("no streams")
            message = self.keys[key] = f"m{len(self.shown) + 1}-{len(self.log)}"
            self.shown[message], self.opened[message] = Body(body.stable), asyncio.get_running_loop().time()
            return message

        await self._write(Verb.START, "", Body(body.stable), apply)
        return self.keys[key]

    async def append(self, message: str, text: str) -> None:
        await self._write(Verb.APPEND, message, None, lambda: self._append(message, text))

    async def stop(self, message: str, text: str, body: Body) -> None:
        def apply() -> str:
            self._append(message, text)
            self.shown[message] = replace(self.shown[message], controls=body.controls)
            del self.opened[message]
            return message

        await self._write(Verb.STOP, message, None, apply)

    def _append(self, message: str, text: str) -> str:
        if message not in self.shown:
            raise NotFound("unknown message")
        if not self._is_open(message):
            raise StreamEnded("not streaming")
        shown = self.shown[message].stable + (text.lstrip() if self.drops_leading_space else text)
        if self.stream is not None and self.stream.measure(shown) > (self.most_streamed or self.stream.limit):
            raise StreamEnded("too long")
        self.shown[message] = Body(shown)
        return message

    def _is_open(self, message: str) -> bool:
        """Whether a message streams still; the platform ends a stream some time after its `seconds`."""
        opened, seconds = self.opened.get(message), self.stream.seconds if self.stream else 0.0
        if opened is not None and asyncio.get_running_loop().time() - opened > seconds + LATE_SECONDS:
            del self.opened[message]
        return message in self.opened

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        return self.keys.get(key)

    async def turn_ended(self) -> None:
        self.ended_turns += 1

    async def withdraw(self) -> None:
        self.withdrawn += 1

    async def show_working(self) -> None:
        while True:
            self.hints += 1
            await asyncio.sleep(5)

    async def _write(self, verb: Verb, message: str, body: Body | None, apply: Callable[[], str]) -> str:
        loop = asyncio.get_running_loop()
        text, sent, report = body.text if body else "", loop.time(), None
        there, back = self.server.trips(sent)
        await asyncio.sleep(there)
        try:
            failure = self.fault(verb)
            if failure and not self.applied_first:
                raise failure
            try:
                self.server.count(verb, loop.time())
            finally:
                report = self.server.report(verb, loop.time())
            if body is not None and (not text or len(text) > self.limit):
                raise InvalidRequest(f"{len(text)} characters")
            if body is not None and any(len(file.data) > self.uploads for file in body.files):
                raise InvalidRequest("a file that is too large")
            message = apply()
            text = self.shown[message].text if verb in {Verb.APPEND, Verb.STOP} else text
            self.log.append(Wrote(loop.time(), verb, message, text))
            if failure:
                raise failure
        except Failure as error:
            self.log.append(Wrote(loop.time(), verb, message, text, repr(error)))
            raise
        finally:
            await asyncio.sleep(back)
            budget = self.budgets(verb)[0]
            if report is not None and isinstance(budget, FixedWindow):
                budget.observe(loop.time(), report, sent=sent)
        return message

    @property
    def text(self) -> str:
        """What a reader sees, message by message."""
        return "\n".join(body.text for body in self.shown.values())

    def writes(self, verb: Verb | None = None) -> list[Wrote]:
        """The writes that were applied."""
        return [wrote for wrote in self.log if not wrote.failure and verb in {None, wrote.verb}]


class FakeJournal:
    """A journal in memory that another "process" can open again: `FakeJournal(of=earlier)`."""

    def __init__(self, *, durable: bool = False, of: FakeJournal | None = None) -> None:
        self.durable = self.persistent = durable
        self.shared = self.away = False  # a shared one that is away accepts nothing
        self.entries: dict[TurnKey, str] = of.entries if of else {}
        self.answers: dict[TurnKey, list[str]] = of.answers if of else {}
        self.ends: dict[TurnKey, Ending] = of.ends if of else {}
        self._orphaned = set(self.entries) if of else set()  # by processes that no longer run
        self.age = 0.0

    @property
    def messages(self) -> list[str]:
        return [message for messages in self.answers.values() for message in messages]

    @property
    def endings(self) -> list[Ending]:
        return list(self.ends.values())

    def orphan(self, key: TurnKey) -> None:
        """The process with this turn no longer has it."""
        self._orphaned.add(key)

    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        if self.away:
            raise ConnectFailed("no connection to the journal")
        if key in self.entries:
            return False
        self.entries[key], self.answers[key] = event, list(messages)
        return True

    async def update_event(self, key: TurnKey, event: str) -> None:
        if key in self.entries and key not in self.ends:
            self.entries[key] = event

    async def drop(self, key: TurnKey) -> None:
        self.entries.pop(key, None)
        self.answers.pop(key, None)
        self.ends.pop(key, None)

    async def posted(self, key: TurnKey, message: str) -> None:
        if message not in self.answers.get(key, (message,)):
            self.answers[key].append(message)

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        if key in self.entries:
            self.ends[key] = ending

    async def newest_answer(self, question: TurnKey) -> Answered | None:
        keys = [key for key in self.entries if key.question == question]
        newest = max(keys, key=lambda key: key.generation, default=None)
        if newest is None:
            return None
        ended = self.ends.get(newest, Ending.INTERRUPTED) is not Ending.INTERRUPTED
        return Answered(newest, tuple(self.answers[newest]), ended)

    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        found = [
            key
            for key in self.entries
            if key in self._orphaned
            and key.platform == platform
            and self.ends.get(key, Ending.INTERRUPTED) is Ending.INTERRUPTED
        ]
        self._orphaned.difference_update(found)
        return [UnfinishedTurn(key, self.entries[key], tuple(self.answers[key]), self.age) for key in found]


Step = Delta | Failure | float  # a delta to send, a failure to raise, or seconds to wait


class ScriptedModel:
    """A model whose every call plays the next script; the last script is played again and again."""

    def __init__(self, *scripts: Iterable[Step], whole: Iterable[Step] | None = None) -> None:
        self._scripts = [list(script) for script in scripts]
        self._whole = None if whole is None else list(whole)
        self.calls: list[tuple[bool, Prompt]] = []
        self.open = 0  # streams that have not been closed
        self.given = 0  # deltas so far

    async def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        streamed = sum(stream for stream, _ in self.calls)
        self.calls.append((stream, prompt))
        script = self._scripts[min(streamed, len(self._scripts) - 1)]
        if not stream and self._whole is not None:
            script = self._whole
        self.open += 1
        try:
            for step in script:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Failure):
                    raise step
                else:
                    self.given += 1
                    yield step
        finally:
            self.open -= 1


def words(count: int, *, rate: float = 40.0, finish: FinishReason | None = FinishReason.STOP) -> list[Step]:
    """An answer of numbered words, one a chunk, at `rate` words a second."""
    script: list[Step] = []
    for number in range(count):
        script += [Text(f"word{number} "), 1 / rate]
    return [*script, Finish(finish)] if finish else script


def said(text: str) -> list[Step]:
    """An answer of this text, all at once."""
    return [Text(text), Finish(FinishReason.STOP)]


def answer_of(script: Iterable[Step]) -> str:
    """The text of a script."""
    return "".join(step.text for step in script if isinstance(step, Text))
