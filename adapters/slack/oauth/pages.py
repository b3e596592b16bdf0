"""The pages of an installation as HTML: without scripts, forms, images or anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

from aiohttp import web

from adapters.slack.oauth.options import INSTALL_PATH
from adapters.slack.scopes import REQUIRED, USEFUL

STYLE = """
:root { color-scheme: light dark; }
body { font: 1.125rem/1.6 system-ui, sans-serif; margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 38rem; margin: 0 auto; padding: 3rem 1.25rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 1rem; }
a.next { display: inline-block; padding: 0.75rem 1.5rem; border-radius: 0.5rem; background: #4a154b; color: #fff;
    font-weight: 600; text-decoration: none; }
a.next:focus-visible { outline: 3px solid #1d9bd1; outline-offset: 3px; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its status, title and paragraphs, and a link to what follows (its words and address)."""

    status: HTTPStatus
    title: str
    paragraphs: Sequence[str]
    link: tuple[str, str] | None = None
    points: Sequence[str] = ()

    def response(self) -> web.Response:
        """The response with this page."""
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        if self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers["Retry-After"] = "60"
        return web.Response(text=self.html(), content_type="text/html", status=self.status, headers=headers)

    def html(self) -> str:
        """The whole document."""
        parts = [f"<p>{escape(each)}</p>" for each in self.paragraphs]
        if self.points:
            parts.append(f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in self.points)}</ul>")
        if self.link is not None:
            words, address = self.link
            parts.append(f'<p><a class="next" href="{escape(address)}">{escape(words)}</a></p>')
        title = escape(self.title)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{title}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>'
            f"<body><main><h1>{title}</h1>{''.join(parts)}</main></body></html>\n"
        )


_AGAIN = ("Start again", INSTALL_PATH)


def install_page(authorize_url: str) -> Page:
    """The page to begin at, with Slack's address."""
    purposes = {**REQUIRED, **USEFUL}
    return Page(
        HTTPStatus.OK,
        "Add Tickertape to Slack",
        [
            "Tickertape answers questions in Slack, and lets you read along while it writes.",
            "Slack shows the permissions next, and asks you to agree. Your workspace may want an admin to do so.",
            "With these permissions it can:",
        ],
        ("Add to Slack", authorize_url),
        [f"{purpose} ({scope})" for scope, purpose in purposes.items()],
    )


def installed_page(team: str, missing: Sequence[str]) -> Page:
    """After an installation in a workspace; `missing` are required scopes that were not granted."""
    paragraphs = [
        "Tickertape is installed.",
        "Invite it to a channel with /invite and mention it there, or find it below Apps in Slack and write to it.",
    ]
    if missing:
        paragraphs.append("Slack did not grant all permissions, so it cannot:")
    points = [REQUIRED[scope] for scope in missing]
    return Page(HTTPStatus.OK, "Done", paragraphs, ("Open Slack", f"https://app.slack.com/client/{team}"), points)


def organisation_page(enterprise: str, app: str, teams: Sequence[str], missing: Sequence[str]) -> Page:
    """After an installation in an organisation: it has to be added to workspaces.

    https://docs.slack.dev/enterprise/developing-for-enterprise-orgs
    """
    paragraphs = [
        f"Tickertape is installed in your organisation. {_count_line(len(teams))}",
        "An admin of the organisation now adds it to workspaces. Then invite it to channels and mention it there.",
    ]
    if missing:
        paragraphs.append("Slack did not grant all permissions, so it cannot:")
    address = f"https://app.slack.com/manage/{enterprise}/integrations/profile/{app}/workspaces/add"
    points = [REQUIRED[scope] for scope in missing]
    return Page(HTTPStatus.OK, "Installed in your organisation", paragraphs, ("Add to workspaces", address), points)


def _count_line(count: int) -> str:
    return f"{count} of its workspaces can use it." if count else "No workspace can use it yet."


DECLINED = Page(
    HTTPStatus.OK,
    "Nothing was installed",
    ["You or an admin declined on Slack's page. You can begin again at any time."],
    _AGAIN,
)
REFUSED = Page(
    HTTPStatus.BAD_REQUEST,
    "Slack did not install it",
    ["Slack refused the installation. If your workspace asks admins to approve apps, ask one, then start again."],
    _AGAIN,
)
STALE = Page(
    HTTPStatus.BAD_REQUEST,
    "This page can no longer be used",
    [
        "It belongs to an installation begun in another browser or over ten minutes ago, or it is finished.",
        "If the app is in your workspace, nothing is left to do.",
        "Otherwise start again, in one browser, with cookies allowed.",
    ],
    _AGAIN,
)
MISCONFIGURED = Page(
    HTTPStatus.BAD_GATEWAY,
    "The bot is not set up for this yet",
    ["Slack does not know the bot's app or its secret. Only the bot's operator can change that: please tell them."],
)
DEAD_WORKSPACE = Page(
    HTTPStatus.BAD_REQUEST,
    "This workspace is not available",
    ["Slack does not accept the new permission: the workspace may be deleted or deactivated. Nothing was installed."],
    _AGAIN,
)
NOT_ACCEPTED = Page(
    HTTPStatus.FORBIDDEN,
    "This bot is not open to your workspace",
    ["Its operator allows certain workspaces only. Nothing was installed. Ask the operator to allow yours."],
)
UNAVAILABLE = Page(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "This did not work now",
    ["Slack or the bot's database does not answer. Wait a minute, then start again. Nothing is lost."],
    _AGAIN,
)
TOO_MANY = Page(
    HTTPStatus.TOO_MANY_REQUESTS,
    "Too many installations at once",
    ["Wait a minute, then start again."],
    _AGAIN,
)
