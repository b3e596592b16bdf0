"""`[controls]` and `[[personas]]`: settings in chat, and ways to speak."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import docs
from config.control_settings import LONGEST_PROMPT, LONGEST_WELCOME, ChatSetting, Describers
from config.listed_tables import MOST_ENTRIES
from tests.support.settings import MODEL, lines, load


def persona(name: str = "pirate", prompt: str = "Arr.", **more: str) -> str:
    keys = {"name": name, "prompt": prompt} | more
    return "[[personas]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


def test_everything_is_open_by_default_except_own_words(tmp_path: Path) -> None:
    """Everyone chooses for themselves, admins choose for a channel, and only admins describe a persona."""
    controls = load(MODEL, tmp_path).controls
    assert controls.users == controls.channels == frozenset(ChatSetting)
    assert controls.personas_free_text is Describers.ADMINS
    assert controls.welcome


def test_the_operator_closes_settings(tmp_path: Path) -> None:
    """An empty list closes all settings; others are named in any case."""
    toml = "[controls]\nusers = []\nchannels = ['Model']\npersonas_free_text = 'EVERYONE'\nwelcome_text = ' Hi! '\n"
    controls = load(MODEL, tmp_path, toml).controls
    assert controls.users == frozenset()
    assert controls.channels == {ChatSetting.MODEL}
    assert controls.personas_free_text is Describers.EVERYONE
    assert controls.welcome_text == "Hi!"


def test_personas_have_names_and_labels(tmp_path: Path) -> None:
    """They keep their order, and the label defaults to the name."""
    settings = load(MODEL, tmp_path, persona() + persona("kind", "Be kind.", label="A kind one"))
    assert [(each.name, each.shown) for each in settings.personas] == [("pirate", "pirate"), ("kind", "A kind one")]
    assert "personas: pirate, kind" in docs.describe(settings)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[controls]\nusers = ['colour']", "controls.users in "),
        ("[controls]\npersonas_free_text = 'some'", "controls.personas_free_text in "),
        (f"[controls]\nwelcome_text = '{'x' * (LONGEST_WELCOME + 1)}'", "must be a text of at most 1,500 characters"),
        ("personas = 'pirate'", "must be a list of tables: [[personas]]"),
        ("[personas]\nname = 'pirate'", "must be a list of tables: [[personas]]"),
        ("[[personas]]\nname = 'pirate'", 'prompt of the persona "pirate" in '),
        ("[[personas]]\nprompt = 'x'", "name of number 1 of [[personas]] in "),
        (persona("two words"), 'name of the persona "two words" in '),
        (persona("None"), 'name of the persona "None" in '),
        (persona(prompt=" "), 'prompt of the persona "pirate" in '),
        (persona(prompt="x" * (LONGEST_PROMPT + 1)), "must be a text of 1 to 8,000 characters"),
        (persona(colour="red"), 'colour of the persona "pirate" in '),
        (persona() + persona("PIRATE"), 'is taken already, by the persona "pirate": choose another'),
        (persona() + persona("kind", label="Pirate"), 'label of the persona "kind" in '),
        ("".join(persona(f"p{number}") for number in range(MOST_ENTRIES + 1)), "must have at most 23 entries"),
    ],
)
def test_an_unusable_table_is_one_line(toml: str, said: str, tmp_path: Path) -> None:
    """The line names the persona and its key, or the setting."""
    (line,) = lines(MODEL, tmp_path, toml)
    assert said in line
