"""`config.sources`: environment, TOML file, and renamed settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config import docs
from config.declarations import Setting
from config.errors import SettingsError
from config.sources import environment
from tests.support.settings import (
    CATALOG,
    lines,
    load,
)


def test_the_environment_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    """Each setting comes from its strongest source: environment, file, default."""
    settings = load({"TICKERTAPE_ATTEMPTS": "5"}, tmp_path, "[completion]\nattempts = 7\nstream_idle_timeout = 9\n")
    assert settings.completion.attempts == 5
    assert settings.completion.stream_idle_timeout == 9
    assert settings.completion.fallback_timeout == 120


def test_an_empty_variable_is_unset(tmp_path: Path) -> None:
    """An empty line of .env.example changes nothing."""
    settings = load({"DISCORD_TOKEN": "", "TICKERTAPE_ATTEMPTS": "  "}, tmp_path, "[completion]\nattempts = 7\n")
    assert not settings.discord.runs
    assert settings.completion.attempts == 7


def test_the_file_may_be_anywhere(tmp_path: Path) -> None:
    """TICKERTAPE_CONFIG replaces the usual file."""
    (tmp_path / "mine.toml").write_text("[turns]\nmax_queued_per_conversation = 2\n")
    settings = load({"TICKERTAPE_CONFIG": "mine.toml"}, tmp_path, "[turns]\nmax_concurrent_turns = 3\n")
    assert (settings.turns.max_queued_per_conversation, settings.turns.max_concurrent_turns) == (2, 200)


def test_the_environment_overrides_the_dotenv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment overrides .env, whose values are read without interpolation."""
    monkeypatch.setenv("TICKERTAPE_ATTEMPTS", "2")
    (tmp_path / ".env").write_text("TICKERTAPE_ATTEMPTS=9\nOPENAI_MODEL='a $HOME b'\nDISCORD_TOKEN\n")
    found = environment(tmp_path)
    assert found["TICKERTAPE_ATTEMPTS"] == "2"
    assert found["OPENAI_MODEL"] == "a $HOME b"
    assert "DISCORD_TOKEN" not in found
    assert found["PATH"] == os.environ["PATH"]  # noqa: TID251 (the expected value)


def test_every_setting_can_be_set_by_the_environment(tmp_path: Path) -> None:
    """The text of each default is a valid value of its variable, for every type."""
    texts = {name: docs.format_value(one.default) for one in CATALOG for name in one.variables}
    del texts["TICKERTAPE_SYSTEM_PROMPT_FILE"]  # shown from the project's folder, read from the working one
    assert load(texts, tmp_path).model_dump() == load({}, tmp_path).model_dump()


def test_a_binary_dotenv_file_is_one_line(tmp_path: Path) -> None:
    """An unreadable .env is one line too."""
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env is not a text file in UTF-8"):
        environment(tmp_path)


RENAMED = [one for one in CATALOG if one.old_variable]


@pytest.mark.parametrize("one", RENAMED, ids=lambda one: one.old_variable)
def test_an_old_variable_works_and_warns(one: Setting, tmp_path: Path) -> None:
    """A renamed setting's old variable sets it, with one warning naming the new variable."""
    settings = load({one.old_variable: "7"}, tmp_path)
    assert getattr(getattr(settings, one.group), one.key) == 7
    (line,) = settings.deprecations
    assert line == f"{one.old_variable} is now {one.variable}: the old name works for one more release"


@pytest.mark.parametrize("one", RENAMED, ids=lambda one: one.old_dotted)
def test_an_old_key_works_and_warns(one: Setting, tmp_path: Path) -> None:
    """A renamed setting's old key sets it, with one warning naming the new key."""
    settings = load({}, tmp_path, f"[{one.group}]\n{one.old_key} = 7\n")
    assert getattr(getattr(settings, one.group), one.key) == 7
    (line,) = settings.deprecations
    assert line.startswith(f"{one.old_dotted} in ")
    assert f" is now {one.dotted}: " in line


@pytest.mark.parametrize("one", RENAMED, ids=lambda one: one.old_variable)
def test_an_old_and_a_new_name_must_agree(one: Setting, tmp_path: Path) -> None:
    """Different values are one error line; equal values are accepted, with the warning."""
    line = f"{one.variable} and its old name {one.old_variable} have different values: remove {one.old_variable}"
    assert lines({one.old_variable: "7", one.variable: "8"}, tmp_path) == [line]
    assert len(load({one.old_variable: "7", one.variable: "7"}, tmp_path).deprecations) == 1
    toml = f"[{one.group}]\n{one.old_key} = 7\n{one.key} = "
    (line,) = lines({}, tmp_path, f"{toml}8\n")
    assert line.startswith(f"{one.dotted} and its old name {one.old_dotted} have different values: remove ")
    (tmp_path / "config" / "tickertape.toml").write_text(f"{toml}7\n")
    assert len(load({}, tmp_path).deprecations) == 1


def test_the_environment_overrides_the_file_under_any_name(tmp_path: Path) -> None:
    """An old variable overrides a new key, and a new variable an old key."""
    toml = "[completion]\nstream_idle_timeout = 5\nabsence_seconds = 6\n"
    environ = {"TICKERTAPE_STALL_SECONDS": "7", "TICKERTAPE_CONNECT_WAIT_SECONDS": "8"}
    settings = load(environ, tmp_path, toml)
    assert (settings.completion.stream_idle_timeout, settings.completion.connect_wait_seconds) == (7, 8)
    assert len(settings.deprecations) == 2


def test_current_names_cause_no_warning(tmp_path: Path) -> None:
    """Only old names are deprecated; variables of TOML-only settings are not."""
    environ = {"TICKERTAPE_STREAM_IDLE_TIMEOUT": "7", "TICKERTAPE_ATTACHMENT_SECONDS": "8"}
    assert load(environ, tmp_path).deprecations == ()


def test_a_malformed_value_is_named_as_it_was_given(tmp_path: Path) -> None:
    """An error about an old name in use names the old name; unknown names suggest a current one."""
    (line,) = lines({"TICKERTAPE_STALL_SECONDS": "x"}, tmp_path)
    assert line == "TICKERTAPE_STALL_SECONDS must be a number, not x"
    (line,) = lines({}, tmp_path, "[turns]\nqueue = 0\n")
    assert line.startswith("turns.queue in ")
    (tmp_path / "config" / "tickertape.toml").unlink()
    (line,) = lines({"TICKERTAPE_STREAM_IDLE_TIMOUT": "7"}, tmp_path)
    assert line.endswith("did you mean TICKERTAPE_STREAM_IDLE_TIMEOUT?")


def test_a_malformed_file_is_one_line(tmp_path: Path) -> None:
    """The line has the position of the error."""
    (line,) = lines({}, tmp_path, "[model\n")
    assert "tickertape.toml is not valid TOML" in line
    assert "line 1" in line
