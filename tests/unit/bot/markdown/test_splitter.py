"""Splitting: pieces join to the source, fit, close their fences, and do not depend on how the text was chunked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.markdown import Piece, Splitter
from bot.markdown.fences import Fence


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int, chunks: list[int] | None = None) -> list[Piece]:
    splitter = Splitter(lambda piece: utf16(piece.closed()), limit)
    start = 0
    for size in chunks or []:
        splitter.feed(text[start : start + size])
        splitter.pieces()
        start += size
    splitter.feed(text[start:])
    return splitter.pieces()


CHARACTERS = [*"ab .\n`~-1>*\té👍🇫🇷🏽界。", "\u0301", "\u200d"]
MARKDOWN = st.text(alphabet=st.sampled_from(CHARACTERS), max_size=400)
WORDS = st.lists(
    st.sampled_from(["word", "\n", "\n\n", "```py\n", "\n```\n", ". ", " ", "~~~\n", "x" * 30]), max_size=80
)
SOURCE = MARKDOWN | WORDS.map("".join)


@given(SOURCE, st.integers(40, 120))
def test_pieces_join_to_the_source(text: str, limit: int) -> None:
    """Nothing is lost, doubled or reordered, whatever the text."""
    assert "".join(piece.source for piece in split(text, limit)) == text


@given(SOURCE, st.integers(80, 160))
def test_no_piece_is_over_the_limit(text: str, limit: int) -> None:
    """Every message fits once it is closed, in the unit that the platform counts."""
    assert all(utf16(piece.closed()) <= limit for piece in split(text, limit))


@given(SOURCE, st.integers(80, 160), st.lists(st.integers(1, 20), max_size=60))
def test_chunking_does_not_matter(text: str, limit: int, chunks: list[int]) -> None:
    """The same text in other chunks ends in the same pieces."""
    assert split(text, limit, chunks) == split(text, limit)


@given(SOURCE, st.integers(80, 160), st.lists(st.integers(1, 20), max_size=60))
def test_a_piece_never_changes_once_the_next_exists(text: str, limit: int, chunks: list[int]) -> None:
    """So no permit is ever spent on an earlier message again."""
    splitter = Splitter(lambda piece: utf16(piece.closed()), limit)
    start = 0
    before: list[Piece] = []
    for size in [*chunks, len(text)]:
        splitter.feed(text[start : start + size])
        start += size
        now = splitter.pieces()
        assert now[: max(len(before) - 1, 0)] == before[: max(len(before) - 1, 0)]
        before = now


@given(SOURCE, st.integers(80, 160))
def test_fences_balance_in_every_message(text: str, limit: int) -> None:
    """A message read by itself never leaves a code block open."""
    for piece in split(text, limit):
        alone = Splitter(lambda other: utf16(other.closed()), 10_000)
        alone.feed(piece.closed())
        assert all(part.open_fence is None for part in alone.pieces())


@given(SOURCE, st.integers(80, 160), st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_a_piece_that_ends_early_loses_nothing(text: str, limit: int, chunks: list[int]) -> None:
    """Between chunks a piece may end before its last block or line: all fit, join to the source, and stay closed."""
    splitter, at = Splitter(lambda piece: utf16(piece.closed()), limit), 0
    for size in chunks * (len(text) // sum(chunks) + 1):
        splitter.feed(text[at : at + size])
        at += size
        splitter.cut()
        assert splitter.sealed or splitter.last.source == text[:at]
        if splitter.end_early(limit // 2, limit * 3 // 4):
            assert utf16(splitter.final(splitter.sealed - 1)[0].closed()) >= limit // 2
    pieces = splitter.pieces()
    assert "".join(piece.source for piece in pieces) == text
    assert all(utf16(piece.closed()) <= limit for piece in pieces)


EARLY = [
    ("one two three\n\nfour", "one two three\n\n"),  # between paragraphs
    ("one two three, four\n\nfive six\nseven", "one two three, four\n\n"),
    ("one two three\nfour five six seven\neight", "one two three\nfour five six seven\n"),  # between lines, later
    ("one two three\nfour", ""),  # lines alone, too early
    ("one two three\n\n", ""),  # the next block is not known yet
    ("one two three\n\n  four", ""),  # it may belong to a list item
    ("one two three, four\n\n```\nx = 1\n\ny = 2", "one two three, four\n\n"),  # before a block of code, not inside
    ("```\nx = 1\n\ny = 2\n\nz = 3", ""),
    ("one two three\n\n# four\n\nfive", "one two three\n\n"),  # a heading stays with its text
    ("| a | b |\n|---|---|\n| one | two |\n| three", "| a | b |\n|---|---|\n| one | two |\n"),
]


@pytest.mark.parametrize(("text", "first"), EARLY)
def test_an_early_end_is_between_blocks_or_lines(text: str, first: str) -> None:
    """Never in code, before indentation, between a heading and its text, or before the next line is known."""
    splitter = Splitter(lambda piece: utf16(piece.closed()), 100)
    splitter.feed(text)
    splitter.cut()
    assert splitter.end_early(12, 30) is bool(first)
    assert splitter.pieces()[0].source == (first or text)


def test_an_early_end_takes_nothing_back() -> None:
    """Appended text stays in its message."""
    splitter = Splitter(lambda piece: utf16(piece.closed()), 100)
    splitter.feed("one two three\n\nfour five")
    splitter.cut()
    splitter.kept = len("one two three\n\nfo")
    assert not splitter.end_early(10, 10)


def test_a_fence_is_closed_and_reopened_with_its_language() -> None:
    """Code that is cut goes on as code of the same language."""
    code = "\n".join(f"line_{number} = {number}" for number in range(40))
    pieces = split(f"Look:\n\n```python\n{code}\n```\nDone.", 200)
    assert len(pieces) > 2
    assert all(piece.closed().endswith("\n```") for piece in pieces[:-1])
    assert all(piece.closed().startswith("```python\n") for piece in pieces[1:])
    assert pieces[1].reopened == Fence("```", "python")


def test_a_fence_in_a_text_with_carriage_returns_is_closed() -> None:
    """Prose after a block stays prose in the messages that follow."""
    pieces = split("```py\r\ncode\r\n```\r\n" + "plain words\r\n" * 30, 100)
    assert all("```" not in piece.closed() for piece in pieces[1:])


def parsed(text: str) -> list[tuple[str, str]]:
    """The blocks of code and the paragraphs that CommonMark sees."""
    kinds = {"fence", "code_block", "inline"}
    return [(token.type, token.content) for token in MarkdownIt().parse(text) if token.type in kinds]


@pytest.mark.parametrize(
    ("opening", "lead"),
    [("1. Do this:\n\n   ```py\n", "   "), ("- a\n  - b\n\n    ```py\n", "    "), ("> ```py\n", "> "), ("", "")],
)
def test_a_block_in_a_list_or_a_quote_stays_code(opening: str, lead: str) -> None:
    """In each message the code is code without the list's indentation, and what follows the block is prose."""
    code = [f"line_{number} = {number}" for number in range(30)]
    opening = opening or "```py\n"
    text = opening + "".join(f"{lead}{line}\n" for line in code) + f"{lead}```\n\nAnd then it goes on."
    pieces = split(text, 200)
    seen = [each for piece in pieces for each in parsed(piece.closed())]
    assert len(pieces) > 2
    assert [line for kind, block in seen if kind == "fence" for line in block.splitlines()] == code
    assert seen[-1] == ("inline", "And then it goes on.")


