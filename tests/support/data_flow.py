"""Recording the files of a platform between its socket and the core."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from typing_extensions import override

from bot.conversation import Turn
from bot.ports import Channel
from tests.support.inbox import RecordingInbox
from tests.support.paths import ROOT

# Files of a platform between the socket's and the core, at most. Utilities of adapters/shared do not count.
MAX_FILES = 8


class EnteredFiles:
    """Records the files of a platform with a called function, while `recording`."""

    def __init__(self, platform: str) -> None:
        self._folder = ROOT / "adapters" / platform
        self.recording = False
        self.names: set[str] = set()

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        if self.recording and event == "call":
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(self._folder):
                self.names.add(path.stem)

    @contextmanager
    def until_the_core(self) -> Iterator[None]:
        """Record from now on, until a `StoppingInbox` receives a turn."""
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            self.recording = True
            yield
        finally:
            sys.setprofile(before)


class StoppingInbox(RecordingInbox):
    """An inbox that stops the recording at its first turn."""

    def __init__(self, entered: EnteredFiles) -> None:
        super().__init__()
        self._entered = entered

    @override
    def accept(self, turn: Turn, channel: Channel) -> None:
        self._entered.recording = False
        super().accept(turn, channel)
