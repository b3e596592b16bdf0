"""Who may see the operator's page: hosts, origins, the login and the session.

Requests without a valid session get 401 with the login form as the body, never a redirect: a script or a proxy then
sees the refusal, and no page of the operator stays in a history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from urllib.parse import parse_qsl

from aiohttp import web

from adapters.admin.sessions import SESSION_SECONDS, LoginLimit, Sessions
from adapters.http_bodies import FORM, BodyReader, BodyRule
from adapters.shared.origin_check import rejection_reason

COOKIE = "tickertape_admin"

# The most fields of a form: far beyond ours.
MAX_FORM_FIELDS = 100

# Bytes of a form. The operator's forms have a few fields.
MAX_FORM_BYTES = 16_384

# The operator's forms; a browser sends one in a packet or two.
FORMS = BodyRule("/admin", frozenset({FORM}), max_bytes=MAX_FORM_BYTES, seconds=8.0)

BEARER = "bearer "

TOO_MANY = "Too many wrong tokens. Wait a minute."

# A page with a form: without a referrer, a browser calls the form's origin "null"
# (https://fetch.spec.whatwg.org/#append-a-request-origin-header).
FORM_HEADERS = MappingProxyType({"Referrer-Policy": "same-origin"})


class Gate:
    """Checks requests.

    `login_page` renders the login form with a line of explanation; `login_policy` is its content policy.
    """

    def __init__(
        self, token: str, allowed_hosts: frozenset[str], login_page: Callable[[str], str], login_policy: str
    ) -> None:
        self._sessions = Sessions(token)
        self._limit = LoginLimit()
        self._allowed_hosts = allowed_hosts
        self._login_page = login_page
        self._login_policy = login_policy

    def check_origin(self, request: web.Request) -> None:
        """Raise 403 for a foreign host, or a request made by a foreign page."""
        reason = rejection_reason(
            hosts=request.headers.getall("Host", []),
            origins=request.headers.getall("Origin", []),
            target=request.raw_path,
            allowed=self._allowed_hosts,
            page="operator's page",
        )
        if reason is not None:
            raise web.HTTPForbidden(text=reason)

    def admits(self, request: web.Request) -> bool:
        """Whether a request has a valid session or the token itself.

        Wrong bearer tokens count as failed logins, so guessing has one limit.
        """
        token = _bearer_token(request)
        if token is not None:
            return self._is_right(request, token)
        return self._sessions.is_open(request.cookies.get(COOKIE, ""), _now())

    def is_locked(self, request: web.Request) -> bool:
        """Whether a bearer token comes from an address with too many wrong ones. Ask before `admits`."""
        return _bearer_token(request) is not None and not self._limit.permits(_address(request), _now())

    def refusal(self, line: str = "", status: int = 401) -> web.Response:
        """The login form. `line` says why a login failed."""
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "60"}
        headers |= {"Content-Security-Policy": self._login_policy, **FORM_HEADERS}
        return web.Response(text=self._login_page(line), content_type="text/html", status=status, headers=headers)

    async def log_in(self, request: web.Request) -> web.Response | None:
        """Take in the login form: the refusal, or None with a right token; then call `open_session`."""
        if not self._limit.permits(_address(request), _now()):
            return self.refusal(TOO_MANY, status=429)
        fields = await read_form(request)
        if self._is_right(request, fields.get("token", "").strip()):
            return None
        return self.refusal("This is not the token of TICKERTAPE_ADMIN_TOKEN.")

    def open_session(self, request: web.Request, response: web.Response) -> None:
        """Set the cookie of a new session."""
        response.set_cookie(
            COOKIE,
            self._sessions.open(_now()),
            max_age=int(SESSION_SECONDS),
            path="/admin",
            httponly=True,
            samesite="Strict",
            secure=is_encrypted(request),
        )

    def close_session(self, request: web.Request, response: web.Response) -> None:
        """End the session of a request."""
        self._sessions.close(request.cookies.get(COOKIE, ""))
        response.del_cookie(COOKIE, path="/admin")

    def form_token(self, request: web.Request) -> str:
        """The secret of the forms on this session's page."""
        return self._sessions.form_token(request.cookies.get(COOKIE, ""))

    def permits_change(self, request: web.Request, fields: dict[str, str]) -> bool:
        """Whether a form comes from our own page. A bearer token proves it alone: no browser adds it by itself."""
        if "Authorization" in request.headers:
            return True
        return fields.get("form", "") == self.form_token(request)

    def _is_right(self, request: web.Request, token: str) -> bool:
        address, now = _address(request), _now()
        if not self._limit.permits(address, now):
            return False
        if self._sessions.is_token(token):
            return True
        self._limit.record_failure(address, now)
        return False


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a posted form. Raises 400, 408, 413 or 415 for anything else."""
    body = await BodyReader(FORMS).read(request)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise web.HTTPBadRequest(text=f"The form has more than {MAX_FORM_FIELDS} fields.") from None


def is_encrypted(request: web.Request) -> bool:
    """Whether the browser speaks HTTPS, with us or with a proxy in front."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _bearer_token(request: web.Request) -> str | None:
    """The token of the Authorization header; None without one."""
    authorization = request.headers.get("Authorization", "")
    return authorization[len(BEARER) :].strip() if authorization[: len(BEARER)].lower() == BEARER else None


def _address(request: web.Request) -> str:
    """The address of the connection. A proxy's header could be forged, so all its clients share one limit."""
    return request.remote or ""


def _now() -> float:
    return asyncio.get_running_loop().time()
