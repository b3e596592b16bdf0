"""Where one answer goes: the thread or the direct message of its question.

What belongs here: the core's verbs as calls of the Web API. What does not: when they are made (`bot.delivery.pacer`),
what a body looks like on the wire (`blocks`), and what an error means (`errors`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.shared.attachments import TOO_OLD, Attachment
from adapters.shared.context_labels import since
from adapters.slack.errors import BLOCKS, METADATA, NO_METHOD, TABLES, UNCHANGEABLE, code_of, is_too_much
from adapters.slack.events.parse import METADATA_TYPE, SlackMessage, order, string
from adapters.slack.history.attachments import parts_of
from adapters.slack.history.cache import Conversation
from adapters.slack.history.reader import PAGE, before, joined, message_of, posted_with, warn_unread
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.messages.blocks import MARKDOWN_LIMIT, with_blocks, without_blocks
from adapters.slack.messages.files import FILE_LIMIT, FileBatch, is_everywhere, of_turn, with_files
from adapters.slack.messages.mrkdwn import TEXT_LIMIT, escaped, from_markdown, mentions, plain, without_mention
from adapters.slack.messages.renderer import SlackMarkdown, strip_our_markup
from adapters.slack.messages.tables import count_tables
from adapters.slack.state import WorkspaceState
from adapters.slack.web_api import ApiResponse
from bot.conversation import History, Message, OmittedAttachment, Part, Text, TurnKey
from bot.errors import (
    Failure,
    Forbidden,
    InvalidRequest,
    NotEditable,
    NotFound,
    OutcomeUnknown,
    Permanent,
    ServiceError,
    TooLarge,
    cause_of,
)
from bot.markdown import utf16_units
from bot.ports import Body, ChannelCapabilities, Verb
from bot.rate_limits import Budget

log = logging.getLogger(__name__)

# A status clears itself after two minutes (https://docs.slack.dev/reference/methods/assistant.threads.setStatus).
# What was said before is waited for so long, its budget's queue included; then an answer is made without it. A reader
# sees nothing meanwhile.
READ_SECONDS = 10.0
STATUS = "is thinking..."
STATUS_SECONDS = 90.0
# After the work has ended, the first post has this long to clear the status, before it is done by hand.
STATUS_GRACE_SECONDS = 2.0
# Where a body is refused for its size, the next ones have half of it, down to these, in characters: smaller blocks are
# refused for something else, and nobody would want to read smaller texts.
LEAST_BLOCKS = 1_000
LEAST_TEXT = 300
# Edits in a row that were answered 404 by somebody who does not speak Slack's JSON, after which this server has none.
NO_EDITS = 3


class SlackChannel:
    """One turn's way to Slack. See `bot.ports.Channel`."""

    def __init__(
        self,
        workspace: WorkspaceState,
        conversation: Conversation,
        key: TurnKey,
        files: Sequence[Attachment] = (),
        *,
        beside: str = "",
        left: ThreadSnapshot | None = None,
    ) -> None:
        """`beside` is what the question is known to show beside its text; `left` what an earlier process began."""
        self._workspace = workspace
        self._conversation = conversation
        self._channel, self._thread = conversation
        self._key = key
        self._files = files  # of the question
        self._beside = beside
        self._left = left
        self._posted = left is not None and bool(left.messages)
        self._was_read = left  # for as long as nothing was posted here since it was looked into
        self._text_only = workspace.flags.is_disabled("blocks")  # or once the blocks of this answer were refused
        self._keyless = False  # what posts are found again by was refused
        self._edits = not workspace.flags.is_disabled("edits")
        self._edits_missed = 0  # in a row
        self._tables: int | None = None  # how many of a message stay tables, once all of them were refused
        # Of this answer, so that it is cut for what it will be written as; what is refused makes them smaller.
        self._caps = replace(_caps(text_only=self._text_only), edits=self._edits)
        shut = workspace.flags.is_disabled("files") or workspace.flags.is_disabled(f"files:{conversation[0]}")
        self._takes_files = not shut  # decided once as well, but for what shows when its own files go up
        self._sent: dict[str, FileBatch] = {}  # files of this answer, by the key of their post
        self._filed: set[str] = set()  # messages that show files

    @property
    def connection(self) -> str:
        """See `bot.ports.Channel`."""
        return f"slack:{self._workspace.me.team}"

    @property
    def caps(self) -> ChannelCapabilities:
        """See `bot.ports.Channel`."""
        return replace(self._caps, files=FILE_LIMIT) if self._takes_files else self._caps

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """See `bot.ports.Channel`."""
        return self._workspace.budgets.of(verb, self._channel)

    # ------------------------------------------------------------------------------------------------------- writing

    async def post(self, body: Body, key: str) -> str:
        """See `bot.ports.Channel`. The key goes into the message's metadata, where `find` looks for it."""
        if body.files:
            return await self._post_files(body, key)
        self._was_read = None
        payload: dict[str, Any] = {
            "channel": self._channel,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if not self._keyless:
            payload["metadata"] = {"event_type": METADATA_TYPE, "event_payload": {"key": key}}
        if self._thread:
            payload["thread_ts"] = self._thread
        answer = await self._write("chat.postMessage", payload, body, once=True)
        ts = string(answer.data, "ts")
        if not ts:
            raise OutcomeUnknown("chat.postMessage: an answer without a ts")
        self._posted = True
        self._workspace.participation.join(self._conversation, self._key.message)
        self._remember(ts, body, key)
        return ts

    async def edit(self, message: str, body: Body) -> None:
        """See `bot.ports.Channel`. No edit takes files away: such a message is deleted, and its place is free."""
        if not body.files and await self._shows_files(message):
            for budget in self._workspace.budgets.of(Verb.DELETE, self._channel):
                budget.spend(asyncio.get_running_loop().time())
            await self.delete(message)
            raise NotFound("chat.update: a message with files of an earlier process was in the place of text")
        try:
            await self._write("chat.update", {"channel": self._channel, "ts": message}, body, once=False)
        except Failure as failure:
            self._note_refused_edit(failure)
            raise
        self._edits_missed = 0
        self._posted = True
        self._remember(message, body, "")

    async def delete(self, message: str) -> None:
        """See `bot.ports.Channel`."""
        self._workspace.memory.forget(self._conversation, message)
        self._was_read = None
        self._workspace.deleted.put((self._channel, message), True)  # noqa: FBT003 (a set with a limit)
        try:
            await self._workspace.web.post("chat.delete", {"channel": self._channel, "ts": message})
        except NotFound:
            log.debug("%s: the message to delete is gone already", self._key.reference)

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """See `bot.ports.Channel`. Raises as `post` does: not having been able to look is not having found nothing."""
        found = self._workspace.memory.posted(self._conversation, key)  # its own echo may have told
        try:
            if found is None:
                found = await self._look_for(key, known)
        except Failure as failure:
            if not isinstance(failure, Permanent) and code_of(failure) != "unknown_method":
                raise
            log.warning("%s: cannot look whether a message was posted (%s)", self._key.reference, failure)
            return None
        self._posted = self._posted or found is not None
        return found

    async def _look_for(self, key: str, known: Sequence[str]) -> str | None:
        after = known[-1] if known else self._key.message
        said = await self._was_read.since(after) if self._was_read is not None else None
        if said is None:
            said = await self._workspace.reader.since(self._conversation, after)
        # Where an earlier process was at work and none of this answer is known, what follows a question may answer an
        # older one, unless the thread begins with it.
        sent = self._sent.get(key)
        if sent is not None:
            return with_files(said, sent.ids)
        certain = self._left is None or bool(known) or self._thread == self._key.message
        found = posted_with(key, said, self._workspace.memory.keyed(self._conversation) if certain else None)
        if found is None and self._left is not None:
            found = of_turn(said, self._key.reference, known)
            self._filed.update([found] if found else [])
        return found

    async def _post_files(self, body: Body, key: str) -> str:
        """Send the files and have them shown; a post that was not answered is waited for, then made again."""
        workspace, sent = self._workspace, self._sent.get(key)
        try:
            ts = await workspace.uploads.message(sent, self._conversation) if sent is not None else None
            if ts is None:
                ts = await self._show_files(body, key, sent)
        except Failure as failure:
            lacks_it = code_of(failure) == "unknown_method"  # by a 404 of a server that has no such method
            if not isinstance(failure, Permanent) and not lacks_it:
                raise
            self._without_files(failure)
            if lacks_it:
                raise Forbidden(str(failure)) from failure
            raise
        self._posted = True
        self._was_read = None
        self._filed.add(ts)
        workspace.participation.join(self._conversation, self._key.message)
        rest = [file.rest for file in body.files if file.rest]  # so that the next question's history is whole
        self._remember(ts, Body("\n\n".join([*rest, body.text])), key)
        return ts

    async def _show_files(self, body: Body, key: str, sent: FileBatch | None) -> str:
        uploads = self._workspace.uploads
        if sent is not None and sent.taken:  # Slack has them, says that all is well, and shows nothing
            await uploads.withdraw(sent)
            raise InvalidRequest("files.completeUploadExternal: taken, and never shown")
        sent = self._sent[key] = sent or await uploads.put(body.files)
        answer = await uploads.show(sent, self._conversation, from_markdown(body.text))
        ts = await uploads.message(sent, self._conversation, answer)
        if ts is None:
            raise OutcomeUnknown("files.completeUploadExternal: no message shows the files yet")
        return ts

    def _without_files(self, failure: Failure) -> None:
        """Files do not go up here: for the rest of this answer, and for a while for those to come."""
        self._takes_files = False
        self._workspace.flags.shut("files" if is_everywhere(failure) else f"files:{self._channel}")
        log.warning("long answers go on in messages, since files do not go up (%s)", failure)

    async def _shows_files(self, message: str) -> bool:
        """Whether a message that an earlier process may have posted shows files; never the first of an answer."""
        left = self._left
        if left is not None and message in left.messages[1:] and message not in self._filed:
            said = await left.since(self._key.message) or ()
            return any(each.ts == message and each.uploads for each in said)
        return message in self._filed

    def _note_refused_edit(self, failure: Failure) -> None:
        """Raise what it means for the answer, where this server has no edits."""
        if code_of(failure) not in NO_METHOD or isinstance(failure, NotEditable):
            return
        self._edits_missed += 1
        if isinstance(failure, Permanent) or self._edits_missed >= NO_EDITS:  # a proxy's 404 passes
            self._workspace.flags.shut("edits")
            log.warning("Slack takes no edits here: answers go on in new messages (%s)", failure)
            raise NotEditable(str(failure)) from failure

    async def _write(self, method: str, payload: dict[str, Any], body: Body, *, once: bool) -> ApiResponse:
        flags = self._workspace.flags
        if not self._text_only and flags.is_disabled("blocks"):
            self._as_text()
        text_only = self._text_only
        if text_only and len(from_markdown(body.text)) > TEXT_LIMIT:
            raise TooLarge(f"{method}: longer than text may be, where blocks are refused")
        shown = without_blocks(body.text) if text_only else with_blocks(body.text, tables=self._tables_taken())
        try:
            answer = await self._workspace.web.send(method, payload | shown, once=once)
        except InvalidRequest as failure:
            if code_of(failure) in UNCHANGEABLE:
                raise NotEditable(str(failure)) from failure
            if code_of(failure) in METADATA and not self._keyless:
                self._keyless = True
                raise ServiceError(f"{method}: again without its key") from failure
            raise self._with_less(method, body, failure) from failure
        if not text_only:
            flags.confirm("blocks")
        if self._tables is None and not text_only and count_tables(body.text) > 1:
            flags.confirm("tables")
        return answer

    def _tables_taken(self) -> int | None:
        """How many tables of a message stay tables; None for all of them."""
        return 1 if self._tables is None and self._workspace.flags.is_disabled("tables") else self._tables

    def _with_less(self, method: str, body: Body, failure: InvalidRequest) -> Failure:
        """A body was refused: how it goes on, each try with a permit of its own, down to plain text in short messages.

        What is too much goes on in smaller messages. Else only one table is one, then none is; then all is text.
        """
        size, what = self._caps.measure(body.text), "messages"
        if self._text_only or (is_too_much(failure) and min(size, self._caps.limit) > LEAST_BLOCKS):
            if self._text_only and min(size, self._caps.limit) <= LEAST_TEXT:
                return failure
            least = LEAST_TEXT if self._text_only else LEAST_BLOCKS
            self._caps = replace(self._caps, limit=max(min(size, self._caps.limit) // 2, least))
        elif self._fewer_tables(body, failure):
            what = "tables"
        else:
            what = "blocks"
            if code_of(failure) in BLOCKS and not is_too_much(failure):
                self._workspace.flags.suspect("blocks")
            self._as_text()
        log.warning("Slack refuses the %s of an answer, which goes on smaller or plainer (%s)", what, failure)
        if what == "messages" or (what == "blocks" and len(from_markdown(body.text)) > TEXT_LIMIT):
            return TooLarge(f"{method}: again in smaller messages")
        return ServiceError(f"{method}: again with less in its blocks")

    def _as_text(self) -> None:
        self._text_only = True
        self._caps = replace(_caps(text_only=True), edits=self._edits)

    def _fewer_tables(self, body: Body, failure: InvalidRequest) -> bool:
        left, count = self._tables_taken(), count_tables(body.text)
        if code_of(failure) not in BLOCKS | TABLES or left == 0 or not count:
            return False
        only_one = left is None and count > 1 and code_of(failure) in TABLES
        self._tables = 1 if only_one else 0
        if only_one:
            self._workspace.flags.suspect("tables")
        return True

    def _remember(self, ts: str, body: Body, key: str) -> None:
        me = self._workspace.me
        said = SlackMessage(ts, me.user, strip_our_markup(body.text), thread=self._thread, ours=True, key=key)
        self._workspace.memory.hear(self._conversation, said)

    # ------------------------------------------------------------------------------------------------------- reading

    async def attachments(self) -> tuple[Part, ...]:
        """See `bot.ports.Channel`."""
        workspace = self._workspace
        now = workspace.memory.told(self._conversation, self._key.message)
        more = since(now.beside, self._beside) if now is not None else ""
        (parts,) = await parts_of(workspace, [self._files])
        if not more:
            return tuple(parts)
        return (Text(plain(more, await workspace.names.of([more]), workspace.zone)), *parts)

    async def history(self, limit: int) -> History:
        """See `bot.ports.Channel`. What cannot be read is left out, and said to be."""
        said, more, unread = await self._said(limit)
        # A server that keeps no keys does not tell that they are of this answer.
        left = frozenset(self._left.messages if self._left else ())
        said = [each for each in said if each.ts not in left]
        said = joined(before(said, self._key.message, self._key.digest))
        kept = said[-limit:] if limit > 0 else []
        return History(
            messages=tuple(await self._messages(kept)),
            truncated=more or len(kept) < len(said),
            unread=unread,
        )

    async def _said(self, limit: int) -> tuple[list[SlackMessage], bool, str]:
        """What was said, whether there is more before it, and why it could not be read, if so."""
        workspace = self._workspace
        if self._thread == self._key.message:
            return [], False, ""  # the thread begins with the question
        known = workspace.memory.recall(self._conversation)
        if known is not None:
            return *known, ""
        gaps = workspace.memory.gaps
        workspace.memory.open(self._conversation, from_start=False)  # what is said while it is being read is part of it
        try:
            # An answer may have taken several messages, so a few more are read than are wanted.
            async with asyncio.timeout(READ_SECONDS):
                newest, by = min(2 * limit + 2, PAGE), asyncio.get_running_loop().time() + READ_SECONDS
                pages = await workspace.reader.read(self._conversation, newest=newest, until=self._key.message, by=by)
        except (Failure, TimeoutError) as failure:
            warn_unread(self._conversation, failure)
            return workspace.memory.part(self._conversation), True, cause_of(failure)
        if not pages.reached:
            log.warning("%s: the thread is too long to be read up to now", self._key.reference)
            either = {each.ts: each for each in (*workspace.memory.part(self._conversation), *pages.said)}
            return sorted(either.values(), key=lambda each: order(each.ts)), True, ""
        workspace.memory.learn(self._conversation, pages.said, more=pages.more, gaps=gaps)
        return list(pages.said), pages.more, ""

    async def _messages(self, said: Sequence[SlackMessage]) -> list[Message]:
        me = self._workspace.me.user
        speakers = {each.user for each in said if not each.ours and not each.bot and not each.name}
        texts = [each.shown for each in said if not each.ours]
        mentioned = {user for text in texts for user in mentions(text)}
        names = await self._workspace.names.of(texts, (speakers | mentioned) - {me})
        parts = await self._attached(said)
        plainly = [each if each.ours else replace(each, text=without_mention(each.text, me)) for each in said]
        messages = [message_of(each, names, parts.get(each.ts, ()), self._workspace.zone) for each in plainly]
        return [each for each in messages if _says_something(each)]

    async def _attached(self, said: Sequence[SlackMessage]) -> Mapping[str, Sequence[Part]]:
        """What is attached to the newest messages, by ts, as many files as one message may have with the question's.

        The model is told of those that cannot be had; the reader was, when it was asked with them.
        """
        room = max(self._workspace.attachments.limits.count - len(self._files), 0)
        wanted: dict[str, list[Attachment]] = {}
        older: dict[str, list[Part]] = {}
        for each in reversed(said):
            wanted[each.ts] = list(each.files[:room])
            older[each.ts] = [OmittedAttachment(file.name, TOO_OLD) for file in each.files[room:]]
            room -= len(wanted[each.ts])
        read = await parts_of(self._workspace, list(wanted.values()))
        return {ts: [*parts, *older[ts]] for ts, parts in zip(wanted, read, strict=True)}

    # -------------------------------------------------------------------------------------------------------- status

    async def show_working(self) -> None:
        """See `bot.ports.Channel`. Where the surface has no status, nothing is shown."""
        try:
            while self._thread and not self._status_is_off():
                await self._set_status(STATUS)
                await asyncio.sleep(STATUS_SECONDS)
            await asyncio.Event().wait()
        finally:
            if self._thread and not self._posted and not self._status_is_off():
                self._workspace.spawn(self._clear_status())

    async def _clear_status(self) -> None:
        await asyncio.sleep(STATUS_GRACE_SECONDS)
        if not self._posted:
            await self._set_status("")

    async def _set_status(self, status: str) -> None:
        payload = {"channel_id": self._channel, "thread_ts": self._thread, "status": status}
        try:
            await self._workspace.web.send("assistant.threads.setStatus", payload)
        except Failure as failure:
            everywhere = code_of(failure) in ("unknown_method", "missing_scope", "not_allowed_token_type")
            if not everywhere and not isinstance(failure, Permanent):
                log.debug("%s: the status was not set (%s)", self._key.reference, failure)
                return
            log.info("Slack shows no status here (%s)", failure)
            self._workspace.flags.shut("status" if everywhere else f"status:{self._channel}")

    def _status_is_off(self) -> bool:
        flags = self._workspace.flags
        return flags.is_disabled("status") or flags.is_disabled(f"status:{self._channel}")


def _says_something(message: Message) -> bool:
    """Whether anything is left of a message once files that could not be had are left out."""
    return any(not isinstance(part, Text) or part.text.strip() for part in message.parts)


def _as_text(text: str) -> int:
    """Characters that a body takes where blocks are refused, or as many as fit; see `from_markdown`."""
    return len(escaped(text))


def _caps(*, text_only: bool) -> ChannelCapabilities:
    if text_only:
        return ChannelCapabilities(limit=TEXT_LIMIT, measure=_as_text, renderer=SlackMarkdown())
    # Slack says "characters" and not which: UTF-16 units are the most that it can mean.
    return ChannelCapabilities(limit=MARKDOWN_LIMIT, measure=utf16_units, renderer=SlackMarkdown(expands=True))
