"""Discord, by way of discord.py: questions come over the gateway, answers go out as messages that are edited.

What belongs here: what Discord's events, REST and limits look like, and their translation into the core's ports. What
does not: when a write is made (the core's pacer), and settings (the options come as values).

The way of the data: `gateway` (staying connected) -> `client` (discord.py, moved and kept from waiting) -> `seen` (an
event's JSON into a value) -> `asked` (is it for us, what does it belong to) -> `queue` (in order, written down as
`kept` says) -> `platform` (a Turn and its channel) -> `channel` (writes, with `controls`), with `cache` holding what
was told, `history` reading what was not, `answers` finding our own again, `budgets` counting, `errors` translating.
"""

from adapters.discord.check import check
from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.discord.options import DiscordOptions, file_hosts, serves_locally
from adapters.discord.platform import DiscordPlatform

__all__ = ["DiscordMarkdown", "DiscordOptions", "DiscordPlatform", "check", "file_hosts", "serves_locally"]
