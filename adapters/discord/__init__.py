"""Discord adapter, by discord.py: questions arrive over the gateway, answers are messages edited over REST.

A mention passes `gateway` (JSON) -> `events.parse` (event object) -> `events.handler`. The handler updates
`history.cache`, asks `events.mentions` if the bot is addressed, journals the event through `events.codec`, queues it
per conversation, and gives the core a turn with its `messages.channel`.
"""

from adapters.discord.check import check
from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.discord.options import DiscordOptions, ThreadOptions, file_hosts, serves_locally
from adapters.discord.platform import DiscordPlatform

__all__ = [
    "DiscordMarkdown",
    "DiscordOptions",
    "DiscordPlatform",
    "ThreadOptions",
    "check",
    "file_hosts",
    "serves_locally",
]
