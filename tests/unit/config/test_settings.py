"""The settings: where they come from, what is said when they are wrong, and that no secret shows."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import string
import tomllib
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.journal import JournalOptions
from adapters.shared.attachments import AttachmentLimits
from bot.completion import CompletionPolicy
from bot.conversation import Ending
from bot.delivery.reply import WritePolicy
from bot.prompt import PromptLimits
from bot.strings import Strings
from bot.turns.config import TurnLimits
from config import docs
from config.declarations import ONLY_IN_FILE, Setting
from config.errors import SettingsError
from config.settings import Settings
from config.sources import environment
from config.strings import WordsSettings
from tests.support.paths import ROOT

MODEL = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_MODEL": "m"}
DISCORD = MODEL | {"DISCORD_TOKEN": "discord-token-0123456789"}
SLACK = MODEL | {"SLACK_BOT_TOKEN": "xoxb-0123456789", "SLACK_APP_TOKEN": "xapp-0123456789"}
EVERY_SECRET = DISCORD | SLACK | {"SLACK_SIGNING_SECRET": "signing-0123456789"}
SECRET_TEXTS = [EVERY_SECRET[name] for name in EVERY_SECRET if name != "OPENAI_MODEL"]
CATALOG = docs.catalog()
VARIABLES = sorted(name for one in CATALOG for name in one.variables)


def load(environ: Mapping[str, str], folder: Path, toml: str = "") -> Settings:
    """Load from an environment and a TOML file in an otherwise empty folder."""
    if toml:
        (folder / "config").mkdir()
        (folder / "config" / "tickertape.toml").write_text(toml, encoding="utf-8")
    return Settings.load(environ, folder=folder)


def lines(environ: Mapping[str, str], folder: Path, toml: str = "") -> list[str]:
    """The lines that an operator is shown for settings that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        load(environ, folder, toml)
    return list(caught.value.lines)


# ------------------------------------------------------------------------------------------------------------- sources


def test_nothing_set_is_the_playground_with_the_small_model(tmp_path: Path) -> None:
    """A newcomer sets nothing, and has a page on their own machine that answers."""
    settings = load({}, tmp_path)
    assert settings.platforms == ("playground",)
    assert settings.embedded_runs
    assert (settings.site.host, settings.site.port) == ("127.0.0.1", 8080)


def test_the_environment_goes_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    """Each setting is taken from the strongest source that says something, one by one."""
    settings = load({"TICKERTAPE_ATTEMPTS": "5"}, tmp_path, "[completion]\nattempts = 7\nstream_idle_timeout = 9\n")
    assert settings.completion.attempts == 5
    assert settings.completion.stream_idle_timeout == 9
    assert settings.completion.fallback_timeout == 120


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """A line of .env.example with nothing after its sign changes nothing."""
    settings = load({"DISCORD_TOKEN": "", "TICKERTAPE_ATTEMPTS": "  "}, tmp_path, "[completion]\nattempts = 7\n")
    assert not settings.discord.runs
    assert settings.completion.attempts == 7


def test_the_file_may_be_anywhere(tmp_path: Path) -> None:
    """TICKERTAPE_CONFIG names the file, and then the usual one is not read."""
    (tmp_path / "mine.toml").write_text("[turns]\nmax_queued_per_conversation = 2\n")
    settings = load({"TICKERTAPE_CONFIG": "mine.toml"}, tmp_path, "[turns]\nmax_concurrent_turns = 3\n")
    assert (settings.turns.max_queued_per_conversation, settings.turns.max_concurrent_turns) == (2, 200)


