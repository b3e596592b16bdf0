"""Shared by both wire formats: prompt parts as text, text in response JSON, and the event decoder's protocol. Pure.

Compatible servers leave fields out, send null instead of a list, and add types of their own. So every function here
accepts any JSON.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Protocol

from adapters.shared.json_fields import Json, as_list, as_object
from bot.conversation import Delta, File, Finish, Image, Message, OmittedAttachment, Prompt, Role, Text, Usage
from bot.markdown import single_line
from bot.role_alternation import alternating

# ------------------------------------------------------------------------------------------------ response JSON

# Types of text parts in both APIs and compatible servers.
TEXT_PARTS = frozenset({"text", "output_text"})


def text_of(value: object) -> str:
    """The text of a string, or of the text parts in a list (Mistral sends lists)."""
    if isinstance(value, str):
        return value
    if not value:
        return ""
    parts = (as_object(item) for item in as_list(value))
    return "".join(text_of(part.get("text")) for part in parts if is_text_part(part))


def thinking_of(parts: list[object]) -> str:
    """The reasoning in a list of parts; a part may hold another list of parts (Mistral)."""
    thinking = (as_object(item) for item in parts if as_object(item).get("type") == "thinking")
    return "".join(text_of(part.get("thinking")) or text_of(part.get("text")) for part in thinking)


def is_text_part(part: Json) -> bool:
    """Whether a part is text. The type is converted to a string, since JSON of another kind may not be hashable."""
    return str(part.get("type")) in TEXT_PARTS


def fix_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates by U+FFFD.

    JSON may carry half a pair. No encoder accepts it, neither the client's nor a platform's.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class SurrogateJoiner:
    """Holds back the first half of a surrogate pair at the end of a chunk until the next chunk brings the second."""

    def __init__(self) -> None:
        self._pending = ""

    @property
    def has_pending(self) -> bool:
        """Whether text is held back."""
        return bool(self._pending)

    def feed(self, text: str) -> str:
        """The text complete so far."""
        if not self._pending and text.isascii():
            return text
        text = self._pending + text
        self._pending = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return fix_surrogates(text.removesuffix(self._pending))

    def flush(self) -> str:
        """The held-back text, at the end of the input."""
        held, self._pending = self._pending, ""
        return fix_surrogates(held)


# ------------------------------------------------------------------------------------------------- request JSON


def fenced_file(file: File) -> str:
    """A text file as a named Markdown code block. The fence is longer than any run of backticks in the file."""
    longest = max((len(run) for run in re.findall(r"`+", file.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"File {single_line(file.name)}:\n{fence}\n{file.text}\n{fence}"


def data_url(image: Image) -> str:
    """The image as a data URL, for both APIs (platform.openai.com/docs/guides/images-vision)."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def parts_of(message: Message, *, images: bool) -> list[str | Image]:
    """The parts of a message as text and images, in order. A blank line joins neighbouring texts.

    Without `images`, a text line replaces each image. Blank texts are dropped: some servers refuse a blank text beside
    an image (Anthropic, Bedrock).
    """
    parts: list[str | Image] = []
    for part in message.parts:
        new = _part(part, images=images)
        if isinstance(new, str) and not new.strip():
            continue
        if isinstance(new, str) and parts and isinstance(parts[-1], str):
            parts[-1] += "\n\n" + new
        else:
            parts.append(new)
    return parts


def _part(part: Text | Image | File | OmittedAttachment, *, images: bool) -> str | Image:
    match part:
        case Text(text):
            return fix_surrogates(text)
        case File():
            return fix_surrogates(fenced_file(part))
        case OmittedAttachment(name, why):
            return fix_surrogates(f"[{single_line(name)} was left out: {why}]")
        case Image() if images:
            return part
        case Image(name):
            return fix_surrogates(f"[image {single_line(name)} not shown]")


def message_bodies(
    prompt: Prompt, *, images: bool, part_body: Callable[[str | Image], dict[str, object]]
) -> list[dict[str, object]]:
    """The messages of a request, in alternating roles (see `bot.role_alternation`)."""
    return [message_body(message, images=images, part_body=part_body) for message in alternating(prompt.messages)]


def message_body(
    message: Message, *, images: bool, part_body: Callable[[str | Image], dict[str, object]]
) -> dict[str, object]:
    """One message of a request; `part_body` writes a part in the format of the API.

    Only user messages may hold images. Every server accepts a plain string as content, so a list is sent only with
    images.
    """
    parts = parts_of(message, images=images and message.role is Role.USER)
    if not any(isinstance(part, Image) for part in parts):
        return {"role": message.role.value, "content": "\n\n".join(part for part in parts if isinstance(part, str))}
    return {"role": message.role.value, "content": [part_body(part) for part in parts]}


# ------------------------------------------------------------------------------------------------ streamed events


class EventDecoder(Protocol):
    """Turns the events of one streamed answer into deltas."""

    finish: Finish | None  # set by a finish reason; a later event may replace it
    usage: Usage | None  # set by the server's token counts
    done: bool  # set by an event marked as the last one

    def plain_text(self, event: object) -> str:
        """The text of an event with nothing else in it; empty for other events."""
        ...

    def feed_text(self, text: str) -> list[Delta]:
        """The deltas of the joined texts of such events: the same as of feeding each."""
        ...

    def feed(self, event: object) -> list[Delta]:
        """The deltas of one event; none for an unknown type. Raises a `Failure` for an error event."""
        ...

    def flush(self) -> list[Delta]:
        """The deltas held back, at the end of the stream."""
        ...

    def peek(self) -> list[Delta]:
        """The result of `flush` at this point, without changing the state."""
        ...
