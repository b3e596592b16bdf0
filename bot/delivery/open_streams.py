"""The next write of an open stream: append, or stop. Pure.

A platform only appends, so text is sent once it is stable, and only as long as it continues what was sent. After a stop
the message is an ordinary one: an edit corrects it if it shows another text than desired.
"""

from __future__ import annotations

from bot.delivery.writes import DesiredMessage, OpenStream, PostedMessage, Write
from bot.ports import Body, Verb


def stream_write(posted: PostedMessage, target: DesiredMessage | None, index: int, *, grows: bool) -> Write | None:
    """The next write of an open stream, or None. One that no longer `grows` is stopped."""
    stream = posted.stream
    assert stream is not None
    if target is None:
        return Write(Verb.STOP, index, posted.key, posted.id, posted.body or Body(""))
    wanted = target.body.stable if grows else target.body.text
    rest = None if stream.is_unsure else continuation(stream.text, wanted)
    if grows and not (rest or stream.is_unsure) and stream.text.startswith(wanted):
        return None  # an undecided line may take back a little of the stable text
    if not grows or rest is None:
        text = rest or ""
        # A platform may drop white space at the start of a part: then the edit after the stop has the rest.
        text = "" if text[:1].isspace() else text
        return Write(Verb.STOP, index, posted.key, posted.id, target.body, target.covers, text=text)
    if not rest or rest[0].isspace():
        return None
    return Write(Verb.APPEND, index, posted.key, posted.id, target.body, target.covers, text=rest)


def continuation(sent: str, text: str) -> str | None:
    """The part of `text` behind `sent`, apart from white space at its end; None if it does not continue it."""
    if text.startswith(sent):
        return text[len(sent) :]
    return "" if text == sent.rstrip() else None


def stopped(posted: PostedMessage, write: Write) -> None:
    """A stop succeeded: what the message shows now."""
    stream, body = posted.stream, write.body
    posted.stream, posted.recovered, posted.replaced = None, False, False
    if stream is None or stream.is_unsure or body is None:
        posted.body = None
        return
    shown = stream.text + write.text
    is_whole = not body.files and continuation(shown, body.text) == ""
    posted.body = body if is_whole else Body(shown, controls=body.controls)


def appended(posted: PostedMessage, write: Write) -> None:
    """An append succeeded."""
    assert posted.stream is not None
    posted.stream = OpenStream(posted.stream.text + write.text)
    posted.body = write.body
