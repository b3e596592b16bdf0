"""`check` distinguishes wrong tokens from missing scopes, and the manifest has all scopes."""

from __future__ import annotations

import re

import pytest

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import check
from adapters.slack.bolt_app import SHORTCUTS
from adapters.slack.events.places import SLASH_PREFIX
from adapters.slack.scopes import ALL, LATER, REQUIRED, USEFUL
from bot.errors import Forbidden
from tests.servers.limits import Kind
from tests.servers.slack import ALL_SCOPES, SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.paths import ROOT
from tests.support.slack import options_of, sole_platform

MANIFEST = ROOT / "config" / "slack-manifest.yaml"


@pytest.mark.sockets
async def test_all_is_well() -> None:
    """With both tokens and all scopes, each result is good."""
    double = SlackDouble()
    async with double.running():
        findings = await check(options_of(double))
    assert [(f.subject, f.ok) for f in findings] == [
        ("Slack bot token", True),
        ("Slack scopes", True),
        ("Slack app", True),
        ("Slack app token", True),
    ]
    assert "Slack does not tell" in findings[2].message
    assert double.writes == []


@pytest.mark.sockets
@pytest.mark.parametrize("scope", ["commands", "im:write"])
async def test_an_app_of_an_older_manifest(scope: str) -> None:
    """A scope of a later version is named with what it is for, and with the way to reinstall."""
    double = SlackDouble()
    double.scopes -= {scope}
    async with double.running():
        (wrong,) = [finding for finding in await check(options_of(double)) if not finding.ok]
    assert scope in wrong.message
    assert "Reinstall" in wrong.fix


@pytest.mark.sockets
@pytest.mark.parametrize("header", [True, False])
async def test_a_missing_scope_is_named(header: bool) -> None:
    """A missing scope is named with its purpose, whether Slack lists the scopes or not."""
    double = SlackDouble()
    double.scopes -= {"users:read"}
    double.scope_header = header
    async with double.running():
        findings = await check(options_of(double))
    (wrong,) = [f for f in findings if not f.ok]
    assert wrong.subject == "Slack scopes"
    assert wrong.message.startswith("users:read is missing")
    assert "slack-manifest.yaml" in wrong.fix


@pytest.mark.sockets
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("scope", ["channels:read", "usergroups:read"])
async def test_scopes_for_names_are_named(scope: str, header: bool) -> None:
    """An older app's missing scope for names is reported once, with its purpose."""
    double = SlackDouble()
    double.scopes -= {scope}
    double.scope_header = header
    async with double.running():
        findings = await check(options_of(double))
    assert [f.message for f in findings if not f.ok] == [
        f"{scope} is missing: without it the bot cannot {USEFUL[scope]}"
    ]


@pytest.mark.sockets
async def test_a_scope_of_later_versions_is_no_fault() -> None:
    """A missing scope of a later feature is mentioned, but is no error."""
    double = SlackDouble()
    double.scopes -= {"reactions:write"}
    async with double.running():
        findings = await check(options_of(double))
    assert all(f.ok for f in findings)
    assert "reactions:write" in findings[1].message


@pytest.mark.sockets
async def test_a_wrong_bot_token() -> None:
    """An unknown token is reported as such, without its value."""
    double = SlackDouble()
    async with double.running():
        findings = await check(options_of(double, bot_token="xoxb-wrong-secret"))
    (wrong,) = [f for f in findings if not f.ok]
    assert wrong.subject == "Slack bot token"
    assert "invalid_auth" in wrong.message
    assert "OAuth & Permissions" in wrong.fix
    assert "secret" not in repr(findings)


@pytest.mark.sockets
async def test_app_tokens() -> None:
    """A wrong app token is told from one without connections:write, and from a bot token in its place."""
    double = SlackDouble()
    async with double.running():
        wrong = (await check(options_of(double, app_token="xapp-wrong")))[-1]
        swapped = (await check(options_of(double, app_token=double.bot_token)))[-1]
        double.app_scopes.clear()
        scopeless = (await check(options_of(double)))[-1]
    assert (wrong.ok, "invalid_auth" in wrong.message) == (False, True)
    assert (swapped.ok, "bot token" in swapped.message) == (False, True)
    assert (scopeless.ok, "connections:write" in scopeless.message) == (False, True)
    assert "App-Level Tokens" in scopeless.fix


