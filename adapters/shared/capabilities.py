"""The capabilities of an answer's channel, built only when one of them changes."""

from __future__ import annotations

from dataclasses import replace

from bot.ports import ChannelCapabilities, StreamCapabilities


class PresentCapabilities:
    """The newest capabilities of one answer. The core asks for them a hundred times in an answer."""

    def __init__(self) -> None:
        self._bodies: ChannelCapabilities | None = None
        self._newest: ChannelCapabilities | None = None

    def of(self, bodies: ChannelCapabilities, files: int, stream: StreamCapabilities | None) -> ChannelCapabilities:
        """The capabilities of the bodies, with the largest file in bytes, and with streams."""
        newest = self._newest
        if newest is None or self._bodies is not bodies or newest.files != files or newest.stream is not stream:
            self._bodies = bodies
            newest = self._newest = replace(bodies, files=files, stream=stream)
        return newest
