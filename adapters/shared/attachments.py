"""Attachments: what people attach to their messages, into parts that a model can be given.

What belongs here: the rules (how large, what the bytes say) as pure functions, and one short async shell that
downloads. What does not: kinds of files (`kinds`), charsets (`charsets`), and anything that a platform calls its
attachments (adapters make `Attachment` values).

Nothing here ever fails a turn: what cannot be had becomes a `OmittedAttachment`, with plain words for the reader.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import aiohttp
import yarl

from adapters.shared.file_types import image_kind, kind_of, other_image, refusal
from adapters.shared.text_encoding import charset_in, decode_text
from bot.conversation import File, Image, OmittedAttachment, Part


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a platform's event says of a file; `size` in bytes, `width` and `height` in pixels, 0 where not said.

    `media_type` may carry parameters (``text/plain; charset=utf-8``) or be empty.
    """

    name: str
    url: str = field(repr=False)  # may be signed
    media_type: str = ""
    size: int = 0
    width: int = 0
    height: int = 0
    lookup: str = ""  # the platform's id of a file of which nothing else is told yet
    why: str = ""  # why it cannot be had, where the platform says so


@dataclass(frozen=True, slots=True)
class AttachmentLimits:
    """What of a message's attachments a model is given at the most."""

    # Files of one message that are looked at, the first ones: Discord and Slack let ten be attached at once.
    count: int = 10
    # Bytes of one file. 10 MB is what Discord lets anybody upload; base64 makes a third more of it, and model servers
    # refuse images of 20 MB.
    bytes: int = 10_000_000
    # Pixels of one image. Servers scale larger ones down or refuse them, and a small file can unpack to gigabytes.
    pixels: int = 25_000_000
    # Characters of one text file: about 25,000 tokens, a book's chapter. More would push the conversation out.
    text_characters: int = 100_000
    # Seconds for the download of one file: a reader waits for it before the first word.
    seconds: float = 20.0


# -------------------------------------------------------------------------------------------------- rules, all of them

NOT_TEXT = "it is not text"
NOT_AN_IMAGE = "it is not an image that can be read"
UNAVAILABLE = "it could not be downloaded"
NO_ACCESS = "the bot may not read it"
NOT_THERE = "it is not there any more"
TOO_OLD = "only files of newer messages are read"
TOO_SLOW = "downloading it took too long"


# The most bytes that a character takes in any charset: eight in ISO-2022-JP, where each switches and switches back.
_BYTES_PER_CHARACTER = 8


def too_large(limits: AttachmentLimits) -> str:
    """Why a file of too many bytes was left out."""
    return f"it is larger than {_megabytes(limits.bytes)}"


def too_many_pixels(limits: AttachmentLimits) -> str:
    """Why an image of too many pixels was left out."""
    return f"it has more than {limits.pixels / 1e6:g} megapixels"


def too_many(limits: AttachmentLimits) -> str:
    """Why a file was not looked at."""
    return f"only the first {limits.count} files of a message are read"


def refuse(attachment: Attachment, limits: AttachmentLimits) -> str:
    """Why `attachment` is left out without being downloaded; empty if there is no reason to."""
    if attachment.why:
        return attachment.why
    kind = kind_of(attachment.name, attachment.media_type)
    if not kind:
        return refusal(attachment.name, attachment.media_type)
    if attachment.size > limits.bytes:
        return too_large(limits)
    if kind == "image" and attachment.width * attachment.height > limits.pixels:
        return too_many_pixels(limits)
    return ""


def part_of(attachment: Attachment, data: bytes, limits: AttachmentLimits, served_as: str = "") -> Part:
    """What becomes of a file that was downloaded: `data` is all of it, `served_as` the media type it came with."""
    if kind_of(attachment.name, attachment.media_type) == "image":
        return _image(attachment, data, limits)
    # No charset takes more bytes for so many characters: what is longer is too long, and the loop is not held up by it.
    most = limits.text_characters * _BYTES_PER_CHARACTER
    text = decode_text(data[: most + 1], charset_in(served_as), charset_in(attachment.media_type))
    if text is None:
        return OmittedAttachment(attachment.name, NOT_TEXT)
    if len(text) > limits.text_characters or len(data) > most:
        return OmittedAttachment(attachment.name, f"it is longer than {limits.text_characters:,} characters")
    return File(attachment.name, text)


def _image(attachment: Attachment, data: bytes, limits: AttachmentLimits) -> Part:
    header = image_header(data)
    if header is None:
        kind = image_kind(data)
        return OmittedAttachment(attachment.name, other_image(kind) if kind else NOT_AN_IMAGE)
    # What the bytes say counts, not what was declared: a wrong type is refused by a model's server with an error.
    if header.width * header.height > limits.pixels:
        return OmittedAttachment(attachment.name, too_many_pixels(limits))
    return Image(attachment.name, header.media_type, data)


