"""What a cut goes through reads in the next message as it would have in one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.markdown import Piece, Splitter, utf16_units

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def segments(text: str, limit: int) -> list[str]:
    splitter = Splitter(lambda piece: utf16_units(piece.closed()), limit)
    splitter.feed(text)
    return [text for piece in splitter.pieces() if (text := piece.closed())]  # a closing line alone shows nothing


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("word " * 18 + "[a link with text](https://a.example) and more", "word " * 17 + "word", "[a link with"),
        ("word " * 18 + "`code that is not cut` and more words", "word " * 17 + "word", "`code that is not cut`"),
        ("word " * 18 + "https://a.example/some/long/address more", "word " * 17 + "word", "https://a.example/some"),
        ("word " * 18 + "<@1234567890 1234567890> and more text", "word " * 17 + "word", "<@1234567890"),
        ("One **" + "bold " * 20 + "x** end.", "One **" + "bold " * 15 + "bold**", "**bold bold bold bold x** end."),
        ("One *" + "it " * 40 + " and no end.", "One *" + "it " * 27 + "it*", "it it"),
        ("> " + "said " * 25, "> " + "said " * 18 + "said", "> said"),
        ("> *" + "said " * 25 + "x*", "> *" + "said " * 16 + "said*", "> *said"),
        ("| a | b |\n|---|---|\n" + "| one | two |\n" * 9, "| a | b |\n|---|---|" + "\n| one | two |" * 5,
         "| a | b |\n|---|---|\n| one | two |"),
        ("1. a\n2. b\n3. " + "c " * 20 + "\n4. " + "d " * 30 + "\n5. e", "1. a\n2. b\n3. " + "c " * 19 + "c", "4. d d"),
        ("1. " + "one " * 23 + "two two two\n2. x", "1. " + "one " * 23 + "two", "two two\n\n2. x"),
        ("- a\n  - b\n" + "    - words\n" * 12, "- a\n  - b" + "\n    - words" * 7, "- words\n- words"),
    ],
)  # fmt: skip
def test_a_cut_reads_on(text: str, first: str, second: str) -> None:
    """Links and code stay whole; emphasis, quotes, tables and lists go on."""
    cut = segments(text, 100)
    assert cut[0] == first
    assert cut[1].startswith(second)


def test_a_table_is_not_parted_from_its_header() -> None:
    """A message does not end with the head of a table."""
    cut = segments("word " * 14 + "\n\n| a | b |\n|---|---|\n| one one | two two |\n| three | four |", 100)
    assert "|" not in cut[0]


WORD = st.sampled_from(["alpha", "beta", "gamma,", "delta", "日本", "é", "12", "x"])
WORDS = st.lists(WORD, min_size=1, max_size=4).map(" ".join)
SPAN = st.one_of(
    WORDS,
    WORDS,
    st.lists(WORD, min_size=1, max_size=25).map(lambda words: f"**{' '.join(words)}**"),
    WORDS.map(lambda words: f"*{words}*"),
    WORDS.map(lambda words: f"~~{words}~~"),
    WORDS.map(lambda words: f"`{words}`"),
    WORDS.map(lambda words: f"[{words}](https://a.example/b)"),
)
LINE = st.lists(SPAN, min_size=1, max_size=8).map(" ".join).map(lambda line: f"so {line}")
BLOCK = st.one_of(
    LINE,
    LINE.map(lambda line: f"{line}."),
    WORDS.map(lambda words: f"## so {words}"),
    LINE.map(lambda line: f"> {line}"),
    st.lists(LINE, min_size=1, max_size=5).map(lambda lines: "\n".join(f"- {line}" for line in lines)),
    st.lists(LINE, min_size=1, max_size=5).map(
        lambda lines: "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 3))
    ),
    st.lists(WORDS, min_size=1, max_size=8).map(
        lambda cells: "| head | head |\n|---|---|\n" + "\n".join(f"| {cell} | y |" for cell in cells)
    ),
    st.lists(WORDS, min_size=1, max_size=8).map(lambda lines: "```py\n" + "\n".join(lines) + "\n```"),
)
ANSWER = st.lists(BLOCK, min_size=1, max_size=8).map("\n\n".join)

Seen = tuple[str, frozenset[str]]


def seen(text: str) -> list[Seen]:
    """Every word that a reader sees, with what it stands in: marks, link, quote, list, heading, table, code."""
    found: list[Seen] = []
    around: list[str] = []
    for token in READER.parse(text):
        if token.nesting:
            _enter(around, token)
        elif token.type == "fence":
            found += [(word, frozenset({"fence", token.info})) for word in token.content.split()]
        elif token.type == "inline" and "th" not in around:  # a table's head is repeated
            found += _inline(token, frozenset(around) - {"p", "tr", "li", "thead"})
    return found


def _enter(around: list[str], token: Token) -> None:
    if token.nesting == 1:
        around.append(token.tag)
    else:
        around.remove(token.tag)


def _inline(token: Token, outside: frozenset[str]) -> Iterator[Seen]:
    around: list[str] = []
    for child in token.children or []:
        if child.nesting:
            _enter(around, child)
        else:
            kind = {"code"} if child.type == "code_inline" else set()
            yield from ((word, outside | frozenset(around) | kind) for word in child.content.split())


def without_lists(words: list[Seen]) -> list[Seen]:
    """The rest of an item's text, after a cut in it, is a paragraph."""
    return [(word, around - {"ul", "ol"}) for word, around in words]


