"""The routes below ``/admin``. Without a token there are none, so every path is 404.

Who may see the page belongs to `adapters.admin.gate`, its content to `adapters.admin.page`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from aiohttp import web

from adapters.admin.gate import FORM_HEADERS, TOO_MANY, Gate, read_form
from adapters.admin.page import AdminPage

# The page loads its own style and script only; forms go to itself.
# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

# The page's files, with their content types.
ASSETS = (("style.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml"))

Handler = Callable[[web.Request], Awaitable[web.Response]]


class AdminRoutes:
    """Serves the page to operators with a session or the token."""

    def __init__(self, token: str, allowed_hosts: frozenset[str], page: AdminPage) -> None:
        self._gate = Gate(token, allowed_hosts, page.login, page.login_policy)
        self._page = page
        folder = resources.files("adapters.admin") / "assets"
        self._assets = {name: ((folder / name).read_text("utf-8"), kind) for name, kind in ASSETS}

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the HTTP server. Unknown paths below ``/admin`` need a session too."""
        assets = [web.get(f"/admin/{name}", self._guarded(self._asset)) for name in self._assets]
        return [
            *assets,
            web.post("/admin/login", self._checked(self._log_in)),
            web.post("/admin/logout", self._guarded(self._log_out)),
            web.post("/admin/quotas", self._guarded(self._post_quota)),
            web.get("/admin", self._guarded(self._show)),
            web.get("/admin/", self._guarded(self._show)),
            web.get("/admin/live", self._guarded(self._live)),
            web.route("*", "/admin", self._guarded(_missing)),
            web.route("*", "/admin/{rest:.*}", self._guarded(_missing)),
        ]

    def _checked(self, handler: Handler) -> Handler:
        """The handler behind the check of host and origin."""

        async def checked(request: web.Request) -> web.Response:
            self._gate.check_origin(request)
            return await handler(request)

        return checked

    def _guarded(self, handler: Handler) -> Handler:
        """The handler behind that check and the login."""

        async def guarded(request: web.Request) -> web.Response:
            if self._gate.is_locked(request):
                return self._gate.refusal(TOO_MANY, status=429)
            return await handler(request) if self._gate.admits(request) else self._gate.refusal()

        return self._checked(guarded)

    async def _asset(self, request: web.Request) -> web.Response:
        text, kind = self._assets[request.path.rpartition("/")[2]]
        return web.Response(text=text, content_type=kind)

    async def _log_in(self, request: web.Request) -> web.Response:
        """Open a session. The redirect after a right token keeps the token out of a reload."""
        refusal = await self._gate.log_in(request)
        if refusal is not None:
            return refusal
        response = web.Response(status=303, headers={"Location": "/admin"})
        self._gate.open_session(request, response)
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        if not self._gate.permits_change(request, await read_form(request)):
            return _stale_form()
        response = self._gate.refusal("You are logged out.")
        self._gate.close_session(request, response)
        return response

    async def _show(self, request: web.Request) -> web.Response:
        return _html(await self._page.page(self._gate.form_token(request)))

    async def _live(self, _: web.Request) -> web.Response:
        return _html(self._page.live())

    async def _post_quota(self, request: web.Request) -> web.Response:
        fields = await read_form(request)
        if not self._gate.permits_change(request, fields):
            return _stale_form()
        line = await self._page.change_quota(fields)
        return _html(await self._page.page(self._gate.form_token(request), line))


async def _missing(_: web.Request) -> web.Response:
    return web.Response(status=404, text="There is no such page.")


def _stale_form() -> web.Response:
    return web.Response(status=403, text="This form is from another session. Open the page again.")


def _html(text: str) -> web.Response:
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, **FORM_HEADERS}
    return web.Response(text=text, content_type="text/html", headers=headers)
