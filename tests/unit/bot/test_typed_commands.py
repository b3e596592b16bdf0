"""Commands typed as text: names in any case, quotes, extra spaces, and words close to a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.interactions.commands import COMMANDS, Argument, Kind
from bot.interactions.typed import TypedCommand, UnknownCommand, arguments_in, closest_name, parse_command, parse_marked

NAMES = [command.name for command in COMMANDS if command.kind is not Kind.ON_MESSAGE]
TWO = (Argument("name", "A name"), Argument("value", "A value"))


def shown(parsed: TypedCommand | UnknownCommand | None) -> tuple[str, dict[str, str]]:
    """A command's name and arguments, or an unknown word in brackets."""
    if isinstance(parsed, TypedCommand):
        return parsed.command.name, dict(parsed.arguments)
    return ("", {}) if parsed is None else (f"[{parsed.word}]", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("help", ("help", {})),
        ("  HELP  ", ("help", {})),
        ("/help", ("help", {})),
        ("!help", ("help", {})),
        ("model gpt-5", ("model", {"name": "gpt-5"})),
        ("Model   gpt-5   mini ", ("model", {"name": "gpt-5   mini"})),
        ('model "gpt-5 mini"', ("model", {"name": "gpt-5 mini"})),
        ("model \u201cgpt-5 mini\u201d", ("model", {"name": "gpt-5 mini"})),
        ("model 'gpt-5 mini'", ("model", {"name": "gpt-5 mini"})),
        ("model\ngpt-5", ("model", {"name": "gpt-5"})),
        ("model", ("model", {})),
        ('model ""', ("model", {})),
        ('persona "Arr" said the pirate', ("persona", {"name": '"Arr" said the pirate'})),
        ("ask What is\na monad?", ("ask", {"question": "What is\na monad?"})),
        ("", ("[]", {})),
        ("   ", ("[]", {})),
        ("hlep", ("[hlep]", {})),
        ("MODLE gpt", ("[MODLE]", {})),
        ("answer", ("[answer]", {})),  # only in a message's menu
    ],
)
def test_a_typed_command(text: str, expected: tuple[str, dict[str, str]]) -> None:
    """Case, extra spaces, quotes and a leading mark make no difference; any other word is unknown."""
    assert shown(parse_command(text, COMMANDS)) == expected


@pytest.mark.parametrize(
    ("word", "name"),
    [("hlep", "help"), ("sett", "settings"), ("modle", "model"), ("xyzzy", ""), ("answer", ""), ("", "")],
)
def test_the_closest_name(word: str, name: str) -> None:
    """A typo or a beginning leads to its command; a word without likeness to none."""
    assert closest_name(word, COMMANDS) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!help", ("help", {})),
        (" !Model gpt-5", ("model", {"name": "gpt-5"})),
        ("!ask why?", ("ask", {"question": "why?"})),
        ("!important: read this", ("", {})),
        ("!!help", ("", {})),
        ("! help", ("", {})),
        ("!helpful", ("", {})),
        ("please !help", ("", {})),
        ("help", ("", {})),
        ("!summarize", ("", {})),
        ("!", ("", {})),
    ],
)
def test_a_marked_command(text: str, expected: tuple[str, dict[str, str]]) -> None:
    """Only a known command as the first word is one; every other text is ordinary."""
    assert shown(parse_marked(text, COMMANDS)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a b c", {"name": "a", "value": "b c"}),
        ('"a b" c', {"name": "a b", "value": "c"}),
        ("a 'b c'", {"name": "a", "value": "b c"}),
        ("a", {"name": "a"}),
        ('"a', {"name": '"a'}),
        ("", {}),
    ],
)
def test_arguments_in_order(words: str, expected: dict[str, str]) -> None:
    """Each argument takes a word or a quoted text, the last one the rest."""
    assert arguments_in(words, TWO) == expected


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a command, an unknown word or ordinary text, and none of it is lost."""
    parsed = parse_command(text, COMMANDS)
    if isinstance(parsed, UnknownCommand):
        assert parsed.word == next(iter(text.split()), "")
    else:
        assert parsed.words in text
    assert parse_marked(text, ()) is None


@given(
    st.sampled_from(NAMES), st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="\"'"), min_size=1)
)
def test_a_known_name_is_always_found(name: str, rest: str) -> None:
    """A command is found in any case and both forms, with the same arguments."""
    for written in (name, name.upper(), name.title()):
        typed, marked = parse_command(f"{written}  {rest}", COMMANDS), parse_marked(f"!{written} {rest}", COMMANDS)
        assert isinstance(typed, TypedCommand)
        assert typed == marked
        assert typed.words == rest
