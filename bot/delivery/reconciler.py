"""The difference between posted and desired messages, as the next write. Pure: no I/O, no time.

The model's stream changes only the desired messages. A failed write leaves the difference in place, so the next write
is made from the newest text. Lost endings, duplicated text and racing edits cannot occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.ports import Body, Verb

# Rejected edits in a row, after which no edit is tried in this answer. The first may concern only its message (too old,
# an archived thread).
_MAX_REJECTED_EDITS = 2


@dataclass(frozen=True, slots=True)
class DesiredMessage:
    """One message as it should be; `covers` counts the answer's characters posted up to its end."""

    body: Body
    covers: int


@dataclass(frozen=True, slots=True)
class Write:
    """One write toward the desired messages.

    `message` is the platform's id (empty for a post); `body` is None for a delete. `lookup`: an earlier post with this
    key has an unknown outcome, so look it up before posting again. A post without a body is only a look-up.
    """

    verb: Verb
    index: int
    key: str
    message: str = ""
    body: Body | None = None
    covers: int = 0
    lookup: bool = False


@dataclass(slots=True)
class PostedMessage:
    """Our knowledge of one posted message."""

    key: str
    id: str  # empty: posted, outcome unknown
    body: Body | None  # None: its text is unknown
    sent: Body | None  # the body of its post
    recovered: bool = False  # posted by an earlier process or for an earlier answer, and not edited since
    replaced: bool = False  # still shows an earlier answer, as far as known


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
        self._kept: list[str] = []  # messages of the earlier answer that stay as they are
        self._surplus: list[str] = []  # ... that are deleted at the end
        for message in replaced if messages is None else messages:
            key = f"{self._key}{self._posts}"
            self._posted.append(PostedMessage(key, message, None, None, recovered=True, replaced=message in replaced))
            self._posts += 1
        if self.frozen:
            self.detach()

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
        return Verb.EDIT if self._posted and self._posted[0].replaced else Verb.POST

    @property
    def is_empty(self) -> bool:
        """No message is known to exist, apart from those of an earlier answer."""
        return not any(posted.id and (self.is_recovery or not posted.replaced) for posted in self._posted)

    def next(self, desired: Sequence[DesiredMessage], *, is_final: bool = True) -> Write | None:
        """The next write, or None if posted and desired messages agree.

        Order: resolve unknown posts, fix existing messages from the top, post missing ones, delete extras from the end.
        Changes of buttons alone come last, since readers wait for text. Until the answer `is_final`, it may grow into
        the messages of the earlier one, so these stay.
        """
        if (repair := self._unknown_post(desired) or self._repair(desired)) is not None:
            return repair
        count = len(self._posted)
        if count < len(desired):
            target = desired[count]
            key = f"{self._key}{self._posts}"
            return Write(
                Verb.POST,
                count,
                key,
                body=target.body,
                covers=target.covers,
                lookup=self._may_have_more,
            )
        for index in range(count - 1, len(desired) - 1, -1):
            extra = self._posted[index]
            if is_final or not extra.replaced:
                return Write(Verb.DELETE, index, extra.key, extra.id)
        if is_final and self._surplus:
            return Write(Verb.DELETE, count, "", self._surplus[0])
        for index, (posted, target) in enumerate(zip(self._posted, desired, strict=False)):
            if not self.frozen and posted.body is not None and posted.body.controls != target.body.controls:
                return Write(Verb.EDIT, index, posted.key, posted.id, target.body, target.covers)
        return None

    def _unknown_post(self, desired: Sequence[DesiredMessage]) -> Write | None:
        for index, posted in enumerate(self._posted):
            if not posted.id:
                return Write(
                    Verb.POST, index, posted.key, body=_body_to_repost(posted.sent, desired, index), lookup=True
                )
        return None

    def _repair(self, desired: Sequence[DesiredMessage]) -> Write | None:
        count = len(self._posted)
        for index, (posted, target) in enumerate(zip(self._posted, desired, strict=False)):
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

    def unknown_post(self) -> Write | None:
        """Repeat a post with an unknown outcome, so that its message becomes known; None if there is none."""
        return self._unknown_post(())

    def adds_controls(self, write: Write) -> bool:
        """Whether a write adds controls to a message without any, and changes nothing else."""
        if write.verb is not Verb.EDIT or write.body is None:
            return False
        body = self._posted[write.index].body
        return body is not None and not body.controls and body.text == write.body.text

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
        first = not found and write.index == len(self._posted)
        is_filed = not self.is_recovery and write.body is not None and bool(write.body.files)
        known = write.body if first or is_filed else None
        recovered = found and self.is_recovery
        self._set(write, PostedMessage(write.key, message, known, write.body or self._sent(write), recovered=recovered))

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
        if write.verb is Verb.POST and write.body is not None:
            self._set(write, PostedMessage(write.key, "", None, write.body))
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