def test_the_operating_systems_environment_goes_over_a_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .env file is for what is not set otherwise; what it says is taken as it stands."""
    monkeypatch.setenv("TICKERTAPE_ATTEMPTS", "2")
    (tmp_path / ".env").write_text("TICKERTAPE_ATTEMPTS=9\nOPENAI_MODEL='a $HOME b'\nDISCORD_TOKEN\n")
    found = environment(tmp_path)
    assert found["TICKERTAPE_ATTEMPTS"] == "2"
    assert found["OPENAI_MODEL"] == "a $HOME b"
    assert "DISCORD_TOKEN" not in found
    assert found["PATH"] == os.environ["PATH"]  # noqa: TID251 (what is compared with)


def test_every_setting_can_be_set_by_the_environment(tmp_path: Path) -> None:
    """The text of each default is a valid value of its variable, so all kinds of value can be written in one."""
    texts = {name: docs.format_value(one.default) for one in CATALOG for name in one.variables}
    del texts["TICKERTAPE_SYSTEM_PROMPT_FILE"]  # shown from the project's folder, read from the working one
    assert load(texts, tmp_path).model_dump() == load({}, tmp_path).model_dump()


def test_lists_and_tables_in_variables(tmp_path: Path) -> None:
    """Names are separated by commas, parameters are JSON."""
    environ = {"TICKERTAPE_ALLOW_USERS": "U1, U2,,", "TICKERTAPE_MODEL_PARAMETERS": '{"temperature": 0.2}'}
    settings = load(environ, tmp_path)
    assert settings.access.allow_users == {"U1", "U2"}
    assert settings.model.parameters == {"temperature": 0.2}


def test_ids_that_are_numbers_need_no_quotes(tmp_path: Path) -> None:
    """Discord's ids are numbers, and are written as such."""
    toml = "[access]\nallow_users = [1122334455667788990, 'U1']\n[channels.1122334455667788991]\nmodel = 'm'\n"
    settings = load({}, tmp_path, toml)
    assert settings.access.allow_users == {"1122334455667788990", "U1"}
    assert list(settings.channels) == ["1122334455667788991"]


def test_an_environment_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """It is read before anything else, and so is what is wrong with it."""
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env is not a text file in UTF-8"):
        environment(tmp_path)


def test_a_channel_has_a_table_of_its_own(tmp_path: Path) -> None:
    """Model, prompt and access can be said for a channel by its id; what is not said is as everywhere."""
    toml = '[channels."C1"]\nmodel = "big"\nallow_users = ["U1"]\n[channels.C2]\nanswer = false\n'
    channels = load({}, tmp_path, toml).channels
    assert (channels["C1"].model, channels["C1"].answer) == ("big", True)
    assert channels["C1"].allow_users == {"U1"}
    assert not channels["C2"].answer


def test_settings_never_change(tmp_path: Path) -> None:
    """They are handed out as values; nobody can change them under somebody else."""
    settings = load({}, tmp_path)
    with pytest.raises(ValidationError):
        settings.site.port = 1
    with pytest.raises(ValidationError):
        settings.site = settings.site


# ------------------------------------------------------------------------------------------ values as people write them

