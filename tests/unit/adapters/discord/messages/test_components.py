"""The stop button and the events of its presses."""

from __future__ import annotations

from adapters.discord.events.parse import parse_stop_request
from adapters.discord.messages.components import components
from bot.ports import Body, Controls

LIVE = Body("so far", controls=Controls.STOP)


ENDED = Body("so far, and no further")


def test_the_button_comes_back_with_its_question() -> None:
    """A press of the sent button names its question, in a guild and in a DM."""
    [row] = components(LIVE, "77")
    [button] = row["components"]
    event = {"id": "5", "token": "t0k3n", "type": 3, "channel_id": "4", "data": button, "message": {"id": "6"}}
    in_guild = parse_stop_request({**event, "guild_id": "3", "member": {"user": {"id": "1"}}})
    in_dm = parse_stop_request({**event, "user": {"id": "2"}})

    assert in_guild is not None
    assert in_dm is not None
    assert (in_guild.question, in_guild.user, in_guild.guild, in_guild.message) == ("77", "1", "3", "6")
    assert (in_dm.question, in_dm.user, in_dm.guild) == ("77", "2", "")
    assert "t0k3n" not in repr(in_guild)
    assert components(ENDED, "77") == []
