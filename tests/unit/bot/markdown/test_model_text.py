"""What no message can hold: pictures as data, addresses longer than a message, control characters."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.playground.rendering import PlaygroundMarkdown
from adapters.slack.messages.renderer import SlackMarkdown
from bot.delivery.extracted_files import extracted_files, missing_files_notice
from bot.markdown import Piece, PlainMarkdown, Renderer, Splitter, utf16_units
from bot.markdown.model_text import MAX_EXTRACTED_CHARACTERS, ModelText
from bot.markdown.normalise import Normaliser, normalise
from bot.markdown.placeholders import replace_placeholders
from bot.ports import Verb
from bot.strings import Strings
from tests.support.fakes import FakeChannel
from tests.unit.bot.delivery.test_overflow import answered

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 30
DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()
LONG = "https://a.example/" + "x" * 5000
RENDERERS: list[Renderer] = [PlainMarkdown(), DiscordMarkdown(), SlackMarkdown(), PlaygroundMarkdown()]


def taken_in(text: str, sizes: list[int], limit: int = 2000) -> tuple[str, ModelText]:
    """A text in pieces, as the splitter gets it."""
    incoming, out, at = ModelText(limit), "", 0
    for size in [*sizes, len(text)]:
        out += incoming.feed(text[at : at + size])
        at += size
    return out + incoming.finish(), incoming


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        (f"See ![a cat]({DATA}) now", "See 🖼 a cat now"),
        (f"See ![]({DATA}) now", "See 🖼 image now"),
        (f'![a cat](<{DATA}> "T") now', "🖼 a cat now"),
        (f"[a cat]({DATA}) now", "🖼 a cat now"),
        (f"[![a cat]({DATA})](https://a.example) now", "[🖼 a cat](https://a.example) now"),
        (f'<img src="{DATA}" alt="a cat"> now', "🖼 a cat now"),
        (f"<img alt='a cat' src='{DATA}'/> now", "🖼 a cat now"),
        (f"It is {DATA} now", "It is 🖼 image now"),
        ("![a cat](data:image/png;base64,AAAA", "🖼 a cat"),
        ("![a cat](data:image/png;base64,AAAA\n\nnow", "🖼 a cat\n\nnow"),
        (f"![a cat](data:image/png;base64,{'A' * 76}\n{'A' * 76}\nAA==) now", "🖼 a cat now"),
        ("![a cat](data:image/svg+xml;utf8,<svg xmlns=\"x\" width='(1)'></svg>) now", "🖼 a cat now"),
        ("[a page](data:text/html,<h1>) now", "a page (🔗 1) now"),
        (f"[a page]({LONG}) now", "a page (🔗 1) now"),
        (f"{LONG} now", "a.example… (🔗 1) now"),
        (f"<{LONG}> now", "a.example… (🔗 1) now"),
        (f"{LONG}，然后", "a.example… (🔗 1)，然后"),
        (f"![a cat]({LONG}) now", "a cat (🔗 1) now"),
        (f"<@{'1' * 3000}> now", "@" + "1" * 40 + "… (🔗 1) now"),
        (f"<:wave:{'1' * 3000}> now", ":wave… (🔗 1) now"),
        ("[b](https://b.example/x_(y)) ok", "[b](https://b.example/x_(y)) ok"),
        ("the data: image/png;base64,AAAA ok", "the data: image/png;base64,AAAA ok"),
        ("like data:image/png;base64,AAAA ok", "like data:image/png;base64,AAAA ok"),
        (f"`![x]({DATA})` ok", f"`![x]({DATA})` ok"),
        (f'```html\n<img src="{DATA}">\n```\nok', f'```html\n<img src="{DATA}">\n```\nok'),
    ],
)
def test_what_is_seen_of_it(source: str, seen: str) -> None:
    """A short note with its label, whatever it came in and where it was cut off; code stays as it is."""
    whole, _ = taken_in(source, [])
    assert replace_placeholders(whole) == seen
    assert all(
        replace_placeholders(taken_in(source, [size] * (len(source) // size))[0]) == seen for size in (1, 7, 100)
    )
    if "`" not in source:
        for renderer in RENDERERS:
            text = renderer.render(Piece(whole))
            assert not re.search(r"data:image/png;base64,A{5}|left-out|x{99}|1{99}", text), text


@pytest.mark.slow
@pytest.mark.parametrize("renderer", RENDERERS)
def test_it_is_never_seen_while_it_comes(renderer: Renderer) -> None:
    """At any character nothing of the content shows, and it takes no room in a message."""
    source = f"Look: ![a cat]({DATA[:3000]}) and [a page]({LONG}) and <img src='{DATA[:3000]}'> end."
    incoming = ModelText(2000)
    splitter = Splitter(lambda piece: utf16_units(piece.closed()) + renderer.padding(piece), 2000)
    for at in range(0, len(source), 23):
        splitter.feed(incoming.feed(source[at : at + 23]))
        (piece,) = splitter.pieces()
        assert not re.search(r"base64|left-out|x{9}", renderer.render(piece.shown()))
    splitter.feed(incoming.finish())
    (piece,) = splitter.pieces()
    assert "end." in renderer.render(piece)


PARTS = st.sampled_from(
    ["word ", "\n", "\n\n", "[a](", "](", ")", "![", "https://a.example/b", "x" * 90, "data:", "data:image/png;base64,",
     "A" * 80, "<img src=\"", '"', ">", "<@", "`", "```\n", "<", "(", " ", "：", "\r", "\r\n", "\x00", "http", "://"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=40).map("".join), st.lists(st.integers(1, 9), max_size=40))
@example("[a](data:image/png;base64," + "A" * 160 + "\n" + "A" * 80 + "x" * 90 + " word", [1] * 20)
def test_the_pieces_it_comes_in_do_not_matter(source: str, sizes: list[int]) -> None:
    """The same text goes on, and the same is left out; text that is no address is complete."""
    once, whole = taken_in(source, [], 240)
    again, pieces = taken_in(source, sizes, 240)
    assert (again, pieces.extracted) == (once, whole.extracted)
    if not whole.extracted:
        assert once == normalise(source)


@pytest.mark.parametrize("size", [1, 5, 700, 4000])
def test_a_long_line_is_read_alike_in_any_pieces(size: int) -> None:
    """What is in code far back in its line stays, whatever the pieces."""
    source = "a" * 2100 + "`" + "x" * 1500 + f"![x]({DATA[:900]})` end\n[b](https://b.example) ok"
    assert taken_in(source, [size] * (len(source) // size))[0] == source


def test_a_block_of_code_ends_with_its_quote() -> None:
    """What stands behind it is left out, also in the first line; what is in it stays."""
    quote = f"> ```\n> {DATA}\n"
    whole, _ = taken_in(f"{quote}![a cat]({DATA}) now\n![b]({DATA})", [])
    assert replace_placeholders(whole) == f"{quote}🖼 a cat now\n🖼 b"


@pytest.mark.slow
@pytest.mark.parametrize("size", [5, 100_000])
def test_an_address_that_fits_stays_when_much_was_left_out(size: int) -> None:
    """Where no more pictures are kept, links still go on, and pictures leave their notes."""
    source = f"![a](data:image/png;base64,{'A' * MAX_EXTRACTED_CHARACTERS}) [b](https://b.example/c) ![d]({DATA}) now"
    whole, incoming = taken_in(source[:50] + source[MAX_EXTRACTED_CHARACTERS:], [])
    assert replace_placeholders(whole) == "🖼 a [b](https://b.example/c) 🖼 d now"
    assert [left.is_complete for left in incoming.extracted] == [True, True]
    whole, incoming = taken_in(source, [MAX_EXTRACTED_CHARACTERS, *[size] * 100])
    assert replace_placeholders(whole) == "🖼 a [b](https://b.example/c) 🖼 d now"
    assert [left.is_complete for left in incoming.extracted] == [False, False]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_content_never_shows_behind_an_announced_end(size: int) -> None:
    """Some servers announce the end with each chunk: an ordinary address is shown then, a data URL still held back."""
    source, incoming, out = f"Look: ![a cat]({DATA}) and https://a.example/b", ModelText(2000), ""
    for at in range(0, len(source), size):
        out += incoming.feed(source[at : at + size]) + incoming.finish(for_good=False)
    assert (
        replace_placeholders(out + incoming.finish())
        == replace_placeholders(out)
        == "Look: 🖼 a cat and https://a.example/b"
    )


@given(st.text(alphabet="a\r\n\t\x00\x1b\x7f\x85é"), st.lists(st.integers(1, 4)))
def test_line_breaks_and_controls(source: str, sizes: list[int]) -> None:
    """One kind of line break, no control characters, the same in any pieces."""
    normaliser, out, at = Normaliser(), "", 0
    for size in [*sizes, len(source)]:
        out += normaliser.feed(source[at : at + size])
        at += size
    expected = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", re.sub("\r\n|\r", "\n", source))
    assert out == normalise(source) == expected


@pytest.mark.parametrize("renderer", RENDERERS)
def test_notices_have_no_controls(renderer: Renderer) -> None:
    """A file's name, say, may have some."""
    assert "\x1b" not in renderer.notice("a\x1b[31m\x07b")
    assert "\r" not in renderer.notice("a\r\nb")


