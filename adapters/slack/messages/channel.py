"""The channel of one turn: the thread or the direct message of its question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from typing_extensions import override

from adapters.shared.capabilities import PresentCapabilities
from adapters.shared.json_fields import string_field
from adapters.slack.errors import STREAM_OPEN, UNDELETABLE, code_of
from adapters.slack.events.parse import METADATA_TYPE, SlackMessage
from adapters.slack.history.cache import Conversation
from adapters.slack.history.context import TurnContext
from adapters.slack.history.reader import find_post
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.messages.files import FILE_LIMIT, FileBatch, fails_everywhere, find_files, find_turn_files
from adapters.slack.messages.mrkdwn import from_markdown
from adapters.slack.messages.renderer import strip_our_markup
from adapters.slack.messages.session import AgentSession
from adapters.slack.messages.status import ThreadStatus
from adapters.slack.messages.streams import StreamWriter
from adapters.slack.messages.writer import BodyWriter
from adapters.slack.rate_limits import spending_write
from adapters.slack.state import WorkspaceState
from bot.conversation import History, Part, TurnKey
from bot.errors import (
    Failure,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Permanent,
    RateLimited,
    StreamOpen,
    StreamRefused,
)
from bot.interactions.ports import NoInteractions
from bot.ports import Body, Channel, ChannelCapabilities, Controls, Verb
from bot.rate_limits import Budget

log = logging.getLogger(__name__)

# Most live answers in a workspace for one with a stop button. Slack takes an edit each 1.2 s, so among four an answer
# loses its button within five seconds of its end; with more, the button would mislead. Reactions and words still stop.
STOP_ANSWERS = 4
# Waits for the event of a post with a lost answer, and their number: it comes within a second.
EVENT_POLL_SECONDS = 0.25
EVENT_POLLS = 8


class SlackChannel(Channel):
    """Writes and reads one turn's conversation.

    The parts below are made at first use, since a rejected turn needs none of them. A form of writing is chosen once
    per answer, so that the core splits the text for it.
    """

    def __init__(
        self,
        workspace: WorkspaceState,
        conversation: Conversation,
        key: TurnKey,
        question: SlackMessage,
        snapshot: ThreadSnapshot | None = None,
    ) -> None:
        """`snapshot` has the messages of an earlier process, if it left this turn unfinished.

        The `ts` of `question` is its position in the conversation. Unless it is the message of `key`, the question was
        asked by a command or a message's menu.
        """
        self._workspace = workspace
        self._conversation = conversation
        self._key = key
        self._question = question
        self._snapshot = snapshot
        self._capabilities = PresentCapabilities()
        self._is_snapshot_current = snapshot is not None  # until our first post
        self._batches: dict[str, FileBatch] = {}  # uploaded files of this answer, by the key of their post
        self._file_messages: set[str] = set()
        # Posts that could not be looked for, by key: where an earlier copy may stand, and after which message.
        self._unsure: dict[str, tuple[Conversation, str]] = {}

    @cached_property
    def _writer(self) -> BodyWriter:
        return BodyWriter(self._workspace, self._key.message, self._offered)

    @cached_property
    def _streams(self) -> StreamWriter:
        return StreamWriter(self._workspace, self._conversation, self._key, self._question, self._writer)

    @cached_property
    def _status(self) -> ThreadStatus:
        status = ThreadStatus(self._workspace, self._conversation, self._key.reference)
        status.has_posted = self._snapshot is not None and bool(self._snapshot.messages)
        return status

    @cached_property
    def _session(self) -> AgentSession:
        question = self._question.ts if self._is_message else ""
        is_recovered = self._snapshot is not None
        return AgentSession(self._workspace, self._conversation, question, is_recovered=is_recovered)

    @cached_property
    def _context(self) -> TurnContext:
        posted = self._snapshot.messages if self._snapshot is not None else ()
        return TurnContext(self._workspace, self._conversation, self._key, self._question, posted)

    @property
    def _is_message(self) -> bool:
        """Whether the question is a message of its own."""
        return self._key.message == self._question.ts

    @property
    def _first_possible(self) -> str:
        """The message before which no post of this turn can be: the question, or the thread's first message."""
        return self._key.message if self._is_message else self._conversation[1]

    @cached_property
    def _takes_files(self) -> bool:
        flags = self._workspace.flags
        return not (flags.is_disabled("files") or flags.is_disabled(f"files:{self._conversation[0]}"))

    @property
    @override
    def connection(self) -> str:
        return f"slack:{self._workspace.me.team}"

    @property
    @override
    def caps(self) -> ChannelCapabilities:
        # Only below a message: the answer's thread is known from the start, and the asker may be a stream's reader.
        stream = self._streams.caps if self._is_message else None
        return self._capabilities.of(self._writer.caps, FILE_LIMIT if self._takes_files else 0, stream)

    @property
    def _offered(self) -> Controls:
        """The buttons of this answer: Stop only while edits are frequent, the others if the core handles them."""
        has_stop = self._workspace.budgets.of(Verb.EDIT, self._conversation[0])[0].live <= STOP_ANSWERS
        stop = Controls.STOP if has_stop else Controls.NONE
        is_handled = not isinstance(self._workspace.interactions, NoInteractions)
        return stop | (Controls.RETRY | Controls.FEEDBACK if is_handled else Controls.NONE)

    @override
    def budgets(self, verb: Verb) -> Sequence[Budget]:
        return self._workspace.budgets.of(verb, self._conversation[0])

    @override
    async def attachments(self) -> tuple[Part, ...]:
        return await self._context.attachments()

    @override
    async def history(self, limit: int) -> History:
        return await self._context.history(limit)

    @override
    async def show_working(self) -> None:
        await self._session.begin()
        await self._status.show()

    @override
    async def turn_ended(self) -> None:
        await self._status.end()
        await self._session.end(is_begun=self._streams.leaves_session)

    # ------------------------------------------------------------------------------------------------------- writing

    @override
    async def post(self, body: Body, key: str) -> str:
        """The key goes into the message's metadata, where `find` looks for it."""
        if body.files:
            return await self._post_files(body, key)
        self._is_snapshot_current = False
        channel, thread = self._conversation
        payload: dict[str, Any] = {"channel": channel, "unfurl_links": False, "unfurl_media": False}
        if self._writer.has_metadata:
            payload["metadata"] = {"event_type": METADATA_TYPE, "event_payload": {"key": key}}
        if thread:
            payload["thread_ts"] = thread
        self._status.post_begins()
        answer = await self._writer.write("chat.postMessage", payload, body, once=True)
        ts = string_field(answer.data, "ts")
        if not ts:
            raise OutcomeUnknown("chat.postMessage: an answer without a ts")
        self._note_post(ts, body, key)
        return ts

    @override
    async def edit(self, message: str, body: Body) -> None:
        """An edit cannot remove files: a message with files is deleted instead, and `NotFound` frees its place."""
        if not body.files and await self._has_files(message):
            await self._delete_unasked(message)
            raise NotFound("chat.update: a message with files of an earlier process was in the place of text")
        try:
            await self._streams.edit(message, body, is_recovery=self._snapshot is not None)
        except Failure as failure:
            if code_of(failure) == STREAM_OPEN:
                raise StreamOpen(str(failure)) from failure
            self._writer.edit_failed(failure)
            raise
        self._writer.edit_succeeded()
        self._status.has_posted = True
        self._cache_own(message, body, "")

    # ----------------------------------------------------------------------------------------------- native streams

    @override
    async def start(self, body: Body, key: str) -> str:
        """`find` looks for a start with an unknown outcome by its text, since Slack takes no key with it."""
        if self.caps.stream is None:
            raise StreamRefused("chat.startStream: no streams here")
        self._is_snapshot_current = False
        self._status.post_begins()
        ts = await self._streams.start(body, key)
        self._note_post(ts, body, key)
        return ts

    @override
    async def append(self, message: str, text: str) -> None:
        await self._streams.append(message, text)
        self._cache_own(message, Body(self._streams.texts[message]), "")

    @override
    async def stop(self, message: str, text: str, body: Body) -> None:
        is_known = message in self._streams.texts
        await self._streams.stop(message, text, body)
        if is_known and text:
            self._cache_own(message, Body(self._streams.texts[message]), "")

    # ----------------------------------------------------------------------------------------------------- deleting

    @override
    async def delete(self, message: str) -> None:
        channel = self._conversation[0]
        self._workspace.cache.remove(self._conversation, message)
        self._is_snapshot_current = False
        self._workspace.cache.deleted_by_us[(channel, message)] = True
        try:
            await self._workspace.web.post("chat.delete", {"channel": channel, "ts": message})
        except Forbidden as failure:
            if code_of(failure) not in UNDELETABLE or not await self._streams.close(message):
                raise
            await self._workspace.web.post("chat.delete", {"channel": channel, "ts": message})
        except NotFound:
            log.debug("%s: the message to delete no longer exists", self._key.reference)

    async def _delete_unasked(self, message: str) -> None:
        """Delete a message beside the core's writes, within the same budget."""
        async with spending_write(self.budgets(Verb.DELETE), is_patient=False):
            await self.delete(message)

    def _note_post(self, ts: str, body: Body, key: str) -> None:
        if (place := self._unsure.pop(key, None)) is not None:
            self._workspace.spawn(self._delete_copies(ts, key, *place))
        self._status.post_answered()
        self._workspace.participation.join(self._conversation, self._key.message if self._is_message else "")
        self._cache_own(ts, body, key)

    def _cache_own(self, ts: str, body: Body, key: str) -> None:
        text, thread = strip_our_markup(body.text), self._conversation[1]
        message = SlackMessage(ts, self._workspace.me.user, text, thread=thread, ours=True, key=key)
        self._workspace.cache.put(self._conversation, message)

    # ------------------------------------------------------------------------------------------------------- finding

    @override
    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """Raises as `post` does: a failed look-up must not count as "not posted"."""
        found = self._workspace.cache.find_key(self._conversation, key)  # from the post's own event
        try:
            if found is None:
                found = await self._look_up(key, known)
        except RateLimited:
            if not self._workspace.reader.is_limited:
                raise
            found = await self._wait_for_event(key)
            if found is None and not self._streams.is_unsure(key):
                self._unsure[key] = (self._conversation, known[-1] if known else self._first_possible)
        except Failure as failure:
            if not isinstance(failure, Permanent) and code_of(failure) != "unknown_method":
                raise
            log.warning("%s: cannot look whether a message was posted (%s)", self._key.reference, failure)
            return None
        if found is not None:
            self._status.has_posted = True
        return found

    async def _look_up(self, key: str, known: Sequence[str]) -> str | None:
        if self._streams.is_unsure(key):
            after = self._streams.start_position(key)
            found = self._streams.find_start(key, await self._workspace.reader.since(self._conversation, after))
            self._streams.settle(key)
            return found
        after, messages = known[-1] if known else self._first_possible, None
        if self._snapshot is not None and self._is_snapshot_current:
            messages = await self._snapshot.since(after)
        if messages is None:
            messages = await self._workspace.reader.since(self._conversation, after)
        batch = self._batches.get(key)
        if batch is not None:
            return find_files(messages, batch.ids)
        # With an earlier process's work and no known message of this answer, the next message may answer an older
        # question, unless the thread begins with this one.
        # A command's question stands nowhere, so any message of ours may answer another one.
        is_certain = self._is_message and (
            self._snapshot is None or bool(known) or self._conversation[1] == self._key.message
        )
        keyed = self._workspace.cache.with_keys(self._conversation) if is_certain else None
        found = find_post(key, messages, None)
        if found is None and self._snapshot is not None and self._is_message and self._conversation[1]:
            found = await self._streams.find_open(key, messages, known)
        found = found or find_post(key, messages, keyed)
        if found is None and self._snapshot is not None:
            found = find_turn_files(messages, self._key.reference, known)
            self._file_messages.update([found] if found else [])
        return found

    async def _wait_for_event(self, key: str) -> str | None:
        """The ts of our post with `key` from its event, which a limited app waits for instead of a read."""
        if not self._is_snapshot_current and self._workspace.cache.is_subscribed(self._conversation[0]):
            for _ in range(EVENT_POLLS):
                if found := self._find_in_cache(key):
                    return found
                await asyncio.sleep(EVENT_POLL_SECONDS)
        return self._find_in_cache(key)

    def _find_in_cache(self, key: str) -> str | None:
        cache = self._workspace.cache
        if self._streams.is_unsure(key):
            return self._streams.find_start(key, cache.messages(self._conversation))
        return cache.find_key(self._conversation, key)

    async def _delete_copies(self, ts: str, key: str, conversation: Conversation, after: str) -> None:
        """Delete our earlier message with the same key as `ts`: it was posted before, and nobody could tell."""
        try:
            messages = await self._workspace.reader.since(conversation, after, is_patient=True)
            if self._snapshot is not None and (opened := await self._streams.find_open(key, messages, (ts,))):
                await self._delete_unasked(opened)
            for each in messages:
                if each.ours and each.key == key and each.ts != ts:
                    await self._delete_unasked(each.ts)
        except Failure as failure:
            log.info("%s: a second copy of a message may remain (%s)", self._key.reference, failure)

    # --------------------------------------------------------------------------------------------------------- files

    async def _post_files(self, body: Body, key: str) -> str:
        """Upload files and share them in one message; after a lost answer, look for it before sharing again."""
        batch = self._batches.get(key)
        try:
            uploader = self._workspace.uploader
            ts = await uploader.find_message(batch, self._conversation) if batch is not None else None
            if ts is None:
                ts = await self._share_files(body, key, batch)
        except Failure as failure:
            lacks_method = code_of(failure) == "unknown_method"  # also from a plain 404
            if not isinstance(failure, Permanent) and not lacks_method:
                raise
            self._disable_files(failure)
            if lacks_method:
                raise Forbidden(str(failure)) from failure
            raise
        self._is_snapshot_current = False
        self._file_messages.add(ts)
        rest = [file.rest for file in body.files if file.rest]  # completes the next question's history
        self._note_post(ts, Body("\n\n".join([*rest, body.text])), key)
        return ts

    async def _share_files(self, body: Body, key: str, batch: FileBatch | None) -> str:
        uploader = self._workspace.uploader
        if batch is not None and batch.completed:  # Slack accepted the files and shows nothing
            await uploader.withdraw(batch)
            raise InvalidRequest("files.completeUploadExternal: accepted, and never shown")
        batch = self._batches[key] = batch or await uploader.upload(body.files)
        answer = await uploader.share(batch, self._conversation, from_markdown(body.text))
        ts = await uploader.find_message(batch, self._conversation, answer)
        if ts is None:
            raise OutcomeUnknown("files.completeUploadExternal: no message shows the files yet")
        return ts

    def _disable_files(self, failure: Failure) -> None:
        """Send no more files in this answer, nor for a while in others."""
        self._takes_files = False
        everywhere = fails_everywhere(failure)
        self._workspace.flags.disable("files" if everywhere else f"files:{self._conversation[0]}")
        log.warning("long answers continue in messages, since files cannot be posted (%s)", failure)

    async def _has_files(self, message: str) -> bool:
        """Whether a message of this answer has files; an earlier process's first message never has."""
        snapshot = self._snapshot
        if snapshot is not None and message in snapshot.messages[1:] and message not in self._file_messages:
            since_question = await snapshot.since(self._first_possible) or ()
            return any(each.ts == message and each.uploads for each in since_question)
        return message in self._file_messages