@pytest.mark.sockets
async def test_slack_is_away() -> None:
    """No answer is not a wrong token."""
    double = SlackDouble()
    async with double.running():
        double.faults.add("POST", "auth.test", Kind.STATUS, status=503)
        findings = await check(options_of(double))
    assert not findings[0].ok
    assert "cannot be asked" in findings[0].message


def manifest_list(name: str) -> set[str]:
    """The entries of one list of the manifest, read by its lines."""
    text = MANIFEST.read_text()
    found = re.search(rf"^( *){name}:\n((?:\1 +- .*\n)+)", text, re.MULTILINE)
    assert found is not None
    return {line.split("- ", 1)[1].split(" #")[0].strip() for line in found.group(2).splitlines()}


def test_the_manifest_has_all_scopes() -> None:
    """Scopes come from one place in code; the manifest and the double have the same."""
    assert manifest_list("bot") == ALL == ALL_SCOPES
    assert len(ALL) == len(REQUIRED) + len(USEFUL) + len(LATER)


def manifest_values(name: str) -> list[str]:
    """All values of one field of the manifest."""
    return [
        value.strip('"')
        for value in re.findall(rf"^ *(?:- )?{name}: (.*?)(?: #.*)?$", MANIFEST.read_text(), re.MULTILINE)
    ]


def test_the_manifest_has_the_command_and_the_menus() -> None:
    """The command, the shortcuts the program listens to, and prompts, within the lengths of Slack's schema.

    https://docs.slack.dev/reference/app-manifest
    """
    (command,) = manifest_values("command")
    assert command == SLASH_PREFIX.strip()
    assert len(command) <= 32
    assert manifest_values("callback_id") == list(SHORTCUTS)
    assert all(len(name) <= 24 for name in manifest_values("name")[1:])  # the first is the app's
    assert all(len(hint) <= 1_000 for hint in manifest_values("usage_hint"))
    assert 1 <= len(manifest_values("title")) == len(manifest_values("message")) <= 4
    assert manifest_values("home_tab_enabled") == manifest_values("should_escape") == ["true"]
    listed = set(re.findall(r"# - (search:\S+)", MANIFEST.read_text()))
    assert listed == {"search:read.public", "search:read.files", "search:read.users"}


def test_the_manifest_has_the_events() -> None:
    """The manifest subscribes to each used event, and has its scope."""
    events = manifest_list("bot_events")
    assert events >= {"app_mention", "message.channels", "message.groups", "message.im", "message.mpim"}
    assert events >= {"reaction_added", "agent_session_stopped"}
    assert events >= {"app_home_opened", "app_uninstalled", "tokens_revoked"}
    assert "socket_mode_enabled: true" in MANIFEST.read_text()


@pytest.mark.sockets
@pytest.mark.parametrize("method", ["apps.connections.open", "auth.test"])
async def test_a_server_without_a_method_is_not_a_wrong_token(method: str) -> None:
    """A missing method is not blamed on the token, neither by `check` nor by the last line of a run."""
    double = SlackDouble()
    double.without = {method}
    async with double.running():
        findings = await check(options_of(double))
        attachments = Attachments(AttachmentLimits(), hosts=frozenset())
        platform = sole_platform(options_of(double), attachments)
        with pytest.raises(Forbidden) as caught:
            await platform.run(RecordingInbox())
        await platform.close()
    (wrong,) = [finding for finding in findings if not finding.ok]
    for line in (f"{wrong.message} {wrong.fix}", str(caught.value)):
        assert method in line
        assert "SLACK_API_URL" in line
        assert "refuses" not in line
        assert "xapp-" not in line
