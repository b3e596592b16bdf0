"""Do the tokens work, and may they do what is needed? For ``tickertape check``, and for the first call of a run.

Tells a wrong token from a missing scope. Slack names the scopes of a token in the header ``X-OAuth-Scopes`` of its
answers (https://docs.slack.dev/authentication/installing-with-oauth); where that is missing (a proxy that drops it), a
few cheap reads are tried, whose ``missing_scope`` names what is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.shared.diagnostics import CheckResult
from adapters.slack.errors import NO_METHOD, code_of, needed_of
from adapters.slack.events.parse import Identity, string
from adapters.slack.options import SlackOptions
from adapters.slack.scopes import ALL, LATER, REQUIRED, USEFUL
from adapters.slack.web_api import ApiResponse, WebApi
from bot.errors import Failure, Forbidden, Permanent

log = logging.getLogger(__name__)

APPS = "https://api.slack.com/apps"
BOT_TOKEN_REMEDY = (
    f"{APPS} > your app > OAuth & Permissions: copy the Bot User OAuth Token (it begins with xoxb-) to "
    "SLACK_BOT_TOKEN; install the app to the workspace if there is none"
)
APP_TOKEN_REMEDY = (
    f"{APPS} > your app > Basic Information > App-Level Tokens: generate a token with the scope connections:write "
    "(it begins with xapp-) and put it in SLACK_APP_TOKEN"
)
SOCKET_REMEDY = f"{APPS} > your app > Socket Mode: enable it, as config/slack-manifest.yaml does"
NOT_THERE = "the server does not have a method that is needed"
URL_REMEDY = (
    "see SLACK_API_URL: it is a server that lacks Socket Mode, or no Slack at all (Slack's own needs no setting)"
)
SCOPE_REMEDY = (
    f"{APPS} > your app > App Manifest: paste config/slack-manifest.yaml and save, "
    "then Install App > Reinstall to Workspace"
)

# Reads that need a scope each and change nothing, with an id that does not exist: Slack looks at scopes first, so any
# other error means that the scope is there. Read by `_probed`.
PROBES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "users:read": ("users.info", {"user": "U0000000000"}),
        "channels:history": ("conversations.history", {"channel": "C0000000000", "limit": 1}),
        "files:read": ("files.info", {"file": "F0000000000"}),
        "channels:read": ("conversations.info", {"channel": "C0000000000"}),
        "usergroups:read": ("usergroups.list", {}),
    }
)


async def check(options: SlackOptions) -> list[CheckResult]:
    """Try both tokens against Slack. Never raises; nothing is posted."""
    web = WebApi(options)
    try:
        return [*await _bot_findings(web, options), await _app_finding(web, options)]
    finally:
        await web.close()


async def identify(web: WebApi) -> Identity:
    """Who the bot token speaks for. Raises `Forbidden` with a line for the operator, or a `Retryable`."""
    try:
        return identity_of((await _auth_test(web)).data)
    except Permanent as failure:
        raise Forbidden(refused_line("bot token", failure)) from failure


def identity_of(data: Mapping[str, Any]) -> Identity:
    """What auth.test says (https://docs.slack.dev/reference/methods/auth.test)."""
    return Identity(
        team=string(data, "team_id"),
        user=string(data, "user_id"),
        bot=string(data, "bot_id"),
        enterprise=string(data, "enterprise_id"),
    )


def refused_line(token: str, failure: Failure) -> str:
    """One line for the operator: Slack refuses a token ("bot token", "app token"), and how to mend it."""
    if code_of(failure) in NO_METHOD:
        return f"{NOT_THERE}: {failure}. {URL_REMEDY}"
    return f"Slack refuses the {token}: {failure}. {_remedy(token, failure)}"


def _remedy(token: str, failure: Failure) -> str:
    if token == "bot token":  # noqa: S105 (a word, not a token)
        return SCOPE_REMEDY if code_of(failure) == "missing_scope" else BOT_TOKEN_REMEDY
    if code_of(failure) in ("link_disabled", "socket_mode_not_enabled", "not_allowed"):
        return SOCKET_REMEDY
    return APP_TOKEN_REMEDY


async def _auth_test(web: WebApi) -> ApiResponse:
    return await web.post("auth.test", {})


# ------------------------------------------------------------------------------------------------------ the findings


async def _bot_findings(web: WebApi, options: SlackOptions) -> list[CheckResult]:
    subject = "Slack bot token"
    if options.bot_token.startswith("xapp-"):
        return [CheckResult(subject, ok=False, message="this is an app-level token", fix=BOT_TOKEN_REMEDY)]
    try:
        answer = await _auth_test(web)
    except Permanent as failure:
        if code_of(failure) in NO_METHOD:
            return [CheckResult(subject, ok=False, message=f"not tried: {NOT_THERE} ({failure})", fix=URL_REMEDY)]
        return [
            CheckResult(subject, ok=False, message=f"Slack refuses it: {failure}", fix=_remedy("bot token", failure))
        ]
    except Failure as failure:
        return [
            CheckResult(
                subject, ok=False, message=f"Slack cannot be asked: {failure}", fix="see the network, or SLACK_API_URL"
            )
        ]
    team, user = string(answer.data, "team"), string(answer.data, "user")
    works = CheckResult(subject, ok=True, message=f"works, as {user or 'a bot'} in {team or 'a workspace'}")
    header = answer.headers.get("x-oauth-scopes")
    missing = await _probed(web) if header is None else ALL - scopes_in(header)
    return [works, *scope_findings(missing, all_seen=header is not None)]


def scopes_in(header: str) -> frozenset[str]:
    """The scopes that a header ``X-OAuth-Scopes`` lists."""
    return frozenset(scope.strip() for scope in header.split(",") if scope.strip())


def scope_findings(missing: frozenset[str], *, all_seen: bool) -> list[CheckResult]:
    """One finding for each scope that is missing, or one that none is; `all_seen` says that Slack listed them."""
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
            fix=SCOPE_REMEDY,
        )
        for scope in sorted(missing - frozenset(LATER), key=lambda scope: (scope not in REQUIRED, scope))
    ]


async def _probed(web: WebApi) -> frozenset[str]:
    missing: set[str] = set()
    for scope, (method, params) in PROBES.items():
        try:
            await web.read(method, dict(params))
        except Failure as failure:
            if code_of(failure) == "missing_scope":
                # Several may be named, of which one would do; the one that was tried for is what is wanted.
                needed = scopes_in(needed_of(failure))
                missing |= {scope} if scope in needed or not needed else needed
    return frozenset(missing)


async def _app_finding(web: WebApi, options: SlackOptions) -> CheckResult:
    subject = "Slack app token"
    if options.app_token.startswith("xoxb-"):
        return CheckResult(subject, ok=False, message="this is a bot token", fix=APP_TOKEN_REMEDY)
    try:
        await web.socket_url()
    except Permanent as failure:
        if code_of(failure) == "missing_scope":
            scope = needed_of(failure) or "connections:write"
            return CheckResult(subject, ok=False, message=f"the scope {scope} is missing", fix=APP_TOKEN_REMEDY)
        if code_of(failure) in NO_METHOD:
            return CheckResult(subject, ok=False, message=f"not tried: {NOT_THERE} ({failure})", fix=URL_REMEDY)
        return CheckResult(subject, ok=False, message=f"Slack refuses it: {failure}", fix=_remedy("app token", failure))
    except Failure as failure:
        return CheckResult(
            subject, ok=False, message=f"Slack cannot be asked: {failure}", fix="see the network, or SLACK_API_URL"
        )
    return CheckResult(subject, ok=True, message="works, with Socket Mode enabled")
