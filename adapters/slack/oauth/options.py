"""Options of installations by OAuth: frozen values, given by the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import yarl

from bot.backoff import Backoff

INSTALL_PATH = "/slack/install"
REDIRECT_PATH = "/slack/oauth_redirect"

# Slack's page where an admin agrees (https://docs.slack.dev/authentication/installing-with-oauth).
AUTHORIZE_URL = "https://slack.com/oauth/v2/authorize"


def _any_workspace(_team: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class OAuthOptions:
    """One app with installations in many workspaces. Times in seconds.

    `public_url` is the bot's address in the world, with https and without a path. `api_url` is as in `SlackOptions`.
    """

    client_id: str
    client_secret: str = field(repr=False)
    public_url: str
    api_url: str | None = None
    # Whether the operator accepts an installation in a workspace or organisation.
    accepts: Callable[[str], bool] = _any_workspace
    # Time to agree on Slack's page. An admin may have to look for a password.
    state_seconds: float = 600.0
    # A token lives for 12 h (https://docs.slack.dev/authentication/using-token-rotation). This long before its end it
    # is rotated, so that an outage of two hours does no harm.
    rotate_before: float = 7_200.0
    # From this time before its end on, a token is rotated before its next use.
    rotate_now: float = 300.0
    # Interval of looks for tokens to rotate.
    poll_seconds: float = 60.0
    # How long a token is used without another look into the database. A new installation replaces it.
    cache_seconds: float = 60.0
    # One call of Slack, and connecting. The lock of an installation is held meanwhile.
    call_seconds: float = 6.0
    connect_seconds: float = 3.0
    # The pause after a refused rotation, and between two attempts to save new tokens.
    refused: Backoff = field(default_factory=lambda: Backoff(60.0, 3_600.0))
    unsaved: Backoff = field(default_factory=lambda: Backoff(0.2, 5.0))
    # At the program's end: the longest wait for a rotation in course, and for unsaved tokens.
    close_seconds: float = 8.0

    @property
    def redirect_url(self) -> str:
        """Where Slack sends the browser afterwards; as in the app's manifest."""
        return f"{self.public_url}{REDIRECT_PATH}"

    @property
    def install_url(self) -> str:
        """The page to begin at."""
        return f"{self.public_url}{INSTALL_PATH}"

    @property
    def authorize_url(self) -> yarl.URL:
        """Slack's page, at the server of the API."""
        if not self.api_url:
            return yarl.URL(AUTHORIZE_URL)
        return yarl.URL(self.api_url).join(yarl.URL("../oauth/v2/authorize"))
