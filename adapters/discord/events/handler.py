"""Handle events: update the cache, decide which messages address the bot, and hand their turns to the core."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from adapters.discord.events.codec import dump
from adapters.discord.events.commands import CommandUsed, CompletionRequested
from adapters.discord.events.edits import Revisions, completed
from adapters.discord.events.interactions import InteractionEvent
from adapters.discord.events.mentions import Decision, build_turn, decide, is_from_person, mentions_bot, turn_key
from adapters.discord.events.message import ChannelKind
from adapters.discord.events.parse import Event, MessageChanged, MessageDeleted, MessagePosted, MessageRevised
from adapters.discord.history.questions import read_question
from adapters.discord.history.reader import HistoryReader
from adapters.discord.interactions.command_handler import CommandHandler
from adapters.discord.interactions.quoted_questions import read_quoted_question
from adapters.discord.interactions.router import InteractionRouter
from adapters.discord.messages.answer_threads import AnswerThreads
from adapters.discord.messages.channel import DiscordChannel
from adapters.discord.sessions import Release
from adapters.discord.state import BotState
from adapters.shared.cache import LRUCache
from adapters.shared.keyed_queue import KeyedQueue
from adapters.shared.patient_inbox import receive_patiently
from bot.callbacks import no_op
from bot.conversation import Turn, TurnKey
from bot.errors import Failure, NotFound
from bot.interactions.ports import Interactions
from bot.interactions.values import QuestionEdited
from bot.ports import Inbox, OpenedQuestion, UnfinishedTurn

log = logging.getLogger(__name__)

# Concurrent look-ups for undecided messages; further ones wait. Each may cost a few reads, needed by live turns too.
MAX_CONCURRENT_DECISIONS = 50

# Remembered interactions: a resumed session may repeat the last events. About 100 bytes each.
MAX_SEEN = 1_000

# Questions received while stopping and kept for the next process, the newest ones. About 2 kB each.
MAX_LATE_MESSAGES = 1_000


class EventHandler:
    """Turns events into calls of the inbox, in order within each conversation."""

    def __init__(self, state: BotState) -> None:
        self._state = state
        self._reader = HistoryReader(state)
        self._queue = KeyedQueue()
        self._inbox: Inbox | None = None
        self._group: asyncio.TaskGroup | None = None
        self._accepting = True
        self._pending: set[str] = set()  # ids of queued messages, without those deleted meanwhile
        self._decisions = asyncio.Semaphore(MAX_CONCURRENT_DECISIONS)
        self._late: deque[tuple[TurnKey, str]] = deque(maxlen=MAX_LATE_MESSAGES)
        self._revisions = Revisions()
        self._threads = AnswerThreads(state)
        self._seen: LRUCache[str, bool] = LRUCache(MAX_SEEN)  # ids of interactions
        self.interactions = InteractionRouter(state)
        self.commands = CommandHandler(state, self.interactions.responder, self._late)

    # ------------------------------------------------------------------------------------------------------ lifecycle

    @property
    def accepting(self) -> bool:
        """False once the program is stopping."""
        return self._accepting

    def open(self, inbox: Inbox, interactions: Interactions, group: asyncio.TaskGroup) -> None:
        """Hand turns to `inbox` from now on and all else to `interactions`, working in `group`."""
        self._inbox, self._group = inbox, group
        self._state.interactions = interactions
        self.interactions.open(inbox, group)
        self.commands.open(inbox, group)
        self._queue.open(group)

    def close(self) -> None:
        """Give up queued work so that the group can end."""
        self._group = None
        self.interactions.close()
        self.commands.close()
        self._queue.close()

    async def stop_accepting(self) -> None:
        """Keep later questions for the next process, and finish those being looked up within `drain_seconds`."""
        self._accepting = False
        self.commands.stop_accepting()
        unfinished = await self._queue.drain(self._state.options.drain_seconds)
        if unfinished:
            log.warning("stopping while messages of %d conversations are being looked up", unfinished)

    def lose(self) -> None:
        """Another process handles the events from now on, also those not journalled yet."""
        self._inbox = None
        self._accepting = False
        self._late.clear()
        self.commands.stop_accepting()

    async def store_late(self) -> None:
        """Store the questions received since `stop_accepting` in the journal.

        Not earlier: another process may be running, has received them too, and would have them answered twice.
        """
        inbox, self._inbox = self._inbox, None
        while inbox is not None and self._late:
            key, stored = self._late.popleft()
            try:
                await inbox.receive(key, stored)
            except Failure as failure:
                log.warning("a question is lost, since the journal does not take it", extra={"failure": str(failure)})

    # --------------------------------------------------------------------------------------------------------- events

    def handle(self, event: Event) -> None:
        """Handle one event."""
        match event:
            case MessagePosted():
                self._on_posted(event)
            case MessageChanged():
                self._on_changed(event)
            case MessageDeleted():
                self._on_deleted(event)
            case _:
                self._on_interaction(event)

    def _on_interaction(self, event: InteractionEvent | CommandUsed | CompletionRequested) -> None:
        id_ = event.interaction.token.id
        if id_ in self._seen or self._inbox is None:
            return
        self._seen[id_] = True
        if isinstance(event, CommandUsed) and not self._accepting:
            self._hold()  # for the next owner of the shard; in vain if this process stores it
        if isinstance(event, CommandUsed) and event.access.sees:
            self._state.cache.expect_events(event.interaction.channel.id, int(id_))
        if isinstance(event, CommandUsed | CompletionRequested):
            self.commands.handle(event)
        else:
            self.interactions.handle(event)

    def _on_posted(self, event: MessagePosted) -> None:
        message, cache = event.message, self._state.cache
        if event.replied_to is not None and cache.get(message.channel, message.reply_to) is None:
            cache.add_read([event.replied_to])
        ours = message.author == event.bot.id
        if ours and cache.get(message.channel, message.id) is not None:
            return  # an echo of our own post, perhaps edited since
        cache.add(message)
        if event.channel.kind is ChannelKind.THREAD and (ours or mentions_bot(message, event.bot)):
            cache.set_participation(event.channel.id, message.id)
        if self._inbox is not None:
            self._dispatch(event)

    def _on_changed(self, event: MessageChanged) -> None:
        cache = self._state.cache
        before = cache.get(event.channel, event.id)
        cache.apply(event)
        revised = completed(event.revised, before) if event.revised is not None else None
        now = self._state.options.wall_clock().timestamp()
        if revised is None or self._inbox is None or not self._revisions.is_news(revised, before, now=now):
            return
        posted = revised.posted
        if posted.channel.kind is ChannelKind.THREAD and mentions_bot(posted.message, posted.bot):
            cache.set_participation(posted.channel.id, posted.message.id)
        match self._decide(posted):
            case Decision.ANSWER:
                self._report_edit(revised)
            case Decision.NEEDS_LOOKUP:
                self.spawn(self._report_if_addressed(revised))
            case Decision.IGNORE:
                return

    async def _report_if_addressed(self, revised: MessageRevised) -> None:
        if await self.is_addressed(revised.posted):
            self._report_edit(revised)

    def _report_edit(self, revised: MessageRevised) -> None:
        """Tell the core about an edited question."""
        posted = revised.posted
        turn, _ = self._turn_of(self._threads.locate(posted), turn_key(posted.message))
        self._state.interactions.edited(QuestionEdited(turn.key, turn.conversation, turn.author, revised.age))

    def _on_deleted(self, event: MessageDeleted) -> None:
        cache = self._state.cache
        cached = cache.get(event.channel, event.id)
        guild = event.guild or (cached.guild if cached is not None else "")
        cache.remove(event.channel, event.id)
        self._pending.discard(event.id)
        if self._inbox is None or cache.was_deleted_by_us(event.id):
            return
        self._inbox.message_deleted(TurnKey("discord", guild, event.channel, event.id))
        if self._state.options.threads.auto_thread and (parent := self._state.parent_of(event.channel)):
            # Perhaps a message of an answer to a question in the parent channel.
            self._inbox.message_deleted(TurnKey("discord", guild, parent, event.id))

    # -------------------------------------------------------------------------------------------------------- dispatch

    def _dispatch(self, event: MessagePosted) -> None:
        """Queue a message if it may address the bot."""
        decision = self._decide(event)
        if decision is Decision.IGNORE:
            return
        stored, release = dump(event, asks=decision is Decision.ANSWER), self._hold()
        if self._accepting:
            uncertain = self._is_uncertain(event, decision)
            if not self.submit(event, self._receive(event, stored, release), uncertain=uncertain):
                release()
        else:
            self._late.append((turn_key(event.message), stored))

    def _hold(self) -> Release:
        """Let the next owner of the shard receive the event handled just now, unless it is released."""
        progress = self._state.progress
        return progress.hold() if progress is not None else no_op

    def submit(self, event: MessagePosted, work: Coroutine[Any, Any, None], *, uncertain: bool = False) -> bool:
        """Queue `work` for a message behind earlier work of its conversation; False if it is dropped."""
        self._pending.add(event.message.id)
        if not self._queue.put(self._queue_key(event, uncertain=uncertain), work):
            self._pending.discard(event.message.id)
            return False
        return True

    def finish(self, message: str) -> None:
        """Work for a message has ended."""
        self._pending.discard(message)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the queue as long as the platform runs. A failure is only logged."""
        if self._group is None:
            work.close()
        else:
            self._group.create_task(_logged(work))

    def _queue_key(self, event: MessagePosted, *, uncertain: bool) -> str:
        """Undecided messages have a queue of their own, so that mentions do not wait for look-ups."""
        conversation = self._state.cache.conversation(event.message, event.channel)
        return f"{conversation}, uncertain" if uncertain else conversation

    def _is_uncertain(self, event: MessagePosted, decision: Decision) -> bool:
        """Whether a message needs a look-up, or must stay behind one that does."""
        if decision is Decision.NEEDS_LOOKUP:
            return True
        certain = self._decide(event, use_participation=False) is Decision.ANSWER
        return not certain and self._queue.is_busy(self._queue_key(event, uncertain=True))

    def _decide(self, event: MessagePosted, *, use_participation: bool = True) -> Decision:
        message, cache = event.message, self._state.cache
        if not is_from_person(message, event.bot):
            return Decision.IGNORE
        replied_to = cache.get(message.channel, message.reply_to)
        return decide(
            message,
            event.bot,
            event.channel,
            participates=cache.participates(event.channel.id, message.id) if use_participation else None,
            replied_to_us=replied_to.author == event.bot.id if replied_to is not None else None,
            forums=self._state.options.threads.forums,
        )

    async def _receive(self, event: MessagePosted, stored: str, release: Release) -> None:
        """Journal a message, then accept its turn if it addresses the bot.

        If the shard is lost meanwhile, the turn is left to its next owner.
        """
        inbox, key = self._inbox, turn_key(event.message)
        try:
            if inbox is None or not await _journal(inbox, key, stored, release):
                return
            if await self.is_addressed(event) and self.is_pending(event):
                located = await self.start_thread(inbox, event)
                if self._inbox is not None:
                    self.accept(inbox, located, key)
            elif self._inbox is not None:
                inbox.dismiss(key)
        finally:
            self.finish(key.message)

    def is_pending(self, event: MessagePosted) -> bool:
        """Whether a queued message still exists."""
        return event.message.id in self._pending

    async def is_addressed(self, event: MessagePosted) -> bool:
        """Whether a message addresses the bot, after a look-up if necessary."""
        if self._decide(event) is Decision.NEEDS_LOOKUP:
            async with self._decisions:
                if event.channel.kind is ChannelKind.THREAD:
                    participates = await self._reader.participates(event.message, event.channel)
                    if participates is not None:
                        self._state.cache.set_looked_up(event.channel.id, participates=participates)
                else:
                    await self._reader.replied_to(event.message)
        return self._decide(event) is Decision.ANSWER

    async def start_thread(self, inbox: Inbox, event: MessagePosted) -> MessagePosted:
        """The event in a new thread for its answer, if there is to be one; a refused question gets none."""
        if not self._state.options.threads.auto_thread or not self._threads.may_start(event):
            return event
        turn, _ = self._turn_of(event, turn_key(event.message))
        if inbox.refusal(turn):
            return event
        await self._threads.start(event)
        return self._threads.locate(event)

    def accept(self, inbox: Inbox, event: MessagePosted, key: TurnKey) -> None:
        """Hand over the turn of a new message; `key` names the message where it was asked."""
        inbox.accept(*self._turn_of(event, key))

    def resume(self, inbox: Inbox, event: MessagePosted, unfinished: UnfinishedTurn) -> None:
        """Hand over a turn of an earlier process."""
        inbox.accept(*self._turn_of(self._threads.locate(event), unfinished.key, unfinished=unfinished))

    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        """Read a question again, for another answer in `messages`."""
        try:
            event = await read_question(self._state, key)
        except NotFound:  # no message has the id of a command's question
            return await read_quoted_question(self._state, key, messages)
        cache = self._state.cache
        cache.add_read([one for one in (event.message, event.replied_to) if one is not None])
        turn, channel = self._turn_of(self._threads.locate(event), key, replaces=messages)
        return OpenedQuestion(turn, channel, dump(event, asks=True))

    def _turn_of(
        self,
        event: MessagePosted,
        key: TurnKey,
        *,
        unfinished: UnfinishedTurn | None = None,
        replaces: Sequence[str] = (),
    ) -> tuple[Turn, DiscordChannel]:
        """The turn of a message, and the channel of its answer; `event` is where the answer is."""
        message, cache = event.message, self._state.cache
        conversation = cache.conversation(message, event.channel)
        for answered in (message.id, *(unfinished.messages if unfinished else replaces)):
            cache.set_conversation(answered, conversation)
        channel = DiscordChannel(
            self._state,
            event,
            conversation=conversation,
            unfinished=unfinished,
            replaces=replaces,
            asked_in=key.channel,
        )
        return replace(build_turn(message, event.channel, conversation=conversation), key=key), channel


async def _journal(inbox: Inbox, key: TurnKey, stored: str, release: Release) -> bool:
    """Journal an event as `receive_patiently` does, and release it. Only a cancelled one remains held."""
    try:
        is_new = await receive_patiently(inbox, key, stored)
    except Exception:
        release()
        raise
    release()
    return is_new


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    """The boundary of work beside the queue: its error must not end the platform."""
    try:
        await work
    except Failure as failure:  # for example: the client was closed meanwhile
        log.warning("giving up work beside the queue: %r", failure)
    except Exception:
        log.exception("giving up work beside the queue")
