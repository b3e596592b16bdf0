"""The quote of a command's question: short, harmless, and readable again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.messages.renderer import SlackMarkdown, strip_our_markup
from bot.markdown import Piece
from bot.markdown.normalise import normalise
from bot.markdown.quote import QUOTE_LENGTH, quote_question, quoted_question, without_quote

ANSWER = "An answer.\n\n> with a quote of its own"


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("What is a monad?", "> What is a monad?"),
        ("  one\ntwo\r\n\nthree ", "> one\n> two\n>\n> three"),
        ("*bold*", "> \\*bold\\*"),
        ("# no heading", "> \\# no heading"),
        ("> no second quote", "> \\> no second quote"),
        ("1. no list", "> 1\\. no list"),
        ("```", "> \\`\\`\\`"),
    ],
)
def test_a_quote(question: str, quote: str) -> None:
    """Each line is quoted, and nothing in it is markup."""
    assert quote_question(question).markdown == quote
    assert quote_question(question).whole


def test_a_long_question_is_cut() -> None:
    """Five hundred characters are quoted whole, one more is cut with an ellipsis."""
    assert quote_question("a" * QUOTE_LENGTH).whole
    cut = quote_question("a" * (QUOTE_LENGTH + 1))
    assert not cut.whole
    assert len(cut.markdown) == QUOTE_LENGTH + len("> ")
    assert cut.markdown.endswith("a…")


def normal(question: str) -> str:
    """A question without white space at the ends of its lines."""
    return "\n".join(line.strip() for line in normalise(question).strip().split("\n")).strip()


@given(st.text(st.characters(exclude_categories=["Cs", "Cf"]), max_size=QUOTE_LENGTH))
def test_a_quote_is_read_back(question: str) -> None:
    """The whole question comes back from the message, and the answer without it."""
    quote = quote_question(question)
    message = f"{quote.markdown}\n\n{ANSWER}"
    assert quoted_question(message) == normal(question)
    assert without_quote(message) == ANSWER


@given(st.text(st.sampled_from("ab <>@!*_`[](){}#|~\\-1.\n:/&;"), max_size=60))
def test_a_quote_is_read_back_from_slack(question: str) -> None:
    """Slack's rendering changes nothing in a quote that its reading does not change back."""
    message = f"{quote_question(question).markdown}\n\n{ANSWER}"
    rendered = SlackMarkdown(expands=True).render(Piece(message))
    assert quoted_question(strip_our_markup(rendered)) == normal(question)
