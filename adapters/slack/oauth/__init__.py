"""Installations of the Slack app by OAuth: pages, tokens and their rotation, for many workspaces over HTTP."""

from __future__ import annotations

from adapters.slack.oauth.api import OAuthApi
from adapters.slack.oauth.check import check_oauth, key_results
from adapters.slack.oauth.installations import Installations
from adapters.slack.oauth.options import OAuthOptions
from adapters.slack.oauth.routes import OAuthRoutes
from adapters.slack.oauth.values import InstallationStore

__all__ = [
    "InstallationStore",
    "Installations",
    "OAuthApi",
    "OAuthOptions",
    "OAuthRoutes",
    "check_oauth",
    "key_results",
]