def test_only_pictures_go_up() -> None:
    """What is no picture, was cut off, or may hold a script, is none of the files, and is told of."""
    unfit = "![b](data:image/png;base64,AA) ![c](data:image/svg+xml;base64,AA)"
    source = f"![a]({DATA}) {unfit} [d]({LONG}) ![e]({DATA[:99]}"
    _, incoming = taken_in(source, [])
    files = extracted_files(incoming.extracted, "r", 9)
    assert [file.name for file in files] == ["links-r.txt", "image-r-1.png"]
    assert files[0].text == f"4: {LONG}\n"
    assert files[1].data == PNG
    assert missing_files_notice(incoming.extracted, files, Strings()) == Strings().not_attached
    assert missing_files_notice(incoming.extracted[:1], files, Strings()) == ""
    assert extracted_files(incoming.extracted, "r", 1) == files[:1]


async def test_a_picture_goes_up_with_the_answer() -> None:
    """Its place has a note, and the last message the picture."""
    channel = FakeChannel(limit=500, uploads=1_000_000)
    await answered(channel, f"Here it is: ![a cat]({DATA}) and that is all.", most=0)
    first, last = channel.shown.values()
    assert first.text == "Here it is: 🖼 a cat and that is all."
    assert last.text == f"*{Strings().beside}*"
    assert [(file.name.split("-")[0], file.data) for file in last.files] == [("image", PNG)]
    assert not any("base64" in wrote.text for wrote in channel.log)