SPELLINGS = [
    *(("TICKERTAPE_LOG_LEVEL", text, "info") for text in ("INFO", "Info", " info ", '"info"', "'INFO'")),
    *(("TICKERTAPE_LOG_LEVEL", text, "warning") for text in ("WARN", "warn", "Warning")),
    *(("TICKERTAPE_LOG_FORMAT", text, "json") for text in ("JSON", '"Json"')),
    *(("TICKERTAPE_API", text, "responses") for text in ("Responses", "RESPONSES")),
    *(("TICKERTAPE_SLACK_EDITS", text, "leak") for text in ("Leak", "LEAK")),
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


# ----------------------------------------------------------------------------------------------------- renamed settings

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


# -------------------------------------------------------------------------------------------------------- what is wrong

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
    """The operator is told the variable, what it must be, and what it is where that is no secret."""
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
    """What was written in the TOML file is named as it is written there."""
    file = tmp_path / "config" / "tickertape.toml"
    assert lines({}, tmp_path, toml) == [line.format(file=file)]


def test_a_file_that_is_no_toml_is_one_line(tmp_path: Path) -> None:
    """The line says where in the file it goes wrong."""
    (line,) = lines({}, tmp_path, "[model\n")
    assert "tickertape.toml is not valid TOML" in line
    assert "line 1" in line


def test_several_problems_are_a_line_each(tmp_path: Path) -> None:
    """Nobody has to start the program five times to hear of five mistakes."""
    found = lines({"PORT": "x", "TICKERTAPE_MAX_QUEUED_PER_CONVERSATION": "0", "TICKERTAPE_API": "y"}, tmp_path)
    assert sorted(line.split()[0] for line in found) == [
        "PORT",
        "TICKERTAPE_API",
        "TICKERTAPE_MAX_QUEUED_PER_CONVERSATION",
    ]


OPEN = {"TICKERTAPE_HOST": "0.0.0.0", "TICKERTAPE_PLAYGROUND": "on"}

MISSING = [
    (
        {"SLACK_BOT_TOKEN": "xoxb-1"} | MODEL,
        "SLACK_APP_TOKEN is missing (SLACK_BOT_TOKEN is set): it starts with xapp-",
    ),
    (
        {"SLACK_APP_TOKEN": "xapp-1"} | MODEL,
        "SLACK_BOT_TOKEN is missing (SLACK_APP_TOKEN is set): it starts with xoxb-",
    ),
    (SLACK | {"SLACK_BOT_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN is not a bot token: it starts with xoxb-"),
    (SLACK | {"SLACK_APP_TOKEN": "xoxb-1"}, "SLACK_APP_TOKEN is not an app-level token: it starts with xapp-"),
    ({"OPENAI_API_KEY": "k"}, "OPENAI_MODEL is missing (OPENAI_API_KEY is set)"),
    ({"OPENAI_BASE_URL": "http://h/v1"}, "OPENAI_MODEL is missing (OPENAI_BASE_URL is set)"),
    ({"OPENAI_MODEL": "m"}, "OPENAI_API_KEY is missing (OPENAI_MODEL is set)"),
    ({"DISCORD_TOKEN": "t"}, "OPENAI_API_KEY is missing (discord would run without a model)"),
    ({"TICKERTAPE_PLAYGROUND": "off"}, "TICKERTAPE_PLAYGROUND is off and no platform is set"),
    ({"TICKERTAPE_HOST": "0.0.0.0"}, "TICKERTAPE_HOST is 0.0.0.0, where others could chat at your cost"),
    (OPEN, "TICKERTAPE_ALLOWED_HOSTS is missing (TICKERTAPE_HOST is 0.0.0.0 and the playground is on)"),
    (DISCORD | OPEN | {"TICKERTAPE_HOST": "10.0.0.5"}, "TICKERTAPE_ALLOWED_HOSTS is missing (TICKERTAPE_HOST is 10.0"),
    (OPEN | {"TICKERTAPE_HOST": "::", "TICKERTAPE_ALLOWED_HOSTS": " , "}, "TICKERTAPE_ALLOWED_HOSTS is missing"),
    ({"TICKERTAPE_EMBEDDED": "off"}, "OPENAI_API_KEY is missing (playground would run without a model)"),
    ({"OPENAI_API_KEY": "a b", "OPENAI_MODEL": "m"}, "OPENAI_API_KEY must be one word"),
    ({"DISCORD_TOKEN": "Bot t"} | MODEL, "DISCORD_TOKEN must be one word"),
]


@pytest.mark.parametrize(("environ", "beginning"), MISSING)
def test_what_is_missing_beside_what_is_there(environ: Mapping[str, str], beginning: str, tmp_path: Path) -> None:
    """Half a configuration is one line: what is missing, what asks for it, and how to get it."""
    (line,) = lines(environ, tmp_path)
    assert line.startswith(beginning)


def test_a_missing_setting_beside_a_file_is_named_as_a_variable(tmp_path: Path) -> None:
    """What is nowhere yet is named by its variable, and what is in the file by its key."""
    (line,) = lines({}, tmp_path, '[slack]\nbot_token = "xoxb-1"\n[model]\nbase_url = "http://h"\nname = "m"\n')
    assert line.startswith("SLACK_APP_TOKEN is missing (slack.bot_token in ")


# ------------------------------------------------------------------------------------------------------- what then runs


@pytest.mark.parametrize(
    ("environ", "platforms", "embedded"),
    [
        (DISCORD, ("discord",), False),
        (SLACK, ("slack",), False),
        (DISCORD | SLACK, ("discord", "slack"), False),
        (DISCORD | {"TICKERTAPE_PLAYGROUND": "on"}, ("discord", "playground"), False),
        (DISCORD | {"TICKERTAPE_HOST": "0.0.0.0"}, ("discord",), False),
        (MODEL, ("playground",), False),
        (MODEL | {"TICKERTAPE_EMBEDDED": "on"}, ("playground",), True),
        ({"DISCORD_TOKEN": "t", "TICKERTAPE_EMBEDDED": "on"}, ("discord",), True),
        (OPEN | {"TICKERTAPE_ALLOWED_HOSTS": "192.168.1.5"}, ("playground",), True),
        (DISCORD | {"TICKERTAPE_HOST": "0.0.0.0", "TICKERTAPE_PLAYGROUND": "off"}, ("discord",), False),
        ({"TICKERTAPE_HOST": "::ffff:127.0.0.1"}, ("playground",), True),
        ({"TICKERTAPE_HOST": "LocalHost", "TICKERTAPE_PLAYGROUND": "on"}, ("playground",), True),
        ({"TICKERTAPE_HOST": "::1"}, ("playground",), True),
        ({"TICKERTAPE_HOST": "localhost"}, ("playground",), True),
    ],
)
def test_what_runs(environ: Mapping[str, str], platforms: tuple[str, ...], *, embedded: bool, tmp_path: Path) -> None:
    """A platform runs when its tokens are there; the page by itself only where nobody else can reach it."""
    settings = load(environ, tmp_path)
    assert settings.platforms == platforms
    assert settings.embedded_runs is embedded


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
def test_hosts_are_taken_as_people_write_them(text: str, names: set[str], tmp_path: Path) -> None:
    """With commas or spaces, as an address, with a port; the playground's guard knows what is meant."""
    assert load({"TICKERTAPE_ALLOWED_HOSTS": text}, tmp_path).site.allowed_hosts == names


def test_a_server_of_ones_own_needs_no_key(tmp_path: Path) -> None:
    """Local servers ask for none."""
    settings = load({"OPENAI_BASE_URL": "http://localhost:11434/v1/", "OPENAI_MODEL": "m"}, tmp_path)
    assert settings.model.base_url == "http://localhost:11434/v1"
    assert settings.model.api_key is None


def test_a_test_servers_tokens_may_be_any_word(tmp_path: Path) -> None:
    """Slack's prefixes are asked for at Slack's own address only; the slash at an address's end is ours to add."""
    environ = {"SLACK_BOT_TOKEN": "x", "SLACK_APP_TOKEN": "y", "SLACK_API_URL": "http://127.0.0.1:99/api"}
    settings = load(MODEL | environ, tmp_path)
    assert settings.slack.runs
    assert settings.slack.api_url == "http://127.0.0.1:99/api/"


def test_the_prompt_is_the_shipped_one_or_the_operators(tmp_path: Path) -> None:
    """The file replaces the shipped prompt, and what is said in the setting itself replaces the file."""
    (tmp_path / "p.md").write_text("From a file.")
    named = {"TICKERTAPE_SYSTEM_PROMPT_FILE": str(tmp_path / "p.md")}
    shipped = load({}, tmp_path).conversation.prompt()
    assert all(name in shipped for name in ("{date}", "{time}", "{timezone}", "{platform}"))
    assert load(named, tmp_path).conversation.prompt() == "From a file."
    assert load(named | {"TICKERTAPE_SYSTEM_PROMPT": "Inline."}, tmp_path).conversation.prompt() == "Inline."


# -------------------------------------------------------------------------------------------------------------- secrets


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    """Whoever logs the settings, whole or in part, shows no token."""
    settings = load(EVERY_SECRET, tmp_path)
    concerns = [getattr(settings, name) for name in Settings.model_fields]
    shown = "".join(f"{thing!r}{thing!s}{thing}" for thing in (settings, *concerns))
    assert shown.startswith("Settings(")
    shown += str(settings.model_dump()) + settings.model_dump_json() + "\n".join(docs.describe(settings))
    assert not [text for text in SECRET_TEXTS if text in shown]


def test_secrets_are_all_known_to_the_log(tmp_path: Path) -> None:
    """The log masks what `secrets` names: every setting of a secret's type."""
    assert load(EVERY_SECRET, tmp_path).secrets() == set(SECRET_TEXTS)
    secret = [one.variable for one in CATALOG if one.secret]
    assert {name for name in EVERY_SECRET if name != "OPENAI_MODEL"} == set(secret)


@pytest.mark.parametrize("name", VARIABLES)
def test_no_misplaced_secret_is_in_an_error(name: str, tmp_path: Path) -> None:
    """A token that was pasted into the wrong variable, or twice into its own, shows in no message and no traceback."""
    secret = "sk-proj-a1b2c3d4e5f6g7h8i9 sk-proj-a1b2c3d4e5f6g7h8i9"
    try:
        Settings.load(EVERY_SECRET | {name: secret}, folder=tmp_path)
    except SettingsError as error:
        told = str(error) + repr(error) + "".join(traceback.format_exception(error))
        assert "a1b2c3" not in told
        assert not [text for text in SECRET_TEXTS if text in told]


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(string.printable, max_size=30)))
def test_any_text_is_accepted_or_one_line_each(environ: dict[str, str]) -> None:
    """Whatever the variables say, the program starts or says why not in lines; it never fails otherwise."""
    told: tuple[str, ...] = ("it started",)
    try:
        Settings.load(environ, folder=ROOT / "tests")
    except SettingsError as error:
        told = error.lines
    assert told
    assert all(line and line.isprintable() for line in told)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=10), st.recursive(st.integers() | st.text(max_size=5), st.lists, max_leaves=4)))
