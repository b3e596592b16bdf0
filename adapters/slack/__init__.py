"""Slack: slack-bolt over Socket Mode or HTTP, and the Web API.

    platform  find workspaces, listen, resume       state        shared by a workspace's channels
    workspaces, tokens  one for each lane of ours   rate_limits  published limits as budgets
    receiver, payloads  the way to a workspace      bolt_app     middleware and listeners
    socket_listener, socket_connection  Socket Mode errors       Slack's errors as our failures
    http_endpoint, http_requests  HTTP              check, check_http  tokens, scopes, request URL
    web_api   one call
    events/   parse, mentions, handler, codec       history/     reader, cache, users, recovery
    messages/ channel, writer, renderer, files      options      values given by the caller

Events and pages of the Web API are parsed in `events` only. When to write is the core's decision.
"""

from adapters.slack.check import check
from adapters.slack.check_http import NOT_OVER_HTTP, RequestUrlToCheck, parse_address
from adapters.slack.http_requests import EVENTS, PATH
from adapters.slack.messages.renderer import SlackMarkdown
from adapters.slack.options import SlackOptions, file_hosts
from adapters.slack.platform import SlackPlatform
from adapters.slack.rate_limits import OWNED_WRITES
from adapters.slack.tokens import BotTokens

__all__ = [
    "EVENTS",
    "NOT_OVER_HTTP",
    "OWNED_WRITES",
    "PATH",
    "BotTokens",
    "RequestUrlToCheck",
    "SlackMarkdown",
    "SlackOptions",
    "SlackPlatform",
    "check",
    "file_hosts",
    "parse_address",
]
