"""What is done about an event: a question is written down, acknowledged, looked into and handed over.

The way of a question: `EventHandler.hear` (pure rules, in the order of arrival) -> `Inbox.receive`, and only then the event
may be acknowledged -> in the background and in order within a conversation, who asked -> `Inbox.accept`, or `dismiss`.
What is known of a conversation is kept on the way (`memory`). A question that an earlier process left goes the same
way from `resume` on.

A message that may be no question (nobody knows yet whether its thread is ours) is looked into in a line of its own, so
that no question waits for it.

What does not belong here: connections (`platform`, `link`), and the rules themselves (`asked`, `signs`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.shared.keyed_lock import KeyedLock
from adapters.shared.lru import Bounded
from adapters.slack.events.codec import dump, load, load_user, with_user
from adapters.slack.events.mentions import AddressedMessage, Trigger, decide
from adapters.slack.events.parse import is_ours, mapping, parse_message, string
from adapters.slack.events.stop_signals import StopRequested, parse_deletion, parse_stop
from adapters.slack.events.turn_builder import author_of, part_known, question_of, takes_part
from adapters.slack.history.cache import Conversation
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.history.users import is_external
from adapters.slack.messages.channel import SlackChannel
from adapters.slack.state import WorkspaceState
from bot.conversation import Author, Turn, TurnKey
from bot.errors import Failure, Retryable
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)

PLATFORM = "slack"

# Messages whose second copy is recognised. Slack sends both within seconds, and repeats an event within minutes.
RECENT = 2_000
# A mention's second copy is waited for so long, in seconds, where there is one at all: Slack sends both at once, and
# delivers again what was not acknowledged within three seconds.
COPY_SECONDS = 0.3
# What is being looked up when the program is told to stop is waited for so long, in seconds: most lookups take one
# round trip, and what stops us may be impatient. Later, it is for the next process, if the journal outlives this one.
HAND_OVER_SECONDS = 3.0
# Questions that are being taken in at the same time, in all; beyond it they are not acknowledged, so Slack brings them
# again. Messages that may be none take half of them at the most: each may wait minutes for leave to read its thread.
PENDING = 1_000
PENDING_LOOKS = PENDING // 2
# People other than its author who ask to stop a question that is still being looked up: the first so many count.
STOPS = 20


@dataclass(slots=True)
class _PendingMessage:
    """A question that came, for as long as it may come again.

    `written` is done once it is known whether the event may be acknowledged: it is written down, or was before.
    `fresh` says that nobody answers it yet. `left` is what an earlier process began; None if none did.
    """

    written: asyncio.Future[bool]
    event: Mapping[str, Any]  # the copy that says the most; empty once it is written down
    kept: str = ""  # what was written down of it, until it is handed over
    copy: asyncio.Event = field(default_factory=asyncio.Event)  # set once the message came a second time
    fresh: bool = False
    withdrawn: bool = False  # it was deleted, or its author wants no answer, before it was handed over
    stops: list[Author | str] = field(default_factory=list)  # others who asked to stop it before that
    asker: str = ""
    handed_over: bool = False  # or dismissed
    left: ThreadSnapshot | None = None


class EventHandler:
    """Brings what is heard in one workspace to an inbox."""

    def __init__(self, workspace: WorkspaceState, inbox: Inbox) -> None:
        self._workspace = workspace
        self._inbox = inbox
        self._recent: Bounded[tuple[str, str], _PendingMessage] = Bounded(RECENT)  # by channel and ts
        self._locks = KeyedLock()  # of questions
        self._lookup_locks = KeyedLock()  # of messages that may be none
        self._pending = 0
        self._quiet = False
        self._handed_over = asyncio.Event()  # set while nothing is pending
        self._handed_over.set()

    async def stop_accepting(self) -> None:
        """Take in no more questions; those that were become turns still, if that takes no longer than a moment."""
        self._quiet = True
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._handed_over.wait()
        except TimeoutError:
            log.warning("Slack: stopping, while messages are still being looked up: %d", self._pending)

    async def hear(self, body: Mapping[str, Any]) -> bool:
        """Take an event in. Returns when it is to be acknowledged; false if it is to be delivered again instead.

        A question is acknowledged once it is written down, however long that takes: after three seconds Slack delivers
        it again, and it is recognised. To acknowledge sooner would lose it with this process.
        """
        written = self._take_in(mapping(body, "event"))
        # Shielded: a connection that goes away takes along its acknowledgement, and not what is being written down.
        return written if isinstance(written, bool) else await asyncio.shield(written)

    def resume(self, record: UnfinishedTurn) -> None:
        """Take up a question that an earlier process left unfinished."""
        workspace, event = self._workspace, load(record.event)
        asked = decide(event, workspace.me)
        if asked is None or self._key(asked.channel, asked.said.ts) != record.key or workspace.group is None:
            log.warning("Slack: what is kept of turn %s cannot be read, so it is given up", record.key.reference)
            self._inbox.dismiss(record.key)
            return
        if asked.why is not Trigger.FOLLOW_UP or record.messages:
            workspace.participation.join(asked.conversation, asked.said.ts)
        workspace.memory.open(asked.conversation, from_start=False)
        if (person := load_user(record.event)) is not None and person.id == asked.said.user:
            workspace.people.remember(person, record.age)
        left = ThreadSnapshot(workspace.reader, asked.conversation, asked.said.ts, record.messages)
        heard = _PendingMessage(asyncio.get_running_loop().create_future(), {}, fresh=True, left=left)
        heard.written.set_result(True)
        self._begin(asked, heard, workspace.group)

    # --------------------------------------------------------------------------------------- in the order of arrival

    def _take_in(self, event: Mapping[str, Any]) -> bool | asyncio.Future[bool]:
        """Decide about an event; nothing is waited for."""
        workspace = self._workspace
        self._apply_signals(event)
        asked = decide(event, workspace.me)
        heard = self._recent.get((asked.channel, asked.said.ts)) if asked is not None else None
        news = asked is not None and heard is None and self._may_be_ours(asked)
        if asked is not None and news and (self._is_full(asked) or workspace.group is None):
            return False
        update_cache(event, workspace, asked)
        if heard is not None:
            if heard.event and not (asked is not None and asked.is_mention_event):
                heard.event = event
            heard.copy.set()
            return heard.written
        if asked is None or not news or workspace.group is None:
            return True
        heard = _PendingMessage(asyncio.get_running_loop().create_future(), event)
        workspace.group.create_task(self._write_down(asked, heard))
        self._begin(asked, heard, workspace.group)
        return heard.written

    def _is_full(self, asked: AddressedMessage) -> bool:
        return self._quiet or self._pending >= (PENDING_LOOKS if self._is_unsure(asked) else PENDING)

    def _is_unsure(self, asked: AddressedMessage) -> bool:
        """Whether Slack must be asked if this is a question at all."""
        return asked.why is Trigger.FOLLOW_UP and part_known(asked, self._workspace) is None

    def _may_be_ours(self, asked: AddressedMessage) -> bool:
        return (
            asked.why is not Trigger.FOLLOW_UP or self._workspace.participation.joined(asked.conversation) is not False
        )

    def _begin(self, asked: AddressedMessage, heard: _PendingMessage, group: asyncio.TaskGroup) -> None:
        heard.asker = asked.said.user
        self._recent.put((asked.channel, asked.said.ts), heard)
        self._pending += 1
        self._handed_over.clear()
        group.create_task(self._hand_over(asked, heard))

    # ------------------------------------------------------------------------------------------------- other signs

    def _apply_signals(self, event: Mapping[str, Any]) -> None:
        """Have an answer stopped, or given up, where that is what an event tells."""
        if (stop := parse_stop(event, self._workspace.me)) is not None:
            self._stop(stop, session=stop.thread is not None)
        gone = parse_deletion(event)
        if gone is not None and gone not in self._workspace.deleted:  # what we take away ourselves is told us as well
            self._withdraw(*gone)
            self._inbox.message_deleted(self._key(*gone))

    def _stop(self, stop: StopRequested, *, session: bool) -> None:
        if self._workspace.people.is_known_bot(stop.by):  # to ask Slack first would take time, and tokens
            return
        stopped, by = False, self._author(stop.by)
        for ts in stop.messages:
            stopped |= self._inbox.stop(self._key(stop.channel, ts), by=by)
            if (heard := self._recent.get((stop.channel, ts))) is not None:
                heard.withdrawn = heard.withdrawn or stop.by == heard.asker
                if not heard.handed_over and len(heard.stops) < STOPS:
                    heard.stops.append(by)  # whether they may is decided once it is a turn
        if session:
            if not stopped:
                self._inbox.stop_conversation(self._name((stop.channel, stop.thread or "")), by=by)
            self._workspace.spawn(self._leave_session(stop))

    def _author(self, user: str) -> Author | str:
        """Somebody who asks nothing: to look them up would take time, so it counts what is known of them."""
        person = self._workspace.people.known(user)
        if person is None:
            return user
        external = is_external(person, frozenset(), self._workspace.me)
        return Author(user, person.name, guest=person.guest, external=external)

    def _withdraw(self, channel: str, ts: str) -> None:
        if (heard := self._recent.get((channel, ts))) is not None:
            heard.withdrawn = True

    async def _leave_session(self, stop: StopRequested) -> None:
        """Slack's stop button stays until we say that nothing is being done any more."""
        payload = {"channel_id": stop.channel, "thread_ts": stop.thread, "status": "active"}
        try:
            await self._workspace.web.send("agents.sessions.setStatus", {k: v for k, v in payload.items() if v})
        except Failure as failure:
            log.debug("Slack: the session's status was not set (%s)", failure)

    # ------------------------------------------------------------------------------------------- in the background

    async def _write_down(self, asked: AddressedMessage, heard: _PendingMessage) -> None:
        """Have the journal know of a question, as the one of its two copies that says more of it."""
        written = False
        try:
            await self._wait_for_copy(asked, heard)
            heard.kept = dump(heard.event)
            heard.fresh = await self._inbox.receive(self._key(asked.channel, asked.said.ts), heard.kept)
            written = True
        except Exception:
            # The boundary of one event: whatever is odd about it, the next ones are heard.
            log.exception("Slack: a message in %s could not be written down", asked.channel)
            self._recent.pop((asked.channel, asked.said.ts))
        finally:  # where this process ends, the event is not acknowledged
            heard.event = {}
            if not heard.written.done():
                heard.written.set_result(written)

    async def _wait_for_copy(self, asked: AddressedMessage, heard: _PendingMessage) -> None:
        """A mention comes as two events, of which only the other may say what is attached."""
        if asked.is_mention_event and not asked.said.files and self._workspace.memory.is_flowing(asked.channel):
            with suppress(TimeoutError):
                async with asyncio.timeout(COPY_SECONDS):
                    await heard.copy.wait()

    async def _hand_over(self, asked: AddressedMessage, heard: _PendingMessage) -> None:
        """Find out who asks, and hand the turn over; in order within a conversation."""
        key, handed_over = self._key(asked.channel, asked.said.ts), False
        try:
            if not self._is_unsure(asked) or await self._look(asked, heard):
                async with self._locks.hold(asked.conversation):
                    handed_over = await heard.written and heard.fresh and await self._offer(asked, heard)
            if not handed_over and await heard.written and heard.fresh:
                self._inbox.dismiss(key)
        except Retryable as failure:
            # What was acknowledged is not given up: what is written down of it is for the next process.
            log.error(  # noqa: TRY400 (one line says it)
                "Slack: a message in %s is not answered before the next start, since nothing could be looked up: %s",
                asked.channel,
                failure,
            )
        except Failure as failure:
            log.error(  # noqa: TRY400 (one line says it)
                "Slack: a message in %s is not answered, since it could not be learnt who wrote it: %s "
                "(a guest must not slip through; the app needs the scope users:read)",
                asked.channel,
                failure,
            )
            self._inbox.dismiss(key)
        except Exception:
            # The boundary of one event: whatever is odd about it, the next ones are heard.
            log.exception("Slack: a message in %s could not be taken in", asked.channel)
            self._inbox.dismiss(key)
        finally:
            heard.kept, heard.handed_over = "", True
            heard.stops.clear()
            self._pending -= 1
            if not self._pending:
                self._handed_over.set()

    async def _look(self, asked: AddressedMessage, heard: _PendingMessage) -> bool:
        """Find out whether a message is a question; those of one conversation in order, and no question behind them."""
        async with self._lookup_locks.hold(asked.conversation):
            if not (await heard.written and heard.fresh):
                return False
            if await takes_part(asked, self._workspace):
                return True
        self._recent.pop((asked.channel, asked.said.ts))
        return False

    async def _offer(self, asked: AddressedMessage, heard: _PendingMessage) -> bool:
        """Hand a turn over, unless it turns out to ask nothing of us."""
        workspace = self._workspace
        half = heard.left if heard.left is not None and heard.left.messages else None
        if heard.left is not None and half is None and await heard.left.is_deleted():
            return False
        if asked.why is Trigger.FOLLOW_UP and not await takes_part(asked, workspace):
            self._recent.pop((asked.channel, asked.said.ts))
            return False
        person = await workspace.people.find(asked.said.user)
        if person.bot:
            return False
        if (told := workspace.memory.told(asked.conversation, asked.said.ts)) is not None:  # a second copy says more
            files, beside = asked.said.files or told.files, asked.said.beside or told.beside
            asked = replace(asked, said=replace(asked.said, files=files, beside=beside))
        question = await question_of(asked, person, workspace)
        if heard.withdrawn and half is None:
            return False
        key = self._key(asked.channel, asked.said.ts)
        if heard.left is None:
            self._inbox.update_event(key, with_user(heard.kept, person))
        turn = Turn(
            key=key,
            conversation=self._name(asked.conversation),
            author=author_of(asked, person, workspace.me),
            question=question,
            channel_ids=tuple(filter(None, (asked.thread, asked.channel))),
            direct=asked.why is Trigger.DIRECT,
        )
        said = asked.said
        channel = SlackChannel(workspace, asked.conversation, key, said.files, beside=said.beside, left=heard.left)
        self._inbox.accept(turn, channel)
        for by in heard.stops:
            self._inbox.stop(key, by=by)
        if half is not None:  # it is gone on with while that is looked into
            workspace.spawn(self._give_up_if_deleted(asked, heard, half))
        return True

    async def _give_up_if_deleted(self, asked: AddressedMessage, heard: _PendingMessage, half: ThreadSnapshot) -> None:
        """Nobody told us of what was deleted while no process of ours ran."""
        if heard.withdrawn or await half.is_deleted():
            self._inbox.message_deleted(self._key(asked.channel, asked.said.ts))

    def _key(self, channel: str, ts: str) -> TurnKey:
        return TurnKey(PLATFORM, self._workspace.me.team, channel, ts)

    def _name(self, conversation: Conversation) -> str:
        """A conversation as the core knows it."""
        return "/".join((PLATFORM, self._workspace.me.team, *filter(None, conversation)))


