"""What the Slack adapter is told at the start: one frozen value, no reading of settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo

import yarl

# Where Slack keeps what people attach (https://docs.slack.dev/reference/objects/file-object, ``url_private``).
FILE_HOSTS = frozenset({"files.slack.com"})


@dataclass(frozen=True, slots=True)
class SlackOptions:
    """One app in one workspace. Times in seconds.

    `bot_token` (``xoxb-``) speaks, `app_token` (``xapp-``, scope connections:write) listens. `api_url` moves the Web
    API elsewhere (a proxy, a test server); it ends in ``/api/``, and None is Slack's own.
    """

    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    api_url: str | None = None
    # How edits are counted: "window", "leak" or "auto" (see `workspace.edits_of`), and for how long "auto" remembers a
    # 429. Read by `workspace`.
    edits: str = "auto"
    edits_latch_seconds: float = 3600.0
    # One call of the Web API, from sending to the whole answer. Slack answers in 0.1-0.5 s; a write that takes ten is
    # lost for the reader anyway, and made again with newer text. Read by `client.WebApi`.
    call_seconds: float = 10.0
    # Connecting, of a call and of the socket: refused or unreachable shows within this. Read by `client` and `link`.
    connect_seconds: float = 5.0
    # The socket is pinged this often; a silent one is given up after four such times. Read by `link.SocketConnection`.
    ping_seconds: float = 5.0
    # The time zone in which a date that Slack shows in everybody's own is told to the model.
    zone: tzinfo = UTC


def file_hosts(options: SlackOptions) -> frozenset[str]:
    """Where attachments may be read from: Slack's file server, and the test server or proxy that is set."""
    if not options.api_url:
        return FILE_HOSTS
    return FILE_HOSTS | {str(yarl.URL(options.api_url).origin())}
