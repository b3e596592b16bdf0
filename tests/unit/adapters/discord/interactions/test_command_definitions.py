"""Definitions of commands for Discord."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.interactions.command_definitions import (
    are_registered,
    completions,
    definitions,
    digest_of,
    find_invoked,
)
from bot.interactions.commands import COMMANDS, Argument, Command
from bot.interactions.values import Choice
from tests.servers.discord_commands import Commands, objections

CHOICES = st.lists(
    st.builds(Choice, st.text(max_size=120), st.text(max_size=120)), max_size=40, unique_by=lambda c: c.value
)


@given(CHOICES)
def test_definitions_are_valid_with_any_choices(choices: list[Choice]) -> None:
    """Discord takes them with any models and personas, and lists them as registered afterwards."""
    made = definitions(COMMANDS, lambda _: choices)
    server = Commands(lambda: "1", "9")

    assert objections(made) == {}
    assert are_registered(made, server.register(made))
    assert digest_of(made) == digest_of(definitions(COMMANDS, lambda _: choices))


def test_a_change_is_noticed() -> None:
    """Another description, choice or command is another definition, also where Discord leaves out defaults."""
    made = definitions(COMMANDS, lambda _: ())
    registered = Commands(lambda: "1", "9").register(made)
    others = [
        definitions(COMMANDS, lambda _: (Choice("a", "A"),)),
        definitions(COMMANDS[1:], lambda _: ()),
        definitions((*COMMANDS[:-1], Command("answer", "x", (Argument("a", "b"),))), lambda _: ()),
    ]
    for other in others:
        assert not are_registered(other, registered)
        assert digest_of(other) != digest_of(made)
    assert not are_registered(made, None)


def test_a_command_is_found_by_its_name_or_title() -> None:
    """A word is no menu's title, and an old name is none."""
    ask, answer = find_invoked(COMMANDS, 1, "ask"), find_invoked(COMMANDS, 3, "Answer this")

    assert (ask and ask.name, answer and answer.name) == ("ask", "answer")
    assert find_invoked(COMMANDS, 1, "answer") is None
    assert find_invoked(COMMANDS, 3, "ask") is None


def test_completions_begin_with_what_is_typed() -> None:
    """Those with the text at their beginning come first, at most 25."""
    options = [Choice(f"m{n}", f"Big {n}") for n in range(30)] + [Choice("x", "Ignored"), Choice("y", "big bad")]

    assert [one["name"] for one in completions(options, "IG")] == ["Ignored", *(f"Big {n}" for n in range(24))]
