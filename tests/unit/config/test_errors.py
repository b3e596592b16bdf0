"""`config.errors`: malformed and unknown settings, one line each, without secrets."""

from __future__ import annotations

import string
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SettingsError
from config.settings import Settings
from tests.support.paths import ROOT
from tests.support.settings import (
    EVERY_SECRET,
    SECRET_TEXTS,
    VARIABLES,
    lines,
)

MALFORMED = [
    ("TICKERTAPE_ATTEMPTS", "three", "TICKERTAPE_ATTEMPTS must be a whole number, not three"),
    ("TICKERTAPE_ATTEMPTS", "-1", "TICKERTAPE_ATTEMPTS must be at least 0, not -1"),
    ("TICKERTAPE_FIRST_CHUNK_TIMEOUT", "0", "TICKERTAPE_FIRST_CHUNK_TIMEOUT must be more than 0, not 0"),
    ("TICKERTAPE_FIRST_CHUNK_TIMEOUT", "inf", "TICKERTAPE_FIRST_CHUNK_TIMEOUT must be a finite number, not inf"),
    ("TICKERTAPE_DRAIN_SECONDS", "nan", "TICKERTAPE_DRAIN_SECONDS must be a finite number, not nan"),
    ("PORT", "65536", "PORT must be at most 65535, not 65536"),
    ("TICKERTAPE_API", "assistants", "TICKERTAPE_API must be chat or responses, not assistants"),
    ("TICKERTAPE_GUESTS", "perhaps", "TICKERTAPE_GUESTS must be true or false, not perhaps"),
    ("OPENAI_BASE_URL", "localhost:8000", "OPENAI_BASE_URL must be an address such as https://example.org/..."),
    ("OPENAI_BASE_URL", "http://h:port/v1", "OPENAI_BASE_URL must be an address such as https://example.org/..."),
    ("DISCORD_GATEWAY_URL", "https://x", "DISCORD_GATEWAY_URL must be an address such as wss://example.org/..."),
    (
        "TICKERTAPE_MODEL_PARAMETERS",
        "temperature=1",
        'TICKERTAPE_MODEL_PARAMETERS must be a JSON object such as {"temperature": 0.3}',
    ),
    (
        "TICKERTAPE_TIMEZONE",
        "Mars/Olympus",
        'TICKERTAPE_TIMEZONE must be a time zone such as "Europe/Paris" that this machine knows',
    ),
    (
        "TICKERTAPE_SYSTEM_PROMPT_FILE",
        "/no/such/file",
        "TICKERTAPE_SYSTEM_PROMPT_FILE must be a file that can be read (No such file or directory)",
    ),
    (
        "TICKERTAPE_HOST",
        "http://0.0.0.0",
        "TICKERTAPE_HOST must be an address to listen on, such as 127.0.0.1 or 0.0.0.0",
    ),
    (
        "TICKERTAPE_ALLOWED_HOSTS",
        "bot.example, *",
        "TICKERTAPE_ALLOWED_HOSTS must be names or IP addresses such as bot.example.org or 192.168.1.5, without *",
    ),
    (
        "TICKERTAPE_SYSTEM_PROMPT_FILE",
        "~nobody-of-that-name/prompt",
        "TICKERTAPE_SYSTEM_PROMPT_FILE must be a file that can be read (its home directory is not known)",
    ),
    ("TICKERTAPE_ATEMPTS", "3", "TICKERTAPE_ATEMPTS is not a setting; did you mean TICKERTAPE_ATTEMPTS?"),
    ("TICKERTAPE_FOOBAR", "3", "TICKERTAPE_FOOBAR is not a setting; see `tickertape --help`"),
    ("TICKERTAPE_CONFIG", "absent.toml", "TICKERTAPE_CONFIG names absent.toml, where there is no file"),
]


@pytest.mark.parametrize(("name", "text", "line"), MALFORMED)
def test_a_malformed_variable_is_one_line(name: str, text: str, line: str, tmp_path: Path) -> None:
    """The line has the variable, the expected value, and the actual one unless it may be a secret."""
    assert lines({name: text}, tmp_path) == [line]


IN_FILE = [
    ("[completion]\nattempts = 'x'", "completion.attempts in {file} must be a whole number, not x"),
    ("[completion]\natempts = 3", "completion.atempts in {file} is not a setting; did you mean attempts?"),
    ("[complection]\nattempts = 3", "complection in {file} is not a setting; did you mean completion?"),
    ("model = 'gpt'", "model in {file} must be a table: [model]"),
    ("[access]\nallow_users = [true]", "access.allow_users in {file} must be a text in quotes"),
    ("[access]\nallow_users = true", "access.allow_users in {file} must be a list of texts, not True"),
    ("[channels.C1]\nmodle = 'x'", "channels.C1.modle in {file} is not a setting; did you mean model?"),
    ("[channels.C1]\nanswer = 'x'", "channels.C1.answer in {file} must be true or false, not x"),
    ("channels = 3", "channels in {file} must be a table, not 3"),
    ('[turns]\n"a\\nb" = 3', 'turns."a\\nb" in {file} is not a setting; see `tickertape --help`'),
    ("[channels]\nC1 = 3", "channels.C1 in {file} must be a table, not 3"),
]


@pytest.mark.parametrize(("toml", "line"), IN_FILE)
def test_a_malformed_key_is_one_line_naming_the_file(toml: str, line: str, tmp_path: Path) -> None:
    """The line has the key and the file."""
    file = tmp_path / "config" / "tickertape.toml"
    assert lines({}, tmp_path, toml) == [line.format(file=file)]


def test_each_problem_is_one_line(tmp_path: Path) -> None:
    """Five mistakes are five lines at the first start."""
    found = lines({"PORT": "x", "TICKERTAPE_MAX_QUEUED_PER_CONVERSATION": "0", "TICKERTAPE_API": "y"}, tmp_path)
    assert sorted(line.split()[0] for line in found) == [
        "PORT",
        "TICKERTAPE_API",
        "TICKERTAPE_MAX_QUEUED_PER_CONVERSATION",
    ]


@pytest.mark.parametrize("name", VARIABLES)
def test_no_misplaced_secret_is_in_an_error(name: str, tmp_path: Path) -> None:
    """A token in the wrong variable, or twice in its own, appears in no message and no traceback."""
    secret = "sk-proj-a1b2c3d4e5f6g7h8i9 sk-proj-a1b2c3d4e5f6g7h8i9"
    try:
        Settings.load(EVERY_SECRET | {name: secret}, folder=tmp_path)
    except SettingsError as error:
        told = str(error) + repr(error) + "".join(traceback.format_exception(error))
        assert "a1b2c3" not in told
        assert not [text for text in SECRET_TEXTS if text in told]


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(string.printable, max_size=30)))
def test_any_text_is_accepted_or_one_line_each(environ: dict[str, str]) -> None:
    """Any text in any variables is accepted, or explained in printable lines."""
    told: tuple[str, ...] = ("it started",)
    try:
        Settings.load(environ, folder=ROOT / "tests")
    except SettingsError as error:
        told = error.lines
    assert told
    assert all(line and line.isprintable() for line in told)
