"""Settings for tests: typical environments, loading from a folder, and the lines of an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from config import docs
from config.errors import SettingsError
from config.settings import Settings

MODEL = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_MODEL": "m"}
DISCORD = MODEL | {"DISCORD_TOKEN": "discord-token-0123456789"}
SLACK = MODEL | {"SLACK_BOT_TOKEN": "xoxb-0123456789", "SLACK_APP_TOKEN": "xapp-0123456789"}
EVERY_SECRET = (
    DISCORD | SLACK | {"SLACK_SIGNING_SECRET": "signing-0123456789", "TICKERTAPE_ADMIN_TOKEN": "admin-0123456789"}
)
OAUTH = MODEL | {
    "SLACK_CLIENT_ID": "12.34",
    "SLACK_CLIENT_SECRET": "client-0123456789",
    "SLACK_SIGNING_SECRET": "signing-0123456789",
    "JOURNAL_URL": "postgresql://tickertape:p@db/tickertape",
    "TICKERTAPE_PUBLIC_URL": "https://bot.example.com",
    "TICKERTAPE_SECRETS": f"{'B' * 42}A=,{'C' * 42}A=",
}
SECRET_TEXTS = [EVERY_SECRET[name] for name in EVERY_SECRET if name != "OPENAI_MODEL"]
OPEN = {"TICKERTAPE_HOST": "0.0.0.0", "TICKERTAPE_PLAYGROUND": "on"}

CATALOG = docs.catalog()
VARIABLES = sorted(name for one in CATALOG for name in one.variables)


def load(environ: Mapping[str, str], folder: Path, toml: str = "") -> Settings:
    """Load from an environment and a TOML file in an otherwise empty folder."""
    if toml:
        (folder / "config").mkdir()
        (folder / "config" / "tickertape.toml").write_text(toml, encoding="utf-8")
    return Settings.load(environ, folder=folder)


def lines(environ: Mapping[str, str], folder: Path, toml: str = "") -> list[str]:
    """The error lines of unusable settings."""
    with pytest.raises(SettingsError) as caught:
        load(environ, folder, toml)
    return list(caught.value.lines)
