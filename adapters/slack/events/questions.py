"""Questions read again, for another answer in place of the present one."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.slack.events.codec import load, with_user
from adapters.slack.events.handler import EventHandler
from adapters.slack.events.mentions import known_question
from adapters.slack.history.recovery import ThreadSnapshot
from adapters.slack.messages.channel import SlackChannel
from adapters.slack.state import WorkspaceState
from bot.conversation import TurnKey
from bot.errors import NotFound, RateLimited
from bot.ports import OpenedQuestion


async def open_question(
    key: TurnKey, messages: Sequence[str], workspace: WorkspaceState, handler: EventHandler
) -> OpenedQuestion:
    """The turn, the channel and the journal's event of a question, as it is now.

    Raises `NotFound` if it no longer exists, other failures if it cannot be read.
    """
    channel, ts = key.channel, key.message
    stored = await _read_again(channel, ts, workspace)
    addressed = known_question(load(stored, workspace.me), workspace.me)
    if addressed is None:
        raise NotFound("the question no longer exists")
    user = await workspace.users.find(addressed.message.user)
    workspace.participation.join(addressed.conversation, ts)
    workspace.cache.open(addressed.conversation, from_start=False)
    turn = await handler.make_turn(key, addressed, addressed.message, user)
    snapshot = ThreadSnapshot(workspace.reader, addressed.conversation, ts, messages) if messages else None
    answer = SlackChannel(workspace, addressed.conversation, key, addressed.message, snapshot)
    return OpenedQuestion(turn, answer, with_user(stored, user))


async def _read_again(channel: str, ts: str, workspace: WorkspaceState) -> str:
    """The journal's text of a question as it is now: for an app that may hardly read, as events told it."""
    known, is_limited = workspace.cache.questions.get(channel, ts), workspace.reader.is_limited
    if is_limited and (channel, ts) in workspace.cache.deleted_by_people:
        return ""
    if is_limited and known is not None:
        return known
    try:
        return await workspace.reader.stored(channel, ts, workspace.cache.threads.get((channel, ts)))
    except RateLimited:
        if known is None:
            raise
        return known