def update_cache(event: Mapping[str, Any], workspace: WorkspaceState, asked: AddressedMessage | None) -> None:
    """Remember what an event tells of the conversations that we take part in."""
    channel, memory, me = string(event, "channel"), workspace.memory, workspace.me
    if string(event, "type") == "message" and channel:
        memory.flows(channel)
    if asked is not None and asked.why is not Trigger.FOLLOW_UP:
        if asked.thread:
            workspace.participation.join(asked.conversation, asked.said.ts)
        memory.open(asked.conversation, from_start=asked.starts_thread)
    subtype = string(event, "subtype")
    if subtype == "message_deleted":
        conversation = _conversation(channel, mapping(event, "previous_message"))
        memory.forget(conversation, string(event, "deleted_ts"))
        return
    message = mapping(event, "message") if subtype == "message_changed" else event
    said = parse_message(message, me) if channel else None
    if said is None:
        return
    conversation = _conversation(channel, message)
    if not (is_ours(message, me) and memory.holds(conversation, said.ts)):  # our own record is never older
        memory.hear(conversation, said)


def _conversation(channel: str, message: Mapping[str, Any]) -> Conversation:
    thread = string(message, "thread_ts")
    if not thread and not channel.startswith("D"):
        thread = string(message, "ts")
    return (channel, thread)
