"""What both wire formats share: a prompt's parts as text, reading JSON of any shape, and the shape of a decoder.

Pure functions on plain values. Servers that call themselves compatible leave fields out, send null where the reference
has a list, and add kinds of their own: everything here takes any JSON and finds in it what is there.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from bot.conversation import Delta, File, Finish, Image, Message, OmittedAttachment, Prompt, Role, Text, Usage
from bot.markdown import single_line
from bot.role_alternation import alternating

Json = Mapping[str, object]

# ------------------------------------------------------------------------------------------------ reading any JSON


def fields(value: object) -> Json:
    """`value` if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """`value` if it is a list, otherwise an empty one."""
    return value if isinstance(value, list) else []


# What the two APIs and others' servers call a part that is words.
TEXT_PARTS = frozenset({"text", "output_text"})


def words(value: object) -> str:
    """The text in `value`: a string, or a list of parts of which those of type text count (Mistral sends such)."""
    if isinstance(value, str):
        return value
    if not value:
        return ""
    parts = (fields(item) for item in items(value))
    return "".join(words(part.get("text")) for part in parts if is_text(part))


def thoughts(parts: list[object]) -> str:
    """What is thought aloud in a list of parts, which may be lists of parts themselves (Mistral sends such)."""
    thinking = (fields(item) for item in parts if fields(item).get("type") == "thinking")
    return "".join(words(part.get("thinking")) or words(part.get("text")) for part in thinking)


def is_text(part: Json) -> bool:
    """Whether a part of a message is words. Compared as a string: a type that is none of that is no key of a set."""
    return str(part.get("type")) in TEXT_PARTS


def usage_of(value: object, given: str, made: str) -> Usage | None:
    """Token counts under the names that an API has for them; None where they are not whole numbers."""
    if not value:
        return None
    counts = fields(value)
    tokens = (counts.get(given), counts.get(made))
    match tokens:
        case (int() as input_tokens, int() as output_tokens):
            return Usage(input_tokens, output_tokens)
        case _:
            return None


def mended(text: str) -> str:
    """`text` as it can be encoded: pairs of surrogates joined, lone ones replaced by U+FFFD.

    JSON may carry half a pair, and no encoder takes it: neither the client's nor a platform's.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class SurrogateJoiner:
    """Keeps back the first half of a surrogate pair that one chunk ends with, until the next one brings the second."""

    def __init__(self) -> None:
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether something is kept back."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """The text that can be shown by now."""
        if not self._held and text.isascii():
            return text
        text = self._held + text
        self._held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return mended(text.removesuffix(self._held))

    def flush(self) -> str:
        """What was kept back, when nothing more comes."""
        held, self._held = self._held, ""
        return mended(held)


# ------------------------------------------------------------------------------------------------- writing a prompt


def fenced(file: File) -> str:
    """A text file as a block of markdown with its name, in a fence longer than any that it holds."""
    longest = max((len(run) for run in re.findall(r"`+", file.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"File {single_line(file.name)}:\n{fence}\n{file.text}\n{fence}"


def data_url(image: Image) -> str:
    """The picture itself as a URL, which both APIs take (platform.openai.com/docs/guides/images-vision)."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def parts_of(message: Message, *, images: bool) -> list[str | Image]:
    """The parts of a message as text and pictures, in order; neighbouring texts are joined by a blank line.

    Without `images`, a picture is a line that says that it is not shown. Blank texts are left out: some servers refuse
    a message that has one beside a picture (Anthropic, Bedrock).
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
            return mended(text)
        case File():
            return mended(fenced(part))
        case OmittedAttachment(name, why):
            return mended(f"[{single_line(name)} was left out: {why}]")
        case Image() if images:
            return part
        case Image(name):
            return mended(f"[image {single_line(name)} not shown]")


# ------------------------------------------------------------------------------------------------ reading an answer


class Decoder(Protocol):
    """Reads the events of one streamed answer."""

    finish: Finish | None  # once the answer's end was announced; more may follow, and replace it
    usage: Usage | None  # once the server has counted
    over: bool  # once an event has said that none follows

    def feed(self, event: object) -> list[Delta]:
        """The deltas in one event; kinds not known have none. Raises a `Failure` where the event is an error."""
        ...

    def flush(self) -> list[Delta]:
        """What was kept back, at the end of the stream."""
        ...

    def rest(self) -> list[Delta]:
        """What `flush` would give now, while the stream may go on."""
        ...


def message_bodies(
    prompt: Prompt, *, images: bool, part_body: Callable[[str | Image], dict[str, object]]
) -> list[dict[str, object]]:
    """The messages of a request, in the order that every server takes (see `bot.role_alternation`)."""
    return [message_body(message, images=images, part_body=part_body) for message in alternating(prompt.messages)]


def message_body(
    message: Message, *, images: bool, part_body: Callable[[str | Image], dict[str, object]]
) -> dict[str, object]:
    """One message of a request; `part_body` writes a part as the API at hand wants it.

    Only users may show pictures; and a plain string is what every server takes, so a list is sent for them alone.
    """
    parts = parts_of(message, images=images and message.role is Role.USER)
    if not any(isinstance(part, Image) for part in parts):
        return {"role": message.role.value, "content": "\n\n".join(part for part in parts if isinstance(part, str))}
    return {"role": message.role.value, "content": [part_body(part) for part in parts]}
