"""The manifest of the Slack app: one file, printed for the socket or for events over HTTP."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack import http_requests
from adapters.slack.oauth import options
from bot.__main__ import main
from config.slack_manifest import EVENTS_PATH, FILE, REDIRECT_PATH, manifest, request_url
from tests.support.paths import ROOT

URL = "https://bot.example.com/slack/events"


def parsed(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text))


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a document by its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {name: leaf for key, each in items for name, leaf in flat(each, f"{path}/{key}").items()}
    return found or {path: value}


def test_only_the_transport_differs_over_http() -> None:
    """The two forms have the same scopes, events and commands; only the request URLs and the switch differ."""
    socket, http = flat(parsed(manifest())), flat(parsed(manifest(URL)))
    assert dict(http.items() - socket.items()) == {
        "/features/slash_commands/0/url": URL,
        "/settings/event_subscriptions/request_url": URL,
        "/settings/interactivity/request_url": URL,
        "/settings/socket_mode_enabled": False,
    }
    assert dict(socket.items() - http.items()) == {"/settings/socket_mode_enabled": True}


def test_oauth_adds_what_many_workspaces_need() -> None:
    """Beside the transport: where browsers come back, rotation, and installations for organisations."""
    http, oauth = flat(parsed(manifest(URL))), flat(parsed(manifest(URL, oauth=True)))
    assert dict(oauth.items() - http.items()) == {
        "/oauth_config/redirect_urls/0": "https://bot.example.com/slack/oauth_redirect",
        "/settings/event_subscriptions/bot_events/11": "team_access_granted",
        "/settings/event_subscriptions/bot_events/12": "team_access_revoked",
        "/settings/org_deploy_enabled": True,
        "/settings/token_rotation_enabled": True,
    }
    assert "SLACK_CLIENT_SECRET" in manifest(URL, oauth=True)
    assert "SLACK_BOT_TOKEN" not in manifest(URL, oauth=True)


def test_the_paths_are_those_of_the_routes() -> None:
    """Slack sends requests and browsers where the bot answers."""
    assert (EVENTS_PATH, REDIRECT_PATH) == (http_requests.PATH, options.REDIRECT_PATH)


def test_every_command_has_its_address() -> None:
    """Slack needs a URL for each slash command over HTTP."""
    commands = parsed(manifest(URL))["features"]["slash_commands"]
    assert [each["url"] for each in commands] == [URL] * len(commands)


def test_the_comments_name_the_secrets_of_their_form() -> None:
    """The socket's form leads to the app token, the form for HTTP to the signing secret."""
    assert "SLACK_APP_TOKEN" in manifest()
    assert "SLACK_SIGNING_SECRET" not in manifest()
    assert "SLACK_SIGNING_SECRET" in manifest(URL)
    assert "SLACK_APP_TOKEN" not in manifest(URL)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("https://bot.example.com", URL),
        ("HTTPS://Bot.Example.Com/", URL),
        (f" {URL}\n", URL),
        ("https://bot.example.com:8443", "https://bot.example.com:8443/slack/events"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example/slack/events"),
    ],
)
def test_request_urls(address: str, url: str) -> None:
    """The path is added to a bare address; the whole request URL is accepted as well."""
    assert request_url(address) == url


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://bot.example.com", "https://"),
        ("bot.example.com", "https://"),
        ("", "https://"),
        ("https://", "https://"),
        ("https://bot.example.com/bots/1", "/slack/events"),
        ("https://bot.example.com//", "/slack/events"),
        ("https://bot.example.com?a=b", "more than a host"),
        ("https://203.0.113.7", "IP address"),
        ("https://[2001:db8::1]:443", "IP address"),
        ("https://1.2.3", "IP address"),
        ("https://localhost", "no public host name"),
        ("https://b\u00fccher.example", "xn--"),
        ("https://-a.example", "no public host name"),
        ("https://bot.example.com:99999", "no address"),
        ("https://[::1", "no address"),
        ("https://ann:hunter2@bot.example.com", "password"),
        (f"https://{'a' * 300}.example", "no public host name"),
    ],
)
def test_bad_addresses_get_one_line(address: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard error has one line with the reason and an example; standard output nothing, and no secret appears."""
    assert main(["manifest", "--http", address]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("tickertape: --http: ")
    assert words in line
    assert "https://bot.example.com" in line
    assert "hunter2" not in line
    assert len(line) < 500


@given(st.text(max_size=80))
def test_any_address_gives_a_manifest_or_a_line(text: str) -> None:
    """Whatever is typed, the result is one line of refusal, or a URL the YAML holds unchanged."""
    try:
        url, refusal = request_url(f"https://{text}"), ""
    except ValueError as error:
        url, refusal = "", str(error)
    assert bool(url) != bool(refusal)
    assert len(refusal.splitlines()) <= 1
    assert parsed(manifest(url))["settings"]["interactivity"].get("request_url", "") == url


def test_the_command_prints_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    """Without an address, the printed manifest is the file."""
    assert main(["manifest"]) == 0
    assert capfd.readouterr().out == FILE.read_text(encoding="utf-8")


@pytest.mark.sockets  # a child process
@pytest.mark.slow
def test_a_pipe_gets_the_manifest_without_settings() -> None:
    """The command needs no settings, not even valid ones: the app is made before its tokens exist."""
    ran = subprocess.run(
        [sys.executable, "-m", "bot", "manifest", "--http", "https://bot.example.com"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PORT": "nonsense"},
        capture_output=True,
        check=True,
    )
    assert parsed(ran.stdout.decode()) == parsed(manifest(URL))
    assert ran.stderr == b""


@pytest.mark.parametrize("arguments", [["run", "--http", "https://a.example"], ["check", "--http", ""]])
def test_the_option_belongs_to_its_command(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Another command refuses the option, and starts nothing."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "--http belongs to manifest" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [["run", "--url", "https://a.example"], ["manifest", "--url", ""]])
def test_the_url_belongs_to_check(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Another command refuses the option, and starts nothing."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "--url belongs to check" in capfd.readouterr().err
