"""A page on this machine as a platform: channels with a Discord channel's limits, and every write to be seen.

What belongs here: the page, the server's side of its channels (which counts as strictly as Discord's), and the ports
`Platform` and `Channel` on both. What does not: any shortcut past the core. An answer takes the same way here as to
Discord, which is why the playground shows what readers there will see.

The way of a question: `pages` (socket) -> `wire` (frame to request) -> `platform` (request to turn) -> the core ->
`channel` (write) -> `rooms` (what is shown) and `audience` (who is told) -> `pages`.
"""

from adapters.playground.platform import PlaygroundOptions, PlaygroundPlatform

__all__ = ["PlaygroundOptions", "PlaygroundPlatform"]
