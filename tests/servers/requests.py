"""Contents of a model request, over either API: its messages, their texts and images, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request, over either API."""
    found = body.get("messages") or body.get("input") or []
    return [{"role": "user", "content": found}] if isinstance(found, str) else list(found)


def seen(body: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The texts and images of a request."""
    texts: list[str] = [body["instructions"]] if body.get("instructions") else []
    images: list[str] = []
    for message in messages_of(body):
        content = message["content"]
        for part in content if isinstance(content, list) else [{"text": content}]:
            if "text" in part:
                texts.append(part["text"])
            else:
                url = part["image_url"]
                images.append(url["url"] if isinstance(url, dict) else url)
    return texts, images


def out_of_order(body: Mapping[str, Any]) -> str:
    """The objection of a strict template to the order of messages; empty if there is none."""
    messages = messages_of(body)
    if messages and messages[0]["role"] == "system":
        messages = messages[1:]
    if not messages:
        return "no messages"
    for number, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[number % 2]:
            return f"message {number} is of {message['role']}"
    if len(messages) % 2 == 0:
        return "the last is not of user"
    contents = [part for message in messages for part in _texts(message["content"])]
    return "" if all(text.strip() for text in contents) else "an empty text"


def _texts(content: Any) -> list[str]:
    """The texts of a message, as given to a template; an image needs no text beside it."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if "text" in part] if content else [""]
