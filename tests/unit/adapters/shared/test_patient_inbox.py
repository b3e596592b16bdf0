"""Discord delivers a message once, so it waits for the journal."""

from __future__ import annotations

import asyncio

import pytest

from adapters.shared.patient_inbox import PATIENCE_SECONDS, receive_patiently
from bot.conversation import TurnKey
from bot.errors import ConnectFailed
from tests.support.inbox import RecordingInbox

KEY = TurnKey("discord", "G", "C", "1")


class AwayInbox(RecordingInbox):
    """An inbox whose journal is away for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.back_at = asyncio.get_running_loop().time() + seconds

    async def receive(self, key: TurnKey, event: str) -> bool:
        if asyncio.get_running_loop().time() < self.back_at:
            raise ConnectFailed("no connection to the journal")
        return await super().receive(key, event)


@pytest.mark.parametrize("seconds", [0.0, 10.0, 600.0])
async def test_a_message_waits_for_the_journal(seconds: float) -> None:
    """It is received once, soon after the journal is back; a duplicate is still told."""
    inbox, loop = AwayInbox(seconds), asyncio.get_running_loop()
    assert await receive_patiently(inbox, KEY, "event")
    assert loop.time() - inbox.back_at <= 1.0
    assert not await receive_patiently(inbox, KEY, "event")
    assert inbox.received == [(KEY, "event")]


async def test_after_a_quarter_of_an_hour_it_is_given_up() -> None:
    """Nobody waits for that answer any more; the log says so."""
    inbox, began = AwayInbox(10 * PATIENCE_SECONDS), asyncio.get_running_loop().time()
    with pytest.raises(ConnectFailed):
        await receive_patiently(inbox, KEY, "event")
    assert PATIENCE_SECONDS <= asyncio.get_running_loop().time() - began <= PATIENCE_SECONDS + 2.0
