"""`config.types`: values as people write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from tests.support.paths import ROOT
from tests.support.settings import (
    CATALOG,
    MODEL,
    SLACK,
    lines,
    load,
)


def test_lists_and_tables_in_variables(tmp_path: Path) -> None:
    """Commas separate names; parameters are JSON."""
    environ = {"TICKERTAPE_ALLOW_USERS": "U1, U2,,", "TICKERTAPE_MODEL_PARAMETERS": '{"temperature": 0.2}'}
    settings = load(environ, tmp_path)
    assert settings.access.allow_users == {"U1", "U2"}
    assert settings.model.parameters == {"temperature": 0.2}


def test_ids_that_are_numbers_need_no_quotes(tmp_path: Path) -> None:
    """Discord's numeric ids need no quotes in TOML."""
    toml = "[access]\nallow_users = [1122334455667788990, 'U1']\n[channels.1122334455667788991]\nmodel = 'm'\n"
    settings = load({}, tmp_path, toml)
    assert settings.access.allow_users == {"1122334455667788990", "U1"}
    assert list(settings.channels) == ["1122334455667788991"]


SPELLINGS = [
    *(("TICKERTAPE_LOG_LEVEL", text, "info") for text in ("INFO", "Info", " info ", '"info"', "'INFO'")),
    *(("TICKERTAPE_LOG_LEVEL", text, "warning") for text in ("WARN", "warn", "Warning")),
    *(("TICKERTAPE_LOG_FORMAT", text, "json") for text in ("JSON", '"Json"')),
    *(("TICKERTAPE_API", text, "responses") for text in ("Responses", "RESPONSES")),
    *(("TICKERTAPE_SLACK_EDITS", text, "leak") for text in ("Leak", "LEAK")),
    *(("TICKERTAPE_SLACK_STREAMS", text, "off") for text in ("Off", "no", "False", "0")),
    *(("TICKERTAPE_SLACK_STREAMS", text, "always") for text in ("ALWAYS", "on", "Yes", "true", "1")),
    ("TICKERTAPE_SLACK_STREAMS", '"Auto"', "auto"),
    *(("TICKERTAPE_REASONING", text, "line") for text in ("Line", '"line"')),
    *(("TICKERTAPE_PLAYGROUND", text, "on") for text in ("On", "ON", "true", "True", "yes", "YES", "1")),
    *(("TICKERTAPE_EMBEDDED", text, "off") for text in ("Off", "OFF", "false", "No", "0", "'off'")),
    *(("TICKERTAPE_IMAGES", text, True) for text in ("True", "TRUE", "Yes", "YES", "on", "On", "1", "y", '"true"')),
    *(("TICKERTAPE_IMAGES", text, False) for text in ("False", "no", "NO", "off", "OFF", "0", "n", "f", "'no'")),
    *(("TICKERTAPE_ATTEMPTS", text, 5) for text in ("5", " 5 ", '"5"', "5.0", "+5")),
    *(("TICKERTAPE_MAX_CHARACTERS", text, 200_000) for text in ("200000", "200_000")),
    *(("TICKERTAPE_ANSWER_TIMEOUT", text, 300) for text in ("300", "300.0", "300s", "300 s", "5m", "5 min", "3e2")),
    *(("TICKERTAPE_RECOVERY_MAX_AGE_SECONDS", text, 7200) for text in ("2h", "2H", "120 minutes", "7200 seconds")),
    *(("TICKERTAPE_DRAIN_SECONDS", text, 1.5) for text in ("1.5", "1.5s", "1500ms", "'1.5'")),
    *(("TICKERTAPE_ALLOW_USERS", text, {"U1", "U2"}) for text in ("U1,U2", "U1 , U2", " U1, U2, ", '"U1, U2"')),
    *(("TICKERTAPE_ALLOWED_HOSTS", text, {"a", "b"}) for text in ("a,b", "a , b", "a b", "'a, b'")),
    *(("OPENAI_MODEL", text, "gpt") for text in ("gpt", " gpt ", '"gpt"', "'gpt'")),
    *(("TICKERTAPE_MODEL_PARAMETERS", text, {"a": 1}) for text in ('{"a": 1}', ' { "a" : 1 } ', "'{\"a\": 1}'")),
    ("TICKERTAPE_SYSTEM_PROMPT", '"Be brief" and "be kind"', '"Be brief" and "be kind"'),
    ("TICKERTAPE_SYSTEM_PROMPT", '"', '"'),
]


@pytest.mark.parametrize(("name", "text", "value"), SPELLINGS)
def test_values_are_read_as_people_write_them(name: str, text: str, value: object, tmp_path: Path) -> None:
    """Any case, spaces around values and commas, one pair of quotes, and units of time are accepted."""
    (one,) = [one for one in CATALOG if one.variable == name]
    settings = load(MODEL | {name: text}, tmp_path)
    assert getattr(getattr(settings, one.group), one.key) == value


