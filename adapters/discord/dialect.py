"""Discord's markdown: how a piece of an answer, and a line of our own, are written for it."""

from __future__ import annotations

from bot.markdown import Piece

# UTF-16 units in one message's text (https://docs.discord.com/developers/resources/message#create-message).
MESSAGE_LIMIT = 2000

# What Discord shows as small print (https://support.discord.com/hc/en-us/articles/210298617). Only our own lines begin
# with it at the end of a message: `history` leaves them out again.
SMALL_PRINT = "-# "


class DiscordMarkdown:
    """Discord reads most of CommonMark as it comes; mentions are kept from pinging by what goes along with a write."""

    def render(self, piece: Piece) -> str:
        """See `Dialect`."""
        return piece.closed()

    def padding(self, piece: Piece) -> int:  # noqa: ARG002 (nothing is added, whatever the piece)
        """See `Dialect`."""
        return 0

    def notice(self, line: str) -> str:
        """See `Dialect`."""
        return SMALL_PRINT + line


def without_small_print(text: str) -> str:
    """An earlier message of ours without the lines of our own at its end: the model's words only."""
    lines = text.rstrip().split("\n")
    while lines and (lines[-1].startswith(SMALL_PRINT) or not lines[-1].strip()):
        lines.pop()
    return "\n".join(lines)
