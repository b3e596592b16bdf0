"""An estimate of how many more answers begin soon, from those begun lately.

Derived in ``docs/adr/0011-adaptive-reserve.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# The prior: a quiet connection, one answer in ten minutes, as certain as two minutes of watching. It is also the
# estimate after a restart and after a long silence. Answers; seconds.
PRIOR_ANSWERS = 0.2
PRIOR_SECONDS = 120.0

# Older arrivals count less, by 1/e each such time. Shorter forgets a steady rate; longer keeps a meeting's burst in
# memory until the next one. Seconds.
FORGET_SECONDS = 300.0

# Questions this close together have one cause (a meeting ends, a channel is mentioned), so they are weak evidence of
# more. With 6 s, answers every 3 s waited 0.1 s longer in simulations. Seconds.
TOGETHER_SECONDS = 3.0

# Demand is reserved for up to so many standard deviations above its mean: it suffices in 67 to 92 of a hundred
# minutes, by the rate.
DEVIATIONS = 0.82


@dataclass(frozen=True, slots=True)
class ArrivalEstimate:
    """A Gamma distribution of the arrival rate, with exponential forgetting toward the prior.

    `answers` and `seconds` are its shape and its inverse scale: so many answers in so much time. Times are the event
    loop's; a time before the last update changes nothing.
    """

    answers: float = PRIOR_ANSWERS
    seconds: float = PRIOR_SECONDS
    updated_at: float = -math.inf
    arrived_at: float = -math.inf

    def at(self, now: float) -> ArrivalEstimate:
        """The estimate after time without arrivals."""
        if self.updated_at == -math.inf:
            return replace(self, updated_at=now)
        if now <= self.updated_at:
            return self
        kept = math.exp((self.updated_at - now) / FORGET_SECONDS)
        answers = PRIOR_ANSWERS + (self.answers - PRIOR_ANSWERS) * kept
        seconds = PRIOR_SECONDS + (self.seconds - PRIOR_SECONDS) * kept + FORGET_SECONDS * (1 - kept)
        return ArrivalEstimate(answers, seconds, now, self.arrived_at)

    def after_arrival(self, now: float) -> ArrivalEstimate:
        """The estimate after answers that began now, however many."""
        estimate, apart = self.at(now), max(now - self.arrived_at, 0.0)
        weight = 1 - math.exp(-apart / TOGETHER_SECONDS)
        return replace(estimate, answers=estimate.answers + weight, arrived_at=now)

    def within(self, seconds: float) -> float:
        """How many more may begin in `seconds`: mean and deviations of the predictive (negative binomial) counts."""
        mean = self.answers / self.seconds * seconds
        return mean + DEVIATIONS * math.sqrt(mean * (1 + seconds / self.seconds))
