"""The bot in Discord, as the core's port: events in, turns out, and a connection that is kept.

What belongs here: who is told of an event, the look-ups that a question needs before it is a turn, and logging in and
staying connected. What does not: the rules of what is asked (`asked`), and writing (`channel`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any

from discord.http import Route

from adapters.discord.client import DiscordClient
from adapters.discord.errors import map_connect_errors, map_errors
from adapters.discord.events.codec import LOAD_ERRORS, StoredQuestion, dump, load
from adapters.discord.events.mentions import (
    ChannelInfo,
    ChannelKind,
    Decision,
    build_turn,
    decide,
    is_from_person,
    turn_key,
)
from adapters.discord.events.parse import DiscordMessage
from adapters.discord.gateway import ReconnectDelays, listen
from adapters.discord.history.reader import participates, replied_to
from adapters.discord.history.recovery import is_deleted, is_loaded
from adapters.discord.messages.channel import DiscordChannel
from adapters.discord.messages.components import ACKNOWLEDGED, Press, parse_press
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import CHANNEL_SECONDS
from adapters.discord.state import BotState, now
from adapters.shared.attachments import Attachments
from adapters.shared.keyed_queue import KeyedQueue
from bot.conversation import Author, TurnKey
from bot.errors import Failure, Forbidden, NotFound
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)

# Messages being looked up at once; more wait. Each may cost a few reads, which answers that are live need too.
MAX_CONCURRENT_DECISIONS = 50

# How often it is asked what earlier processes left unfinished: the journal gives that only when they run no more, and
# one may drain for minutes while this one is up, or work beside it and break later. So it is asked for ever; where
# there is nothing, that costs one small query. Seconds.
LEFT_EVERY = 2.0

# Where a process that was killed wrote until then, Discord's windows may be used up, and only it knew. So nothing is
# written there before they are over, counted from when this one first connected. Seconds.
AFTER_ANOTHER = CHANNEL_SECONDS

# Questions that come while we stop are kept for the next process, the newest so many of them. About 2 kB each.
LATE_MESSAGES = 1_000

# Presses being acknowledged at once, and how long one may take: Discord tells who pressed that it did not work after
# 3 s (https://docs.discord.com/developers/interactions/receiving-and-responding). The answer is stopped all the same.
PRESSES = 50
PRESS_SECONDS = 3.0

# How long `stop_accepting` waits for questions that are being looked up: a look-up that takes longer would eat into the
# time in which live answers are finished. Seconds.
QUIET_SECONDS = 3.0


class DiscordPlatform:
    """See `bot.ports.Platform`. `attachments` belongs to whoever made it, and is not closed here."""

    name = "discord"

    def __init__(self, options: DiscordOptions, attachments: Attachments) -> None:
        self._options = options
        self._state = BotState(options, attachments)
        self._queue = KeyedQueue()
        self._inbox: Inbox | None = None
        self._quiet = False
        self._ready = asyncio.Event()
        self._was_ready = False  # whether the token was ever good in this run
        self._delays = ReconnectDelays()
        self._closed = False
        self._pending: set[str] = set()  # ids of messages in `_queue` that were not deleted meanwhile
        self._lookups = asyncio.Semaphore(MAX_CONCURRENT_DECISIONS)
        self._late: deque[tuple[TurnKey, str]] = deque(maxlen=LATE_MESSAGES)
        self._group: asyncio.TaskGroup | None = None
        self._presses = 0  # being acknowledged

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
            self._group = group
            self._queue.open(group)
            taking_up = group.create_task(self._take_up(inbox))
            try:
                await self._stay_connected()
            except Forbidden as failure:  # raised outside of the group, which would wrap it
                refusal = failure
            finally:
                self._group = None
                self._ready.clear()
                self._queue.close()
                taking_up.cancel()
        if refusal is not None:
            raise refusal

    async def stop_accepting(self) -> None:
        """See `bot.ports.Platform`. What was asked before and is being looked up is still brought."""
        self._quiet = True
        late = await self._queue.drain(QUIET_SECONDS)
        if late:
            log.warning("stopping while messages of %d conversations are being looked up", late)

    async def close(self) -> None:
        """See `bot.ports.Platform`.

        What was asked since `stop_accepting` is written down now, for the next process; not sooner, since one that runs
        already was told of it too, and will have it answered.
        """
        self._closed = True
        inbox, self._inbox = self._inbox, None
        self._ready.clear()
        if self._state.current is not None:
            await self._state.current.close()
        while inbox is not None and self._late:
            await inbox.receive(*self._late.popleft())

    # ------------------------------------------------------------------------------------------------------ connection

    async def _stay_connected(self) -> None:
        while not self._over():
            client = self._state.current
            try:
                with map_connect_errors():
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
                hint = " (does DISCORD_API_URL end in /api/v10?)" if isinstance(failure, NotFound) else ""
                log.warning("not connected to Discord, trying again in %.1f s: %r%s", delay, failure, hint)
                await asyncio.sleep(delay)

    def _over(self) -> bool:
        return self._closed

    async def _log_in(self) -> None:
        """Log in with a new client: a failed login leaves the library's half made."""
        client = self._state.current = DiscordClient(self._options, self._state.budgets, self)
        try:
            async with asyncio.timeout(self._options.login_seconds):
                await client.login(self._options.token)
        except BaseException:
            await client.close()
            raise

    async def _listen(self) -> None:
        """Listen until it cannot go on.

        `listen` reconnects and resumes by itself, but raises at
        - a close that says that we may not (4004, 4014 ...),
        - a first connection that fails,
        - a frame that cannot be read (what zlib or JSON say of it, and whatever else).
        """
        client = self._state.client
        try:
            await listen(client, self._delays)
        except Exception:
            if getattr(client.ws, "open", False):  # None before the first connection, whatever its type says
                await client.ws.close(4000)
            raise

    # ---------------------------------------------------------------------------------------------------------- events

    def on_connected(self, *, fresh: bool) -> None:
        """See `adapters.discord.client.Listener`."""
        self._ready.set()
        self._was_ready = True
        self._delays.reset()
        if fresh:
            self._state.cache.gap()
        log.info("connected to Discord as %s", self._state.name)

    def on_disconnected(self) -> None:
        """See `adapters.discord.client.Listener`."""
        self._ready.clear()

    def on_message(self, data: Mapping[str, Any]) -> None:
        """See `adapters.discord.client.Listener`."""
        state, cache = self._state, self._state.cache
        seen = state.parse(data)
        identity = state.identity(seen.guild)
        channel_info = state.channel_info(seen.channel, seen.guild)
        referenced = data.get("referenced_message")
        if isinstance(referenced, Mapping) and cache.get(seen.channel, seen.reply_to) is None:
            cache.read([state.parse(referenced, guild=seen.guild)])
        if seen.author == identity.id and cache.get(seen.channel, seen.id) is not None:
            return  # an echo of what we wrote, which we may have edited since
        cache.add(seen)
        if channel_info.kind is ChannelKind.THREAD and (seen.author == identity.id or identity.mentioned(seen)):
            cache.joined(channel_info.id, seen.id)
        if self._inbox is not None:
            self._weigh(seen, channel_info, data)

    def on_message_edited(self, data: Mapping[str, Any]) -> None:
        """See `adapters.discord.client.Listener`. An edit asks nothing; it changes what was said.

        Discord also tells so of previews that it made of links, and of a bot's late answer to a command.
        """
        held = self._state.cache.get(str(data["channel_id"]), str(data["id"]))
        if held is None or held.author == self._state.identity("").id:
            return
        merged = {"author": {"id": held.author, "username": held.name}, **data}
        self._state.cache.update(held.edited(data, self._state.parse(merged, guild=held.guild)))

    def on_message_deleted(self, data: Mapping[str, Any], messages: tuple[str, ...]) -> None:
        """See `adapters.discord.client.Listener`. What we deleted ourselves is no news to the core."""
        cache, channel = self._state.cache, str(data["channel_id"])
        for message in messages:
            guild = self._guild_of(data, channel, message)
            cache.remove(channel, message)
            self._pending.discard(message)
            if self._inbox is not None and not cache.was_deleted_by_us(message):
                self._inbox.message_deleted(TurnKey(self.name, guild, channel, message))

    def on_interaction(self, data: Mapping[str, Any]) -> None:
        """See `adapters.discord.client.Listener`. Who may ask there may stop an answer."""
        press, inbox, group = parse_press(data), self._inbox, self._group
        if press is None or inbox is None or group is None:
            return
        guild = self._guild_of(data, press.channel, press.message)
        by = Author(press.user, press.user, press.roles)
        for message in filter(None, (press.message, press.question)):
            if inbox.stop(TurnKey(self.name, guild, press.channel, message), by=by):
                break
        if self._presses < PRESSES:
            self._presses += 1
            group.create_task(self._acknowledge(press))

    async def _acknowledge(self, press: Press) -> None:
        """Tell Discord that the press was heard, else whoever pressed is told that it failed. Nothing depends on it."""
        path = "/interactions/{interaction_id}/{interaction_token}/callback"
        route = Route("POST", path, interaction_id=press.id, interaction_token=press.token)
        try:
            async with asyncio.timeout(PRESS_SECONDS):
                with map_errors("acknowledging a press"):
                    await self._state.client.http.request(route, json=ACKNOWLEDGED)
        except (Failure, TimeoutError) as failure:
            log.info("a press could not be acknowledged: %r", failure)
        finally:
            self._presses -= 1

    def _guild_of(self, data: Mapping[str, Any], channel: str, message: str) -> str:
        """The guild of a message that an event is about, as its turn's key has it."""
        held = self._state.cache.get(channel, message)
        return str(data.get("guild_id") or (held.guild if held else "") or self._state.guild_of(channel))

    # --------------------------------------------------------------------------------------------------------- weighing

    def _weigh(self, seen: DiscordMessage, channel_info: ChannelInfo, data: Mapping[str, Any]) -> None:
        """Bring `seen` as a turn if it may ask us, after what waits in its conversation."""
        what = self._decide(seen, channel_info)
        if what is Decision.IGNORE:
            return
        event = dump(data, channel_info, asks=what is Decision.ANSWER)
        if self._quiet:
            self._late.append((turn_key(seen), event))
        else:
            self._put(
                seen,
                channel_info,
                self._bring(seen, channel_info, event),
                looks=self._may_wait(seen, channel_info, what),
            )

    def _put(
        self, seen: DiscordMessage, channel_info: ChannelInfo, work: Coroutine[Any, Any, None], *, looks: bool = False
    ) -> None:
        self._pending.add(seen.id)
        if not self._queue.put(self._line(seen, channel_info, looks=looks), work):
            self._pending.discard(seen.id)

    def _line(self, seen: DiscordMessage, channel_info: ChannelInfo, *, looks: bool) -> str:
        """The line that a message waits in: one of its conversation's questions, or of what may be none."""
        conversation = self._state.cache.conversation(seen, channel_info)
        return f"{conversation}, looked into" if looks else conversation

    def _may_wait(self, seen: DiscordMessage, channel_info: ChannelInfo, what: Decision) -> bool:
        """Whether a message is, or must keep its order with, one that may be no question: no mention waits for it."""
        if what is Decision.NEEDS_LOOKUP:
            return True
        asks_by_itself = self._decide(seen, channel_info, in_ours=False) is Decision.ANSWER
        return not asks_by_itself and self._queue.is_busy(self._line(seen, channel_info, looks=True))

    def _decide(self, seen: DiscordMessage, channel_info: ChannelInfo, *, in_ours: bool = True) -> Decision:
        """See `Decision`; unless `in_ours`, nothing is known of whether its thread is one of ours."""
        cache, identity = self._state.cache, self._state.identity(seen.guild)
        if not is_from_person(seen, identity):
            return Decision.IGNORE
        target = cache.get(seen.channel, seen.reply_to)
        return decide(
            seen,
            identity,
            channel_info,
            participates=cache.participates(channel_info.id, seen.id) if in_ours else None,
            replied_to_us=target.author == identity.id if target is not None else None,
        )

    async def _bring(self, seen: DiscordMessage, channel_info: ChannelInfo, event: str) -> None:
        """Have a message written down, find out whether it asks us, and bring it if it does."""
        inbox, key = self._inbox, turn_key(seen)
        try:
            if inbox is None or not await inbox.receive(key, event):
                return
            if await self._asks(seen, channel_info) and seen.id in self._pending:
                self._accept(inbox, seen, channel_info)
            else:
                inbox.dismiss(key)
        finally:
            self._pending.discard(seen.id)

    async def _asks(self, seen: DiscordMessage, channel_info: ChannelInfo) -> bool:
        """Whether `seen` asks us; what is not known of it is looked up."""
        if self._decide(seen, channel_info) is Decision.NEEDS_LOOKUP:
            async with self._lookups:
                if channel_info.kind is ChannelKind.THREAD:
                    ours = await participates(self._state, seen, channel_info)
                    if ours is not None:
                        self._state.cache.set_looked_up(channel_info.id, ours=ours)
                else:
                    await replied_to(self._state, seen)
        return self._decide(seen, channel_info) is Decision.ANSWER

    def _accept(
        self, inbox: Inbox, seen: DiscordMessage, channel_info: ChannelInfo, record: UnfinishedTurn | None = None
    ) -> None:
        cache = self._state.cache
        conversation = cache.conversation(seen, channel_info)
        for message in (seen.id, *(record.messages if record else ())):
            cache.set_conversation(message, conversation)
        channel = DiscordChannel(self._state, seen, channel_info, conversation=conversation, record=record)
        inbox.accept(build_turn(seen, channel_info, conversation=conversation), channel)

    # -------------------------------------------------------------------------------------------------------- taking up

    async def _take_up(self, inbox: Inbox) -> None:
        """Bring what earlier processes left unfinished, once we are connected, and what others leave later."""
        await self._ready.wait()
        untouched_until = now() + AFTER_ANOTHER
        while True:
            await self._ready.wait()
            if not self._quiet:
                for record in await inbox.unfinished_turns(self.name):
                    self._state.budgets.channel(record.key.channel).wait_until(untouched_until, now())
                    self._take_up_one(inbox, record)
            await asyncio.sleep(LEFT_EVERY)

    def _take_up_one(self, inbox: Inbox, record: UnfinishedTurn) -> None:
        try:
            kept = load(record.event)
            seen = self._state.parse(kept.message, guild=record.key.workspace)
            if turn_key(seen) != record.key:
                raise ValueError("another message")
        except LOAD_ERRORS as error:
            log.warning("an unfinished turn is given up: what was kept of it cannot be read: %r", error)
            inbox.dismiss(record.key)
            return
        self._put(seen, kept.channel_info, self._bring_again(inbox, record, kept))

    async def _bring_again(self, inbox: Inbox, record: UnfinishedTurn, kept: StoredQuestion) -> None:
        """As `_bring`, for what was received by an earlier process, which may have known more than we do."""
        key, state, channel_info = record.key, self._state, kept.channel_info
        try:
            await state.wait_for_guild(key.workspace)
            seen = state.parse(kept.message, guild=key.workspace)  # once more: names are known now
            if state.has_lost_channel(channel_info, key.workspace):
                log.warning("an unfinished turn is given up: channel %s is gone", channel_info.id)
                inbox.dismiss(key)
                return
            referenced = kept.message.get("referenced_message")
            if isinstance(referenced, Mapping):
                state.cache.read([state.parse(referenced, guild=seen.guild)])
            gone = not record.messages and await is_deleted(state, seen)
            if not gone and not is_loaded(state, seen):
                state.cache.read([seen])
            asks = not gone and (kept.asks or bool(record.messages) or await self._asks(seen, channel_info))
            if asks and seen.id in self._pending:
                self._accept(inbox, seen, channel_info, record)
                if record.messages and self._group is not None:  # the half answer is gone on with meanwhile
                    self._group.create_task(self._give_up_if_deleted(key, seen))
            else:
                inbox.dismiss(key)
        finally:
            self._pending.discard(key.message)

    async def _give_up_if_deleted(self, key: TurnKey, seen: DiscordMessage) -> None:
        """Nobody told us of what was deleted while no process of ours ran."""
        if await is_deleted(self._state, seen):
            self.on_message_deleted({"channel_id": seen.channel, "guild_id": key.workspace}, (seen.id,))
