"""Options of the Discord adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial

import yarl

from adapters.discord.rate_limits import CHANNEL_SECONDS, GLOBAL_PER_SECOND
from adapters.shared.attachments import is_loopback
from bot.strings import Strings

# Discord's hosts for attachments (https://docs.discord.com/developers/reference#image-formatting).
FILE_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})

UTC_CLOCK = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True)
class ThreadOptions:
    """Threads and forums. `auto_thread`: a question by mention in a channel opens a thread for its answer.

    `forums` are the ids of forums where each new post is a question.
    """

    auto_thread: bool = False
    forums: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SharingOptions:
    """How one bot is shared by connections and processes. Times in seconds."""

    # Gateway connections, each for a part of the guilds; 0: as many as Discord recommends.
    shards: int = 1
    # Requests of the whole bot in any second, in all processes.
    per_second: int = GLOBAL_PER_SECOND
    # Between two new sessions with the same remainder of shard and `max_concurrency`. Discord permits one in 5 s
    # (https://docs.discord.com/developers/events/gateway#rate-limiting). Two processes differ in their ways there and
    # in their load: with 5.1 s, one on a busy machine came 4.99 s after another.
    identify_seconds: float = 5.5
    # Between two questions for the number of shards, of all processes; 0: none. Discord permits two in 5 s
    # (https://github.com/meister03/discord-hybrid-sharding/issues/55).
    gateway_seconds: float = 2.6
    # Between queries for unfinished turns of other processes. They leave them whenever they stop or crash, so the
    # query repeats for ever; it is small.
    recovery_interval_seconds: float = 2.0
    # After connecting, channels with recovered turns are not written to for one window: the other process may have
    # used it up.
    recovery_hold_seconds: float = CHANNEL_SECONDS
    # The same for all channels, if a shard's owner has died and left its session. An owner is declared dead 5 s after
    # its last heartbeat, which it sends each second; so by then all windows of a killed one are over.
    takeover_hold_seconds: float = 1.0
    # Longest wait of a read for a share of the bot's requests. After an outage of the engine, shares begin after two
    # waits of about five seconds.
    share_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class DiscordOptions:
    """Options of one bot. Times in seconds."""

    token: str = field(repr=False)  # without the prefix "Bot"
    # Addresses of a proxy or test server. Empty: Discord's own, or the gateway named by the API. `api_url` ends in
    # ``/api/v10``.
    api_url: str = ""
    gateway_url: str = ""
    # Write timeout. Discord answers in 0.1 to 0.5 s; after two windows a write is repeated with newer text anyway.
    write_seconds: float = 10.0
    # History timeout, including waits for rate limits, but not for a first share of them. After this the answer starts
    # without the missing messages.
    read_seconds: float = 10.0
    # Between login attempts with a token revoked in mid-run. Discord bans an address after 10,000 rejected requests in
    # ten minutes; this makes ten.
    refused_seconds: float = 60.0
    # Timeout of one login attempt.
    login_seconds: float = 30.0
    # Time zone for timestamps given to the model; Discord shows them in each reader's own.
    zone: tzinfo = UTC
    # Tells a fresh edit of an uncached message from an old one.
    wall_clock: Callable[[], datetime] = UTC_CLOCK
    # A lost post younger than this is repeated with its nonce and not searched for. Discord knows a nonce "for a few
    # minutes" and returns the first post (https://docs.discord.com/developers/resources/message#create-message). Posts
    # are younger than their question, so two minutes since the question are safe.
    nonce_seconds: float = 120.0
    # At a stop, time for questions still being looked up. Longer look-ups would use up the time for live answers.
    drain_seconds: float = 3.0
    threads: ThreadOptions = field(default_factory=ThreadOptions)
    sharing: SharingOptions = field(default_factory=SharingOptions)
    # Sentences for people.
    strings: Strings = field(default_factory=Strings)


def file_hosts(options: DiscordOptions) -> frozenset[str]:
    """Hosts for attachments: Discord's, and the custom API's own."""
    if not options.api_url:
        return FILE_HOSTS
    return FILE_HOSTS | {str(yarl.URL(options.api_url).origin())}


def serves_locally(options: DiscordOptions) -> bool:
    """Whether Discord's API is a test server on this machine."""
    return bool(options.api_url) and is_loopback(yarl.URL(options.api_url).host or "")
