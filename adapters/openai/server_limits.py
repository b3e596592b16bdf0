"""Features refused by the model's server, remembered for the life of the process.

Adaptations here change no word of a prompt. `bot.prompt_reduction` removes parts of a prompt after a refusal.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from bot.conversation import Message, Prompt, Role, Text

log = logging.getLogger(__name__)


class ServerLimits:
    """Refused features of one server; some are kept per model."""

    def __init__(self) -> None:
        self.reports_usage = True  # false once the server has refused ``stream_options``
        self._models_without_system: set[str] = set()

    def adapt(self, prompt: Prompt) -> Prompt:
        """Return the prompt without the features its model has refused."""
        return fold_system(prompt) if prompt.model in self._models_without_system else prompt

    def without_system(self, prompt: Prompt) -> Prompt | None:
        """Remember a refused system role. Returns the folded prompt; None if there was no system prompt to refuse."""
        if not prompt.system:
            return None
        if prompt.model not in self._models_without_system:
            log.info("the model has no system role: sending the system prompt as the first user message")
            self._models_without_system.add(prompt.model)
        return fold_system(prompt)


def fold_system(prompt: Prompt) -> Prompt:
    """Move the system prompt into the first user message."""
    if not prompt.system:
        return prompt
    first = Message(Role.USER, (Text(prompt.system),))
    return replace(prompt, system="", messages=(first, *prompt.messages))