def test_any_table_is_accepted_or_explained(table: dict[str, object]) -> None:
    """Parameters pass through as they are, whatever they are."""
    settings = Settings.load({"TICKERTAPE_MODEL_PARAMETERS": json.dumps(table)}, folder=ROOT / "tests")
    assert settings.model.parameters == table


# ------------------------------------------------------------------------------------------------------------ documents


def test_every_setting_is_declared_once_with_its_default() -> None:
    """No two settings share a variable or a key, and without any source every setting has its declared default."""
    assert len(VARIABLES) == len(set(VARIABLES))
    assert len(CATALOG) == len({one.path for one in CATALOG})
    settings = Settings()
    assert [one.path for one in CATALOG if getattr(getattr(settings, one.group), one.key) != one.default] == []


COMPLETION = {
    "absence_seconds": "connect_wait_seconds",
    "stall_seconds": "stream_idle_timeout",
    "quiet_seconds": "no_text_timeout",
    "answer_seconds": "answer_timeout",
    "whole_seconds": "fallback_timeout",
}
WRITING = {"first_seconds": "first_post_delay", "write_seconds": "write_timeout", "failures": "max_failures"}
TURNS = {
    "waiting": "max_queued_per_conversation",
    "live": "max_concurrent_turns",
    "per_user": "live_per_user",
    "per_channel": "live_per_channel",
}
REPAIR = {"repair_seconds": "recovery_max_age_seconds"}


