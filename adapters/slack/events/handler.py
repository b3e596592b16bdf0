"""Handles events: a message to the bot is journalled, acknowledged, looked up and handed over as a turn.

`EventHandler.handle` decides at once, in order of arrival. `Inbox.receive` writes the journal; only then may Slack's
event be acknowledged. In the background, and in order within a conversation, the author is looked up; then
`Inbox.accept` or `Inbox.dismiss` follows. A turn of an earlier process joins at `resume`.

A message in a thread with unknown participation gets a separate queue, so that no mention waits for that lookup.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from adapters.shared.cache import LRUCache
from adapters.shared.futures import settle
from adapters.shared.json_fields import Json
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.events.actions import Origin
from adapters.slack.events.codec import dump, load, load_user, with_user
from adapters.slack.events.commands import CommandHandler
from adapters.slack.events.edits import EditHandler
from adapters.slack.events.mentions import (
    PLATFORM,
    AddressedMessage,
    Trigger,
    asked,
    conversation_id,
    decide,
    known_question,
    marked_command,
    mentions,
    to_model_message,
    without_mention,
)
from adapters.slack.events.pages import SlackUser
from adapters.slack.events.parse import (
    ChannelNotice,
    Event,
    MessageChanged,
    MessageDeleted,
    MessagePosted,
    SlackMessage,
    StopRequested,
    changes_nothing,
    parse_event,
)
from adapters.slack.events.pending import PendingMessage, PendingWork
from adapters.slack.events.places import place_of
from adapters.slack.events.stops import StopHandler
from adapters.slack.history.cache import Conversation, MessageCache, conversation_of
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.history.thread_lookup import known_participation, participates
from adapters.slack.history.users import to_author
from adapters.slack.messages.channel import SlackChannel
from adapters.slack.state import WorkspaceState
from bot.conversation import Message, Turn, TurnKey
from bot.errors import Failure, NotOwner, Retryable
from bot.interactions.typed import MARK
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)

# Messages remembered for deduplication. Slack sends both copies of a mention within seconds, and redelivers an event
# within minutes.
RECENT = 2_000
# Wait for a mention's second copy, in seconds: Slack sends both at once, and redelivers after three seconds.
COPY_SECONDS = 0.3
# Most messages between arrival and turn; beyond it, events stay unacknowledged, so Slack redelivers them. Messages with
# unknown participation get at most half: each may wait minutes for a read.
PENDING = 1_000
PENDING_LOOKUPS = PENDING // 2


class EventHandler:
    """Brings the messages of one workspace to an inbox."""

    def __init__(self, workspace: WorkspaceState, inbox: Inbox, commands: CommandHandler) -> None:
        self._workspace = workspace
        self._inbox = inbox
        self._commands = commands
        self._is_redelivered_at_once = not workspace.options.over_http
        self._recent: LRUCache[tuple[str, str], PendingMessage] = LRUCache(RECENT)  # by channel and ts
        self.stops = StopHandler(workspace, inbox, self._recent)
        workspace.cache.streams.on_stopped = self.stops.stop
        self._edits = EditHandler(workspace, inbox)
        self._locks = KeyedLock()  # by conversation: turns
        self._lookup_locks = KeyedLock()  # by conversation: lookups of participation
        self.pending = PendingWork("messages are still being looked up", workspace.options.timings.hand_over)

    async def handle(self, payload: Json) -> bool:
        """Handle an event. Returns once it may be acknowledged; False asks for redelivery.

        A message to the bot is acknowledged once the journal has it, however long the write takes. After three seconds
        Slack delivers it again, and it is recognised; an earlier acknowledgement would lose it with this process.
        """
        me = self._workspace.me
        event = parse_event(payload, me)
        addressed = decide(event, me)
        stored = dump(payload) if addressed is not None else ""
        self._workspace.cache.questions.note(payload, event, addressed, stored)
        journalled = self._dispatch(event, addressed, stored)
        if isinstance(journalled, bool):
            return journalled
        # Shielded: a closing connection cancels its acknowledgement, not the write.
        return await asyncio.shield(journalled) and self._is_kept()

    def _is_kept(self) -> bool:
        """Whether a message in the journal may be acknowledged.

        A broken journal has it in memory, and it is answered. Over HTTP Slack also delivers it again, minutes later:
        the next process may need it. A socket's redelivery comes at once and to this process, so it would be no help.
        """
        return self._is_redelivered_at_once or self._inbox.keeps_events()

    def resume(self, record: UnfinishedTurn) -> None:
        """Continue a turn of an earlier process."""
        workspace = self._workspace
        event = load(record.event, workspace.me)
        # A question asked before is one, whatever an edit has made of it.
        addressed = (known_question if record.key.generation else decide)(event, workspace.me)
        key = record.key
        if addressed is None or self._key(*addressed.id, key.generation) != key or workspace.group is None:
            log.warning("Slack: the stored event of turn %s is unreadable; giving it up", record.key.reference)
            workspace.dismiss(self._inbox, record.key)
            return
        if addressed.trigger is not Trigger.FOLLOW_UP or record.messages or key.generation:
            workspace.participation.join(addressed.conversation, addressed.message.ts)
        workspace.cache.open(addressed.conversation, from_start=False)
        for message in record.messages:
            workspace.cache.streams.own(addressed.channel, message)
        if (user := load_user(record.event)) is not None and user.id == addressed.message.user:
            workspace.users.remember(user, record.age)
        pending = PendingMessage(_new_future(), key, addressed.message.user, is_new=True)
        pending.snapshot = ThreadSnapshot(
            workspace.reader, addressed.conversation, addressed.message.ts, record.messages
        )
        pending.journalled.set_result(True)
        self._begin(addressed, pending, workspace.group)

    # ----------------------------------------------------------------------------------------- in order of arrival

    def _dispatch(
        self, event: Event | None, addressed: AddressedMessage | None, stored: str
    ) -> bool | asyncio.Future[bool]:
        """Decide about an event without waiting. `stored` is the journal's text of an addressed message."""
        if event is None or changes_nothing(event):
            return True
        self.apply_signals(event)
        if isinstance(event, MessageChanged):
            self._edits.handle(event, self._recent.get((event.channel, event.message.ts)))
        if addressed is None:
            update_cache(event, self._workspace)
            return True
        pending = self._recent.get(addressed.id)
        if pending is not None:
            update_cache(event, self._workspace, addressed)
            if pending.stored not in ("", stored) and not addressed.is_mention_event:
                self._store_copy(pending, stored)
            pending.copy_arrived.set()
            return pending.journalled
        if self._edits.reported.get(addressed.id) == addressed.message.text:
            return True  # the mention of an edit
        return self._admit(event, addressed, stored)

    def _admit(self, event: Event, addressed: AddressedMessage, stored: str) -> bool | asyncio.Future[bool]:
        """Start on a new message."""
        workspace, is_follow_up = self._workspace, addressed.trigger is Trigger.FOLLOW_UP
        if is_follow_up and workspace.participation.participates(addressed.conversation) is False:
            update_cache(event, workspace, addressed)
            return True
        if self._is_full(addressed) or workspace.group is None:
            return False
        update_cache(event, workspace, addressed)
        key, message = self._key(*addressed.id), addressed.message
        pending = PendingMessage(_new_future(), key, message.user, message.text, stored)
        pending.copy_deadline = asyncio.get_running_loop().time() + COPY_SECONDS
        writing = workspace.group.create_task(self._write_journal(addressed, pending))
        # Also of a task cancelled before its start: without a journal entry there is no acknowledgement.
        writing.add_done_callback(lambda _: settle(pending.journalled, value=False))
        self._begin(addressed, pending, workspace.group)
        return pending.journalled

    def _is_full(self, addressed: AddressedMessage) -> bool:
        most = PENDING_LOOKUPS if self._is_uncertain(addressed) else PENDING
        return self.pending.is_stopping or len(self.pending.tasks) >= most

    def _is_uncertain(self, addressed: AddressedMessage) -> bool:
        """Whether only Slack can tell if the message is addressed to the bot."""
        return addressed.trigger is Trigger.FOLLOW_UP and known_participation(addressed, self._workspace) is None

    def _begin(self, addressed: AddressedMessage, pending: PendingMessage, group: asyncio.TaskGroup) -> None:
        self._recent[addressed.id] = pending
        task = group.create_task(self._hand_over(addressed, pending))
        self.pending.tasks.add(task)
        task.add_done_callback(self.pending.tasks.discard)

    # ------------------------------------------------------------------------------------------- stops and deletions

    def apply_signals(self, event: Event) -> None:
        """Stop or abandon the answers concerned by a stop request or a deletion."""
        match event:
            case StopRequested():
                self.stops.stop(event)
            case MessageDeleted(channel, ts) if (channel, ts) not in self._workspace.cache.deleted_by_us:
                self._workspace.cache.deleted_by_people[(channel, ts)] = True
                if (pending := self._recent.get((channel, ts))) is not None:
                    pending.is_withdrawn = True
                self._inbox.message_deleted(self._key(channel, ts))

    # ------------------------------------------------------------------------------------------------ in background

    async def _write_journal(self, addressed: AddressedMessage, pending: PendingMessage) -> None:
        """Journal a message, without waiting for its second copy."""
        written, stored, author = False, pending.stored, self._workspace.users.fresh(pending.author)
        try:
            pending.journal_text = stored if author is None else with_user(stored, author)
            pending.is_new = await self._inbox.receive(pending.key, pending.journal_text)
            written = True
            if pending.is_new and pending.stored not in ("", stored):  # the copy came during the write
                self._inbox.update_event(pending.key, pending.stored)
        except Exception as error:
            # The boundary of one event: an odd one must not affect the next. Slack delivers it again.
            text = f"Slack: a message in {addressed.channel} could not be written to the journal: {error!r}"
            log.log(logging.ERROR, text, exc_info=not isinstance(error, Failure))
            self._recent.pop(addressed.id, None)
        finally:
            settle(pending.journalled, value=written)

    def _store_copy(self, pending: PendingMessage, stored: str) -> None:
        """Replace the journal's text of a mention by the plain message, which has more content."""
        pending.stored = stored
        if pending.journalled.done() and pending.is_new:
            self._inbox.update_event(pending.key, stored)

    async def _wait_for_copy(self, addressed: AddressedMessage, pending: PendingMessage) -> None:
        """A mention comes as two events; only the plain message may carry files. Over HTTP they come separately."""
        cache = self._workspace.cache
        if not addressed.is_mention_event or addressed.message.files or cache.is_mention_only(addressed.channel):
            return
        try:
            async with asyncio.timeout_at(pending.copy_deadline):
                await pending.copy_arrived.wait()
        except TimeoutError:
            cache.set_mention_only(addressed.channel)

    async def _hand_over(self, addressed: AddressedMessage, pending: PendingMessage) -> None:
        """Make a turn of a message, in order within its conversation, or dismiss it."""
        key, handed_over = pending.key, False
        try:
            if not self._is_uncertain(addressed) or await self._is_ours(addressed, pending):
                async with self._locks.hold(addressed.conversation):
                    handed_over = await pending.journalled and pending.is_new and await self._offer(addressed, pending)
            if not handed_over and await pending.journalled and pending.is_new:
                self._workspace.dismiss(self._inbox, key)
        except Retryable as failure:
            # An acknowledged message is not given up: its journal entry is for the next process.
            log.error(  # noqa: TRY400 (one line says it)
                "Slack: a message in %s is not answered before the next start, because all lookups failed: %s",
                addressed.channel,
                failure,
            )
        except NotOwner:
            log.info("Slack: a message in %s is left to the next owner of its workspace", addressed.channel)
        except Failure as failure:
            log.error(  # noqa: TRY400 (one line says it)
                "Slack: a message in %s is not answered, because its author is unknown: %s "
                "(guests must be recognised; the app needs the scope users:read)",
                addressed.channel,
                failure,
            )
            self._workspace.dismiss(self._inbox, key)
        except Exception:  # the boundary of one event: an odd one must not affect the next
            log.exception("Slack: a message in %s could not be handled", addressed.channel)
            self._workspace.dismiss(self._inbox, key)
        finally:
            pending.stored, pending.is_handed_over = "", True
            pending.stops.clear()

    async def _is_ours(self, addressed: AddressedMessage, pending: PendingMessage) -> bool:
        """Look up the thread of a message; in order within a conversation, and apart from its turns."""
        async with self._lookup_locks.hold(addressed.conversation):
            if not (await pending.journalled and pending.is_new):
                return False
            if await participates(addressed, self._workspace, self._inbox):
                return True
        self._recent.pop(addressed.id, None)
        return False

    async def _offer(self, addressed: AddressedMessage, pending: PendingMessage) -> bool:
        """Hand over a turn, unless the message turns out to need no answer."""
        workspace, snapshot = self._workspace, pending.snapshot
        has_posts = snapshot is not None and bool(snapshot.messages)
        if snapshot is not None and not has_posts and await snapshot.is_deleted():
            return False
        if addressed.trigger is Trigger.FOLLOW_UP and not await participates(addressed, workspace, self._inbox):
            self._recent.pop(addressed.id, None)
            return False
        user = await workspace.users.find(addressed.message.user)
        if user.bot:
            return False
        if snapshot is None:
            await self._wait_for_copy(addressed, pending)
        key, message = pending.key, self._with_copy(addressed)
        turn = await self.make_turn(key, addressed, message, user)
        if (pending.is_withdrawn and not has_posts) or await self._is_command(addressed, turn):
            return False
        if snapshot is None and (text := with_user(pending.stored, user)) != pending.journal_text:
            self._inbox.update_event(key, text)
        self._inbox.accept(turn, SlackChannel(workspace, addressed.conversation, key, message, snapshot))
        for by in pending.stops:
            self._inbox.stop(key, by=by)
        if snapshot is not None and has_posts:  # the answer continues during this check
            workspace.spawn(self._abandon_if_deleted(key, pending, snapshot))
        return True

    async def _is_command(self, addressed: AddressedMessage, turn: Turn) -> bool:
        """Whether the message is a command; the core has run it then. Another answer needs none to be run again."""
        message, me = addressed.message, self._workspace.me
        typed = marked_command(message.text, me.user, self._workspace.interactions.commands)
        if typed is None or turn.key.generation:
            return False
        # A mention outside threads would start one, so the command concerns the channel.
        thread = "" if addressed.starts_thread and message.thread != message.ts else addressed.thread
        place = replace(place_of(me, addressed.channel, thread, message.ts), command_prefix=MARK)
        origin = Origin(message.user, addressed.channel, thread, message.ts)
        await self._commands.run_typed(typed, turn.author, place, origin)
        return True

    def _with_copy(self, addressed: AddressedMessage) -> SlackMessage:
        """The message with the content of its second copy, if one arrived."""
        message = addressed.message
        copy = self._workspace.cache.get(addressed.conversation, message.ts)
        if copy is None:
            return message
        return replace(message, files=message.files or copy.files, extra_text=message.extra_text or copy.extra_text)

    async def make_turn(
        self, key: TurnKey, addressed: AddressedMessage, message: SlackMessage, user: SlackUser
    ) -> Turn:
        """The turn of an addressed message; `message` is the copy of it with the most content."""
        return Turn(
            key=key,
            conversation=conversation_id(self._workspace.me.team, *addressed.conversation),
            author=to_author(user, addressed.teams, self._workspace.me),
            question=asked(await self._question(message, user), self._workspace.interactions.commands),
            channel_ids=tuple(filter(None, (addressed.thread, addressed.channel))),
            direct=addressed.trigger is Trigger.DIRECT,
        )

    async def _question(self, message: SlackMessage, user: SlackUser) -> Message:
        """The message for the model: without the bot's mention, with names for ids."""
        workspace, me = self._workspace, self._workspace.me.user
        message = replace(message, text=without_mention(message.text, me))
        names = await workspace.names.resolve([message.shown], mentions(message.shown) - {me})
        return to_model_message(message, {**names, message.user: user.name}, (), workspace.options.zone)

    async def _abandon_if_deleted(self, key: TurnKey, pending: PendingMessage, snapshot: ThreadSnapshot) -> None:
        """Events of deletions are lost while no process runs."""
        if pending.is_withdrawn or await snapshot.is_deleted():
            self._inbox.message_deleted(key)

    def _key(self, channel: str, ts: str, generation: int = 0) -> TurnKey:
        return TurnKey(PLATFORM, self._workspace.me.team, channel, ts, generation)


