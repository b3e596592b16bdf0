"""Checks of the tokens and their scopes, for ``tickertape check`` and for the first call of a run.

Slack lists a token's scopes in the header ``X-OAuth-Scopes`` of its answers
(https://docs.slack.dev/authentication/installing-with-oauth). Without the header (some proxies drop it), a few cheap
reads probe them: the error ``missing_scope`` names the scope.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.shared.diagnostics import CheckResult
from adapters.shared.json_fields import string_field
from adapters.slack.check_http import RequestUrlToCheck, check_http
from adapters.slack.errors import NO_METHOD, code_of, needed_of
from adapters.slack.events.pages import parse_identity
from adapters.slack.events.parse import Identity
from adapters.slack.options import SlackOptions
from adapters.slack.scopes import ALL, LATER, REQUIRED, USEFUL
from adapters.slack.web_api import ApiResponse, WebApi
from bot.errors import Failure, Forbidden, Permanent

log = logging.getLogger(__name__)

APPS = "https://api.slack.com/apps"
BOT_TOKEN_FIX = (
    f"{APPS} > your app > OAuth & Permissions: copy the Bot User OAuth Token (it begins with xoxb-) to "
    "SLACK_BOT_TOKEN; install the app to the workspace if there is none"
)
APP_TOKEN_FIX = (
    f"{APPS} > your app > Basic Information > App-Level Tokens: generate a token with the scope connections:write "
    "(it begins with xapp-) and put it in SLACK_APP_TOKEN"
)
SOCKET_FIX = f"{APPS} > your app > Socket Mode: enable it, as config/slack-manifest.yaml does"
NO_SUCH_METHOD = "the server lacks a needed method"
URL_FIX = "see SLACK_API_URL: it is a server without Socket Mode, or no Slack at all (Slack's own needs no setting)"
SCOPE_FIX = (
    f"{APPS} > your app > App Manifest: paste config/slack-manifest.yaml and save, "
    "then Install App > Reinstall to Workspace"
)

# Parts of the manifest without a trace in Slack's answers to a bot token.
UNSEEN = CheckResult(
    "Slack app",
    ok=True,
    message="Slack does not tell its events, slash command, message shortcuts and home tab: after an update of the "
    "bot, compare them with config/slack-manifest.yaml. Answers need only the events",
)

# Harmless reads by the scope they need, with an id that does not exist: Slack checks scopes first, so any other error
# proves the scope.
PROBES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "users:read": ("users.info", {"user": "U0000000000"}),
        "channels:history": ("conversations.history", {"channel": "C0000000000", "limit": 1}),
        "files:read": ("files.info", {"file": "F0000000000"}),
        "channels:read": ("conversations.info", {"channel": "C0000000000"}),
        "usergroups:read": ("usergroups.list", {}),
    }
)


async def check(options: SlackOptions, way: RequestUrlToCheck | None = None) -> list[CheckResult]:
    """Try the tokens against Slack, and `way`, the way of its requests over HTTP. Never raises, and posts nothing."""
    web = WebApi(options)
    try:
        results = await _check_bot_token(web, options)
        if options.over_http and way is not None:
            return [*results, *await check_http(options, web, way)]
        return [*results, await _check_app_token(web, options)]
    finally:
        await web.close()


async def identify(web: WebApi) -> Identity:
    """The identity of the bot token. Raises `Forbidden` with a line for the operator, or a `Retryable`."""
    try:
        return parse_identity((await _auth_test(web)).data)
    except Permanent as failure:
        raise Forbidden(refused_line("bot token", failure)) from failure


def refused_line(token: str, failure: Failure) -> str:
    """One line for the operator: Slack refuses a token ("bot token", "app token"), with the fix."""
    if code_of(failure) in NO_METHOD:
        return f"{NO_SUCH_METHOD}: {failure}. {URL_FIX}"
    return f"Slack refuses the {token}: {failure}. {_fix(token, failure)}"


def _fix(token: str, failure: Failure) -> str:
    if token == "bot token":  # noqa: S105 (a word, not a token)
        return SCOPE_FIX if code_of(failure) == "missing_scope" else BOT_TOKEN_FIX
    if code_of(failure) in ("link_disabled", "socket_mode_not_enabled", "not_allowed"):
        return SOCKET_FIX
    return APP_TOKEN_FIX


async def _auth_test(web: WebApi) -> ApiResponse:
    return await web.post("auth.test", {})


# ------------------------------------------------------------------------------------------------------ results


async def _check_bot_token(web: WebApi, options: SlackOptions) -> list[CheckResult]:
    subject = "Slack bot token"
    if options.bot_token.startswith("xapp-"):
        return [CheckResult(subject, ok=False, message="this is an app-level token", fix=BOT_TOKEN_FIX)]
    try:
        answer = await _auth_test(web)
    except Permanent as failure:
        if code_of(failure) in NO_METHOD:
            return [CheckResult(subject, ok=False, message=f"not tried: {NO_SUCH_METHOD} ({failure})", fix=URL_FIX)]
        return [CheckResult(subject, ok=False, message=f"Slack refuses it: {failure}", fix=_fix("bot token", failure))]
    except Failure as failure:
        return [
            CheckResult(
                subject, ok=False, message=f"Slack cannot be asked: {failure}", fix="see the network, or SLACK_API_URL"
            )
        ]
    team, user = string_field(answer.data, "team"), string_field(answer.data, "user")
    works = CheckResult(subject, ok=True, message=f"works, as {user or 'a bot'} in {team or 'a workspace'}")
    header = answer.headers.get("x-oauth-scopes")
    missing = await _probe_scopes(web) if header is None else ALL - scopes_in(header)
    return [works, *scope_results(missing, all_seen=header is not None), UNSEEN]


def scopes_in(header: str) -> frozenset[str]:
    """The scopes in a header ``X-OAuth-Scopes``."""
    return frozenset(scope.strip() for scope in header.split(",") if scope.strip())


def scope_results(missing: frozenset[str], *, all_seen: bool) -> list[CheckResult]:
    """One result for each missing scope, or one for all; `all_seen`: Slack listed them."""
    if not missing - frozenset(LATER):
        line = "all are there" if all_seen else "none of those that could be tried is missing"
        later = ", ".join(sorted(missing))
        return [
            CheckResult(
                "Slack scopes", ok=True, message=f"all but those of later versions ({later})" if later else line
            )
        ]
    purposes = {**REQUIRED, **USEFUL}
    return [
        CheckResult(
            "Slack scopes",
            ok=False,
            message=f"{scope} is missing: without it the bot cannot {purposes.get(scope, 'do all that it should')}",
            fix=SCOPE_FIX,
        )
        for scope in sorted(missing - frozenset(LATER), key=lambda scope: (scope not in REQUIRED, scope))
    ]


async def _probe_scopes(web: WebApi) -> frozenset[str]:
    missing: set[str] = set()
    for scope, (method, params) in PROBES.items():
        try:
            await web.read(method, dict(params))
        except Failure as failure:
            if code_of(failure) == "missing_scope":
                # Slack may name several sufficient scopes; prefer the probed one.
                needed = scopes_in(needed_of(failure))
                missing |= {scope} if scope in needed or not needed else needed
    return frozenset(missing)


async def _check_app_token(web: WebApi, options: SlackOptions) -> CheckResult:
    subject = "Slack app token"
    if options.app_token.startswith("xoxb-"):
        return CheckResult(subject, ok=False, message="this is a bot token", fix=APP_TOKEN_FIX)
    try:
        await web.socket_url()
    except Permanent as failure:
        if code_of(failure) == "missing_scope":
            scope = needed_of(failure) or "connections:write"
            return CheckResult(subject, ok=False, message=f"the scope {scope} is missing", fix=APP_TOKEN_FIX)
        if code_of(failure) in NO_METHOD:
            return CheckResult(subject, ok=False, message=f"not tried: {NO_SUCH_METHOD} ({failure})", fix=URL_FIX)
        return CheckResult(subject, ok=False, message=f"Slack refuses it: {failure}", fix=_fix("app token", failure))
    except Failure as failure:
        return CheckResult(
            subject, ok=False, message=f"Slack cannot be asked: {failure}", fix="see the network, or SLACK_API_URL"
        )
    return CheckResult(subject, ok=True, message="works, with Socket Mode enabled")