@pytest.mark.parametrize(
    ("group", "values", "names"),
    [
        ("completion", CompletionPolicy(), COMPLETION),
        ("writing", WritePolicy(), WRITING),
        ("attachments", AttachmentLimits(), {}),
        ("turns", TurnLimits(), TURNS),
        ("journal", JournalOptions(), REPAIR),
        ("journal", TurnLimits(), REPAIR),
        ("conversation", PromptLimits(), {"messages": "history_messages", "characters": "history_characters"}),
    ],
)
def test_the_declared_defaults_are_those_of_the_code(
    group: str, values: object, names: Mapping[str, str], tmp_path: Path
) -> None:
    """The core's and the adapters' own defaults equal the declared ones.

    `names` maps a field to its setting; other fields are settings of the same name, or none.
    """
    settings = getattr(load({}, tmp_path), group)
    assert dataclasses.is_dataclass(values)
    fields = {field.name for field in dataclasses.fields(values)}
    assert names.keys() <= fields
    if group == "completion":
        # The first chunk's timeout depends on the server if unset.
        assert fields - names.keys() - {"first_seconds", "loading_seconds"} <= type(settings).model_fields.keys()
    for name in fields:
        key = names.get(name, name)
        if key in type(settings).model_fields and getattr(settings, key) is not None:
            assert getattr(settings, key) == getattr(values, name), name


