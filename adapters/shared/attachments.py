"""Turns message attachments into prompt parts: pure rules, and one short async downloader.

`file_types` classifies files, `text_encoding` decodes text; the platforms create `Attachment` values. No attachment
ever fails a turn: a missing one becomes an `OmittedAttachment` with a plain reason for the reader.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import yarl

from adapters.shared.file_types import kind_of, unsupported_image_format, unsupported_image_reason, unsupported_reason
from adapters.shared.text_encoding import charset_in, decode_text
from bot.conversation import File, Image, OmittedAttachment, Part


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as described by the platform: `size` in bytes, `width` and `height` in pixels, 0 if unknown.

    `media_type` may have parameters (``text/plain; charset=utf-8``) or be empty.
    """

    name: str
    url: str = field(repr=False)  # may be signed
    media_type: str = ""
    size: int = 0
    width: int = 0
    height: int = 0
    lookup: str = ""  # the platform's file id, if its description must be fetched
    why: str = ""  # the reason, if the platform calls it unavailable


@dataclass(frozen=True, slots=True)
class AttachmentLimits:
    """Upper bounds for the attachments of one message."""

    # The first files of a message. Discord and Slack allow ten per message.
    count: int = 10
    # Bytes of one file. Discord lets everyone upload 10 MB. base64 adds a third, and model servers refuse images of
    # 20 MB.
    bytes: int = 10_000_000
    # Pixels of one image. Servers scale larger ones down or refuse them, and a small file can unpack to gigabytes.
    pixels: int = 25_000_000
    # Characters of one text file: about 25,000 tokens, a book's chapter. More would push the conversation out.
    text_characters: int = 100_000
    # Seconds for the download of one file: a reader waits for it before the first word.
    seconds: float = 20.0


# ------------------------------------------------------------------------------------------------------------- rules

NOT_TEXT = "it is not text"
NOT_AN_IMAGE = "it is not an image that can be read"
UNAVAILABLE = "it could not be downloaded"
NO_ACCESS = "the bot may not read it"
NOT_THERE = "it is not there any more"
TOO_OLD = "only files of newer messages are read"
TOO_SLOW = "downloading it took too long"


# Maximum in any charset: eight bytes in ISO-2022-JP, with an escape sequence before and after each character.
_MAX_BYTES_PER_CHARACTER = 8


def over_byte_limit(limits: AttachmentLimits) -> str:
    """The reason for omitting a file with too many bytes."""
    return f"it is larger than {_megabytes(limits.bytes)}"


def over_pixel_limit(limits: AttachmentLimits) -> str:
    """The reason for omitting an image with too many pixels."""
    return f"it has more than {limits.pixels / 1e6:g} megapixels"


def over_count_limit(limits: AttachmentLimits) -> str:
    """The reason for omitting a file beyond the first `count`."""
    return f"only the first {limits.count} files of a message are read"


def refusal_reason(attachment: Attachment, limits: AttachmentLimits) -> str:
    """The reason for omitting an attachment without a download; empty if it is acceptable."""
    if attachment.why:
        return attachment.why
    kind = kind_of(attachment.name, attachment.media_type)
    if not kind:
        return unsupported_reason(attachment.name, attachment.media_type)
    if attachment.size > limits.bytes:
        return over_byte_limit(limits)
    if kind == "image" and attachment.width * attachment.height > limits.pixels:
        return over_pixel_limit(limits)
    return ""


def to_part(attachment: Attachment, data: bytes, limits: AttachmentLimits, content_type: str = "") -> Part:
    """The part for a downloaded file: `data` is its content, `content_type` comes from the server."""
    if kind_of(attachment.name, attachment.media_type) == "image":
        return _to_image(attachment, data, limits)
    # More bytes mean too many characters in any charset. Decoding them would only hold up the event loop.
    max_bytes = limits.text_characters * _MAX_BYTES_PER_CHARACTER
    text = decode_text(data[: max_bytes + 1], charset_in(content_type), charset_in(attachment.media_type))
    if text is None:
        return OmittedAttachment(attachment.name, NOT_TEXT)
    if len(text) > limits.text_characters or len(data) > max_bytes:
        return OmittedAttachment(attachment.name, f"it is longer than {limits.text_characters:,} characters")
    return File(attachment.name, text)


