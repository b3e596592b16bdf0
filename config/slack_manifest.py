"""The manifest of the Slack app, for the socket as it is, or changed for events over HTTP.

``slack-manifest.yaml`` is the one manifest. Its form for HTTP is made by inserting lines, so both always have the same
scopes, events and commands. Fields: https://docs.slack.dev/reference/app-manifest
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

FILE = Path(__file__).with_name("slack-manifest.yaml")
# The path of everything Slack sends over HTTP: events, presses, forms and commands.
EVENTS_PATH = "/slack/events"
# Where Slack sends a browser at the end of an installation.
REDIRECT_PATH = "/slack/oauth_redirect"

# Lines of the file by their beginning, and what stands there over HTTP: the line itself is `{line}`.
_OVER_HTTP: Mapping[str, str] = MappingProxyType(
    {
        "# Then: Basic Information > App-Level Tokens": (
            "# Then: Basic Information > App Credentials > Signing Secret"
            "                                -> SLACK_SIGNING_SECRET"
        ),
        "    - command: /tickertape": "{line}\n      url: {url}",
        "  event_subscriptions:": "{line}\n    request_url: {url}",
        "    is_enabled: true": "{line}\n    request_url: {url}",
        "  socket_mode_enabled: true": "  socket_mode_enabled: false # Socket Mode would leave the request URL silent",
    }
)

# The same for an app with installations in many workspaces and organisations.
_WITH_OAUTH: Mapping[str, str] = MappingProxyType(
    {
        "#       Install App > Install to Workspace": (
            "#       Basic Information > App Credentials > Client ID, Client Secret"
            "                -> SLACK_CLIENT_ID, SLACK_CLIENT_SECRET\n"
            "#       Manage Distribution: activate public distribution, for workspaces other than the app's own"
        ),
        "oauth_config:": "{line}\n  redirect_urls:\n    - {redirect}",
        "      - tokens_revoked": (
            "{line}\n"
            "      - team_access_granted # a workspace was added to an organisation's installation\n"
            "      - team_access_revoked # it was taken away"
        ),
        "  org_deploy_enabled: false": "  org_deploy_enabled: true # one installation for a whole organisation",
        "  token_rotation_enabled: false": "  token_rotation_enabled: true # cannot be switched off again",
    }
)

# A name of the domain name system with at least one dot, in ASCII (RFC 1123, section 2.1).
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)
_LONGEST_HOST = 253

EXAMPLE = "https://bot.example.com"


def manifest(request_url: str = "", *, oauth: bool = False) -> str:
    """The manifest as YAML to paste: for Socket Mode, or for events over HTTP sent to `request_url`.

    `oauth`: over HTTP, for installations in many workspaces.
    """
    text = FILE.read_text(encoding="utf-8")
    if not request_url:
        return text
    remaining = {**_OVER_HTTP, **(_WITH_OAUTH if oauth else {})}
    redirect = f"{request_url.removesuffix(EVENTS_PATH)}{REDIRECT_PATH}"
    lines = [_changed(line, remaining, url=request_url, redirect=redirect) for line in text.splitlines()]
    if remaining:
        raise RuntimeError(f"{FILE.name}: no line begins with {sorted(remaining)}")
    return "\n".join(lines) + "\n"


def _changed(line: str, remaining: dict[str, str], **addresses: str) -> str:
    """A line in its other form; each entry of `remaining` is used once and removed."""
    start = next((start for start in remaining if line.startswith(start)), None)
    return line if start is None else remaining.pop(start).format(line=line, **addresses)


def request_url(address: str) -> str:
    """The request URL below the bot's public address. Raises `ValueError` with one line for the operator."""
    return f"{public_address(address)}{EVENTS_PATH}"


def public_address(address: str) -> str:
    """The bot's public address, without a path. Raises `ValueError` with one line for the operator.

    Slack demands HTTPS with a certificate of a known authority, so the host must be a public name
    (https://docs.slack.dev/apis/events-api/using-http-request-urls).
    """
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{_quoted(address)} is no address; {_EXPECTED}") from error
    if problem := _problem(parts):
        raise ValueError(f"{_quoted(address)} {problem}; {_EXPECTED}")
    return f"https://{(parts.hostname or '').lower()}{f':{port}' if port else ''}"


_EXPECTED = f"give the bot's public address alone, such as {EXAMPLE}"


def _problem(parts: SplitResult) -> str:
    """The reason against an address; empty if it is one."""
    host = parts.hostname or ""
    if parts.scheme.lower() != "https" or not host:
        return "does not begin with https:// and a host"
    if parts.username is not None or parts.password is not None:
        return "holds a user or a password"
    if parts.query or parts.fragment or parts.path not in ("", "/", EVENTS_PATH):
        return f"has more than a host, and Slack's requests need the path {EVENTS_PATH}"
    if _is_ip(host):
        return "is an IP address, and Slack needs a name with a certificate"
    if not _HOST.fullmatch(host) or len(host) > _LONGEST_HOST:
        return "has no public host name (write other scripts as xn--...)"
    return ""


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.replace(".", "").isdigit()
    return True


def _quoted(text: str) -> str:
    """A value for a line of output: bounded, on one line, and without a password."""
    if "@" in text:
        return "the address"
    return repr(text if len(text) <= _LONGEST_HOST else f"{text[:_LONGEST_HOST]}...")
