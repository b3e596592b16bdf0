"""Several models behind one port: a prompt's `model` names the one to ask."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from typing_extensions import override

from bot.conversation import Delta, Prompt
from bot.ports import Model, NextWriteAt, at_once


class ModelRouter(Model):
    """Passes each prompt to the model of its name; one with another name goes to the default model's server."""

    def __init__(self, default: Model, by_name: Mapping[str, Model]) -> None:
        self._default = default
        self._by_name = by_name

    @override
    def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        listed = self._by_name.get(prompt.model)
        if listed is None:  # empty, or a server's own name in a channel's table
            return self._default.answer(prompt, stream=stream, next_write_at=next_write_at)
        return listed.answer(replace(prompt, model=""), stream=stream, next_write_at=next_write_at)
