"""Notices, forms, panels and buttons are within Slack's limits, whatever they hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack.events.actions import Origin
from adapters.slack.messages.buttons import ACTIONS, CONTEXT_ACTIONS, button_blocks
from adapters.slack.messages.views import form_view, home_view, notice_message, notice_view
from bot.interactions.handlers.context import literal
from bot.interactions.values import Action, Choice, Field, Form, Notice, Panel
from bot.ports import Controls
from bot.strings import Strings
from tests.servers.slack_blocks import MESSAGE_BLOCKS, check_blocks, check_view
from tests.servers.slack_interactive import labels_of

pytestmark = pytest.mark.quick

HERE = Origin("U1", "C0123456789", "1700000000.000100", "1700000001.000200")

TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="a *_`<>&|@\n#", max_size=9_000),
    st.just("word & " * 2_000),
    st.just("x" * 9_000),
)
LABELS = st.text(max_size=120)
ACTIONS_OF = st.lists(
    st.builds(Action, st.text(min_size=1, max_size=90), LABELS, st.text(max_size=400), st.booleans()), max_size=60
)
CHOICES = st.lists(st.builds(Choice, st.text(max_size=200), LABELS), max_size=120).map(tuple)
FIELDS = st.lists(
    st.builds(
        Field,
        st.text(min_size=1, max_size=40),
        LABELS,
        st.text(max_size=4_000),
        st.just(()) | CHOICES.filter(lambda choices: any(0 < len(each.value) <= 150 for each in choices)),
        st.booleans(),
        st.booleans(),
        st.integers(1, 9_000),
    ),
    max_size=5,
    unique_by=lambda field: field.name,
).map(tuple)


@settings(max_examples=30)
@given(TEXTS, ACTIONS_OF)
def test_any_notice_is_acceptable(text: str, actions: list[Action]) -> None:
    """A notice of any length and any number of buttons is accepted, as a message and as a view."""
    notice = Notice(text, tuple(actions))
    message = notice_message(notice, HERE)
    check_blocks(message.get("blocks", []), MESSAGE_BLOCKS - {"markdown"})
    assert len(message.get("blocks", [])) <= 50
    check_view(notice_view(notice, HERE))


def test_a_section_ends_outside_entities() -> None:
    """Where no space divides a long text, no escaped character is torn."""
    sections = [each["text"]["text"] for each in notice_message(Notice("x" + "&" * 2_000), HERE)["blocks"]]
    assert "".join(sections) == "x" + "&amp;" * 2_000
    assert {each[-5:] for each in sections} == {"&amp;"}


@settings(max_examples=30)
@given(LABELS, FIELDS, LABELS, TEXTS)
def test_any_form_is_acceptable(title: str, fields: tuple[Field, ...], submit: str, intro: str) -> None:
    """A form with any texts, values and choices is accepted, and keeps its id and place."""
    view = form_view(Form("f" * 90, title, fields, submit, intro), HERE)
    check_view(view)
    assert json.loads(view["private_metadata"])["thread"] == HERE.thread


@settings(max_examples=30)
@given(st.lists(TEXTS, max_size=30), ACTIONS_OF)
def test_any_panel_is_acceptable(sections: list[str], actions: list[Action]) -> None:
    """A person's own page is cut where Slack takes no more blocks, and keeps its buttons."""
    view = home_view(Panel(tuple(sections), tuple(actions)), "U1")
    check_view(view)
    assert len(labels_of(view["blocks"])) == len(actions)


@settings(max_examples=30)
@given(CHOICES, st.integers(0, 13_000), st.sampled_from(list(Controls)))
def test_any_buttons_are_acceptable(models: tuple[Choice, ...], room: int, controls: Controls) -> None:
    """Buttons with any models are accepted beside a text of any length."""
    types = {ACTIONS, CONTEXT_ACTIONS}
    blocks = button_blocks(controls, types, "1700000000.000100", models, strings=Strings(), serial="1", room=room)
    text = {"type": "markdown", "text": "x" * min(13_000 - room, 11_800)}
    check_blocks([text, *blocks], MESSAGE_BLOCKS)


def test_no_notice_pings() -> None:
    """Mentions in a notice are words."""
    message = notice_message(Notice("<!channel> <@U1> & co", (Action("a", "Press"),)), HERE)
    assert "<!channel>" not in json.dumps(message)
    assert "<@U1>" not in json.dumps(message)


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("Fast *and* cheap", "Fast ∗and∗ cheap"),
        ("<@U7> <!here> <#C1>", "&lt;@U7&gt; &lt;!here&gt; &lt;#C1&gt;"),
        ("[x](https://e.example)", "[x](https://e.example)"),
        ("a_b _c_ ~d~ `e`", "a_b ＿c＿ ∼d∼ ˋeˋ"),
        ("a \\ b", "a \\ b"),
        ("# 1. - >", "# 1. - &gt;"),
    ],
)
def test_foreign_text_in_a_notice_is_shown_and_means_nothing(foreign: str, shown: str) -> None:
    """No backslash of ours appears, nothing is mentioned or formatted, and our own code and emphasis stay."""
    text = notice_message(Notice(f"**Own** `a\\*b` {literal(foreign)}"), Origin("U1", channel="C1"))["text"]
    assert text == f"*Own* `a\\*b` {shown}"


def test_the_id_of_a_named_person_or_channel_shows_its_name() -> None:
    """Only the ids that a notice names, and none in code."""
    notice = Notice("<@U7> in <#C7>, not <@U8>, `<@U7>`", names=("U7", "C7"))
    assert notice_message(notice, HERE)["text"] == "<@U7> in <#C7>, not &lt;@U8&gt;, `&lt;@U7&gt;`"