def _to_image(attachment: Attachment, data: bytes, limits: AttachmentLimits) -> Part:
    header = image_header(data)
    if header is None:
        kind = unsupported_image_format(data)
        return OmittedAttachment(attachment.name, unsupported_image_reason(kind) if kind else NOT_AN_IMAGE)
    # Trust the bytes, not the declared type: the model's server refuses a wrong type with an error.
    if header.width * header.height > limits.pixels:
        return OmittedAttachment(attachment.name, over_pixel_limit(limits))
    return Image(attachment.name, header.media_type, data)


# ----------------------------------------------------------------------------------------------------- image headers


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Type and size from the first bytes of an image, in pixels."""

    media_type: str
    width: int
    height: int


def image_header(data: bytes) -> ImageHeader | None:
    """The header of a PNG, JPEG, GIF or WebP; None for other data, or if it is cut before the size."""
    for parse in (_png, _gif, _webp, _jpeg):
        header = parse(data)
        if header is not None:
            return header if header.width and header.height else None
    return None


def _png(data: bytes) -> ImageHeader | None:
    """PNG: signature, then a chunk IHDR beginning with width and height (https://www.w3.org/TR/png-3/#11IHDR)."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR" or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return ImageHeader("image/png", width, height)


def _gif(data: bytes) -> ImageHeader | None:
    """GIF: signature, then the logical screen's width and height (https://www.w3.org/Graphics/GIF/spec-gif89a.txt)."""
    if not data.startswith((b"GIF87a", b"GIF89a")) or len(data) < 10:
        return None
    width, height = struct.unpack("<HH", data[6:10])
    return ImageHeader("image/gif", width, height)


def _webp(data: bytes) -> ImageHeader | None:
    """WebP: RIFF, and a first chunk of one of three kinds (https://www.rfc-editor.org/rfc/rfc9649)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    size = None
    if data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        size = (width & 0x3FFF, height & 0x3FFF)
    elif data[12:16] == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    elif data[12:16] == b"VP8X":
        size = (int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)
    return ImageHeader("image/webp", *size) if size else None


# JPEG markers: the frame headers (SOF0 to SOF15 except DHT, JPG and DAC), and markers without a length.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def _jpeg(data: bytes) -> ImageHeader | None:
    """JPEG: segments up to a frame header with the size (https://www.w3.org/Graphics/JPEG/itu-t81.pdf)."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            if at + 9 > len(data):
                return None
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return ImageHeader("image/jpeg", width, height)
        else:
            at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    return None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:g} MB" if size >= 1_000_000 else f"{size / 1e3:g} kB"


# ----------------------------------------------------------------------------------------------------------- addresses


# Scheme, host and port (https://url.spec.whatwg.org/#concept-url-origin).
Origin = tuple[str, str, int]


def may_read(url: str | yarl.URL, hosts: frozenset[str]) -> bool:
    """Whether `url` belongs to an origin in `hosts`, including scheme and port.

    A host is an origin (``http://files.test:8080``) or a name with or without a port (``cdn.discordapp.com``). A name
    means https; a loopback name means http too.
    """
    origin = origin_of(url)
    return origin is not None and any(origin in _origins_of(host) for host in hosts)


def origin_of(url: str | yarl.URL) -> Origin | None:
    """The origin of an http or https URL; None for other text, or if the URL contains a user."""
    try:
        parsed = yarl.URL(url)
        port = parsed.port
    except (ValueError, TypeError):
        return None
    if parsed.scheme not in ("http", "https") or not parsed.host or port is None or parsed.raw_user is not None:
        return None
    return parsed.scheme, parsed.host.lower(), port


def _origins_of(host: str) -> set[Origin | None]:
    """The origins meant by one host."""
    if "://" in host:
        return {origin_of(host)} - {None}
    schemes = ("https", "http") if is_loopback(yarl.URL(f"//{host}").host or "") else ("https",)
    return {origin_of(f"{scheme}://{host}") for scheme in schemes} - {None}


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is the loopback of this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -------------------------------------------------------------------------------------------------------- downloading

# Concurrent downloads of all turns together: enough for the ten files of a message. Memory stays below this number
# times `AttachmentLimits.bytes`.
_MAX_DOWNLOADS = 8

# Redirects of one download, each to an allowed origin. Slack's files redirect once.
_MAX_REDIRECTS = 3

# Types of a login page sent instead of the file (Slack, with a token without files:read).
_HTML_TYPES = frozenset({"text/html"})


class _TooLarge(Exception):
    """The body exceeds the limit."""


class Attachments:
    """Downloads attachments and turns them into parts. One per platform; `close` it at the end.

    Only `hosts` may be read (see `may_read`); bearer tokens go only there. With `allow_loopback`, an attachment's URL
    may use any port of this machine, for test servers with files beside their API. A redirect may not switch to another
    port of this machine.
    """

    def __init__(
        self,
        limits: AttachmentLimits,
        *,
        hosts: frozenset[str],
        allow_loopback: bool = False,
    ) -> None:
        self._limits = limits
        self._hosts = hosts
        self._allow_loopback = allow_loopback
        self._session: aiohttp.ClientSession | None = None
        self._downloads = asyncio.Semaphore(_MAX_DOWNLOADS)

    @property
    def limits(self) -> AttachmentLimits:
        """The limits of one message."""
        return self._limits

    async def read(self, attachments: Sequence[Attachment], bearer: str = "") -> tuple[Part, ...]:
        """One part for each attachment, in order: `Image`, `File` or `OmittedAttachment`. Never raises a failure.

        `bearer` is the token for the downloads, if they need one.
        """
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        first, rest = attachments[: self._limits.count], attachments[self._limits.count :]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read_one(attachment, headers)) for attachment in first]
        left = [OmittedAttachment(attachment.name, over_count_limit(self._limits)) for attachment in rest]
        return (*(task.result() for task in tasks), *left)

    async def close(self) -> None:
        """Close the connections. Repeated calls are harmless."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _read_one(self, attachment: Attachment, headers: Mapping[str, str]) -> Part:
        why = refusal_reason(attachment, self._limits)
        if why:
            return OmittedAttachment(attachment.name, why)
        try:
            async with asyncio.timeout(self._limits.seconds), self._downloads:  # includes waiting for a slot
                data, content_type = await self._download(attachment, headers)
        except _TooLarge:
            return OmittedAttachment(attachment.name, over_byte_limit(self._limits))
        except TimeoutError:
            return OmittedAttachment(attachment.name, TOO_SLOW)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return OmittedAttachment(attachment.name, _failure_reason(error))
        return to_part(attachment, data, self._limits, content_type)

    async def _download(self, attachment: Attachment, headers: Mapping[str, str]) -> tuple[bytes, str]:
        """The content and its media type, from the server."""
        first = url = yarl.URL(attachment.url)
        for _ in range(_MAX_REDIRECTS + 1):
            if not (may_read(url, self._hosts) or self._is_allowed_loopback(url, first)):
                raise ValueError("not an allowed origin")
            async with self._open_session().get(url, headers=headers, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    url = response.url.join(yarl.URL(response.headers.get("Location", "")))
                    continue
                response.raise_for_status()
                declared = attachment.media_type.partition(";")[0].strip().lower()
                if response.content_type in _HTML_TYPES and declared not in ("", *_HTML_TYPES):
                    raise PermissionError("a web page came instead of the file")
                content_type = response.headers.get("Content-Type", "")
                return await _read_body(response, self._limits.bytes), content_type
        raise ValueError("too many redirects")

    def _is_allowed_loopback(self, url: yarl.URL, first: yarl.URL) -> bool:
        """Whether a test server on this machine serves the file: the same origin as the attachment's URL."""
        return self._allow_loopback and is_loopback(url.host or "") and origin_of(url) == origin_of(first) is not None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _failure_reason(error: Exception) -> str:
    """The reason for a failed download, for the reader."""
    status = error.status if isinstance(error, aiohttp.ClientResponseError) else 0
    if isinstance(error, PermissionError) or status in (401, 403):
        return NO_ACCESS
    return NOT_THERE if status in (404, 410) else UNAVAILABLE


async def _read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read the body; raises `_TooLarge` as soon as it exceeds `limit` bytes."""
    body = bytearray()
    async for block in response.content.iter_chunked(65_536):
        body += block
        if len(body) > limit:
            raise _TooLarge
    return bytes(body)
