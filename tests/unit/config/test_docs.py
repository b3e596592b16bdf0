"""`config.docs`: the help and the generated documents."""

from __future__ import annotations

import dataclasses
import io
import re
import tomllib
from pathlib import Path

import pytest
from dotenv import dotenv_values

from bot.strings import Strings
from config import docs
from config.declarations import ONLY_IN_FILE, Setting
from config.settings import Settings
from tests.support.paths import ROOT
from tests.support.settings import (
    CATALOG,
    SLACK,
    load,
)

GENERATED = {
    "settings": "docs/settings.md",
    "env": ".env.example",
    "toml": "config/tickertape.example.toml",
}


@pytest.mark.parametrize("document", GENERATED)
def test_a_generated_document_is_up_to_date(document: str) -> None:
    """`python -m config.docs NAME` prints the file in the repository."""
    assert docs.main(document) == (ROOT / GENERATED[document]).read_text(encoding="utf-8")


def test_at_most_46_settings_are_listed() -> None:
    """The help, the environment table and .env.example list the same 46 variables, TICKERTAPE_CONFIG among them."""
    names = {one.variable for one in docs.listed()} | {"TICKERTAPE_CONFIG"}
    table = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").partition("## TOML file only")[0]
    assert names == set(re.findall(r"^  ([A-Z_]{4,}) ", docs.help_text(), re.MULTILINE))
    assert names == set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    assert names == set(re.findall(r"^#([A-Z_]+)=", docs.example_environment(), re.MULTILINE))
    assert len(names) <= 46


@pytest.mark.parametrize("one", CATALOG, ids=lambda one: one.dotted)
def test_every_setting_is_in_the_settings_page(one: Setting) -> None:
    """A TOML-only setting is listed by its key, without its variable; every purpose is a sentence."""
    page = docs.settings_page()
    assert f"`{one.dotted}`" in page
    assert (f"`{one.variable}`" in page) is not one.toml_only
    assert one.summary.endswith((".", ")"))


def test_the_help_has_one_line_for_each_setting() -> None:
    """Each line fits into 120 columns and has the variable, its default and its purpose; groups have titles."""
    rows = [line for line in docs.help_text().splitlines() if re.match(r"  [A-Z_]{4,} ", line)]
    assert max(map(len, docs.help_text().splitlines())) <= docs.WIDTH
    assert len(rows) == len(docs.listed()) + 1
    for one in docs.listed():
        (row,) = [row for row in rows if row.split()[0] == one.variable]
        assert row.endswith(f"  {one.summary}")
        assert docs.format_value(one.default) in row
    titles = {line for line in docs.help_text().splitlines() if line.endswith(".") and not line.startswith(" ")}
    assert "Discord: runs if its token is set." in titles


def test_the_example_environment_names_every_listed_variable(tmp_path: Path) -> None:
    """Uncommenting every line of .env.example changes no setting."""
    uncommented = re.sub(r"^#(?=[A-Z_]+=)", "", docs.example_environment(), flags=re.MULTILINE)
    values = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(uncommented)).items()}
    assert set(values) == {*(one.variable for one in docs.listed()), "TICKERTAPE_CONFIG"}
    assert load(values, tmp_path).model_dump() == load({}, tmp_path).model_dump()


def test_the_example_file_shows_every_key_at_its_default(tmp_path: Path) -> None:
    """Uncommenting every line of the example changes only the channels."""
    example = docs.main("toml")
    uncommented = "\n".join(line.removeprefix("#") for line in example.splitlines() if not line.startswith("# "))
    tables = tomllib.loads(uncommented)
    keys = {(group, key) for group, table in tables.items() if group not in ONLY_IN_FILE for key in table}
    without_value = {one.path for one in CATALOG if one.default is None or isinstance(one.default, Path)}
    assert keys == {one.path for one in CATALOG} - without_value
    settings = load({}, tmp_path, uncommented)
    unset = Settings.load({}, folder=tmp_path / "x")
    assert settings.model_dump(exclude=set(ONLY_IN_FILE)) == unset.model_dump(exclude=set(ONLY_IN_FILE))
    assert settings.words.overrides() == dataclasses.asdict(Strings())
    assert len(settings.channels) == 2


def test_describe_lists_changes_without_secrets(tmp_path: Path) -> None:
    """`check` lists settings other than their defaults; a token is only "set"."""
    environ = SLACK | {"TICKERTAPE_DENY_USERS": "U9,U8", "TICKERTAPE_IMAGES": "false"}
    assert docs.describe(load(environ, tmp_path, "[channels.C1]\nmodel = 'x'\n")) == [
        "platforms: slack",
        "OPENAI_API_KEY: set",
        "OPENAI_MODEL: m",
        "TICKERTAPE_IMAGES: false",
        "SLACK_BOT_TOKEN: set",
        "SLACK_APP_TOKEN: set",
        "TICKERTAPE_DENY_USERS: U8,U9",
        "channels with their own settings: C1",
    ]
