"""Files for content extracted from an answer: pictures in data URLs, and addresses longer than a message."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from types import MappingProxyType

from bot.markdown.model_text import ExtractedAddress
from bot.ports import Upload
from bot.strings import Strings

_PICTURE = re.compile(r"data:image/([\w.+-]+)(?:;[^,;]*)*;base64,")

# Signature of each picture type shown by Discord and Slack. SVG is excluded, since it may contain scripts. Models also
# write data URLs without a picture; the signature tells.
_SIGNATURES = MappingProxyType(
    {
        "png": ("png", b"\x89PNG\r\n\x1a\n"),
        "jpeg": ("jpg", b"\xff\xd8\xff"),
        "jpg": ("jpg", b"\xff\xd8\xff"),
        "gif": ("gif", b"GIF8"),
        "webp": ("webp", b"RIFF"),
    }
)

_ADDRESSES = "links"
_PICTURES = "image"


def extracted_files(extracted: Sequence[ExtractedAddress], reference: str, most: int) -> tuple[Upload, ...]:
    """Each picture, and one file with all other complete addresses by number; at most `most` files."""
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
    """The notice about extracted content in none of the files; empty if all of it is there."""
    names = [file.name for file in files]
    pictures = sum(_is_picture(each) for each in extracted)
    is_missing = pictures > sum(name.startswith(f"{_PICTURES}-") for name in names)
    others = [each for each in extracted if not _is_picture(each)]
    has_addresses = any(name.startswith(f"{_ADDRESSES}-") for name in names) and all(
        each.is_complete for each in others
    )
    return strings.not_attached if is_missing or (others and not has_addresses) else ""


def are_all_extracted(files: Sequence[Upload]) -> bool:
    """Whether all files hold extracted content."""
    return all(file.name.startswith((f"{_PICTURES}-", f"{_ADDRESSES}-")) for file in files)


def _is_picture(address: ExtractedAddress) -> bool:
    return address.address.startswith("data:image/")


def _picture(address: ExtractedAddress) -> tuple[str, bytes] | None:
    """A picture's extension and content; None if it is none, or incomplete."""
    head = _PICTURE.match(address.address[:200]) if address.is_complete else None
    extension, signature = _SIGNATURES.get(head.group(1).lower(), ("", b"")) if head else ("", b"")
    if head is None or not extension:
        return None
    encoded = re.sub(r"\s+|%0[AaDd]", "", address.address[head.end() :]).replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return (extension, content) if content.startswith(signature) else None
