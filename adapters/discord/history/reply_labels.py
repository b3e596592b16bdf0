"""Labels naming the message another one replies to, unless it directly precedes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.discord.events.message import DiscordMessage
from adapters.discord.history.cache import MessageCache
from adapters.discord.messages.renderer import without_small_print
from adapters.shared.context_labels import label, one_line, quote

# A message followed by more than this many may be outside the model's history, so its label quotes it in full.
RECENT = 20


def is_recent(cache: MessageCache, question: DiscordMessage, older: DiscordMessage) -> bool:
    """Whether the history of `question` certainly contains `older`."""
    between = [one for one in cache.messages(question.channel) if int(older.id) <= int(one.id) < int(question.id)]
    complete_from = cache.complete_from(question.channel)
    return complete_from is not None and complete_from <= int(older.id) and len(between) <= RECENT


def reply_label(older: DiscordMessage | None, *, bot_id: str, whole: bool) -> str:
    """A label with the beginning of `older`, or all of it if `whole`. None: it was deleted."""
    if older is None:
        return label("in reply to a message that is not there any more")
    is_ours = older.author == bot_id
    author = "your own message" if is_ours else f"a message of {one_line(older.name)}"
    text = without_small_print(older.text) if is_ours else older.full_text
    text = text or ", ".join(attachment.name for attachment in older.attachments)
    if whole and text:
        return quote(label(f"in reply to {author}"), [text])
    return label(f"in reply to {author}", text)


def reply_labels(groups: Sequence[Sequence[DiscordMessage]], cache: MessageCache, *, bot_id: str) -> Mapping[str, str]:
    """Labels by message id, for replies to another message than the preceding one."""
    labels: dict[str, str] = {}
    previous: Sequence[DiscordMessage] = ()
    for group in groups:
        first = group[0]
        if first.author != bot_id and first.reply_to and all(one.id != first.reply_to for one in previous):
            older = cache.get(first.channel, first.reply_to)
            known = reply_label(older, bot_id=bot_id, whole=False) if older else ""
            labels[first.id] = known or label("in reply to an earlier message")
        previous = group
    return labels
