"""What no message of an answer holds, as files beside it: pictures, and addresses that are longer than a message.

What belongs here: making these files, and the line that says what became of them. What does not: finding them
(`bot.markdown.model_text`), and the files of long answers and long code (`bot.delivery.overflow`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from bot.markdown.model_text import ExtractedAddress
from bot.ports import Upload
from bot.strings import Strings

_PICTURE = re.compile(r"data:image/([\w.+-]+)(?:;[^,;]*)*;base64,")

# What a picture's content begins with, by its type, as Discord and Slack show it; SVG is none of them, since it may
# hold a script. A model can write a data URL without having a picture, and its content is then no such thing.
_SIGNATURES = {
    "png": ("png", b"\x89PNG\r\n\x1a\n"),
    "jpeg": ("jpg", b"\xff\xd8\xff"),
    "jpg": ("jpg", b"\xff\xd8\xff"),
    "gif": ("gif", b"GIF8"),
    "webp": ("webp", b"RIFF"),
}

_ADDRESSES = "links"
_PICTURES = "image"


def extracted_files(extracted: Sequence[ExtractedAddress], reference: str, most: int) -> tuple[Upload, ...]:
    """At most so many files: each picture, and one with all other addresses that are whole, by their numbers."""
    found: list[Upload] = []
    lines = [f"{each.number}: {each.address}" for each in extracted if each.is_complete and not _is_picture(each)]
    if lines and most:
        found.append(Upload(f"{_ADDRESSES}-{reference}.txt", "\n".join([*lines, ""])))
    for each in extracted:
        if len(found) < most and (picture := _picture(each)) is not None:
            extension, content = picture
            found.append(Upload(f"{_PICTURES}-{reference}-{each.number}.{extension}", "", content=content))
    return tuple(found)


def missing_files_notice(extracted: Sequence[ExtractedAddress], files: Sequence[Upload], strings: Strings) -> str:
    """What a reader is told of what was left out and is in none of the files; nothing where all of it is."""
    names = [file.name for file in files]
    pictures = sum(_is_picture(each) for each in extracted)
    is_missing = pictures > sum(name.startswith(f"{_PICTURES}-") for name in names)
    others = [each for each in extracted if not _is_picture(each)]
    has_addresses = any(name.startswith(f"{_ADDRESSES}-") for name in names) and all(
        each.is_complete for each in others
    )
    return strings.not_attached if is_missing or (others and not has_addresses) else ""


def are_all_extracted(files: Sequence[Upload]) -> bool:
    """Whether all of these files are of that kind."""
    return all(file.name.startswith((f"{_PICTURES}-", f"{_ADDRESSES}-")) for file in files)


def _is_picture(left: ExtractedAddress) -> bool:
    return left.address.startswith("data:image/")


def _picture(left: ExtractedAddress) -> tuple[str, bytes] | None:
    """A picture's extension and content; None where it is not one, or not all of it came."""
    head = _PICTURE.match(left.address[:200]) if left.is_complete else None
    extension, signature = _SIGNATURES.get(head.group(1).lower(), ("", b"")) if head else ("", b"")
    if head is None or not extension:
        return None
    encoded = re.sub(r"\s+|%0[AaDd]", "", left.address[head.end() :]).replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return (extension, content) if content.startswith(signature) else None
