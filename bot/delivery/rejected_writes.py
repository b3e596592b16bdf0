"""Recovery from permanently rejected writes: smaller or plainer messages, a new message, or going without."""

from __future__ import annotations

from enum import Enum, auto

from bot.delivery.answer import Answer
from bot.delivery.reasoning_preview import is_notice_only
from bot.delivery.writes import Write
from bot.errors import (
    InvalidRequest,
    NotEditable,
    NotFound,
    Permanent,
    StreamEnded,
    StreamOpen,
    StreamRefused,
    TooLarge,
)
from bot.ports import Verb


class Recovery(Enum):
    """What to do after a rejected write."""

    NONE = auto()  # the rejection is final
    RETRY = auto()  # the desired messages changed: continue
    PAUSE = auto()  # continue in a new message, no shorter than necessary


def recover(answer: Answer, write: Write, failure: Permanent, *, is_final: bool) -> Recovery:
    """Change the desired messages after a rejection, if possible. `is_final`: the answer has ended."""
    if isinstance(failure, StreamRefused | StreamEnded | StreamOpen):
        return _without_stream(answer, write, failure)
    return _recover(answer, write, failure, is_final=is_final)


def _recover(answer: Answer, write: Write, failure: Permanent, *, is_final: bool) -> Recovery:
    if isinstance(failure, TooLarge) and not (write.body is None or write.body.files):
        return _write_smaller(answer, write, is_final=is_final)
    if isinstance(failure, NotEditable) and write.verb is Verb.EDIT:
        return _leave_as_posted(answer, write)
    reconciler = answer.reconciler
    if write.verb is Verb.DELETE and reconciler.forget_replaced(write.message):
        return Recovery.RETRY  # it cannot be deleted
    if reconciler.adds_controls(write) and not isinstance(failure, NotFound):
        reconciler.edited(write)  # the text is complete without them
        return Recovery.RETRY
    if write.verb is Verb.DELETE and reconciler.frozen and not isinstance(failure, NotFound):
        answer.draft.keep_posted(reconciler.bodies, 0)
        answer.preview.is_shown = False
        if answer.frozen is None:
            return Recovery.RETRY
    return Recovery.RETRY if _continue_without(answer, write, failure, is_final=is_final) else Recovery.NONE


def after_write(answer: Answer, write: Write) -> Recovery:
    """After a post following rejected edits: try to edit the new message, unless too many edits were rejected."""
    reconciler = answer.reconciler
    if write.verb is not Verb.POST or not reconciler.frozen:
        return Recovery.NONE
    last = answer.last_shown
    if reconciler.thaw() or answer.frozen is not None or last is None:
        return Recovery.NONE
    answer.draft.keep_posted(reconciler.bodies, last.covers)
    answer.last_shown = None
    return Recovery.PAUSE


def _without_stream(answer: Answer, write: Write, failure: Permanent) -> Recovery:
    """The same message, or a new one, goes on with edits."""
    reconciler = answer.reconciler
    if isinstance(failure, StreamRefused) and write.verb is Verb.START:
        answer.use_stream(is_used=False)
        return Recovery.RETRY
    if isinstance(failure, StreamEnded) and write.verb in {Verb.APPEND, Verb.STOP}:
        reconciler.stream_ended(write)
        return Recovery.RETRY
    if not isinstance(failure, StreamOpen) or write.verb not in {Verb.EDIT, Verb.DELETE}:
        return Recovery.NONE
    if write.message in reconciler.surplus:
        reconciler.forget_replaced(write.message)  # nobody can delete it, and it ends by itself
        return Recovery.RETRY
    return Recovery.RETRY if reconciler.stream_is_open(write) else Recovery.NONE


def _write_smaller(answer: Answer, write: Write, *, is_final: bool) -> Recovery:
    if write.verb is Verb.POST:
        answer.reconciler.mark_not_found(write)  # a rejected post was certainly not made
    if is_notice_only(write) and not is_final:
        answer.preview.disable()
    if answer.frozen is None:
        answer.recut(write.index)
    return Recovery.RETRY


def _leave_as_posted(answer: Answer, write: Write) -> Recovery:
    """Messages cannot be edited: posted text stays, and the rest follows in new messages."""
    reconciler, text = answer.reconciler, write.body.text if write.body is not None else ""
    if reconciler.is_replaced(write.message):  # new messages instead, which can be edited
        reconciler.detach(write.index)
        return Recovery.RETRY
    reconciler.detach()
    bodies = reconciler.bodies
    reconciler.freeze()
    last, answer.last_shown = answer.last_shown, None
    if answer.frozen is not None or answer.preview.is_shown or bodies[write.index].text == text:
        return Recovery.RETRY
    answer.draft.keep_posted(bodies, last.covers if last is not None else answer.draft.covered_by(bodies))
    return Recovery.PAUSE


def _continue_without(answer: Answer, write: Write, failure: Permanent, *, is_final: bool) -> bool:
    """Whether the answer can do without a rejected file, preview, deleted message or look-up."""
    reconciler = answer.reconciler
    if write.body is not None and write.body.files and write.verb is Verb.POST:
        answer.files.give_up()  # whether we may post there at all shows with the next post
        return True
    if isinstance(failure, NotFound):
        return reconciler.drop_missing(write)
    if isinstance(failure, InvalidRequest) and is_notice_only(write) and not is_final:
        answer.preview.disable()
        return True
    if write.verb is Verb.POST and write.body is None:
        reconciler.end_lookups()
        reconciler.mark_not_found(write)
        return True
    return False
