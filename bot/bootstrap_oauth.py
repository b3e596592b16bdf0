"""The composition root's part for installations of the Slack app by OAuth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import NamedTuple

from adapters import slack
from adapters.http_server import Route
from adapters.postgres import Engine
from adapters.postgres.installations import PostgresInstallations
from adapters.shared.diagnostics import CheckResult
from adapters.shared.sealing import SealedBox
from adapters.slack import oauth
from bot.access import AllowDeny
from bot.bootstrap_journal import Stores
from bot.bootstrap_postgres import make_postgres_options
from bot.errors import Failure
from config.settings import Settings


class OpenedOAuth(NamedTuple):
    """The tokens of all workspaces, and the routes of the pages."""

    tokens: oauth.Installations
    routes: Sequence[Route]


async def open_oauth(
    settings: Settings, stack: AsyncExitStack, stores: Stores, wall_clock: Callable[[], datetime]
) -> OpenedOAuth | None:
    """Installations, if they are set up; `stack` closes them. Raises `Permanent` if a package is missing."""
    options = make_oauth_options(settings)
    if options is None or stores.engine is None:
        return None
    box, ownership = make_box(settings), stores.ownership
    store, api = PostgresInstallations(stores.engine, box), oauth.OAuthApi(options)
    stack.push_async_callback(api.close)
    tokens = oauth.Installations(store, api, options, ownership.lanes, ownership.accounts)
    await stack.enter_async_context(tokens)
    pages = oauth.OAuthRoutes(
        options=options, box=box, store=store, api=api, installations=tokens, wall_clock=wall_clock
    )
    return OpenedOAuth(tokens, pages.routes())


def make_oauth_options(settings: Settings) -> oauth.OAuthOptions | None:
    """The options of installations, or None without them."""
    chosen, access = settings.slack, settings.access
    if not chosen.uses_oauth or not chosen.runs or chosen.client_secret is None:
        return None
    workspaces = AllowDeny(frozenset(access.allow_workspaces), frozenset(access.deny_workspaces))
    return oauth.OAuthOptions(
        client_id=chosen.client_id,
        client_secret=chosen.client_secret.get_secret_value(),
        public_url=settings.site.public_url,
        api_url=chosen.api_url or None,
        accepts=workspaces.permit,
    )


def make_box(settings: Settings) -> SealedBox:
    """The operator's keys."""
    return SealedBox([key.get_secret_value() for key in settings.slack.secrets or ()])


async def check_slack(
    settings: Settings, options: slack.SlackOptions, way: slack.RequestUrlToCheck
) -> Sequence[CheckResult]:
    """Try the token, or the app's credentials and the stored installations."""
    oauth_options, database = make_oauth_options(settings), make_postgres_options(settings)
    if oauth_options is None or database is None:
        return await slack.check(options, way)
    results = await oauth.check_oauth(oauth_options, options, way)
    try:
        box = make_box(settings)
        async with Engine(database) as engine:
            counts = await PostgresInstallations(engine, box).count_by_key()
    except Failure as failure:
        return [*results, CheckResult("Slack installations", ok=False, message=str(failure))]
    return [*results, *oauth.key_results(counts, box.names, box.newest)]
