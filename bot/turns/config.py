"""What the operator chose for turns, as values of the core's own.

What belongs here: frozen values with their reasons. What does not: reading settings (``config``), and any rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.access import AccessRules
from bot.delivery.reply import WritePolicy
from bot.prompt import PromptConfig
from bot.strings import Strings


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How much is taken on. Times in seconds."""

    # Turns that wait in one conversation while another is answered there; more get a polite line.
    waiting: int = 5
    # Answers being made at once in the whole process; more wait. Each holds a connection to the model's server.
    live: int = 200
    # Of these for one person, and in one channel; 0 leaves a twentieth to the others. Who comes next is fair anyway
    # (`bot.turns.fair_semaphore`), so this only has to leave somebody else a slot that needs no waiting.
    per_user: int = 0
    per_channel: int = 0
    # An unfinished answer that is found after a restart is made again if its question is not older than this: later,
    # nobody waits for it any more, and it is only marked.
    repair_seconds: float = 86_400.0
    # Turns taken in and not yet ended, in all; more get a polite line.
    accepted: int = 2000
    # Conversations that are remembered to have been told of messages left out; one forgotten is told again.
    told: int = 10_000
    # Lines of our own (busy, no access) being said at once, one in a conversation; beyond, a refusal is silent.
    lines: int = 20
    # At shutdown, what is left after draining has this long to be marked as interrupted.
    mark_seconds: float = 5.0

    def share(self, chosen: int) -> int:
        """How many live turns one person or place may have, where `chosen` is what the operator says of it."""
        return chosen or max(self.live - max(self.live // 20, 1), 1)


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """What the operator chose for turns, as values."""

    access: AccessRules
    prompting: PromptConfig
    words: Strings
    writing: WritePolicy
    limits: TurnLimits
