"""What a reply starts from: posted messages, a quote of the question, and the controls for its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.delivery.final_controls import FINAL_CONTROLS
from bot.ports import Controls


@dataclass(frozen=True, slots=True)
class ReplyStart:
    """`recovered` are the known message ids of an answer begun by an earlier process; None if there was none.

    `replaced` are the messages of an earlier answer, to be taken over. `preface` is markdown above the text. `controls`
    are offered below the ended answer.
    """

    recovered: Sequence[str] | None = None
    replaced: Sequence[str] = ()
    preface: str = ""
    controls: Controls = FINAL_CONTROLS
