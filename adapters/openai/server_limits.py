"""What a server has shown that it does not take, and a prompt without that. Kept for each model of the server.

What belongs here: what is settled once for the process and changes no word of a prompt. What does not: what a prompt
loses because a server refuses it (`bot.prompt_reduction`), and any request (`client`).
"""

from __future__ import annotations

import logging
from dataclasses import replace

from bot.conversation import Message, Prompt, Role, Text

log = logging.getLogger(__name__)


class Learned:
    """What one server does not take."""

    def __init__(self) -> None:
        self.usage = True  # until the server refuses to be asked for it
        self._without_system: set[str] = set()  # names of models

    def fitted(self, prompt: Prompt) -> Prompt:
        """The prompt as its model takes it, as far as is known."""
        return folded(prompt) if prompt.model in self._without_system else prompt

    def refused_system(self, prompt: Prompt) -> Prompt | None:
        """Note that a model has no role for the system's words: the prompt for it, or None where there were none."""
        if not prompt.system:
            return None
        if prompt.model not in self._without_system:
            log.info("the model takes no system role: its prompt goes into the first message of a user")
            self._without_system.add(prompt.model)
        return folded(prompt)


def folded(prompt: Prompt) -> Prompt:
    """The system's words as the first of a user's."""
    if not prompt.system:
        return prompt
    first = Message(Role.USER, (Text(prompt.system),))
    return replace(prompt, system="", messages=(first, *prompt.messages))
