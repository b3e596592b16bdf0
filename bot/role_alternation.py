"""Alternate roles in a conversation: user, assistant, user, without empty messages. Pure.

Many servers render messages with the model's own template. Those of Mistral, Gemma and Llama 2 raise "Conversation
roles must alternate user/assistant/user/assistant/..." for anything else (vLLM, llama.cpp, SGLang). Other servers lose
nothing: words, names and pictures stay, in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from bot.conversation import Message, Role, Text

# Precedes a leading answer of our own. Dropping that answer would confuse a reader who asks about it, and a limit may
# have removed its question.
BEGINS_WITH_ANSWER = "[This conversation begins with an earlier answer of yours.]"

# Stands for an empty question: a bare mention after others' messages.
WITHOUT_WORDS = "[a message without words]"


def alternating(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Merge messages until roles alternate, with a user's first and last, and none empty.

    Neighbours of one role become one message with the parts of both. Only messages without visible content are dropped.
    """
    visible = [message for message in messages if not is_blank(message)]
    merged = [_merged(list(group)) for _, group in groupby(visible, key=lambda message: message.role)]
    if not merged:
        return (_stand_in(WITHOUT_WORDS),)
    if merged[0].role is not Role.USER:
        merged.insert(0, _stand_in(BEGINS_WITH_ANSWER))
    if merged[-1].role is not Role.USER:  # some templates demand it, and others would go on with the answer
        merged.append(_stand_in(WITHOUT_WORDS))
    return tuple(merged)


def is_blank(message: Message) -> bool:
    """Whether there is nothing to see in a message: no attachment, and no word."""
    return not message.text.strip() and all(isinstance(part, Text) for part in message.parts)


def _merged(messages: list[Message]) -> Message:
    """Messages of one role as one. `name` and `id` stay where there is only one of them."""
    if len(messages) == 1:
        return messages[0]
    names = {message.name for message in messages}
    parts = tuple(part for message in messages for part in message.parts)
    return replace(messages[0], parts=parts, name=names.pop() if len(names) == 1 else "", id="")


def _stand_in(text: str) -> Message:
    return Message(Role.USER, (Text(text),))
