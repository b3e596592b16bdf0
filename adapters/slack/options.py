"""Options of the Slack adapter: frozen values, given by the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo

import yarl

from bot.strings import Strings

# Slack's file server (https://docs.slack.dev/reference/objects/file-object, ``url_private``).
FILE_HOSTS = frozenset({"files.slack.com"})


@dataclass(frozen=True, slots=True)
class SlackTimings:
    """Waits and intervals of the adapter, in seconds. Tests shorten them; operators have no reason to."""

    # Interval between two looks into the journal for turns of other processes. A process being replaced still finishes
    # its answers when this one starts, and any process may be killed at any time. Readers wait at most this long, and
    # one look costs one row of a local journal.
    recovery_poll: float = 2.0
    # Limit for the closing handshake of a socket and for its last acknowledgements; a dead server answers neither.
    socket_close: float = 1.0
    # Limit for pending lookups when the program is told to stop. Most lookups take one round trip, and the supervisor
    # may be impatient. After this, the next process takes over, if the journal outlives this one.
    hand_over: float = 3.0
    # Patience with users.info, from its first failure, and with the read of a thread to look for participation. A late
    # answer is better than a lost one: after a restart with many questions, Slack orders pauses of nearly a minute,
    # more than once.
    user_lookup: float = 600.0
    # Delay before an unreadable thread is read again, within the budget of reads.
    thread_retry: float = 10.0
    # Interval between two tries of a revoked bot token: an operator may install the app again.
    token_retry: float = 60.0
    # Delays before each look for the message of an uploaded file; Slack shows it after one to three seconds.
    share_polls: tuple[float, ...] = (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class SlackOptions:
    """One app in one workspace. Times in seconds.

    `bot_token` (``xoxb-``) speaks. `app_token` (``xapp-``, scope connections:write) listens through a socket; with
    `signing_secret`, events arrive over HTTP instead. `api_url` moves the Web API elsewhere (a proxy, a test server);
    it ends in ``/api/``, and None is Slack's own.
    """

    bot_token: str = field(repr=False)
    app_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    api_url: str | None = None
    # How edits are counted: "window", "leak" or "auto" (see `rate_limits.edit_limit`), and how long "auto" remembers a
    # 429.
    edits: str = "auto"
    edits_latch_seconds: float = 3600.0
    # Where answers are native streams: "auto" (direct messages with a thread), "off", or "always" (every thread).
    streams: str = "auto"
    # One call of the Web API, from sending to the whole answer. Slack answers in 0.1-0.5 s; after ten seconds readers
    # have given up on a write anyway, and the next one has newer text.
    call_seconds: float = 10.0
    # Connecting, of a call and of the socket: refused or unreachable shows within this.
    connect_seconds: float = 5.0
    # Interval of the socket's pings; after four without an answer the socket is closed.
    ping_seconds: float = 5.0
    # Time zone of dates in the prompt; Slack shows each reader their own.
    zone: tzinfo = UTC
    # Sentences for people.
    strings: Strings = field(default_factory=Strings)
    # Titles and messages of the prompts offered in direct messages; empty leaves those of the manifest.
    suggested_prompts: tuple[tuple[str, str], ...] = ()
    timings: SlackTimings = field(default_factory=SlackTimings)

    @property
    def over_http(self) -> bool:
        """Whether events arrive over HTTP, not through a socket."""
        return bool(self.signing_secret)


def file_hosts(options: SlackOptions) -> frozenset[str]:
    """Hosts to read attachments from: Slack's file server, and the configured test server or proxy."""
    if not options.api_url:
        return FILE_HOSTS
    return FILE_HOSTS | {str(yarl.URL(options.api_url).origin())}
