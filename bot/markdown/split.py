"""The first stage: the source into pieces, whose joining is the source, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code fence: `marker` as it was written (three or more backticks or tildes), `info` its language."""

    marker: str
    info: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the source that becomes one message.

    `reopened` is the fence that was open where the piece begins, `open_fence` the one that is open where it ends (the
    last piece of an unfinished text may end inside one as well).
    """

    source: str
    reopened: Fence | None = None
    open_fence: Fence | None = None

    def closed(self) -> str:
        """The piece as a text of its own: a fence that was open is reopened with its language, one still open closed.

        Blank lines at both ends are left out, since a message neither begins nor ends with one.
        """
        raise NotImplementedError


class Splitter:
    """Placeholder: written with the core."""
