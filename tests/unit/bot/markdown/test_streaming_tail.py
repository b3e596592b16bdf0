"""The end of a text that is still arriving: always well formed, never taken back, and never kept back for long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.markdown import Piece, Splitter
from bot.markdown.inline_parser import LONGEST_HELD, LONGEST_SPAN
from bot.markdown.streaming_tail import last_leaf, visible_end

# The reader that judges: not the one that is judged.
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

INLINE = {"em_open", "strong_open", "s_open", "code_inline", "link_open", "image"}


def text_of(source: str) -> str:
    """What is shown of a text that is a single message, while it arrives."""
    splitter = Splitter(lambda piece: len(piece.closed()), 100_000)
    splitter.feed(source)
    pieces = splitter.pieces()
    return pieces[-1].shown().closed() if pieces else ""


def last_block(text: str) -> Token | None:
    """The last block of a text that has text of its own, if it is the last of all."""
    blocks = [token for token in READER.parse(text) if token.type in {"inline", "fence", "code_block", "html_block"}]
    return blocks[-1] if blocks and blocks[-1].type == "inline" else None


def elements(block: Token) -> int:
    return sum(child.type in INLINE for child in block.children or [])


def literal(block: Token, mark: str) -> int:
    """Runs of a mark that are shown as they are, but for those in a word (5*3), where nobody means them."""
    runs = re.compile(rf"(?<![A-Za-z0-9{re.escape(mark)}]){re.escape(mark)}+")
    return sum(len(runs.findall(child.content)) for child in block.children or [] if child.type == "text")


def unbalanced(text: str) -> str:
    """A mark which, added to the text, would make syntax of what the reader sees literally; or nothing."""
    block = last_block(text)
    if block is None or re.search(r"\n[ \t>]*\n?\Z", text):
        return ""
    for mark in ("*", "_", "~~", "`", "**", "__"):
        closed = last_block(text + mark)
        if closed is None or closed.content.removesuffix(mark) != block.content:
            continue
        if elements(closed) > elements(block) and literal(closed, mark[0]) < literal(block, mark[0]):
            return mark
    return ""


ANSWERS = [
    "Hello **bold *and* more** with `code` and [a link](https://a.example/b_c(d)) and ~~gone~~, 5*3 = 15. So!\n",
    "# Title\n\n- one **two**\n- [ ] task\n  1. nested `x`\n  2. more\n\n> quoted *words* here\n> and on\n\nEnd.\n",
    "| a | **b** |\n|---|:-:|\n| 1 | `2` |\n| 3 | 4 |\n\nAnd text.\n\nTitle\n---\n\n***\n\nlast\n",
    "See ![a picture](https://a.example/p.png) & <https://a.example> &amp; <b>html</b> \\*not\\* https://x.example ok",
    "Code:\n\n```python\nx = a[0] * 2 ** 3\n```\n\n~~~\n`\n~~~\nDone `` a ` b `` and snake_case_name *x*.\n",
    "- **Term:** words\n- __Other:__ *more*, [x](y 'title')\n\n1. First\n\n   ```sh\n   ls *\n   ```\n\n2. **b**",
]


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_well_formed_at_each_character(answer: str) -> None:
    """Nothing is seen of marks whose partner has not arrived, and the end is exact."""
    for end in range(len(answer) + 1):
        text = text_of(answer[:end])
        assert not unbalanced(text), text
        assert text.endswith(("```", "~~~")) or not re.search(r"\]\([^)]*\Z|!?\[[^\]]*\Z|^\|[^\n]*\Z(?<!\|)", text), (
            text
        )
    splitter = Splitter(lambda piece: len(piece.closed()), 100_000)
    splitter.feed(answer)
    assert splitter.pieces()[-1].closed() == answer.strip()


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_was_shown_is_not_taken_back(answer: str) -> None:
    """At each character at least as much of the source is shown as before it."""
    before = 0
    for end in range(1, len(answer) + 1):
        splitter = Splitter(lambda piece: len(piece.closed()), 100_000)
        splitter.feed(answer[:end])
        now = len(splitter.pieces()[-1].shown().source.rstrip())
        assert now >= before, answer[:end]
        before = now


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("**bold te", "**bold te**"),
        ("**bold *it", "**bold *it***"),
        ("**bold*", "**bold**"),
        ("a **", "a"),
        ("a ~~b", "a ~~b~~"),
        ("a `co", "a `co`"),
        ("a ``co`", "a ``co``"),
        ("so [te", "so"),
        ("so [text](https://a.exam", "so"),
        ("so [text](https://a.example)", "so [text](https://a.example)"),
        ("a[0", "a[0"),
        ("5*3", "5*3"),
        ("see https://a.exam", "see"),
        ("see https://a.example now", "see https://a.example now"),
        ("a &am", "a"),
        ("a <di", "a"),
        ("a < b", "a < b"),
        ("a\\", "a"),
        ("text\n- ", "text"),
        ("text\n12", "text"),
        ("text\n## ", "text"),
        ("text\n---", "text"),
        ("text\n\n| a | b |", "text"),
        ("text\n\n| a | b |\n|---|-", "text"),
        ("text\n\n| a | b |\n|---|---|\n| 1 |", "text"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("text\n``", "text"),
        ("text\n```py", "text"),
        ("text\n```py\n", "text"),
        ("text\n```py\na = 1\n``", "text\n```py\na = 1\n```"),
        ("text\n\n[1]: https://a.exam", "text"),
    ],
)
def test_the_rules(source: str, seen: str) -> None:
    """What may turn out to be syntax is kept back, what is certain enough is closed."""
    assert text_of(source) == seen


@pytest.mark.parametrize("begin", ["[", "<a", "see https://", "&", "| "])
def test_nothing_is_kept_back_for_long(begin: str) -> None:
    """A reader does not wait for what never comes."""
    assert len(text_of(begin + "word" * 400)) > 1000
    assert "word" in text_of(f"{begin} {'word ' * (LONGEST_HELD // 2)}")


def test_a_stray_mark_is_not_closed_for_ever() -> None:
    """One asterisk does not put the rest of a paragraph into italics."""
    assert text_of("a *b " + "word " * LONGEST_SPAN).endswith("word")


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["`", "` ", "*a ", "[", "[a](", "&", "<", "<a ", "a**", "*_`~", "> ", "- ", "|a"])
def test_hostile_ends_take_work_in_proportion(unit: str) -> None:
    """Four times the text is not sixteen times the work; counted in calls, not in seconds."""
    small, large = (calls_of(unit * (4_000 // len(unit)) * times) for times in (1, 4))
    assert large < 6 * small + 1000


def calls_of(text: str) -> int:
    """How many Python functions are called to see what is shown of a text."""
    import sys  # noqa: PLC0415 (only here, where the interpreter itself is asked)

    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        visible_end(text)
    finally:
        sys.setprofile(None)
    return calls


PARTS = [
    "word",
    " ",
    "**",
    "*",
    "_",
    "`",
    "~~",
    "[",
    "](x)",
    "\n",
    "\n\n",
    "- ",
    "> ",
    "1. ",
    "|",
    "```\n",
    "<",
    "&",
    "é👍",
]


# Lines of a paragraph or an item, each beginning with a letter.
LINE = st.builds("".join, st.tuples(st.sampled_from("aé日"), st.text("ab é日1.:-*_`=#>[](<", max_size=12)))
BEFORE = st.sampled_from(["", "Before.\n\n", "- an item\n", "# A title\n\n", "> quoted\n\n", "| a |\n|---|\n| b |\n\n"])


@given(
    BEFORE, st.sampled_from(["", "- ", "* ", "+ "]), st.lists(LINE, min_size=1, max_size=4), st.sampled_from(["", "\n"])
)
def test_plain_lines_are_the_block_of_a_full_reader(before: str, mark: str, lines: list[str], end: str) -> None:
    """The last block of plain lines is found without a parser, as and where a full reader has it."""
    if before == "- an item\n":
        mark = mark or "- "  # else the lines would continue the item
    source, content = before + mark + "\n".join(lines) + end, "\n".join(lines).rstrip()
    block = last_block(source)
    assert block is not None
    assert last_leaf(source) == (len(before + mark), content)
    assert [line.rstrip() for line in block.content.split("\n")] == [line.rstrip() for line in content.split("\n")]


@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join))
def test_what_is_shown_is_a_beginning_and_its_closing(source: str) -> None:
    """Nothing is changed in the text: some of its end is left out, and some marks are added."""
    splitter = Splitter(lambda piece: len(piece.closed()), 100_000)
    splitter.feed(source)
    for piece in splitter.pieces():
        seen = piece.shown()
        assert source.startswith(seen.source)
        assert set(seen.closing) <= set("*_~`")
        assert seen.closed().startswith(Piece(seen.source).closed().removesuffix("\n```"))
