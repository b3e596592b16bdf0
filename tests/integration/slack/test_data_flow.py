"""The way of a mention through our files, from Bolt to the core."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from bot.conversation import Turn
from bot.ports import Channel
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.paths import ROOT
from tests.support.slack import connected

pytestmark = pytest.mark.sockets

# Files of adapters/slack between the socket's and the core, at most. Utilities of adapters/shared do not count.
MAX_FILES = 8

BLOCKS = [{"type": "rich_text", "elements": []}]


class EnteredFiles:
    """Records the files of adapters/slack with a called function, while `recording`."""

    def __init__(self) -> None:
        self.recording = False
        self.names: set[str] = set()

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        if self.recording and event == "call":
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT / "adapters" / "slack"):
                self.names.add(path.stem)


class StoppingInbox(RecordingInbox):
    """An inbox that stops the recording at its first turn."""

    def __init__(self, entered: EnteredFiles) -> None:
        super().__init__()
        self._entered = entered

    def accept(self, turn: Turn, channel: Channel) -> None:
        self._entered.recording = False
        super().accept(turn, channel)


async def test_a_mention_passes_few_files() -> None:
    """A mention by a known user enters at most eight files between the socket and the core, and none for content."""
    double, entered = SlackDouble(), EnteredFiles()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, StoppingInbox(entered)) as (_, inbox):
        double.say(channel, "<@UBOT> first", author=ann, blocks=BLOCKS)
        await inbox.turn(1)
        await double.settled()
        before = sys.getprofile()
        sys.setprofile(entered)
        try:
            entered.recording = True
            double.say(channel, "<@UBOT> second", author=ann, blocks=BLOCKS)
            await inbox.turn(2)
        finally:
            sys.setprofile(before)
    between = entered.names - {"socket_connection"}
    assert {"bolt_app", "handler", "parse", "mentions", "codec"} <= between
    assert len(between) <= MAX_FILES, sorted(between)
