"""What one answer looks like on the platform: the messages that are shown, against those that are wanted.

What belongs here: the difference between the two, as the next write to make, and what is known of each message. What
does not: when it is made (`bot.delivery.pacer`), where the wanted text comes from (`bot.delivery.reply`), any I/O.

The stream of a model only ever changes what is wanted. A write that failed leaves the difference standing, so the next
one is made from it with the newest text; a lost tail, a doubled text or two edits in a race cannot be expressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.ports import Body, Verb

# Refused edits without one that was taken between, after which none is tried any more for this answer: the first may
# have been refused for the message's own sake (its age, an archived thread).
_MAX_REJECTED_EDITS = 2


@dataclass(frozen=True, slots=True)
class DesiredMessage:
    """One message as it should be; `covers` is how many characters of the answer are shown once it is."""

    body: Body
    covers: int


@dataclass(frozen=True, slots=True)
class Write:
    """One write that makes what is shown more like what is wanted.

    `message` is the platform's id (empty for a post), `body` is None for a delete. `lookup` says that a post with this
    key and body went out before and was not answered: it is looked for before it is made again. A post without a body
    is a look-up alone.
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
    """What is known of one message of ours."""

    key: str
    id: str  # empty: it was posted, but whether it exists is not known
    body: Body | None  # None: what it shows is not known
    sent: Body | None  # what it was posted with
    recovered: bool = False  # by an earlier process, and nothing was written into it since