# The second message begins with the line that closes the block of code, and ends after a quote.
CLOSED_THEN_QUOTED = (
    "```py\n" + "\n".join(["alpha alpha alpha alpha"] * 6) + "\n```\n\nso " + "alpha " * 14
    + "\n\n> so alpha alpha alpha alpha\n\nso [alpha alpha alpha alpha](https://a.example/b)"
)  # fmt: skip


@pytest.mark.slow
@given(ANSWER, st.integers(140, 300))
@example(CLOSED_THEN_QUOTED, 163)
def test_the_segments_say_what_the_whole_says(answer: str, limit: int) -> None:
    """The same words, each in the same emphasis, code, link, quote, table or heading, in the same order.

    Left out of the comparison: a table's repeated head, and whether the rest of an item's text is still in its list.
    """
    cut = segments(answer, limit)
    together = [word for segment in cut for word in without_lists(seen(segment))]
    assert together == without_lists(seen(answer))
    assert all(utf16_units(segment) <= limit for segment in cut)


@pytest.mark.slow
@given(ANSWER.filter(lambda answer: "|---|" not in answer), st.floats(0, 1))
def test_a_message_left_as_shown_reads_on_in_the_next(answer: str, share: float) -> None:
    """Whenever its text goes on in a new message, the two say what the whole says: no mark is left over.

    Except a table left inside a row: the rest of the row is plain text.
    """
    at = int(len(answer) * share)
    splitter = Splitter(lambda piece: utf16_units(piece.closed()), 100_000)
    splitter.feed(answer[:at])
    shown = splitter.last.shown()
    splitter.seal(len(shown.source))
    splitter.feed(answer[at:])
    first = 1 if shown.source else 0
    segments = [shown.closed(), *(piece.closed() for piece in splitter.pieces()[first:])]
    assert letters(segments) == letters([answer])


def letters(segments: list[str]) -> str:
    """All words of these messages in one: a message may end inside a word."""
    return "".join(word for segment in segments for word, _ in seen(segment))


@pytest.mark.slow
@given(st.lists(LINE, min_size=2, max_size=9), st.integers(140, 300), st.integers(0, 99))
def test_a_numbered_list_goes_on_counting(lines: list[str], limit: int, start: int) -> None:
    """Every item has its number in every message, as the model counted."""
    answer = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start))
    numbers: list[int] = []
    for segment in segments(answer, limit):
        tokens = READER.parse(segment)
        numbers += [int(token.info) for token in tokens if token.type == "list_item_open"]
    assert numbers == list(range(start, start + len(lines)))


@pytest.mark.slow
@given(ANSWER, st.integers(140, 300))
def test_splitting_a_segment_again_changes_nothing(answer: str, limit: int) -> None:
    """A segment is one message, also when it is taken for a text."""
    for segment in segments(answer, limit):
        assert segments(segment, limit + 24) == [segment]
        assert not re.search(r"\A\n|\n\Z", segment)


def measured(length: int) -> int:
    """How many characters are measured in all for a text that comes in chunks of five, each looked at."""
    paragraph = "Some **bold** words and `code` here, [a link](https://a.example) too. " * 4 + "\n\n- one\n- two\n\n"
    text = (paragraph * (length // len(paragraph) + 1))[:length]
    work = 0

    def measure(piece: Piece) -> int:
        nonlocal work
        work += len(piece.source)
        return utf16_units(piece.closed())

    splitter = Splitter(measure, 2000)
    for start in range(0, length, 5):
        splitter.feed(text[start : start + 5])
        splitter.pieces()
    return work


@pytest.mark.slow
def test_work_is_in_proportion_to_the_text() -> None:
    """Twice the text is twice the work, in small chunks as well; counted in characters, not in seconds."""
    assert measured(120_000) < 2.2 * measured(60_000)
