"""Native streams of one answer: messages growing by appends, in Slack's own form.

https://docs.slack.dev/reference/methods/chat.startStream, chat.appendStream, chat.stopStream. None of the calls is
idempotent, and a start carries no key. So a thread has at most one start with an unknown outcome, and `find_start`
recognises its message by the text. A stop carries the key, for later reads.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from adapters.shared.json_fields import object_field, string_field
from adapters.slack.errors import NO_METHOD, STREAM_CLOSED, STREAM_STOPPED, code_of
from adapters.slack.events.own_answer import own_answer
from adapters.slack.events.parse import METADATA_TYPE, SlackMessage, StopRequested, order
from adapters.slack.history.cache import Conversation
from adapters.slack.history.known_streams import KnownStreams
from adapters.slack.history.reader import DIGEST
from adapters.slack.history.users import is_external
from adapters.slack.messages.renderer import strip_our_markup
from adapters.slack.messages.stream_refusals import StreamRefusals
from adapters.slack.messages.stream_search import holds_twice, looks_like
from adapters.slack.messages.writer import BodyWriter
from adapters.slack.rate_limits import spending_write
from adapters.slack.state import WorkspaceState
from bot.conversation import TurnKey
from bot.errors import Failure, NotFound, OutcomeUnknown, Permanent, StreamEnded, StreamRefused
from bot.ports import Body, StreamCapabilities, Verb

log = logging.getLogger(__name__)

# UTF-8 bytes of one streamed message. Slack refuses the rest from 10,600 to 11,300 on, for ever
# (https://github.com/CopilotKit/CopilotKit/issues/6063); others stop at 9,000 as well.
STREAM_BYTES = 9_000
# Longest life of a stream: Slack ends it 300 s after its start, even in use
# (https://github.com/slackapi/python-slack-sdk/issues/1859). The rest is for a stop that has to wait.
STREAM_SECONDS = 280.0
# Messages of an earlier process tried as its open stream: there is one, and a second makes it uncertain.
MOST_TRIED = 3


def stream_bytes(text: str) -> int:
    """The size of a text in a stream, in UTF-8 bytes."""
    return len(text.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Start:
    """A start with an unknown outcome: its text, and the newest message known before it, by its ts."""

    text: str
    after: str


class StreamWriter:
    """Starts, continues and ends the streams of one answer."""

    def __init__(
        self,
        workspace: WorkspaceState,
        conversation: Conversation,
        key: TurnKey,
        question: SlackMessage,
        writer: BodyWriter,
    ) -> None:
        self._workspace = workspace
        self._conversation = conversation
        self._turn = key
        self._question = question
        self._writer = writer
        self._refusals = StreamRefusals(workspace.flags, conversation, question.user)
        self._is_refused = False
        self._keys: dict[str, str] = {}  # of our streams, by message
        self._starts: dict[str, _Start] = {}  # with an unknown outcome, by key
        self._perhaps_stopped: set[str] = set()  # messages whose stop of `find_open` had an unknown outcome
        self.texts: dict[str, str] = {}  # what our streams show, by message
        self.leaves_session = False  # Slack ended a stream, and not its session, which shows a stop button for an hour

    @property
    def _known(self) -> KnownStreams:
        return self._workspace.cache.streams

    @property
    def caps(self) -> StreamCapabilities | None:
        """None where no stream may be started now."""
        return None if self._is_refused or not self._is_offered() else _CAPABILITIES[self._mode == "always"]

    @property
    def _mode(self) -> str:
        return self._workspace.options.streams

    def _is_offered(self) -> bool:
        channel, thread = self._conversation
        is_place = bool(thread) and (self._mode == "always" or (self._mode == "auto" and channel.startswith("D")))
        if not is_place or not self._question.user:
            return False
        return not self._refusals.is_refused

    # --------------------------------------------------------------------------------------------------------- writing

    async def start(self, body: Body, key: str) -> str:
        """Post the start of a stream, and return its ts. Raises as `Channel.start` does."""
        if not self._known.begin_start(self._conversation, key):
            self._is_refused = True
            raise StreamRefused("chat.startStream: an earlier start in this thread has an unknown outcome")
        self._starts[key] = _Start(body.stable, self._newest())
        try:
            ts = await self._post_start(body)
        except OutcomeUnknown as failure:
            if code_of(failure) not in NO_METHOD:  # a plain 404 certainly starts nothing
                raise
            self.settle(key)
            raise self._refused(failure) from failure
        except Permanent as failure:
            self.settle(key)
            raise self._refused(failure) from failure
        except Failure:
            self.settle(key)
            raise
        self.settle(key)
        self._refusals.confirm()
        self._own(ts, key, body.stable)
        return ts

    async def _post_start(self, body: Body) -> str:
        channel, thread = self._conversation
        payload = {
            "channel": channel,
            "thread_ts": thread,
            "markdown_text": body.stable,
            "recipient_user_id": self._question.user,
            "recipient_team_id": self._recipient_team(),
        }
        answer = await self._workspace.web.send("chat.startStream", payload, once=True)
        ts = string_field(answer.data, "ts")
        if not ts:
            raise OutcomeUnknown("chat.startStream: an answer without a ts")
        return ts

    def _recipient_team(self) -> str:
        """The asker's own team: in Slack Connect it differs from ours."""
        known = self._workspace.users.known(self._question.user)
        teams = sorted(each for each in (known.teams if known is not None else ()) if each.startswith("T"))
        return self._question.team or (teams[0] if teams else self._workspace.me.team)

    async def append(self, message: str, text: str) -> None:
        """Add text to a stream. Raises as `Channel.append` does."""
        payload = {"channel": self._conversation[0], "ts": message, "markdown_text": text}
        try:
            await self._workspace.web.send("chat.appendStream", payload, once=True)
        except Permanent as failure:
            raise self._ended(message, failure) from failure
        self.texts[message] = self.texts.get(message, "") + text

    async def stop(self, message: str, text: str, body: Body) -> None:
        """Add the rest to a stream and end it, with the buttons of `body`. Raises as `Channel.stop` does."""
        # A stream of an earlier process: any key of this turn tells its messages from other answers.
        key = self._keys.get(message, f"{self._turn.digest[:DIGEST]}s")
        payload = self._stop_payload(message, key) | ({"markdown_text": text} if text else {})
        try:
            await self._writer.stop_stream(payload, body)
        except Permanent as failure:
            raise self._ended(message, failure) from failure
        self.texts[message] = self.texts.get(message, "") + text

    async def edit(self, message: str, body: Body, *, is_recovery: bool) -> None:
        """Edit a message, perhaps a stopped stream. Raises as `BodyWriter.write` does.

        Slack may keep streamed text above the blocks of an edit; then the text goes without blocks, now and later
        (https://github.com/NousResearch/hermes-agent/pull/109525). `is_recovery`: an earlier process wrote it.
        """
        channel = self._conversation[0]
        payload = {"channel": channel, "ts": message}
        if self._known.repeats_text(channel, message):
            await self._writer.write_without_blocks("chat.update", payload, body)
            return
        answer = await self._writer.write("chat.update", payload, body, once=False)
        changed = object_field(answer.data, "message")
        is_old = is_recovery or self._turn.generation > 0
        if not changed or not (is_old or self._known.is_owned(channel, message)):
            return
        if holds_twice(own_answer(changed), strip_our_markup(body.text), self.texts.get(message, "")):
            log.info("%s: Slack shows a stream's text beside its correction, which goes as text", self._turn.reference)
            self._known.own(channel, message, repeats_text=True)
            async with spending_write(self._workspace.budgets.of(Verb.EDIT, channel), is_patient=False):
                await self._writer.write_without_blocks("chat.update", payload, body)

    def _stop_payload(self, message: str, key: str) -> dict[str, Any]:
        payload: dict[str, Any] = {"channel": self._conversation[0], "ts": message}
        if self._writer.has_metadata:
            payload["metadata"] = {"event_type": METADATA_TYPE, "event_payload": {"key": key}}
        return payload

    def _ended(self, message: str, failure: Permanent) -> Permanent:
        """The failure of an append or a stop. A stop by a reader ends the answer too."""
        if code_of(failure) == STREAM_STOPPED:
            channel, question = self._conversation[0], self._question
            # Slack does not say who pressed; its event does, and usually comes first.
            request = StopRequested(channel, question.user, messages=(self._turn.message, message))
            self._known.on_stopped(request)
        if isinstance(failure, NotFound) and code_of(failure) == "message_not_found":
            return failure
        self.leaves_session = True
        log.info("%s: a stream takes no more text, so its message goes on by edits (%s)", self._turn.reference, failure)
        return StreamEnded(str(failure))

    def _refused(self, failure: Failure) -> StreamRefused:
        """Streams are refused: for this answer, and where the reason holds for others too."""
        self._is_refused = True
        log.info("%s: Slack takes no stream here, so the answer goes on by edits (%s)", self._turn.reference, failure)
        team = self._recipient_team()
        self._refusals.record(
            code_of(failure), is_outsider=self._is_outsider(team), is_own_team=team == self._workspace.me.team
        )
        return StreamRefused(str(failure))

    def _is_outsider(self, team: str) -> bool:
        """Whether the asker is a guest or of another organisation, as far as known."""
        me, known = self._workspace.me, self._workspace.users.known(self._question.user)
        if known is None:
            return team != me.team
        return known.guest or is_external(known, frozenset(), me)

    # --------------------------------------------------------------------------------------------------------- finding

    def is_unsure(self, key: str) -> bool:
        """Whether a start with this key has an unknown outcome."""
        return key in self._starts

    def start_position(self, key: str) -> str:
        """The ts of the message before a start with an unknown outcome."""
        return self._starts[key].after

    def find_start(self, key: str, messages: Sequence[SlackMessage]) -> str | None:
        """The message of a start with an unknown outcome, among later ones. With two candidates, neither is touched.

        Both stop: nobody would write them further.
        """
        start = self._starts[key]
        alike = [each for each in self._unknown(messages, start.after) if looks_like(each.text, start.text)]
        if len(alike) == 1:
            self.settle(key)
            self._own(alike[0].ts, key, start.text)
            return alike[0].ts
        for each in alike:
            log.warning("%s: two messages may be the start of a stream; it goes on in a new one", self._turn.reference)
            self._known.own(self._conversation[0], each.ts)
            self._workspace.spawn(self._close_unowned(each.ts))
        return None

    async def find_open(self, key: str, messages: Sequence[SlackMessage], known: Collection[str]) -> str | None:
        """The open stream that an earlier process of ours started and did not journal. It is stopped.

        It has no key. A stop tells whether a message is a stream still, so no finished answer is mistaken for it.
        """
        unkeyed = [each.ts for each in self._unknown(messages, "") if each.ts not in known]
        opened = [ts for ts in unkeyed[:MOST_TRIED] if await self._try_stop(ts, key)]
        if len(opened) != 1:
            return None
        self._own(opened[0], key, "")
        return opened[0]

    async def _try_stop(self, ts: str, key: str) -> bool:
        """Stop a message if it is a stream."""
        try:
            async with spending_write(self._workspace.budgets.of(Verb.STOP, self._conversation[0])):
                await self._workspace.web.send("chat.stopStream", self._stop_payload(ts, key), once=True)
        except OutcomeUnknown as failure:
            if code_of(failure) in NO_METHOD:  # a plain 404: a server without streams
                return False
            self._perhaps_stopped.add(ts)
            raise
        except Permanent as failure:
            return ts in self._perhaps_stopped and code_of(failure) in STREAM_CLOSED
        return True

    async def close(self, ts: str) -> bool:
        """End a stream without more text; False if the message is none."""
        return await self._try_stop(ts, self._keys.get(ts, f"{self._turn.digest[:DIGEST]}s"))

    async def _close_unowned(self, ts: str) -> None:
        try:
            await self.close(ts)
        except Failure as failure:
            log.info("%s: a stream stays open until Slack ends it (%s)", self._turn.reference, failure)

    def _unknown(self, messages: Sequence[SlackMessage], after: str) -> list[SlackMessage]:
        """Our messages after `after` without a key or a known answer."""
        channel, known = self._conversation[0], self._known
        return [
            each
            for each in messages
            if each.ours and not (each.key or each.uploads) and not known.is_owned(channel, each.ts)
            if order(each.ts) > order(after)
        ]

    def _newest(self) -> str:
        """The newest message known in the thread: a start comes after it."""
        times = [each.ts for each in self._workspace.cache.messages(self._conversation)]
        return max([*times, self._question.ts, self._conversation[1]], key=order)

    def _own(self, ts: str, key: str, text: str) -> None:
        self._keys[ts], self.texts[ts] = key, text
        self._known.own(self._conversation[0], ts)

    def settle(self, key: str) -> None:
        """The outcome of a start is known."""
        self._starts.pop(key, None)
        self._known.end_start(self._conversation, key)


_CAPABILITIES = MappingProxyType(
    {
        always: StreamCapabilities(limit=STREAM_BYTES, measure=stream_bytes, seconds=STREAM_SECONDS, always=always)
        for always in (False, True)
    }
)
