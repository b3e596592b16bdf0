"""Attachments: the rules as tables and properties, the download against a loopback server."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from adapters import discord, slack
from adapters.shared.attachments import (
    NO_ACCESS,
    NOT_AN_IMAGE,
    NOT_TEXT,
    NOT_THERE,
    TOO_SLOW,
    UNAVAILABLE,
    Attachment,
    AttachmentLimits,
    Attachments,
    ImageHeader,
    image_header,
    may_read,
    refusal_reason,
    to_part,
)
from adapters.shared.file_types import ARCHIVE, kind_of
from bot.conversation import File, Image, OmittedAttachment

LIMITS = AttachmentLimits()


def png(width: int, height: int, rest: bytes = b"\x08\x06\0\0\0") -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + rest


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 8


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 40) + b"\xff\xc0 not a frame, but a thumbnail's   "[:40].ljust(40)
    return b"\xff\xd8" + exif + b"\xff\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + b"\0" * 12


def webp(width: int, height: int, kind: bytes) -> bytes:
    bodies = {
        b"VP8 ": b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 8,
        b"VP8X": b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
    }
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + bodies[kind]


MAKERS: dict[str, Callable[[int, int], bytes]] = {
    "png": png,
    "gif": gif,
    "jpeg": jpeg,
    "webp lossy": lambda width, height: webp(width, height, b"VP8 "),
    "webp lossless": lambda width, height: webp(width, height, b"VP8L"),
    "webp extended": lambda width, height: webp(width, height, b"VP8X"),
}

sizes = st.integers(min_value=1, max_value=16_383)


@pytest.mark.parametrize("kind", MAKERS)
@given(width=sizes, height=sizes)
def test_an_images_header_says_its_type_and_size(kind: str, width: int, height: int) -> None:
    """Every kind of image that models take is recognised by its bytes, with its pixels."""
    expected = ImageHeader(f"image/{kind.partition(' ')[0]}", width, height)

    assert image_header(MAKERS[kind](width, height)) == expected


@pytest.mark.parametrize("kind", MAKERS)
@given(width=sizes, height=sizes, cut=st.integers(min_value=0, max_value=80))
def test_a_cut_image_gives_its_true_size_or_none(kind: str, width: int, height: int, cut: int) -> None:
    """However early the bytes end, the parser neither fails nor makes a size up."""
    header = image_header(MAKERS[kind](width, height)[:cut])

    assert header is None or (header.width, header.height) == (width, height)


@given(
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 "]
    ),
    rest=st.binary(max_size=200),
)
def test_no_bytes_make_the_header_parser_fail(start: bytes, rest: bytes) -> None:
    """Whatever somebody uploads, the answer is a header with a size, or none."""
    header = image_header(start + rest)

    assert header is None or (header.width > 0 and header.height > 0)


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.png", "image/png", "image"),
        ("a.png", "", "image"),
        ("photo", "image/jpeg", "image"),
        ("a.JPG", "application/octet-stream", "image"),
        ("a.svg", "image/svg+xml", "text"),
        ("a.bmp", "image/bmp", ""),
        ("a.txt", "text/plain; charset=utf-8", "text"),
        ("a.ts", "video/mp2t", "text"),
        ("a.json", "application/json", "text"),
        ("feed", "application/atom+xml", "text"),
        ("Makefile", "", "text"),
        ("a.py", "application/octet-stream", "text"),
        ("a.mp3", "audio/mpeg", ""),
        ("a.zip", "application/zip", ""),
        ("a.pdf", "application/pdf", ""),
        ("noname", "", ""),
    ],
)
def test_the_kind_of_a_file(name: str, media_type: str, kind: str) -> None:
    """A file's kind is what the platform says it is; its name decides where that says nothing."""
    assert kind_of(name, media_type) == kind


@pytest.mark.parametrize(
    ("attachment", "why"),
    [
        (Attachment("a.png", "", "image/png", size=1000, width=100, height=100), ""),
        (Attachment("a.png", "", "image/png"), ""),
        (Attachment("a.png", "", "image/png", size=30_000_000), "it is larger than 10 MB"),
        (Attachment("a.txt", "", "text/plain", size=30_000_000), "it is larger than 10 MB"),
        (Attachment("a.png", "", "image/png", width=10_000, height=5_000), "it has more than 25 megapixels"),
        (Attachment("a.zip", "", "application/zip", size=10), ARCHIVE),
        (Attachment("a.txt", "", "text/plain", why="it was deleted"), "it was deleted"),
    ],
)
def test_what_is_left_out_undownloaded(attachment: Attachment, why: str) -> None:
    """What is declared too large, or to be of no use, is not downloaded at all."""
    assert refusal_reason(attachment, LIMITS) == why


