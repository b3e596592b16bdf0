"""A web page as a platform: channels with the rate limits of a Discord channel, and a timeline of every write.

No shortcut past the core belongs here: an answer takes the same path as to Discord, so the playground shows the pacing
of a real channel.

Data flow of a question: `routes` (socket) -> `protocol` (frame to request) -> `platform` (request to turn) -> the core
-> `channel` (write) -> `state` (messages) and `subscribers` (open pages) -> `routes`.
"""

from adapters.playground.platform import PlaygroundOptions, PlaygroundPlatform

__all__ = ["PlaygroundOptions", "PlaygroundPlatform"]
