"""The shape that chat templates demand of a conversation: user, assistant, user, and so on, with no empty message.

What belongs here: that rule, as a pure function on messages. What does not: which messages are given to a model
(`bot.prompt`), and how one is written on the wire (`adapters/openai`).

Many servers render messages with the model's own template, and those of Mistral, Gemma and Llama 2 raise "Conversation
roles must alternate user/assistant/user/assistant/..." for anything else (vLLM, llama.cpp, SGLang). Servers that take
any order lose nothing: the words, the names in them and the pictures stay, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from bot.conversation import Message, Role, Text

# Stands before an answer of our own that comes first. Dropping that answer would be simpler, but a reader who asks
# about it would get no sense; and its own question may be one that a limit kept from us.
BEGINS_WITH_ANSWER = "[This conversation begins with an earlier answer of yours.]"

# Stands for a question without a word: a mention alone, after what others wrote.
WITHOUT_WORDS = "[a message without words]"


def alternating(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages so that roles alternate, the first and the last are a user's, and none is empty.

    Neighbours of one role become one message with the parts of both. Nothing else is changed or left out, but for
    messages in which there is nothing to see.
    """
    said = [message for message in messages if not is_blank(message)]
    merged = [_merged(list(group)) for _, group in groupby(said, key=lambda message: message.role)]
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