class Reconciler:
    """The messages of one answer, in order."""

    def __init__(self, key: str, messages: Sequence[str] | None = None, *, edits: bool = True) -> None:
        """`messages` are those that an earlier process is known to have posted; None where there was none.

        Without `edits`, messages are posted and stay as they are.
        """
        # 20 of a digest's characters and a serial number: a post that is made anew after a delete must not be taken
        # for the deleted one, and Discord allows 25 characters in all.
        self._key = key[:20]
        self._posts = 0
        self._shown: list[PostedMessage] = []
        self.is_recovery = messages is not None  # an earlier process began this answer
        self.recovered_count = len(messages or ())  # messages posted by an earlier process
        self._may_have_more = self.is_recovery  # then a post may have been made that nobody wrote down
        self.frozen = not edits  # whether the messages that there are cannot be edited
        self._rejected_edits = 0 if edits else _MAX_REJECTED_EDITS  # since one was taken
        for message in messages or ():
            self._shown.append(PostedMessage(f"{self._key}{self._posts}", message, None, None, recovered=True))
            self._posts += 1

    @property
    def messages(self) -> tuple[str, ...]:
        """The ids of the messages that are known to exist, in order."""
        return tuple(shown.id for shown in self._shown if shown.id)

    @property
    def count(self) -> int:
        """How many messages there are, or may be: a post that was not answered counts."""
        return len(self._shown)

    @property
    def bodies(self) -> list[Body]:
        """What each message shows; an empty one where that is not known."""
        return [shown.body or Body("") for shown in self._shown]

    @property
    def last(self) -> Body | None:
        """What the last message shows; None if that is not known, or there is none."""
        return self._shown[-1].body if self._shown and self._shown[-1].id else None

    @property
    def is_empty(self) -> bool:
        """Whether no message is known to exist."""
        return not self.messages

    def next(self, desired: Sequence[DesiredMessage]) -> Write | None:
        """The next write to make, or None when all is as it should be.

        What is not known is found out, then messages are mended from the first on, then added, and what is too much is
        taken away from the end; buttons alone come last, since a reader waits for words.
        """
        if (repair := self._unknown_post(desired) or self._repair(desired)) is not None:
            return repair
        count = len(self._shown)
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
        if count > len(desired):
            extra = self._shown[-1]
            return Write(Verb.DELETE, count - 1, extra.key, extra.id)
        for index, (shown, target) in enumerate(zip(self._shown, desired, strict=True)):
            if not self.frozen and shown.body is not None and shown.body.controls != target.body.controls:
                return Write(Verb.EDIT, index, shown.key, shown.id, target.body, target.covers)
        return None

    def _unknown_post(self, desired: Sequence[DesiredMessage]) -> Write | None:
        for index, shown in enumerate(self._shown):
            if not shown.id:
                return Write(Verb.POST, index, shown.key, body=_body_to_repost(shown.sent, desired, index), lookup=True)
        return None

    def _repair(self, desired: Sequence[DesiredMessage]) -> Write | None:
        count = len(self._shown)
        for index, (shown, target) in enumerate(zip(self._shown, desired, strict=False)):
            if self.frozen and (shown.body is None or shown.body.text == target.body.text):
                continue
            if self.frozen or _has_other_files(shown, target.body):
                # No edit changes it: it is posted anew, and what is behind it.
                extra = self._shown[-1]
                return Write(Verb.DELETE, count - 1, extra.key, extra.id)
            if shown.body is None or shown.body.text != target.body.text:
                return Write(Verb.EDIT, index, shown.key, shown.id, target.body, target.covers)
        return None

    def lookup_write(self) -> Write | None:
        """Once all is as it should be: a look for one more message, that was posted and that nobody wrote down.

        A process can be killed between the two, and the answer that is made again may be shorter. None where no earlier
        process began this answer, or nothing more was found.
        """
        if not self._may_have_more:
            return None
        return Write(Verb.POST, len(self._shown), f"{self._key}{self._posts}", lookup=True)

    def end_lookups(self) -> None:
        """There is no further message: the look for one found nothing."""
        self._may_have_more = False

    def drop_missing(self, write: Write) -> bool:
        """A message is not there any more. Whether the answer goes on without it.

        It does where that was left by an earlier process, which may have deleted it: messages that are too many are
        taken away from the end, so it is never the first. Else a reader deleted it, and wants no answer.
        """
        if write.verb is not Verb.EDIT or write.index == 0 or not self._shown[write.index].recovered:
            return False
        del self._shown[write.index]
        return True

    def freeze(self) -> None:
        """An edit was refused for good: the messages that there are stay as they are shown."""
        self.frozen = True
        self._rejected_edits += 1

    def thaw(self) -> bool:
        """There is a new message since an edit was refused: whether it may be edited, unless too many were refused."""
        self.frozen = self._rejected_edits >= _MAX_REJECTED_EDITS
        return not self.frozen

    def remove(self, message: str) -> None:
        """A message was deleted by somebody else; not to be called while a write is in flight."""
        self._shown = [shown for shown in self._shown if shown.id != message]
        self._may_have_more = False

    def posted(self, write: Write, message: str, *, found: bool = False) -> None:
        """A post was answered: the message exists under this id.

        It shows what was sent, unless the same was sent before: then it may be the one of before, with the text of
        then. `found` says that it was, by another process or this one. But a message with files is not edited, so what
        this process sent with it is what it shows.
        """
        first = not found and write.index == len(self._shown)
        is_filed = not self.is_recovery and write.body is not None and bool(write.body.files)
        known = write.body if first or is_filed else None
        recovered = found and self.is_recovery
        self._set(write, PostedMessage(write.key, message, known, write.body or self._sent(write), recovered=recovered))

    def mark_not_found(self, write: Write) -> None:
        """A look-up alone of what was not answered has found nothing: it was not posted."""
        if write.index < len(self._shown):
            del self._shown[write.index]

    def shows(self, write: Write) -> bool:
        """Whether a message is known to show what this write was to make it show."""
        return write.body is not None and write.index < len(self._shown) and self._shown[write.index].body is write.body

    def edited(self, write: Write) -> None:
        """An edit was answered."""
        shown = self._shown[write.index]
        shown.body, shown.recovered = write.body, False
        self._rejected_edits = 0

    def deleted(self, write: Write) -> None:
        """The last message is there no more."""
        del self._shown[write.index]

    def outcome_unknown(self, write: Write) -> None:
        """Whether the write happened is not known: it is found out, or made again, before anything else."""
        if write.verb is Verb.POST and write.body is not None:
            self._set(write, PostedMessage(write.key, "", None, write.body))
        elif write.verb is Verb.EDIT:
            self._shown[write.index].body = None

    def _sent(self, write: Write) -> Body | None:
        """What was sent with the post that is looked up."""
        return self._shown[write.index].sent if write.index < len(self._shown) else None

    def _set(self, write: Write, shown: PostedMessage) -> None:
        if write.index == len(self._shown):
            self._shown.append(shown)
            self._posts += 1
        else:
            self._shown[write.index] = shown


def _has_other_files(shown: PostedMessage, desired: Body) -> bool:
    """Whether a message must be posted anew for its files' sake, as far as it is known what it has."""
    if shown.body is not None:
        return shown.body.files != desired.files
    return bool(desired.files) or bool(shown.sent and shown.sent.files)


def _body_to_repost(sent: Body | None, desired: Sequence[DesiredMessage], index: int) -> Body | None:
    """What is posted where a post turns out not to have been made; None where those files are not wanted any more."""
    if sent is None or not sent.files:
        return sent
    return sent if index < len(desired) and desired[index].body.files == sent.files else None