@pytest.mark.parametrize("bytes_", [0, 50])
async def test_where_no_file_goes_up(bytes_: int) -> None:
    """The answer says that something was left out."""
    channel = FakeChannel(limit=500, uploads=bytes_)
    await answered(channel, f"Here: ![a cat]({DATA}) and [a page]({LONG}), all.", most=0)
    assert channel.text == f"Here: 🖼 a cat and a page (🔗 2), all.\n\n*{Strings().not_attached}*"
    assert len(channel.writes(Verb.POST)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("renderer", RENDERERS)
@given(before=st.integers(0, 1900), size=st.integers(1, 1500), step=st.integers(1, 400))
@example(before=300, size=1500, step=97)
def test_an_address_that_fits_is_not_split(renderer: Renderer, before: int, size: int, step: int) -> None:
    """Wherever it stands and however it comes, it is whole in one message."""
    address = "https://a.example/" + "x" * size
    source = ("word " * 400)[:before] + f" [the page]({address}) and then\n\n" + "word " * 30
    splitter = Splitter(lambda piece: utf16_units(piece.closed()) + renderer.padding(piece), 2000)
    for at in range(0, len(source), step):
        splitter.feed(source[at : at + step])
        splitter.pieces()
    texts = [renderer.render(piece) for piece in splitter.pieces()]
    assert sum(f"[the page]({address})" in text for text in texts) == 1
    assert all(utf16_units(text) <= 2000 for text in texts)


def test_text_without_spaces_is_split_normally() -> None:
    """Nobody takes it for an address, also behind one."""
    splitter = Splitter(lambda piece: utf16_units(piece.closed()), 2000)
    source, _ = taken_in("见https://a.example，" + "字" * 6000, [])
    splitter.feed(source)
    pieces = splitter.pieces()
    assert "".join(piece.source for piece in pieces) == source == "见https://a.example，" + "字" * 6000
    assert len(pieces) == 4
