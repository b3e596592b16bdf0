"""Where bot tokens come from: one token of the settings, or the installations of many workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from adapters.slack.check import identify
from adapters.slack.events.parse import Identity
from adapters.slack.web_api import WebApi
from bot.errors import Forbidden


class BotTokens(Protocol):
    """The bot tokens of all workspaces with the app, by team id (``T1``).

    A workspace of an organisation with an org-wide installation has that installation's token. Whoever changes a token
    or installs the app tells the platform of this process: `SlackPlatform.token_changed`, `SlackPlatform.installed`.
    """

    async def teams(self) -> Sequence[str]:
        """All workspaces with an installation. Raises `Retryable`, and `Forbidden` with a line for the operator."""
        ...

    async def token(self, team: str) -> str:
        """The present token. Raises `Forbidden` if the app is not installed there, or a `Retryable`."""
        ...

    async def removed(self, team: str) -> bool:  # noqa: ARG002 (nothing to forget)
        """Slack reports that the app was uninstalled or its bot token revoked: forget the installation.

        Returns whether it is over for good; False: the same token may become valid again. Raises `Retryable`.
        """
        return False

    async def access_changed(self, organisation: str) -> None:  # noqa: ARG002 (nothing to compare)
        """An organisation's installation got or lost workspaces: compare those known. Raises `Retryable`."""
        return

    async def team_of_bot(self, user: str) -> str:  # noqa: ARG002 (not known)
        """The workspace with this bot user; empty if it is unknown. Raises `Retryable`.

        In a channel shared by two such workspaces, Slack's event may name either; a mention tells them apart.
        """
        return ""

    def identity(self, team: str) -> Identity | None:  # noqa: ARG002 (not known)
        """The identity of a workspace's token, if auth.test has told it already."""
        return None


class SoleToken(BotTokens):
    """The one token of the settings; auth.test tells its workspace."""

    def __init__(self, web: WebApi) -> None:
        """`web` has the token."""
        self._web = web
        self.me: Identity | None = None  # once auth.test has told it

    @override
    async def teams(self) -> Sequence[str]:
        self.me = self.me or await identify(self._web)
        return [self.me.team]

    @override
    async def token(self, team: str) -> str:
        if team not in await self.teams():
            raise Forbidden(f"the bot token is of another workspace than {team}")
        return self._web.token

    @override
    def identity(self, team: str) -> Identity | None:
        return self.me if self.me is not None and self.me.team == team else None