def test_a_block_that_a_quote_leaves_open_ends_with_it() -> None:
    """What follows the quote is not taken for code."""
    pieces = split("> ```\n> code\n\n" + "word " * 60, 100)
    assert all("```" not in piece.closed() for piece in pieces[1:])


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("one two. " * 7 + "\n\n" + "three four " * 9, "one two. " * 7 + "\n\n"),  # a paragraph
        ("one two. " * 7 + "\n\n## Next\n\n" + "three four " * 9, "one two. " * 7 + "\n\n"),  # not below a heading
        ("a line of some words here\n" * 6, "a line of some words here\n" * 3),  # a line
        ("Now it ends. " * 6 + "and then it goes on and on and on", "Now it ends. " * 6),  # a sentence
        ("word " * 40, "word " * 20),  # a word
        ("x" * 150, "x" * 100),  # nothing better
        ("text " * 12 + "\n```py\n" + "code\n" * 20 + "```", "text " * 12 + "\n"),  # before a block, not inside
    ],
)
def test_the_best_place_is_taken(text: str, first: str) -> None:
    """Paragraph, line, sentence, word, in this order, and a block is not begun at a message's end."""
    assert split(text, 100)[0].source == first


@pytest.mark.parametrize("unit", ["👩‍👩‍👧‍👦", "🇫🇷", "e\u0301", "👍🏽"])
def test_no_cut_inside_a_grapheme(unit: str) -> None:
    """What a reader takes for one character stays in one message."""
    for piece in split(unit * 60, 100):
        assert piece.source == unit * (len(piece.source) // len(unit))


def test_a_megabyte_at_once_is_cut_in_reasonable_work() -> None:
    """The work of measuring grows with the text, not with its square."""
    measured = 0

    def measure(piece: Piece) -> int:
        nonlocal measured
        measured += len(piece.source)
        return len(piece.source)

    splitter = Splitter(measure, 2000)
    splitter.feed("lorem ipsum " * 90_000)
    assert len(splitter.pieces()) > 500
    assert measured < 30 * 12 * 90_000
