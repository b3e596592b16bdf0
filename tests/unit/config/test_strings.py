"""`config.strings`: the operator's sentences."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.conversation import Ending
from bot.strings import Strings
from config.strings import WordsSettings
from tests.support.settings import (
    lines,
    load,
)


def test_every_sentence_can_be_replaced(tmp_path: Path) -> None:
    """The table has exactly the core's sentences as keys."""
    assert set(WordsSettings.model_fields) == {field.name for field in dataclasses.fields(Strings)}
    toml = """
        [words]
        stopped = "Angehalten."
        failed = "Keine Antwort (Nr. {reference}, {{wirklich}})."
        left_out = "{why}: {name}"
        busy = ""
        stop = ["Halt!", "STOP"]
    """
    said = load({}, tmp_path, toml).words.overrides()
    assert said["stop"] == ("halt", "stop")
    assert said["busy"] == ""
    words = dataclasses.replace(Strings(), **said)  # type: ignore[arg-type]  # their names are the same, see above
    assert words.ending(Ending.FAILED, "abc", None, partial=False) == "Keine Antwort (Nr. abc, {wirklich})."


@pytest.mark.parametrize(
    ("toml", "name"),
    [
        ("cut = 'see {referenze}'", "cut"),
        ("cut = 'see {reference!r}'", "cut"),
        ("cut = 'see {reference.__class__}'", "cut"),
        ("cut = 'see {reference:>99999999}'", "cut"),
        ("cut = 'see {}'", "cut"),
        ("cut = 'see {'", "cut"),
        ("cut = ''", "cut"),
        ("cut = 'a\\n'", ""),
        ('cut = "a\\nb"', "cut"),
        ("cut = 7", "cut"),
        ("busy = 'see {reference}'", "busy"),
        ("left_out = '{reference}'", "left_out"),
        ("saved = '{reference}'", "saved"),
        ("nothing_changed = 'see {value}'", "nothing_changed"),
        ("save = ''", "save"),
        (f"save = '{'x' * 46}'", "save"),
        (f"reason_title = '{'x' * 25}'", "reason_title"),
        ("stop = []", "stop"),
        ("stop = ['!']", "stop"),
        ("stop = 'halt'", "stop"),
        (f"failed = '{'x' * 501}'", "failed"),
    ],
)
def test_an_unusable_sentence_is_one_line(toml: str, name: str, tmp_path: Path) -> None:
    """Unknown braces, empty notices, line breaks and long texts are rejected."""
    if not name:
        assert load({}, tmp_path, f"[words]\n{toml}\n").words.cut == "a\\n"
        return
    (line,) = lines({}, tmp_path, f"[words]\n{toml}\n")
    assert line.startswith(f"words.{name} in ")
    assert " must be " in line


def test_a_misspelt_sentence_is_one_line(tmp_path: Path) -> None:
    """The line suggests the closest name."""
    (line,) = lines({}, tmp_path, "[words]\nstoped = 'x'\n")
    assert line.endswith("did you mean stopped?")


@given(st.text())
def test_any_accepted_sentence_can_be_filled_in(text: str) -> None:
    """An accepted sentence can always be filled in."""
    with contextlib.suppress(ValidationError):
        words = WordsSettings(cut=text, left_out=text, question_cut=text)
        assert words.cut is not None
        assert words.left_out is not None
        assert words.question_cut is not None
        words.cut.format(reference="r")
        words.left_out.format(name="n", why="w")
        words.question_cut.format(characters="5")


def test_every_default_would_be_accepted() -> None:
    """Our own sentences keep the rules for the operator's: their braces, their lengths, and one line."""
    WordsSettings(**dataclasses.asdict(Strings()))