def test_what_becomes_of_bytes() -> None:
    """An image gets the type its bytes say, a text file its text, and what cannot be used says why not."""
    small = png(10, 10)
    assert to_part(Attachment("a.jpg", "", "image/jpeg"), small, LIMITS) == Image("a.jpg", "image/png", small)
    assert to_part(Attachment("a.txt", ""), b"hi", LIMITS) == File("a.txt", "hi")
    assert to_part(Attachment("a.txt", "", "text/plain"), b"\0\1", LIMITS) == OmittedAttachment("a.txt", NOT_TEXT)
    assert to_part(Attachment("a.png", "", "image/png"), b"nope", LIMITS) == OmittedAttachment("a.png", NOT_AN_IMAGE)
    large = to_part(Attachment("a.png", "", "image/png"), png(10_000, 5_000), LIMITS)
    assert large == OmittedAttachment("a.png", "it has more than 25 megapixels")
    for length in (100_001, 9_000_000):
        long = to_part(Attachment("a.txt", ""), b"x" * length, LIMITS)
        assert long == OmittedAttachment("a.txt", "it is longer than 100,000 characters")
    photo = to_part(Attachment("a.jpg", "", "image/jpeg"), b"\0\0\0\x18ftypheic" + b"\0" * 20, LIMITS)
    assert photo == OmittedAttachment("a.jpg", "it is an image of a kind that the model does not take (HEIC)")


@pytest.mark.parametrize(
    ("declared", "content_type", "charset"),
    [
        ("text/plain", "text/plain; charset=windows-1252", "cp1252"),
        ("text/plain; charset=Shift_JIS", "application/octet-stream", "cp932"),
        ("text/csv; charset=utf-8", "text/csv; charset=UTF-16", "utf-16-le"),
    ],
)
def test_a_declared_charset_counts(declared: str, content_type: str, charset: str) -> None:
    """A text file is read in the charset that it is served in, or else the one that the platform names."""
    part = to_part(Attachment("a.txt", "", declared), "naïve".encode(charset, "replace"), LIMITS, content_type)

    assert part == File("a.txt", "naïve".encode(charset, "replace").decode(charset))


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://cdn.test/a", {"cdn.test"}, True),
        ("https://CDN.test:443/a", {"cdn.test"}, True),
        ("https://cdn.test:8443/a", {"cdn.test"}, False),
        ("https://cdn.test:8443/a", {"cdn.test:8443"}, True),
        ("https://cdn.test/a", {"cdn.test:8443"}, False),
        ("https://user:word@cdn.test/a", {"cdn.test"}, False),
        ("https://cdn.test./a", {"cdn.test"}, False),
        ("http://cdn.test/a", {"cdn.test"}, False),
        ("http://cdn.test/a", {"http://cdn.test"}, True),
        ("https://cdn.test.evil.test/a", {"cdn.test"}, False),
        ("https://cdn.test@evil.test/a", {"cdn.test"}, False),
        ("https://evil.test/cdn.test", {"cdn.test"}, False),
        ("http://127.0.0.1:80/a", {"127.0.0.1"}, True),
        ("http://127.0.0.1:8000/a", {"127.0.0.1:8000"}, True),
        ("http://127.0.0.1:8001/a", {"127.0.0.1:8000"}, False),
        ("http://127.0.0.1:8000/a", {"127.0.0.1"}, False),
        ("http://127.0.0.1:8000/a", {"http://127.0.0.1:8000"}, True),
        ("http://127.0.0.1:8000/a", {"http://127.0.0.1:8000/"}, True),
        ("https://127.0.0.1:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://127.0.0.1/a", {"http://127.0.0.1:80"}, True),
        ("http://127.0.0.1:80/a", {"http://127.0.0.1"}, True),
        ("https://proxy.test/a", {"https://proxy.test:443"}, True),
        ("http://proxy.test/a", {"https://proxy.test"}, False),
        ("http://proxy.test:443/a", {"https://proxy.test"}, False),
        ("http://localhost:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://[::1]:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://[::1]:8000/a", {"http://[::1]:8000"}, True),
        ("http://[::1]:8001/a", {"http://[::1]:8000"}, False),
        ("http://[::ffff:127.0.0.1]:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://2130706433:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://127.1:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://0.0.0.0:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://127.0.0.1:8000@evil.test/a", {"http://127.0.0.1:8000"}, False),
        ("http://127.0.0.1:99999/a", {"http://127.0.0.1:8000"}, False),
        ("//127.0.0.1:8000/a", {"http://127.0.0.1:8000"}, False),
        ("http://169.254.169.254/a", {"cdn.test"}, False),
        ("file:///etc/passwd", {"cdn.test"}, False),
        ("ftp://cdn.test/a", {"cdn.test"}, False),
        ("", {"cdn.test"}, False),
        ("https://[", {"cdn.test"}, False),
    ],
)
def test_where_files_are_read_from(url: str, hosts: set[str], allowed: bool) -> None:
    """Only the origins that are named, by https unless http was asked for or the name is this machine."""
    assert may_read(url, frozenset(hosts)) is allowed


