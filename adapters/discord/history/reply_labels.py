"""Labels that say which message another one replies to, where what stands before it does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.discord.events.parse import DiscordMessage
from adapters.discord.history.cache import MessageCache
from adapters.discord.messages.renderer import without_small_print
from adapters.shared.context_labels import in_line, label, quoted

# A message that so many others followed may be outside of the history that the model is given, so it is told whole.
RECENT = 20


def is_recent(cache: MessageCache, question: DiscordMessage, older: DiscordMessage) -> bool:
    """Whether a message is so near to the question that its history holds it."""
    between = [one for one in cache.held(question.channel) if int(older.id) <= int(one.id) < int(question.id)]
    complete_from = cache.complete_from(question.channel)
    return complete_from is not None and complete_from <= int(older.id) and len(between) <= RECENT


def replying(older: DiscordMessage | None, *, bot_id: str, whole: bool) -> str:
    """A line that says what is replied to: its beginning, or all of it where it is not in the history."""
    if older is None:
        return label("in reply to a message that is not there any more")
    ours = older.author == bot_id
    whose = "your own message" if ours else f"a message of {in_line(older.name)}"
    text = without_small_print(older.text) if ours else older.shown
    text = text or ", ".join(attachment.name for attachment in older.attachments)
    if whole and text:
        return quoted(label(f"in reply to {whose}"), [text])
    return label(f"in reply to {whose}", text)


def replies(groups: Sequence[Sequence[DiscordMessage]], cache: MessageCache, *, bot_id: str) -> Mapping[str, str]:
    """Labels, by message, for those that reply to another one than that before them."""
    labels: dict[str, str] = {}
    before: Sequence[DiscordMessage] = ()
    for group in groups:
        first = group[0]
        if first.author != bot_id and first.reply_to and all(one.id != first.reply_to for one in before):
            older = cache.get(first.channel, first.reply_to)
            labels[first.id] = (
                replying(older, bot_id=bot_id, whole=False) if older else label("in reply to an earlier message")
            )
        before = group
    return labels
