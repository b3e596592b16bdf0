"""Tells the operator, in few lines, that spans do not reach the collector, and that they do again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

# Time between two lines about lost spans. A collector may be away for hours. Seconds.
REPEAT_SECONDS = 600.0


class ExportReport:
    """Counts lost spans; called from any thread. The first loss is logged at once, later ones in a sum.

    `collector` is the address for the log, `clock` a time in seconds.
    """

    def __init__(self, collector: str, clock: Callable[[], float]) -> None:
        self._collector = collector
        self._clock = clock
        self._lock = threading.Lock()
        self._quiet_until = float("-inf")
        self._is_loss_known = False  # the operator knows of a loss, and not yet of its end
        self._lost = 0

    def lost(self, spans: int, why: str) -> None:
        """These spans are lost; `why` is a few words without anything of a request or a response."""
        with self._lock:
            self._lost += spans
            now = self._clock()
            if now < self._quiet_until:
                return
            self._quiet_until, self._is_loss_known = now + REPEAT_SECONDS, True
            lost, self._lost = self._lost, 0
        log.warning(
            "traces do not reach the collector", extra={"collector": self._collector, "why": why, "lost_spans": lost}
        )

    def sent(self) -> None:
        """Spans reached the collector."""
        with self._lock:
            if not self._is_loss_known:
                return
            self._is_loss_known = False
            lost, self._lost = self._lost, 0
        log.info("traces reach the collector again", extra={"collector": self._collector, "lost_spans": lost})
