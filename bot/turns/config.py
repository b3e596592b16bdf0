"""The operator's choices for turns, as frozen values of the core.

Settings are read in `config`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.access import AccessRules
from bot.delivery.policy import WritePolicy
from bot.model_fallback import FallbackPolicy
from bot.models import UNNAMED, ModelCatalog
from bot.prompt import PromptConfig
from bot.strings import Strings


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Limits of the work in progress. Times in seconds."""

    # Turns waiting in one conversation behind the running one; further ones get a polite line.
    waiting: int = 5
    # Answers in progress in the whole process; further ones wait. Each holds a connection to the model's server.
    live: int = 200
    # ... of one user, and in one channel. 0 leaves a twentieth to others: the order is fair anyway
    # (`bot.turns.fair_semaphore`), so this only has to keep one slot free for immediate use.
    per_user: int = 0
    per_channel: int = 0
    # Maximum age of the question for restarting an unfinished answer. Older answers are only marked: their authors have
    # stopped waiting.
    repair_seconds: float = 86_400.0
    # Accepted turns in total; further ones get a polite line. Ten thousand wait for minutes, and take 140 MB.
    accepted: int = 10_000
    # Conversations remembered as notified of omitted messages. A forgotten conversation is notified again.
    notified: int = 10_000
    # Concurrent notices of our own (busy, no access), one per conversation. Beyond, refusals are silent.
    notices: int = 20
    # Time at shutdown, after draining, for marking the remaining answers as interrupted.
    mark_seconds: float = 5.0
    # Time for the final writes of one person's stopped answers, in a channel with a used-up limit.
    stop_seconds: float = 10.0

    def share(self, configured: int) -> int:
        """The limit of live turns per user or channel; `configured` is the operator's number, 0 for the default."""
        return configured or max(self.live - max(self.live // 20, 1), 1)


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """All choices for turns."""

    access: AccessRules
    prompting: PromptConfig
    strings: Strings
    writing: WritePolicy
    limits: TurnLimits
    models: ModelCatalog = field(default_factory=lambda: ModelCatalog((UNNAMED,)))
    fallback: FallbackPolicy = field(default_factory=FallbackPolicy)
