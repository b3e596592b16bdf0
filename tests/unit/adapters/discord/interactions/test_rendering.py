"""Notices and forms as Discord takes them, checked by the test server's rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.interactions.modals import modal
from adapters.discord.interactions.private_messages import MAX_MESSAGES, notice_messages
from bot.interactions.values import Action, Choice, Field, Form, Notice
from tests.servers.discord_interactions import check_message, check_modal

NAMES = st.from_regex(r"[a-z]{1,20}", fullmatch=True)
WORDS = st.text(max_size=120)
CHOICES = st.lists(st.builds(Choice, st.text(min_size=1, max_size=120), WORDS), max_size=40).map(tuple)
FIELDS = st.builds(
    Field,
    NAMES,
    st.text(min_size=1, max_size=80),
    value=st.text(max_size=2_000),
    choices=CHOICES,
    required=st.booleans(),
    multiline=st.booleans(),
    max_length=st.integers(1, 5_000),
)
FORMS = st.builds(
    Form,
    st.text(min_size=1, max_size=90),
    st.text(min_size=1, max_size=60),
    st.lists(FIELDS, min_size=1, max_size=7, unique_by=lambda field: field.name).map(tuple),
    intro=st.text(max_size=3_000),
)
ACTIONS = st.lists(st.builds(Action, st.text(min_size=1, max_size=120), WORDS, WORDS, st.booleans()), max_size=30)


@given(FORMS)
def test_any_form_is_a_valid_modal(form: Form) -> None:
    """Whatever a form holds, Discord's limits of a modal are kept."""
    check_modal(modal(form))


@given(st.text(max_size=6_000), ACTIONS.map(tuple))
def test_any_notice_is_valid_messages(text: str, actions: tuple[Action, ...]) -> None:
    """Whatever a notice holds, each of its messages is one that Discord takes."""
    messages = notice_messages(Notice(text, actions))

    for message in messages:
        check_message({"content": "only buttons", **message}, ())
    assert len(messages) <= MAX_MESSAGES


def test_a_choice_beyond_the_limit_stays_if_it_is_the_present_one() -> None:
    """A selection has 25 options and says so; the present one is among them."""
    choices = tuple(Choice(f"model-{number}", f"Model {number}") for number in range(40))
    [label] = modal(Form("settings", "Settings", (Field("model", "Model", "model-33", choices),)))["components"]
    options = label["component"]["options"]

    assert (len(options), label["description"]) == (25, "25 of 40 are shown.")
    assert [option["value"] for option in options if option["default"]] == ["model-33"]


def test_an_introduction_has_a_place_even_in_a_full_form() -> None:
    """With five fields it becomes the first one's description."""
    fields = tuple(Field(f"field{number}", f"Field {number}") for number in range(5))
    full = modal(Form("f", "F", fields, intro="Read this."))["components"]
    roomy = modal(Form("f", "F", fields[:1], intro="Read this."))["components"]

    assert (len(full), full[0]["description"]) == (5, "Read this.")
    assert roomy[0] == {"type": 10, "content": "Read this."}
