"""The bot in Discord, as the core's port: events in, turns out, and a connection that is kept.

What belongs here: who is told of an event, the look-ups that a question needs before it is a turn, and logging in and
staying connected. What does not: the rules of what is asked (`asked`), and writing (`channel`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from adapters.attachments import Attachments
from adapters.discord.asked import Kind, Place, Verdict, is_person, turn_of, verdict
from adapters.discord.channel import DiscordChannel
from adapters.discord.client import DiscordClient
from adapters.discord.errors import connecting
from adapters.discord.history import replied_to, takes_part
from adapters.discord.options import DiscordOptions
from adapters.discord.presence import Presence
from adapters.discord.seen import Seen
from bot.errors import Failure, Forbidden, Gone
from bot.ports import Inbox

log = logging.getLogger(__name__)

# Between tries to connect: doubled from the first to the longest, each between a half and the whole of it, so that a
# thousand bots do not come back at once. Seconds.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0

# Conversations in which a message waits to be looked up or downloaded, and messages waiting in one of them: beyond
# that they are dropped, and the log says so. A look-up takes seconds at the most.
WAITING_CONVERSATIONS = 200
WAITING_MESSAGES = 20

# How long `quiet` waits for questions that are being looked up: Discord tells of none twice, and a look-up that takes
# longer would eat into the time in which live answers are finished. Seconds.
QUIET_SECONDS = 3.0


class Intake:
    """Messages that need a look-up before they are turns: side by side, but in order within a conversation."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._waiting: dict[str, deque[Coroutine[Any, Any, None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, group: asyncio.TaskGroup) -> None:
        """Work in `group` from now on."""
        self._group = group

    def close(self) -> None:
        """Give up what waits, so that the group can end."""
        self._group = None
        for task in self._tasks:
            task.cancel()
        for queue in self._waiting.values():
            for work in queue:
                work.close()
        self._waiting.clear()

    def busy(self, conversation: str) -> bool:
        """Whether a message of this conversation is being looked up."""
        return conversation in self._waiting

    def put(self, conversation: str, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` after what waits in the same conversation."""
        if self._group is None:
            work.close()
            log.info("dropping a message of conversation %s: not listening any more", conversation)
            return
        queue = self._waiting.get(conversation)
        full = len(self._waiting) >= WAITING_CONVERSATIONS if queue is None else len(queue) >= WAITING_MESSAGES
        if full:
            work.close()
            log.warning("dropping a message: too many wait in conversation %s", conversation)
            return
        if queue is not None:
            queue.append(work)
            return
        self._waiting[conversation] = deque([work])
        task = self._group.create_task(self._work(conversation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, seconds: float) -> int:
        """Wait until all is done, but not longer than that; how many conversations are left."""
        if not self._tasks:
            return 0
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        return len(late)

    async def _work(self, conversation: str) -> None:
        queue = self._waiting[conversation]
        while queue:
            try:
                await queue.popleft()
            except Failure as failure:  # the client was closed meanwhile
                log.warning("dropping a message of conversation %s: %r", conversation, failure)
            except Exception:
                # The boundary of one message: whatever is odd about it, the next ones are heard.
                log.exception("dropping a message of conversation %s", conversation)
        self._waiting.pop(conversation, None)


class DiscordPlatform:
    """See `bot.ports.Platform`. `attachments` belongs to whoever made it, and is not closed here."""

    name = "discord"

    def __init__(self, options: DiscordOptions, attachments: Attachments) -> None:
        self._options = options
        self._presence = Presence(options, attachments)
        self._intake = Intake()
        self._inbox: Inbox | None = None
        self._quiet = False
        self._ready = asyncio.Event()
        self._was_ready = False  # whether the token was ever good in this run
        self._delays = Delays()
        self._closed = False

    # ----------------------------------------------------------------------------------------------------------- port

    @property
    def ready(self) -> bool:
        """See `bot.ports.Platform`. True from READY on."""
        return self._ready.is_set()

    async def connected(self) -> None:
        """Wait until events arrive."""
        await self._ready.wait()

    async def run(self, inbox: Inbox) -> None:
        """See `bot.ports.Platform`."""
        self._inbox = inbox
        refusal: Forbidden | None = None
        async with asyncio.TaskGroup() as group:
            self._intake.open(group)
            try:
                await self._stay_connected()
            except Forbidden as failure:  # raised outside of the group, which would wrap it
                refusal = failure
            finally:
                self._ready.clear()
                self._intake.close()
        if refusal is not None:
            raise refusal

    async def quiet(self) -> None:
        """See `bot.ports.Platform`. What was asked before and is being looked up is still brought."""
        self._quiet = True
        late = await self._intake.settle(QUIET_SECONDS)
        if late:
            log.warning("stopping while messages of %d conversations are being looked up: they get no answer", late)
        self._inbox = None

    async def close(self) -> None:
        """See `bot.ports.Platform`."""
        self._closed = True
        self._inbox = None
        self._ready.clear()
        if self._presence.current is not None:
            await self._presence.current.close()

    # ------------------------------------------------------------------------------------------------------ connection

    async def _stay_connected(self) -> None:
        while not self._over():
            client = self._presence.current
            try:
                with connecting():
                    if client is None or client.is_closed():
                        await self._log_in()
                    await self._listen()
            except Forbidden as failure:
                if not self._was_ready:
                    raise
                # Revoked in mid-run: whoever resets the token may set this one again, and other platforms go on.
                self._ready.clear()
                pause = self._options.refused_seconds
                log.error("%s Trying again in %.0f s.", failure, pause)  # noqa: TRY400 (one line says it)
                if client is not None:
                    await client.close()
                await asyncio.sleep(pause)
            except Failure as failure:
                if self._over():
                    return
                self._ready.clear()
                delay = max(self._delays.next(), getattr(failure, "retry_after", None) or 0.0)
                hint = " (does DISCORD_API_URL end in /api/v10?)" if isinstance(failure, Gone) else ""
                log.warning("not connected to Discord, trying again in %.1f s: %r%s", delay, failure, hint)
                await asyncio.sleep(delay)

    def _over(self) -> bool:
        return self._closed

    async def _log_in(self) -> None:
        """Log in with a new client: a failed login leaves the library's half made."""
        client = self._presence.current = DiscordClient(self._options, self._presence.budgets, self)
        try:
            async with asyncio.timeout(self._options.login_seconds):
                await client.login(self._options.token)
        except BaseException:
            await client.close()
            raise

    async def _listen(self) -> None:
        """Listen until it cannot go on.

        discord.py reconnects and resumes by itself, but raises at
        - a close that says that we may not (4004, 4014 ...),
        - a first connection that fails: it then asks a socket for its sequence that was never there (AttributeError),
        - a frame that it cannot read (what zlib or JSON say of it, and whatever else).
        """
        client = self._presence.client
        try:
            await client.connect()
        except Exception:
            if getattr(client.ws, "open", False):  # None before the first connection, whatever its type says
                await client.ws.close(4000)
            raise

    # ---------------------------------------------------------------------------------------------------------- events

    def on_session(self, *, fresh: bool) -> None:
        """See `adapters.discord.client.Listener`."""
        self._ready.set()
        self._was_ready = True
        self._delays.start_over()
        if fresh:
            self._presence.memory.gap()
        log.info("connected to Discord as %s", self._presence.name)

    def on_silence(self) -> None:
        """See `adapters.discord.client.Listener`."""
        self._ready.clear()

    def on_message(self, data: Mapping[str, Any]) -> None:
        """See `adapters.discord.client.Listener`."""
        presence, memory = self._presence, self._presence.memory
        seen = presence.see(data)
        me = presence.me(seen.guild)
        place = presence.place(seen.channel, seen.guild)
        referenced = data.get("referenced_message")
        if isinstance(referenced, Mapping) and memory.get(seen.channel, seen.reply_to) is None:
            memory.read([presence.see(referenced, guild=seen.guild)])
        if seen.author == me.id and memory.get(seen.channel, seen.id) is not None:
            return  # an echo of what we wrote, which we may have edited since
        memory.told(seen)
        if place.kind is Kind.THREAD and (seen.author == me.id or me.mentioned(seen)):
            memory.joined(place.id, seen.id)
        if self._inbox is not None and not self._quiet:
            self._weigh(seen, place)

    def on_revision(self, data: Mapping[str, Any]) -> None:
        """See `adapters.discord.client.Listener`. An edit asks nothing; it changes what was said."""
        held = self._presence.memory.get(str(data["channel_id"]), str(data["id"]))
        if held is None or held.author == self._presence.me("").id or "content" not in data:
            return
        told = {"author": {"id": held.author, "username": held.name}, **data}
        self._presence.memory.revise(held.channel, held.id, self._presence.see(told, guild=held.guild).text)

    def on_removal(self, channel: str, messages: tuple[str, ...]) -> None:
        """See `adapters.discord.client.Listener`."""
        for message in messages:
            self._presence.memory.remove(channel, message)

    # --------------------------------------------------------------------------------------------------------- weighing

    def _weigh(self, seen: Seen, place: Place) -> None:
        """Bring `seen` as a turn if it asks us: at once where nothing must be looked up, else in order."""
        what = self._verdict(seen, place)
        if what is Verdict.IGNORE:
            return
        conversation = self._presence.memory.conversation(seen, place)
        if what is Verdict.ANSWER and not self._intake.busy(conversation):
            self._accept(seen, place)
        else:
            self._intake.put(conversation, self._look(seen, place))

    def _verdict(self, seen: Seen, place: Place) -> Verdict:
        memory, me = self._presence.memory, self._presence.me(seen.guild)
        if not is_person(seen, me):
            return Verdict.IGNORE
        target = memory.get(seen.channel, seen.reply_to)
        return verdict(
            seen,
            me,
            place,
            takes_part=memory.takes_part(place.id, seen.id),
            replied_to_us=target.author == me.id if target is not None else None,
        )

    async def _look(self, seen: Seen, place: Place) -> None:
        """Find out what is not known of `seen`, and bring it."""
        if self._verdict(seen, place) is Verdict.LOOK:
            if place.kind is Kind.THREAD:
                ours = await takes_part(self._presence, seen, place)
                if ours is not None:
                    self._presence.memory.looked(place.id, ours=ours)
            else:
                await replied_to(self._presence, seen)
        if self._verdict(seen, place) is not Verdict.ANSWER:
            return
        self._accept(seen, place)

    def _accept(self, seen: Seen, place: Place) -> None:
        inbox, memory = self._inbox, self._presence.memory
        if inbox is None:
            return
        conversation = memory.conversation(seen, place)
        memory.belongs(seen.id, conversation)
        channel = DiscordChannel(self._presence, seen, place, conversation=conversation)
        inbox.accept(turn_of(seen, place, conversation=conversation), channel)


class Delays:
    """How long to wait before the next try to connect."""

    def __init__(self, roll: Callable[[float, float], float] = random.uniform) -> None:
        self._roll = roll
        self._next = FIRST_DELAY

    def next(self) -> float:
        """Seconds until the next try; longer each time."""
        longest, self._next = self._next, min(self._next * 2, LONGEST_DELAY)
        return self._roll(longest / 2, longest)

    def start_over(self) -> None:
        """After a connection that worked."""
        self._next = FIRST_DELAY
