"""`config.validators`: rules over several settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.bootstrap_platforms import make_slack_options, slack_address_line
from config.docs import describe
from tests.support.settings import (
    DISCORD,
    MODEL,
    OAUTH,
    OPEN,
    SLACK,
    lines,
    load,
)

HTTP = MODEL | {"SLACK_BOT_TOKEN": "xoxb-0123456789", "SLACK_SIGNING_SECRET": "0af1"}

MISSING = [
    (
        {"SLACK_BOT_TOKEN": "xoxb-1"} | MODEL,
        "SLACK_APP_TOKEN is missing (SLACK_BOT_TOKEN is set): it starts with xapp-",
    ),
    (
        {"SLACK_APP_TOKEN": "xapp-1"} | MODEL,
        "SLACK_BOT_TOKEN is missing (SLACK_APP_TOKEN is set): it starts with xoxb-",
    ),
    (
        {"SLACK_SIGNING_SECRET": "0af"} | MODEL,
        "SLACK_BOT_TOKEN is missing (SLACK_SIGNING_SECRET is set): it starts with xoxb-",
    ),
    (
        SLACK | {"TICKERTAPE_SLACK_EVENTS": "http"},
        "SLACK_SIGNING_SECRET is missing (TICKERTAPE_SLACK_EVENTS is http): it is at https://api.slack.com/apps",
    ),
    (
        HTTP | {"TICKERTAPE_SLACK_EVENTS": "socket"},
        "SLACK_APP_TOKEN is missing (TICKERTAPE_SLACK_EVENTS is socket): it starts with xapp-",
    ),
    (
        HTTP | {"SLACK_SIGNING_SECRET": "xapp-1"},
        "SLACK_SIGNING_SECRET is a token, not the signing secret: it is at https://api.slack.com/apps",
    ),
    (HTTP | {"TICKERTAPE_SLACK_EVENTS": "post"}, "TICKERTAPE_SLACK_EVENTS must be auto, socket or http, not post"),
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
    *(
        ({name: value for name, value in OAUTH.items() if name != missing}, beginning)
        for missing, beginning in {
            "SLACK_CLIENT_ID": "SLACK_CLIENT_ID is missing (SLACK_CLIENT_SECRET is set): it is at",
            "SLACK_CLIENT_SECRET": "SLACK_CLIENT_SECRET is missing (SLACK_CLIENT_ID is set): it is at",
            "SLACK_SIGNING_SECRET": "SLACK_SIGNING_SECRET is missing (SLACK_CLIENT_ID is set): it is at",
            "JOURNAL_URL": "JOURNAL_URL must name a PostgreSQL database (SLACK_CLIENT_ID is set)",
            "TICKERTAPE_PUBLIC_URL": "TICKERTAPE_PUBLIC_URL is missing (SLACK_CLIENT_ID is set)",
            "TICKERTAPE_SECRETS": "TICKERTAPE_SECRETS is missing (SLACK_CLIENT_ID is set): a key",
        }.items()
    ),
    (OAUTH | {"JOURNAL_URL": "memory:"}, "JOURNAL_URL must name a PostgreSQL database"),
    (OAUTH | {"SLACK_APP_TOKEN": "xapp-1"}, "TICKERTAPE_SLACK_EVENTS must be http (SLACK_CLIENT_ID is set)"),
    (OAUTH | {"SLACK_BOT_TOKEN": "xoxb-1"}, "SLACK_BOT_TOKEN and SLACK_CLIENT_ID is set: with OAuth each workspace"),
    (
        OAUTH | {"TICKERTAPE_PUBLIC_URL": "http://bot.example.com"},
        "TICKERTAPE_PUBLIC_URL must be the bot's public",
    ),
    (OAUTH | {"TICKERTAPE_PUBLIC_URL": "https://bot.example.com/x"}, "TICKERTAPE_PUBLIC_URL must be the bot's public"),
    (OAUTH | {"TICKERTAPE_SECRETS": "short"}, "TICKERTAPE_SECRETS must be keys of 44 characters, newest first"),
    ({"TICKERTAPE_EMBEDDED": "off"}, "OPENAI_API_KEY is missing (playground would run without a model)"),
    ({"OPENAI_API_KEY": "a b", "OPENAI_MODEL": "m"}, "OPENAI_API_KEY must be one word"),
    ({"DISCORD_TOKEN": "Bot t"} | MODEL, "DISCORD_TOKEN must be one word"),
]


@pytest.mark.parametrize(("environ", "beginning"), MISSING)
def test_a_missing_counterpart_is_one_line(environ: Mapping[str, str], beginning: str, tmp_path: Path) -> None:
    """Half a configuration is one line: the missing setting, its reason, and its source."""
    (line,) = lines(environ, tmp_path)
    assert line.startswith(beginning)


def test_oauth_needs_no_bot_token(tmp_path: Path) -> None:
    """With all its settings Slack runs over HTTP, and no line or repr shows a secret."""
    settings = load(OAUTH, tmp_path)
    assert (settings.slack.runs, settings.slack.uses_oauth, settings.slack.over_http) == (True, True, True)
    assert settings.site.public_url == "https://bot.example.com"
    assert settings.slack.secrets is not None
    assert len(settings.slack.secrets) == 2
    shown = repr(settings) + "".join(describe(settings))
    assert not [secret for secret in settings.secrets() if len(secret) > 1 and secret in shown]


def test_one_slack_token_alone_names_both_ways(tmp_path: Path) -> None:
    """A bot token alone is one line: the app token for the socket, or the signing secret for HTTP."""
    (line,) = lines({"SLACK_BOT_TOKEN": "xoxb-1"} | MODEL, tmp_path)
    assert "or set SLACK_SIGNING_SECRET, for events over HTTP: it is at https://api.slack.com/apps" in line


def test_http_without_any_token_is_a_line_for_each(tmp_path: Path) -> None:
    """Asking for Slack over HTTP with neither of its secrets names both."""
    found = lines({"TICKERTAPE_SLACK_EVENTS": "http"} | MODEL, tmp_path)
    assert [line.split()[0] for line in found] == ["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"]


@pytest.mark.parametrize(
    ("environ", "over_http"),
    [
        (SLACK, False),
        (HTTP, True),
        (SLACK | HTTP, False),
        (SLACK | HTTP | {"TICKERTAPE_SLACK_EVENTS": "http"}, True),
        (SLACK | HTTP | {"TICKERTAPE_SLACK_EVENTS": "socket"}, False),
    ],
)
def test_how_slacks_events_arrive(environ: Mapping[str, str], over_http: bool, tmp_path: Path) -> None:
    """The signing secret alone means HTTP, the app token a socket, and a choice between both is followed."""
    settings = load(environ, tmp_path)
    assert (settings.slack.runs, settings.slack.over_http, settings.http_server_required) == (
        True,
        over_http,
        over_http,
    )
    options = make_slack_options(settings)
    assert options is not None
    assert options.over_http == over_http


def test_the_log_tells_where_slacks_requests_arrive(tmp_path: Path) -> None:
    """The line names the path, and a local address's limit; it has no secret."""
    local = slack_address_line(load(HTTP, tmp_path), "http://127.0.0.1:8080")
    assert "arrive at http://127.0.0.1:8080/slack/events" in local
    assert "only a proxy on this machine" in local
    public = slack_address_line(load(HTTP | {"TICKERTAPE_HOST": "0.0.0.0"}, tmp_path), "http://127.0.0.1:8080")
    assert "this machine" not in public
    assert HTTP["SLACK_SIGNING_SECRET"] not in local + public


def test_a_missing_setting_beside_a_file_is_named_as_a_variable(tmp_path: Path) -> None:
    """A missing setting is named by its variable, a setting of the file by its key."""
    (line,) = lines({}, tmp_path, '[slack]\nbot_token = "xoxb-1"\n[model]\nbase_url = "http://h"\nname = "m"\n')
    assert line.startswith("SLACK_APP_TOKEN is missing (slack.bot_token in ")


def test_a_local_server_needs_no_key(tmp_path: Path) -> None:
    """A local server works without a key."""
    settings = load({"OPENAI_BASE_URL": "http://localhost:11434/v1/", "OPENAI_MODEL": "m"}, tmp_path)
    assert settings.model.base_url == "http://localhost:11434/v1"
    assert settings.model.api_key is None


def test_a_test_servers_tokens_may_be_any_word(tmp_path: Path) -> None:
    """Prefixes are checked for Slack's own address only; a final slash is added."""
    environ = {"SLACK_BOT_TOKEN": "x", "SLACK_APP_TOKEN": "y", "SLACK_API_URL": "http://127.0.0.1:99/api"}
    settings = load(MODEL | environ, tmp_path)
    assert settings.slack.runs
    assert settings.slack.api_url == "http://127.0.0.1:99/api/"
