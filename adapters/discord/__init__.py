"""Discord adapter, by discord.py: questions arrive over the gateway, answers are messages edited over REST.

A mention passes `gateway` (JSON) -> `events.parse` (event object) -> `events.handler`. The handler updates
`history.cache`, asks `events.mentions` if the bot is addressed, journals the event through `events.codec`, queues it
per conversation, and gives the core a turn with its `messages.channel`.
"""

from adapters.discord.check import check
from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.discord.options import DiscordOptions, SharingOptions, ThreadOptions, file_hosts, serves_locally
from adapters.discord.platform import DiscordPlatform
from adapters.discord.rate_limits import SharedRequests

__all__ = [
    "DiscordMarkdown",
    "DiscordOptions",
    "DiscordPlatform",
    "SharedRequests",
    "SharingOptions",
    "ThreadOptions",
    "check",
    "file_hosts",
    "serves_locally",
]