def _new_future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()


def update_cache(event: Event, workspace: WorkspaceState, addressed: AddressedMessage | None = None) -> None:
    """Record an event in the cache, if the bot takes part in its conversation."""
    cache = workspace.cache
    match event:
        case MessagePosted(is_mention_event=True):
            pass
        case MessagePosted() | MessageChanged() | MessageDeleted() | ChannelNotice():
            cache.set_subscribed(event.channel)
    if addressed is not None and addressed.trigger is not Trigger.FOLLOW_UP:
        if addressed.thread:
            workspace.participation.join(addressed.conversation, addressed.message.ts)
        cache.open(addressed.conversation, from_start=addressed.starts_thread)
    match event:
        case MessageDeleted(channel, ts, thread):
            for conversation in _conversations_of(channel, ts, thread):
                cache.remove(conversation, ts)
        case MessagePosted(channel, message) | MessageChanged(channel, message):
            _put(channel, message, cache)


def _put(channel: str, message: SlackMessage, cache: MessageCache) -> None:
    for conversation in _conversations_of(channel, message.ts, message.thread):
        if not (message.ours and cache.get(conversation, message.ts)):  # our own record is never older
            cache.put(conversation, message)


def _conversations_of(channel: str, ts: str, thread: str) -> set[Conversation]:
    """The conversations with a message: a direct message outside threads may begin one, as in the agent view."""
    return {conversation_of(channel, ts, thread), (channel, thread or ts)}
