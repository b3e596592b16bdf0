"""What can be set of the Discord adapter, as values. Nothing here reads the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo

import yarl

from adapters.shared.attachments import is_loopback

# Where Discord keeps what people attach (https://docs.discord.com/developers/reference#image-formatting).
FILE_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})


@dataclass(frozen=True, slots=True)
class DiscordOptions:
    """One bot. Times in seconds."""

    token: str = field(repr=False)  # without the word "Bot"
    # Where REST and the gateway are, for a proxy or a test server; empty means Discord's own, or, for the gateway, the
    # one that the API names. `api_url` ends in ``/api/v10``.
    api_url: str = ""
    gateway_url: str = ""
    # How long a write may take before it counts as unanswered. Discord answers in 0.1 to 0.5 s; a write that takes
    # longer than two windows is made again with newer text anyway.
    write_seconds: float = 10.0
    # How long the reading of a conversation may take, budgets included, before an answer is made without what is
    # missing: a reader waits meanwhile.
    read_seconds: float = 10.0
    # Between tries with a token that was refused in mid-run. Discord bans addresses for 10,000 refused requests in ten
    # minutes; ten are none.
    refused_seconds: float = 60.0
    # How long one try to log in may take.
    login_seconds: float = 30.0
    # The time zone in which a time that Discord shows in everybody's own is told to the model.
    zone: tzinfo = UTC


def file_hosts(options: DiscordOptions) -> frozenset[str]:
    """Where attachments may be read from: Discord's file servers, and the very test server or proxy that is set."""
    if not options.api_url:
        return FILE_HOSTS
    return FILE_HOSTS | {str(yarl.URL(options.api_url).origin())}


def serves_locally(options: DiscordOptions) -> bool:
    """Whether Discord's API is a test server on this machine."""
    return bool(options.api_url) and is_loopback(yarl.URL(options.api_url).host or "")
