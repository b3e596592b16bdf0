"""A command's question above its answer: quoted, cut, and read again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.discord import DiscordMarkdown
from bot.interactions.quotes import QUOTE_LENGTH, quote_of, split_quote
from bot.markdown import Splitter, utf16_units

# Letters, marks of markdown and line ends: what a question may contain that a renderer might change.
QUESTIONS = st.text(alphabet="ab c.d!?*_`~#>|<[](){}+-=:/@\\1&\n", max_size=60)


def rendered(text: str) -> str:
    renderer = DiscordMarkdown()
    splitter = Splitter(lambda piece: utf16_units(piece.closed()) + renderer.padding(piece), 2000)
    splitter.feed(text)
    return "\n".join(renderer.render(piece) for piece in splitter.pieces())


def test_a_question_is_quoted_line_by_line() -> None:
    """Each line is quoted, and marks in it are shown as they are."""
    quote = quote_of("why *this*?\n\nand <@1>\n")

    assert (quote.text, quote.is_whole) == ("> why \\*this\\*?\n>\n> and \\<\\@1\\>", True)


def test_a_long_question_is_cut() -> None:
    """At most 500 characters are quoted, and the cut shows."""
    whole, cut = quote_of("a" * QUOTE_LENGTH), quote_of("b" * (QUOTE_LENGTH + 1))

    assert (whole.text, whole.is_whole) == ("> " + "a" * 500, True)
    assert (cut.text, cut.is_whole) == ("> " + "b" * 499 + "…", False)


def test_an_answer_without_a_quote() -> None:
    """A text without a quote at its start holds no question."""
    assert split_quote("text\n> quote") is None
    assert split_quote("> \n\ntext") is None
    assert quote_of("  \n ").text == ""


@given(QUESTIONS, st.sampled_from(["the answer", "two\n\nparagraphs", ""]))
def test_the_question_is_read_again_from_its_quote(question: str, answer: str) -> None:
    """The words of a quoted question come back, and the answer below it, also after rendering for Discord."""
    quote = quote_of(question)
    found = split_quote(f"{quote.text}\n\n{answer}")
    shown = split_quote(rendered(f"{quote.text}\n\n{answer}"))

    if not question.strip():
        assert found is None
        return
    assert found is not None
    assert shown is not None
    words = "".join(question.split())
    assert ("".join(found.question.split()), found.answer) == (words, answer)
    assert "".join(shown.question.split()) == words
