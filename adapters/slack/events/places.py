"""Places of the core, from Slack's ids. Pure."""

from __future__ import annotations

from adapters.slack.events.mentions import PLATFORM, conversation_id
from adapters.slack.events.parse import Identity
from bot.interactions.typed import MARK
from bot.interactions.values import Place

# The slash command of the manifest, before a command's name. In threads, Slack has none.
SLASH_PREFIX = "/tickertape "


def place_of(me: Identity, channel: str, thread: str = "", position: str = "") -> Place:
    """The place of somebody acting in a channel or thread. `position` is the `ts` of a message there.

    A channel outside threads has no conversation, since each mention starts one. A person's own page has no channel.
    """
    direct = channel.startswith("D")
    return Place(
        platform=PLATFORM,
        workspace=me.team,
        channel=channel,
        conversation=conversation_id(me.team, channel, thread) if thread or direct else "",
        channel_ids=tuple(filter(None, (thread, channel))),
        direct=direct,
        position=position,
        command_prefix=MARK if thread else SLASH_PREFIX,
        person_format="<@{id}>",
        channel_format="<#{id}>",
    )