GENERATED = {
    "settings": "docs/settings.md",
    "env": ".env.example",
    "toml": "config/tickertape.example.toml",
}


@pytest.mark.parametrize("document", GENERATED)
def test_a_generated_document_is_up_to_date(document: str) -> None:
    """`python -m config.docs NAME` prints the file in the repository."""
    assert docs.main(document) == (ROOT / GENERATED[document]).read_text(encoding="utf-8")


def test_at_most_36_settings_are_listed() -> None:
    """The help, the environment table and .env.example list the same 36 variables, TICKERTAPE_CONFIG among them."""
    names = {one.variable for one in docs.listed()} | {"TICKERTAPE_CONFIG"}
    table = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").partition("## TOML file only")[0]
    assert names == set(re.findall(r"^  ([A-Z_]{4,}) ", docs.help_text(), re.MULTILINE))
    assert names == set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    assert names == set(re.findall(r"^#([A-Z_]+)=", docs.example_environment(), re.MULTILINE))
    assert len(names) <= 36


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
    assert "Slack: runs if the bot token and the app token are set." in titles


def test_the_example_environment_names_every_listed_variable(tmp_path: Path) -> None:
    """Uncommenting every line of .env.example changes no setting."""
    uncommented = re.sub(r"^#(?=[A-Z_]+=)", "", docs.example_environment(), flags=re.MULTILINE)
    values = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(uncommented)).items()}
    assert set(values) == {*(one.variable for one in docs.listed()), "TICKERTAPE_CONFIG"}
    assert load(values, tmp_path).model_dump() == load({}, tmp_path).model_dump()


def test_the_example_file_shows_every_key_at_its_default(tmp_path: Path) -> None:
    """Uncommenting every line of the example changes only the channels, which have no default."""
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


# -------------------------------------------------------------------------------------------- the journal and the words


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({}, None),
        (DISCORD, "tickertape.db"),
        (SLACK, "tickertape.db"),
        ({"JOURNAL_URL": "sqlite:///turns.db"}, "turns.db"),
        (SLACK | {"JOURNAL_URL": "sqlite:////var/lib/turns.db"}, "/var/lib/turns.db"),
        (SLACK | {"JOURNAL_URL": "memory:"}, None),
        (SLACK | {"JOURNAL_URL": ""}, "tickertape.db"),
        (SLACK | {"JOURNAL_URL": " SQLite:///Turns.db "}, "Turns.db"),
        (SLACK | {"JOURNAL_URL": "sqlite:///memory"}, "memory"),
        (SLACK | {"JOURNAL_URL": "sqlite:///memory.db"}, "memory.db"),
        (SLACK | {"JOURNAL_URL": "sqlite:////:memory:"}, "/:memory:"),
    ],
)
def test_where_turns_are_written_down(environ: Mapping[str, str], file: str | None, tmp_path: Path) -> None:
    """In a file where there is a platform, nowhere for the page alone, and always where the operator says."""
    assert load(environ, tmp_path).journal_file == (Path(file) if file else None)


