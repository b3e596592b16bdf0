"""`config.settings`: defaults, platforms, the prompt, the journal and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters.discord import DiscordOptions
from adapters.journal import JournalOptions
from adapters.shared.attachments import AttachmentLimits
from adapters.slack import SlackOptions
from bot import bootstrap, bootstrap_models, bootstrap_platforms
from bot.access import AccessRules
from bot.completion import CompletionPolicy
from bot.delivery.policy import WritePolicy
from bot.prompt import PromptLimits
from bot.strings import Strings
from bot.turns.config import TurnLimits
from config import docs
from config.settings import Settings
from tests.support.paths import ROOT
from tests.support.settings import (
    CATALOG,
    DISCORD,
    EVERY_SECRET,
    MODEL,
    OAUTH,
    OPEN,
    SECRET_TEXTS,
    SLACK,
    VARIABLES,
    load,
)


def test_without_settings_the_playground_runs_with_the_demonstration_model(tmp_path: Path) -> None:
    """Without settings, a page on this machine answers with the demonstration model."""
    settings = load({}, tmp_path)
    assert settings.platforms == ("playground",)
    assert settings.embedded_runs
    assert (settings.site.host, settings.site.port) == ("127.0.0.1", 8080)


def test_a_channel_has_its_own_table(tmp_path: Path) -> None:
    """A channel has its own model, prompt and access; everything else is as elsewhere."""
    toml = '[channels."C1"]\nmodel = "big"\nallow_users = ["U1"]\n[channels.C2]\nanswer = false\n'
    channels = load({}, tmp_path, toml).channels
    assert (channels["C1"].model, channels["C1"].answer) == ("big", True)
    assert channels["C1"].allow_users == {"U1"}
    assert not channels["C2"].answer


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Settings are frozen, also within a group."""
    settings = load({}, tmp_path)
    with pytest.raises(ValidationError):
        settings.site.port = 1
    with pytest.raises(ValidationError):
        settings.site = settings.site


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
def test_which_platforms_run(
    environ: Mapping[str, str], platforms: tuple[str, ...], *, embedded: bool, tmp_path: Path
) -> None:
    """A platform runs with its tokens; the page on auto runs only for this machine."""
    settings = load(environ, tmp_path)
    assert settings.platforms == platforms
    assert settings.embedded_runs is embedded


def test_the_prompt_is_the_shipped_one_or_the_operators(tmp_path: Path) -> None:
    """The file overrides the shipped prompt, and the inline prompt overrides the file."""
    (tmp_path / "p.md").write_text("From a file.")
    named = {"TICKERTAPE_SYSTEM_PROMPT_FILE": str(tmp_path / "p.md")}
    shipped = load({}, tmp_path).conversation.prompt()
    assert all(name in shipped for name in ("{date}", "{time}", "{timezone}", "{platform}"))
    assert load(named, tmp_path).conversation.prompt() == "From a file."
    assert load(named | {"TICKERTAPE_SYSTEM_PROMPT": "Inline."}, tmp_path).conversation.prompt() == "Inline."


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    """A logged repr of the settings, whole or in part, contains no token."""
    settings = load(EVERY_SECRET, tmp_path)
    concerns = [getattr(settings, name) for name in Settings.model_fields]
    shown = "".join(f"{thing!r}{thing!s}{thing}" for thing in (settings, *concerns))
    assert shown.startswith("Settings(")
    shown += str(settings.model_dump()) + settings.model_dump_json() + "\n".join(docs.describe(settings))
    assert not [text for text in SECRET_TEXTS if text in shown]


def test_the_log_masks_every_secret(tmp_path: Path) -> None:
    """`secrets` returns every setting with a secret's type, for the log to mask."""
    assert load(EVERY_SECRET, tmp_path).secrets() == set(SECRET_TEXTS)
    with_oauth = load(OAUTH, tmp_path).secrets()
    assert with_oauth >= {OAUTH["SLACK_CLIENT_SECRET"], *OAUTH["TICKERTAPE_SECRETS"].split(",")}
    secret = {one.variable for one in CATALOG if one.secret}
    assert {name for name in EVERY_SECRET if name != "OPENAI_MODEL"} | {
        "SLACK_CLIENT_SECRET",
        "TICKERTAPE_SECRETS",
    } == secret


def test_every_setting_is_declared_once_with_its_default() -> None:
    """No two settings share a variable or a key, and without any source every setting has its declared default."""
    assert len(VARIABLES) == len(set(VARIABLES))
    assert len(CATALOG) == len({one.path for one in CATALOG})
    settings = Settings()
    assert [one.path for one in CATALOG if getattr(getattr(settings, one.group), one.key) != one.default] == []


EMPTY = Settings.load(MODEL, folder=ROOT / "tests")
FULL = Settings.load(EVERY_SECRET, folder=ROOT / "tests")
TURN_CONFIG = bootstrap.make_turn_config(EMPTY, Strings())
DECLARED_AND_BUILT_IN = {
    "completion": (bootstrap_models.make_completion_policy(EMPTY), CompletionPolicy()),
    "writing": (bootstrap.make_write_policy(EMPTY), WritePolicy()),
    "turns": (TURN_CONFIG.limits, TurnLimits()),
    "prompt": (TURN_CONFIG.prompting.limits, PromptLimits()),
    "access": (TURN_CONFIG.access, AccessRules()),
    "strings": (bootstrap_platforms.make_strings(EMPTY, durable=False), Strings()),
    "attachments": (AttachmentLimits(**EMPTY.attachments.model_dump()), AttachmentLimits()),
    "journal": (EMPTY.journal.days, JournalOptions().days),
    "discord": (bootstrap_platforms.make_discord_options(FULL), DiscordOptions(EVERY_SECRET["DISCORD_TOKEN"])),
    "slack": (
        bootstrap_platforms.make_slack_options(FULL),
        SlackOptions(EVERY_SECRET["SLACK_BOT_TOKEN"], EVERY_SECRET["SLACK_APP_TOKEN"]),
    ),
}


@pytest.mark.parametrize("group", DECLARED_AND_BUILT_IN)
def test_the_declared_defaults_are_those_of_the_code(group: str) -> None:
    """Without any setting, the composition root builds the same values as the core's and the adapters' defaults."""
    declared, built_in = DECLARED_AND_BUILT_IN[group]
    assert declared == built_in


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
def test_the_journals_file(environ: Mapping[str, str], file: str | None, tmp_path: Path) -> None:
    """A platform's journal is a file, the page's is memory, unless the operator chooses."""
    assert load(environ, tmp_path).journal_file == (Path(file) if file else None)


def test_the_records_are_beside_the_journal(tmp_path: Path) -> None:
    """Their file has the journal's folder and name, and its suffix if it has one; none means memory for both."""
    urls = {"sqlite:////srv/turns.db": "/srv/turns-records.db", "sqlite:///turns": "turns-records", "memory:": ""}
    found = {url: str(load({"JOURNAL_URL": url}, tmp_path).records_file or "") for url in urls}
    assert found == urls