# ----------------------------------------------------------------------------------------------------- image headers


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the first bytes of an image say; pixels."""

    media_type: str
    width: int
    height: int


def image_header(data: bytes) -> ImageHeader | None:
    """What `data` says it is, or None where it is no PNG, JPEG, GIF or WebP, or is cut before it says its size."""
    for parse in (_png, _gif, _webp, _jpeg):
        header = parse(data)
        if header is not None:
            return header if header.width and header.height else None
    return None


def _png(data: bytes) -> ImageHeader | None:
    """PNG: signature, then a chunk IHDR that begins with width and height (https://www.w3.org/TR/png-3/#11IHDR)."""
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


# JPEG markers: the frame headers (SOF0 to SOF15 but for DHT, JPG and DAC), and those that stand without a length.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def _jpeg(data: bytes) -> ImageHeader | None:
    """JPEG: segments from marker to marker until a frame says the size (https://www.w3.org/Graphics/JPEG/itu-t81.pdf)."""
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


# Where something can be asked for: scheme, host and port (https://url.spec.whatwg.org/#concept-url-origin).
Origin = tuple[str, str, int]


def may_read(url: str | yarl.URL, hosts: frozenset[str]) -> bool:
    """Whether `url` may be downloaded from: only the origins that `hosts` names, port and scheme included.

    A host is an origin (``http://files.test:8080``), or a name with or without a port (``cdn.discordapp.com``), which
    is read by https; a loopback address without a scheme may be read by http too.
    """
    origin = origin_of(url)
    return origin is not None and any(origin in _named(host) for host in hosts)


def origin_of(url: str | yarl.URL) -> Origin | None:
    """The origin of an http or https address; None for any other text, and where the address names a user."""
    try:
        parsed = yarl.URL(url)
        port = parsed.port
    except (ValueError, TypeError):
        return None
    if parsed.scheme not in ("http", "https") or not parsed.host or port is None or parsed.raw_user is not None:
        return None
    return parsed.scheme, parsed.host.lower(), port


def _named(host: str) -> set[Origin | None]:
    """The origins that one of a set of hosts stands for."""
    if "://" in host:
        return {origin_of(host)} - {None}
    schemes = ("https", "http") if is_loopback(yarl.URL(f"//{host}").host or "") else ("https",)
    return {origin_of(f"{scheme}://{host}") for scheme in schemes} - {None}


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -------------------------------------------------------------------------------------------------------------- shell

# How many files are downloaded at once, for all turns together: enough for a message's ten, few enough that memory
# stays below this many times `AttachmentLimits.bytes`.
_AT_ONCE = 8

# How often one download may be sent on to another address, each of which must be allowed. Slack's files redirect once.
_REDIRECTS = 3

# What a server answers instead of the file when somebody must log in first (Slack, with a token that lacks files:read).
_PAGES = frozenset({"text/html"})


class _TooLarge(Exception):
    """More bytes came than are allowed."""


class Attachments:
    """Downloads attachments and makes parts of them. One for each platform; `close` it at the end.

    `hosts` is where files may be read from, see `may_read`; `headers` (a bearer token) is sent there only. With
    `local`, the address of an attachment may name any port of this machine: a test server may serve its files beside
    its API. A redirect may not.
    """

    def __init__(
        self,
        limits: AttachmentLimits,
        *,
        hosts: frozenset[str],
        headers: Mapping[str, str] = MappingProxyType({}),
        local: bool = False,
    ) -> None:
        self._limits = limits
        self._hosts = hosts
        self._local = local
        self._headers = dict(headers)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @property
    def limits(self) -> AttachmentLimits:
        """What is read at the most."""
        return self._limits

    async def read(self, attachments: Sequence[Attachment]) -> tuple[Part, ...]:
        """One part for each attachment, in order: `Image`, `File` or `OmittedAttachment`. Never raises a failure."""
        first, rest = attachments[: self._limits.count], attachments[self._limits.count :]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read_one(attachment)) for attachment in first]
        left = [OmittedAttachment(attachment.name, too_many(self._limits)) for attachment in rest]
        return (*(task.result() for task in tasks), *left)

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _read_one(self, attachment: Attachment) -> Part:
        why = refuse(attachment, self._limits)
        if why:
            return OmittedAttachment(attachment.name, why)
        try:
            async with asyncio.timeout(self._limits.seconds), self._slots:  # a reader waits for the queue as well
                data, served_as = await self._download(attachment)
        except _TooLarge:
            return OmittedAttachment(attachment.name, too_large(self._limits))
        except TimeoutError:
            return OmittedAttachment(attachment.name, TOO_SLOW)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return OmittedAttachment(attachment.name, _why(error))
        return part_of(attachment, data, self._limits, served_as)

    async def _download(self, attachment: Attachment) -> tuple[bytes, str]:
        """The bytes, and the media type that the server sends them as."""
        first = url = yarl.URL(attachment.url)
        for _ in range(_REDIRECTS + 1):
            if not (may_read(url, self._hosts) or self._is_local(url, first)):
                raise ValueError("not a place that files are read from")
            async with self._opened().get(url, headers=self._headers, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    url = response.url.join(yarl.URL(response.headers.get("Location", "")))
                    continue
                response.raise_for_status()
                declared = attachment.media_type.partition(";")[0].strip().lower()
                if response.content_type in _PAGES and declared not in ("", *_PAGES):
                    raise PermissionError("a page came instead of the file")
                served_as = response.headers.get("Content-Type", "")
                return await _bounded(response, self._limits.bytes), served_as
        raise ValueError("too many redirects")

    def _is_local(self, url: yarl.URL, first: yarl.URL) -> bool:
        """Whether a test server on this machine serves the file: at the address that was given, or a redirect to it."""
        return self._local and is_loopback(url.host or "") and origin_of(url) == origin_of(first) is not None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _why(error: Exception) -> str:
    """What a failed download says of the file, for the reader."""
    status = error.status if isinstance(error, aiohttp.ClientResponseError) else 0
    if isinstance(error, PermissionError) or status in (401, 403):
        return NO_ACCESS
    return NOT_THERE if status in (404, 410) else UNAVAILABLE


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, read as it comes and given up as soon as it is too long."""
    body = bytearray()
    async for block in response.content.iter_chunked(65_536):
        body += block
        if len(body) > limit:
            raise _TooLarge
    return bytes(body)
