"""The quote of a command's question in Slack's rendering."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.messages.renderer import SlackMarkdown, strip_our_markup
from bot.interactions.quotes import quote_of, split_quote
from bot.markdown import Piece


@given(st.text(st.sampled_from("ab <>@!*_`[](){}#|~\\-1.\n:/&;"), min_size=1, max_size=60).filter(str.strip))
def test_a_quote_is_read_back_from_slack(question: str) -> None:
    """Slack's rendering changes nothing in a quote that its reading does not change back."""
    rendered = SlackMarkdown(expands=True).render(Piece(f"{quote_of(question).text}\n\nAn answer."))
    found = split_quote(strip_our_markup(rendered))
    assert found is not None
    assert "".join(found.question.split()) == "".join(question.split())
    assert found.answer == "An answer."