@pytest.mark.parametrize("spaces", ["", "  ", "\t\n"])
@pytest.mark.parametrize(
    "url",
    [
        *("memory:", "memory", "MEMORY", "Memory:", "memory:/", "memory://", "memory:///", ":memory:", ":Memory:"),
        *("sqlite:///:memory:", "sqlite://:memory:", "sqlite::memory:", "SQLITE:///:MEMORY:"),
    ],
)
def test_memory_has_many_names(url: str, spaces: str, tmp_path: Path) -> None:
    """Whatever other programs call it, in any case and with spaces around, in the environment and in the file."""
    assert load(SLACK | {"JOURNAL_URL": f"{spaces}{url}{spaces}"}, tmp_path).journal_file is None
    in_file = load(SLACK, tmp_path, f"[journal]\nurl = {json.dumps(f'{spaces}{url}{spaces}')}")
    assert in_file.journal_file is None


@pytest.mark.parametrize(
    "url",
    [
        *("turns.db", "/turns.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite://turns.db", "sqlite:////var/lib/"),
        *("sqlite:////", "sqlite:///a?mode=ro", "sqlite:///a#b", "postgresql:///turns", "sqlite:///a\tb"),
        *("memory:turns", "memory://turns.db", "memories", "in-memory", "me mory", ":memory", "file::memory:"),
        *("sqlite:///:memory:?cache=shared", "memory:\nmemory:", "none", "off"),
    ],
)
def test_a_malformed_journal_is_one_line(url: str, tmp_path: Path) -> None:
    """The line shows how each form is written."""
    (line,) = lines({"JOURNAL_URL": url}, tmp_path)
    assert line.startswith("JOURNAL_URL must be sqlite:///tickertape.db (")
    assert "sqlite:////" in line
    assert "memory:" in line


def test_every_sentence_can_be_the_operators(tmp_path: Path) -> None:
    """The table has a key for each of the core's words, and no other."""
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
        ("stop = []", "stop"),
        ("stop = ['!']", "stop"),
        ("stop = 'halt'", "stop"),
        (f"failed = '{'x' * 501}'", "failed"),
    ],
)
def test_a_sentence_that_would_not_work_is_one_line(toml: str, name: str, tmp_path: Path) -> None:
    """What stands in braces is known, each end is said, and nothing is longer than a line."""
    if not name:
        assert load({}, tmp_path, f"[words]\n{toml}\n").words.cut == "a\\n"
        return
    (line,) = lines({}, tmp_path, f"[words]\n{toml}\n")
    assert line.startswith(f"words.{name} in ")
    assert " must be " in line


def test_a_misspelt_sentence_is_one_line(tmp_path: Path) -> None:
    """It says what was probably meant."""
    (line,) = lines({}, tmp_path, "[words]\nstoped = 'x'\n")
    assert line.endswith("did you mean stopped?")


@given(st.text())
def test_any_sentence_is_refused_or_can_be_filled_in(text: str) -> None:
    """What is accepted never fails in front of a reader."""
    with contextlib.suppress(ValidationError):
        words = WordsSettings(cut=text, left_out=text, question_cut=text)
        assert words.cut is not None
        assert words.left_out is not None
        assert words.question_cut is not None
        words.cut.format(reference="r")
        words.left_out.format(name="n", why="w")
        words.question_cut.format(characters="5")


def test_what_is_configured_is_told_without_what_is_secret(tmp_path: Path) -> None:
    """`check` says what differs from the defaults, and of a token only that it is there."""
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