def test_no_address_shows_in_a_repr() -> None:
    """Signed addresses are secrets: they do not get into logs by way of a repr."""
    assert "signed" not in repr(Attachment("a", "https://cdn.test/a?signed=1"))


class Files:
    """A server of files on loopback, which keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.address = ""
        self.elsewhere = ""  # where ``/elsewhere`` sends to
        self.let_go = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization")))
        match request.path:
            case "/a.txt":
                return web.Response(text="hello")
            case "/a.png":
                return web.Response(body=png(5, 5), content_type="image/png")
            case "/login":
                return web.Response(text="<html>log in</html>", content_type="text/html")
            case "/western.txt":
                return web.Response(
                    body="café, naïve".encode("cp1252"), content_type="text/plain", charset="windows-1252"
                )
            case "/moved":
                raise web.HTTPFound("/a.txt")
            case "/elsewhere":
                raise web.HTTPFound(self.elsewhere + "/a.txt")
            case "/round":
                raise web.HTTPFound("/round")
            case "/endless":
                return await self._endless(request)
            case "/slow":
                await self.let_go.wait()
        raise {"/forbidden": web.HTTPForbidden, "/broken": web.HTTPInternalServerError}.get(
            request.path, web.HTTPNotFound
        )

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while not self.let_go.is_set():
                await response.write(b"x" * 65_536)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[Files]:
    files = Files()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", files.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    files.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    files.elsewhere = files.address.replace("127.0.0.1", "localhost")
    try:
        yield files
    finally:
        files.let_go.set()
        await runner.cleanup()


@asynccontextmanager
async def reading(files: Files, limits: AttachmentLimits = LIMITS) -> AsyncIterator[Attachments]:
    hosts = frozenset({files.address})
    attachments = Attachments(limits, hosts=hosts)
    try:
        yield attachments
    finally:
        await attachments.close()
        await attachments.close()


@pytest.mark.sockets
async def test_files_are_downloaded_in_order_with_the_token() -> None:
    """Each attachment becomes one part, in the order in which they were attached; the token goes along."""
    async with serving() as files, reading(files) as attachments:
        parts = await attachments.read(
            [
                Attachment("a.png", files.address + "/a.png", "image/png"),
                Attachment("z.zip", files.address + "/z.zip", "application/zip"),
                Attachment("a.txt", files.address + "/moved", "text/plain"),
            ],
            bearer="t",
        )

    assert parts == (
        Image("a.png", "image/png", png(5, 5)),
        OmittedAttachment("z.zip", ARCHIVE),
        File("a.txt", "hello"),
    )
    assert sorted(files.asked) == [("/a.png", "Bearer t"), ("/a.txt", "Bearer t"), ("/moved", "Bearer t")]


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/missing", NOT_THERE),
        ("/forbidden", NO_ACCESS),
        ("/login", NO_ACCESS),
        ("/broken", UNAVAILABLE),
        ("/elsewhere", UNAVAILABLE),
        ("/round", UNAVAILABLE),
    ],
)
async def test_what_cannot_be_had_is_left_out(path: str, why: str) -> None:
    """An error, a way to another host, a circle and a login page instead of the file: left out, in plain words."""
    async with serving() as files, reading(files) as attachments:
        parts = await attachments.read([Attachment("a.txt", files.address + path, "text/plain")])

    assert parts == (OmittedAttachment("a.txt", why),)
    assert ("/a.txt", "Bearer t") not in files.asked


@pytest.mark.sockets
async def test_the_server_says_which_charset() -> None:
    """A text file that a server sends in Windows-1252, and says so, is read as such."""
    async with serving() as files, reading(files) as attachments:
        parts = await attachments.read([Attachment("a.txt", files.address + "/western.txt", "text/plain")])

    assert parts == (File("a.txt", "café, naïve"),)


@pytest.mark.sockets
async def test_another_host_is_not_even_asked() -> None:
    """An address that is not the platform's is not opened, so nobody makes the bot read the inside of a network."""
    async with serving() as files, reading(files) as attachments:
        there = files.address.replace("127.0.0.1", "localhost")
        parts = await attachments.read([Attachment("a.txt", there + "/a.txt")])

    assert (parts, files.asked) == ((OmittedAttachment("a.txt", UNAVAILABLE),), [])