@pytest.mark.parametrize(
    ("toml", "group", "key", "value"),
    [
        ('[logs]\nlevel = "WARN"', "logs", "level", "warning"),
        ("[site]\nplayground = true", "site", "playground", "on"),
        ("[model]\nembedded = false\nname = 'm'\napi_key = 'k'", "model", "embedded", "off"),
        ('[completion]\nanswer_timeout = "5m"', "completion", "answer_timeout", 300),
        ('[completion]\nbackoff_seconds = "250ms"', "completion", "backoff_seconds", 0.25),
        ('[model]\nimages = "No"', "model", "images", False),
        ('[access]\nallow_users = "U1, U2"', "access", "allow_users", {"U1", "U2"}),
    ],
)
def test_values_in_the_file_are_read_the_same_way(
    toml: str, group: str, key: str, value: object, tmp_path: Path
) -> None:
    """Switches may be true or false without quotes, and durations may have a unit."""
    assert getattr(getattr(load({}, tmp_path, toml), group), key) == value


@pytest.mark.parametrize("text", ["5 years", "m", "5mm", "-5m", "1e3x", "٥m", "5m5s", "10MB"])
def test_a_duration_with_an_unknown_unit_is_one_line(text: str, tmp_path: Path) -> None:
    """Only ms, s, m and h, with their long forms, are units; the line says a number is expected."""
    line = f"TICKERTAPE_ANSWER_TIMEOUT must be a number, not {text}"
    assert lines({"TICKERTAPE_ANSWER_TIMEOUT": text}, tmp_path) == [line]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("bot.example", {"bot.example"}),
        (" Bot.Example. ,192.168.1.5:8080 ", {"Bot.Example.", "192.168.1.5:8080"}),
        ("https://bot.example:8443/ bücher.example", {"https://bot.example:8443/", "bücher.example"}),
        ("[::1]:80,fd00::5", {"[::1]:80", "fd00::5"}),
        ("", set()),
    ],
)
def test_host_names_are_read_as_people_write_them(text: str, names: set[str], tmp_path: Path) -> None:
    """Commas, spaces, URLs and ports are accepted; the playground's origin check normalises them."""
    assert load({"TICKERTAPE_ALLOWED_HOSTS": text}, tmp_path).site.allowed_hosts == names


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=10), st.recursive(st.integers() | st.text(max_size=5), st.lists, max_leaves=4)))
def test_any_table_is_accepted_or_explained(table: dict[str, object]) -> None:
    """Any JSON object passes through unchanged."""
    settings = Settings.load({"TICKERTAPE_MODEL_PARAMETERS": json.dumps(table)}, folder=ROOT / "tests")
    assert settings.model.parameters == table


@pytest.mark.parametrize("spaces", ["", "  ", "\t\n"])
@pytest.mark.parametrize(
    "url",
    [
        *("memory:", "memory", "MEMORY", "Memory:", "memory:/", "memory://", "memory:///", ":memory:", ":Memory:"),
        *("sqlite:///:memory:", "sqlite://:memory:", "sqlite::memory:", "SQLITE:///:MEMORY:"),
    ],
)
def test_memory_has_many_names(url: str, spaces: str, tmp_path: Path) -> None:
    """Other programs' names work in any case and with spaces, in the environment and in the file."""
    assert load(SLACK | {"JOURNAL_URL": f"{spaces}{url}{spaces}"}, tmp_path).journal_file is None
    in_file = load(SLACK, tmp_path, f"[journal]\nurl = {json.dumps(f'{spaces}{url}{spaces}')}")
    assert in_file.journal_file is None


@pytest.mark.parametrize(
    "url",
    [
        *("turns.db", "/turns.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite://turns.db", "sqlite:////var/lib/"),
        *("sqlite:////", "sqlite:///a?mode=ro", "sqlite:///a#b", "mysql://db/turns", "sqlite:///a\tb"),
        *("memory:turns", "memory://turns.db", "memories", "in-memory", "me mory", ":memory", "file::memory:"),
        *("sqlite:///:memory:?cache=shared", "memory:\nmemory:", "none", "off"),
    ],
)
def test_a_malformed_journal_is_one_line(url: str, tmp_path: Path) -> None:
    """The line shows each valid form."""
    (line,) = lines({"JOURNAL_URL": url}, tmp_path)
    assert line.startswith("JOURNAL_URL must be sqlite:///tickertape.db (")
    assert "sqlite:////" in line
    assert "memory:" in line
