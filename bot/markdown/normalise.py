"""Normalised text: one kind of line break, and no control characters.

For whole texts and for streams.
"""

from __future__ import annotations

import re

# C0 but for tab and line feed, DEL and C1. Discord and Slack drop or refuse some of them, and show others as boxes.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def normalise(text: str) -> str:
    """A whole text: every CR LF and lone CR is a line feed, other control characters are left out."""
    return Normaliser().feed(text)


class Normaliser:
    """Normalises a stream: a CR may end one chunk and its LF begin the next."""

    def __init__(self) -> None:
        self.after_return = False  # whether a line feed now would belong to a CR

    def feed(self, text: str) -> str:
        """The next piece, normalised; any pieces of a text give the same text."""
        if not text or not (self.after_return or CONTROLS.search(text)):
            return text
        if self.after_return and text[0] == "\n":
            text = "\r" + text  # its line break has been given out: the pair is taken apart again below
            given = 1
        else:
            given = 0
        self.after_return = text.endswith("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")[given:]
        return CONTROLS.sub("", text)
