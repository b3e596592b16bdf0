"""The difference between posted and desired messages, as the next write. Pure: no I/O, no time.

The model's stream changes only the desired messages. A failed write leaves the difference in place, so the next write
is made from the newest text. Lost endings, duplicated text and racing edits cannot occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.delivery.open_streams import appended, stopped, stream_write
from bot.delivery.writes import DesiredMessage, OpenStream, PostedMessage, Write
from bot.ports import Body, Verb

# Rejected edits in a row, after which no edit is tried in this answer. The first may concern only its message (too old,
# an archived thread).
_MAX_REJECTED_EDITS = 2

# Edits of one answer that may meet an open stream: one is usual after a crash or a lost stop, more are a contradiction.
_MAX_OPEN_AGAIN = 3


class Reconciler:
    """The messages of one answer, in order."""

    def __init__(
        self,
        key: str,
        messages: Sequence[str] | None = None,
        *,
        replaced: Sequence[str] = (),
        edits: bool = True,
    ) -> None:
        """`messages`: known ids of an answer begun by an earlier process. Without `edits`, none is ever edited.

        `replaced`: the messages of an earlier answer, to be taken over; after a crash, some of `messages`.
        """
        # 20 characters of a digest and a serial number, so that a post after a delete is not taken for the deleted one.
        # Discord allows 25 characters.
        self._key = key[:20]
        self._posts = 0
        self._posted: list[PostedMessage] = []
        self.is_recovery = messages is not None  # an earlier process began this answer
        self.recovered_count = len(messages or ())  # messages posted by an earlier process
        self._may_have_more = self.is_recovery  # posted, but not journalled
        self.frozen = not edits  # posted messages cannot be edited
        self._rejected_edits = 0 if edits else _MAX_REJECTED_EDITS  # since the last accepted edit
        self.is_streaming = False  # the next new message is a native stream
        self.fits_streams = False  # messages are cut for streams too
        self._open_again = 0  # edits that met an open stream
        self._kept: list[str] = []  # messages of the earlier answer that stay as they are
        self._surplus: list[str] = []  # ... that are deleted at the end
        for message in replaced if messages is None else messages:
            key = f"{self._key}{self._posts}"
            self._posted.append(PostedMessage(key, message, None, None, recovered=True, replaced=message in replaced))
            self._posts += 1
        if self.frozen:
            self.detach()

    @property
    def shown(self) -> Mapping[str, Body]:
        """What our messages show, by id, as far as known."""
        return {posted.id: posted.body for posted in self._posted if posted.id and posted.body is not None}

    @property
    def messages(self) -> tuple[str, ...]:
        """The ids of the messages known to exist, in order; without those of the earlier answer to be deleted."""
        return (*self._kept, *(posted.id for posted in self._posted if posted.id))

    @property
    def surplus(self) -> tuple[str, ...]:
        """The messages of the earlier answer to be deleted at the end."""
        return tuple(self._surplus)

    def messages_before(self, index: int) -> tuple[str, ...]:
        """The ids of the messages before this one."""
        return (*self._kept, *(posted.id for posted in self._posted[:index] if posted.id))

    @property
    def count(self) -> int:
        """Number of messages, posts with unknown outcome included."""
        return len(self._posted)

    @property
    def written(self) -> int:
        """Number of messages without those that still show an earlier answer; these come last."""
        return sum(not posted.replaced for posted in self._posted)

    @property
    def bodies(self) -> list[Body]:
        """The body of each message; an empty one if unknown."""
        return [posted.body or Body("") for posted in self._posted]

    @property
    def last(self) -> Body | None:
        """The last message's body; None if unknown, or without messages."""
        return self._posted[-1].body if self._posted and self._posted[-1].id else None

    @property
    def first_verb(self) -> Verb:
        """The verb of an empty answer's first write: it takes over an earlier answer's message if there is one."""
        if self._posted:
            return Verb.EDIT if self._posted[0].replaced else Verb.POST
        return Verb.START if self.is_streaming else Verb.POST

    @property
    def is_empty(self) -> bool:
        """No message is known to exist, apart from those of an earlier answer."""
        for posted in self._posted:  # noqa: SIM110 (asked whenever replies are compared; `any` takes four times as long)
            if posted.id and (self.is_recovery or not posted.replaced):
                return False
        return True

    def next(
        self, desired: Sequence[DesiredMessage], *, is_final: bool = True, is_closing: bool = True
    ) -> Write | None:
        """The next write, or None if posted and desired messages agree.

        Order: resolve unknown posts, continue streams, fix existing messages from the top, post missing ones, delete
        extras from the end. Changes of buttons alone come last, since readers wait for text. Until the answer
        `is_final`, it may grow into the messages of the earlier one, so these stay. `is_closing`: no stream grows.
        """
        grows = self.is_streaming and not (is_closing or self.frozen)
        repair = self._unknown_post(desired) or self._continue_streams(desired, grows=grows) or self._repair(desired)
        if repair is not None:
            return repair
        count = len(self._posted)
        if count < len(desired):
            return self._new_message(desired[count], starts=grows and count == len(desired) - 1)
        for index in range(count - 1, len(desired) - 1, -1):
            extra = self._posted[index]
            if is_final or not extra.replaced:
                return Write(Verb.DELETE, index, extra.key, extra.id)
        if is_final and self._surplus:
            return Write(Verb.DELETE, count, "", self._surplus[0])
        for index, (posted, target) in enumerate(zip(self._posted, desired, strict=False)):
            if self.frozen or posted.stream is not None:
                continue
            if posted.body is not None and posted.body.controls != target.body.controls:
                return Write(Verb.EDIT, index, posted.key, posted.id, target.body, target.covers)
        return None

    def _new_message(self, target: DesiredMessage, *, starts: bool) -> Write:
        """A complete message is posted in one write; only a growing one is worth a stream."""
        verb = Verb.START if starts and target.body.stable else Verb.POST
        key = f"{self._key}{self._posts}"
        lookup = self._may_have_more and verb is Verb.POST
        return Write(verb, len(self._posted), key, body=target.body, covers=target.covers, lookup=lookup)

    def _unknown_post(self, desired: Sequence[DesiredMessage]) -> Write | None:
        for index, posted in enumerate(self._posted):
            if not posted.id and posted.stream is not None:  # a start is never repeated with its key
                return Write(Verb.POST, index, posted.key, lookup=True)
            if not posted.id:
                return Write(
                    Verb.POST, index, posted.key, body=_body_to_repost(posted.sent, desired, index), lookup=True
                )
        return None

    def _continue_streams(self, desired: Sequence[DesiredMessage], *, grows: bool) -> Write | None:
        for index, posted in enumerate(self._posted):
            if posted.stream is None:
                continue
            target = desired[index] if index < len(desired) else None
            write = stream_write(posted, target, index, grows=grows and index == len(desired) - 1)
            if write is not None:
                return write
        return None

    def _repair(self, desired: Sequence[DesiredMessage]) -> Write | None:
        count = len(self._posted)
        for index, (posted, target) in enumerate(zip(self._posted, desired, strict=False)):
            if posted.stream is not None:
                continue
            if self.frozen and (posted.body is None or posted.body.text == target.body.text):
                continue
            if self.frozen or _has_different_files(posted, target.body):
                # Not editable: repost it and all messages behind it.
                extra = self._posted[-1]
                return Write(Verb.DELETE, count - 1, extra.key, extra.id)
            if posted.body is None or posted.body.text != target.body.text:
                return Write(Verb.EDIT, index, posted.key, posted.id, target.body, target.covers)
        return None

    def lookup_write(self) -> Write | None:
        """At the end of a recovered answer: look up one more message, posted but not journalled before the crash.

        The new answer may be shorter than the old one. None if there is nothing to look up.
        """
        if not self._may_have_more:
            return None
        return Write(Verb.POST, len(self._posted), f"{self._key}{self._posts}", lookup=True)

    def end_lookups(self) -> None:
        """No further message exists: a look-up found nothing."""
        self._may_have_more = False

    def drop_missing(self, write: Write) -> bool:
        """Drop a message deleted by an earlier process, as it deletes extra messages from the end, never the first.

        A deleted message of an earlier answer is dropped too. False for any other missing message: a reader deleted it
        and wants no answer.
        """
        if write.verb is not Verb.EDIT:
            return False
        posted = self._posted[write.index]
        if not posted.replaced and (write.index == 0 or not posted.recovered):
            return False
        del self._posted[write.index]
        return True

    # ------------------------------------------------------------------------------------------- the earlier answer

    @property
    def shows_replaced(self) -> bool:
        """Whether readers still see the whole earlier answer, and nothing of this one."""
        has_replaced = bool(self._surplus) or any(posted.replaced for posted in self._posted)
        return has_replaced and all(posted.replaced for posted in self._posted)

    @property
    def keeps_replaced(self) -> bool:
        """Whether the earlier answer stays for good."""
        return bool(self._kept)

    def is_replaced(self, message: str) -> bool:
        """Whether a message still shows the earlier answer."""
        replaced = {posted.id for posted in self._posted if posted.replaced}
        return message in {*replaced, *self._kept, *self._surplus}

    def detach(self, first: int = 0) -> None:
        """Edit none of the earlier answer's messages from index `first` on: delete them at the end instead."""
        detached = [posted for posted in self._posted[first:] if posted.replaced]
        self._surplus += [posted.id for posted in detached]
        self._posted = [posted for posted in self._posted if posted not in detached]

    def keep_replaced(self) -> None:
        """There is no new text: leave the earlier answer as it is, and write behind it."""
        self.detach()
        self._kept, self._surplus = self._surplus, []

    def forget_replaced(self, message: str) -> bool:
        """Forget a message of the earlier answer: it is deleted, or cannot be. False for any other message."""
        if not self.is_replaced(message):
            return False
        self._posted = [posted for posted in self._posted if posted.id != message]
        self._surplus = [each for each in self._surplus if each != message]
        self._kept = [each for each in self._kept if each != message]
        return True

    def last_duty(self) -> Write | None:
        """The next write of an answer that shows no more text: learn of an unknown post, and stop an open stream."""
        return self._unknown_post(()) or self._continue_streams((), grows=False)

    # ------------------------------------------------------------------------------------------------- native streams

    @property
    def has_open_stream(self) -> bool:
        """Whether a message takes appends, as far as known."""
        return any(posted.stream is not None for posted in self._posted)

    def is_stream(self, index: int) -> bool:
        """Whether message `index` is an open stream, or will be one."""
        return self._posted[index].stream is not None if index < len(self._posted) else self.is_streaming

    def appended(self, write: Write) -> None:
        """An append succeeded."""
        appended(self._posted[write.index], write)

    def stopped(self, write: Write) -> None:
        """A stop succeeded. If the message shows another text than desired, edits go on from here."""
        stopped(self._posted[write.index], write)
        self.is_streaming = self.is_streaming and self.shows(write)

    def stream_ended(self, write: Write) -> None:
        """The platform closed the stream: the message is an ordinary one with an unknown text."""
        posted = self._posted[write.index]
        posted.stream, posted.body, self.is_streaming = None, None, False

    def stream_is_open(self, write: Write) -> bool:
        """An edit or a delete met an open stream: stop it first. False if that has happened too often."""
        posted = self._posted[write.index]
        posted.stream, posted.body, self.is_streaming = OpenStream("", is_unsure=True), None, False
        self._open_again += 1
        return self._open_again <= _MAX_OPEN_AGAIN

    def adds_controls(self, write: Write) -> bool:
        """Whether a write adds controls to a message without any, and changes nothing else."""
        if write.verb is not Verb.EDIT or write.body is None:
            return False
        body = self._posted[write.index].body
        return body is not None and not body.controls and body.text == write.body.text

    def tidies(self, write: Write) -> bool:
        """Whether a write only takes the buttons from a message with others behind it."""
        if write.verb is not Verb.EDIT or write.body is None or write.index >= len(self._posted) - 1:
            return False
        body = self._posted[write.index].body
        return body is not None and body.text == write.body.text

    def freeze(self) -> None:
        """An edit was rejected permanently: keep all posted messages as they are."""
        self.detach()
        self.frozen = True
        self._rejected_edits += 1

    def thaw(self) -> bool:
        """After a new post: allow edits again unless too many were rejected. Returns whether edits are allowed."""
        self.frozen = self._rejected_edits >= _MAX_REJECTED_EDITS
        return not self.frozen

    def remove(self, message: str) -> None:
        """Forget a message deleted by a reader. Not while a write is in flight."""
        self._posted = [posted for posted in self._posted if posted.id != message]
        self._may_have_more = False

    def posted(self, write: Write, message: str, *, found: bool = False) -> None:
        """A post succeeded, or a look-up `found` its message.

        After a retry the platform may return the earlier post, so its text is unknown. Messages with files are never
        edited, so theirs is the body sent by this process.
        """
        start = self._posted[write.index] if found and write.index < len(self._posted) else None
        if start is not None and start.stream is not None:
            self._set(write, replace(start, id=message, body=start.sent))
            return
        first = not found and write.index == len(self._posted)
        is_filed = not self.is_recovery and write.body is not None and bool(write.body.files)
        known = write.body if first or is_filed else None
        recovered = found and self.is_recovery
        new = PostedMessage(write.key, message, known, write.body or self._sent(write), recovered=recovered)
        new.stream = _opened(write)
        self._set(write, new)

    def mark_not_found(self, write: Write) -> None:
        """A look-up found nothing: the message was not posted."""
        if write.index < len(self._posted):
            del self._posted[write.index]

    def shows(self, write: Write) -> bool:
        """Whether a message is known to show the body of this write."""
        return (
            write.body is not None and write.index < len(self._posted) and self._posted[write.index].body is write.body
        )

    def edited(self, write: Write) -> None:
        """An edit succeeded."""
        posted = self._posted[write.index]
        posted.body, posted.recovered, posted.replaced = write.body, False, False
        self._rejected_edits = 0

    def deleted(self, write: Write) -> None:
        """A message was deleted."""
        if write.message in self._surplus:
            self._surplus.remove(write.message)
        else:
            del self._posted[write.index]

    def outcome_unknown(self, write: Write) -> None:
        """The write may have happened: look it up or repeat it before anything else."""
        if write.verb in {Verb.POST, Verb.START} and write.body is not None:
            self._set(write, PostedMessage(write.key, "", None, write.body, stream=_opened(write)))
        elif write.verb is Verb.APPEND:
            posted = self._posted[write.index]
            posted.stream, posted.body = OpenStream("", is_unsure=True), None
        elif write.verb is Verb.STOP:
            self.stream_ended(write)
        elif write.verb is Verb.EDIT:
            posted = self._posted[write.index]
            posted.body, posted.replaced = None, False

    def _sent(self, write: Write) -> Body | None:
        """The body sent with the looked-up post."""
        return self._posted[write.index].sent if write.index < len(self._posted) else None

    def _set(self, write: Write, posted: PostedMessage) -> None:
        if write.index == len(self._posted):
            self._posted.append(posted)
            self._posts += 1
        else:
            self._posted[write.index] = posted


def _opened(write: Write) -> OpenStream | None:
    """The stream that a start opened."""
    return OpenStream(write.body.stable) if write.verb is Verb.START and write.body is not None else None


def _has_different_files(posted: PostedMessage, desired: Body) -> bool:
    """Whether a message must be reposted because its files differ, as far as known."""
    if posted.body is not None:
        return posted.body.files != desired.files
    return bool(desired.files) or bool(posted.sent and posted.sent.files)


def _body_to_repost(sent: Body | None, desired: Sequence[DesiredMessage], index: int) -> Body | None:
    """The body to post if a look-up finds nothing; None if its files are no longer desired."""
    if sent is None or not sent.files:
        return sent
    return sent if index < len(desired) and desired[index].body.files == sent.files else None