@pytest.mark.sockets
@pytest.mark.parametrize("platform", ["discord", "slack"])
@pytest.mark.parametrize("redirected", [False, True])
async def test_a_neighbour_of_the_test_server_is_not_asked(platform: str, *, redirected: bool) -> None:
    """With a platform's API on this machine, a redirect to another port of it is not followed.

    Discord's test server may name one as an attachment's own address; Slack's may not, since the token would go there.
    """
    async with serving() as api, serving() as neighbour:
        api.elsewhere = neighbour.address
        local = False
        if platform == "discord":
            options = discord.DiscordOptions("t", api_url=f"{api.address}/api/v10")
            hosts, local = discord.file_hosts(options), discord.serves_locally(options)
        else:
            hosts = slack.file_hosts(slack.SlackOptions("xoxb-t", "xapp-t", api_url=f"{api.address}/api/"))
        attachments = Attachments(LIMITS, hosts=hosts, allow_loopback=local)
        url = f"{api.address}/elsewhere" if redirected else f"{neighbour.address}/a.txt"
        asked = [Attachment("b.txt", url), Attachment("a.txt", f"{api.address}/moved")]
        parts = await attachments.read(asked, bearer="t")
        await attachments.close()

    is_served = local and not redirected
    assert parts == (
        File("b.txt", "hello") if is_served else OmittedAttachment("b.txt", UNAVAILABLE),
        File("a.txt", "hello"),
    )
    assert bool(neighbour.asked) is is_served


@pytest.mark.sockets
async def test_a_server_that_is_not_there() -> None:
    """A refused connection is as good as no file."""
    async with serving() as files:
        pass
    async with reading(files) as attachments:
        parts = await attachments.read([Attachment("a.txt", files.address + "/a.txt")])

    assert parts == (OmittedAttachment("a.txt", UNAVAILABLE),)


@pytest.mark.sockets
async def test_a_file_that_does_not_end_is_cut_off() -> None:
    """What is larger than it was said to be is given up while it comes."""
    limits = replace(LIMITS, bytes=200_000)
    async with serving() as files, reading(files, limits) as attachments:
        parts = await attachments.read([Attachment("a.txt", files.address + "/endless", size=10)])

    assert parts == (OmittedAttachment("a.txt", "it is larger than 200 kB"),)


@pytest.mark.sockets
async def test_a_slow_file_is_left_out() -> None:
    """A reader does not wait for a file longer than its time-out."""
    limits = replace(LIMITS, seconds=0.05)
    async with serving() as files, reading(files, limits) as attachments:
        parts = await attachments.read([Attachment("a.txt", files.address + "/slow")])

    assert parts == (OmittedAttachment("a.txt", TOO_SLOW),)


@pytest.mark.sockets
async def test_a_messages_first_files_are_read() -> None:
    """Of more files than the limit the first are read, and the others are named."""
    limits = replace(LIMITS, count=1)
    async with serving() as files, reading(files, limits) as attachments:
        one, two = (Attachment(name, files.address + "/a.txt") for name in ("1.txt", "2.txt"))
        parts = await attachments.read([one, two])

    assert parts == (File("1.txt", "hello"), OmittedAttachment("2.txt", "only the first 1 files of a message are read"))
