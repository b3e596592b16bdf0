"""Whole turns with several models: the note of a fallback model, and the calls in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.completion import CompletionPolicy
from bot.conversation import Ending, Finish, FinishReason, Reasoning, Text, Turn, Usage
from bot.errors import ModelRejected, RejectionReason, ServiceError
from bot.model_fallback import FallbackPolicy
from bot.model_router import ModelRouter
from bot.models import ModelCatalog, ModelInfo
from bot.turns.hooks import ModelCall, NoChoices, NoMeter, QuotaDecision, TurnChoices, TurnHooks
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, ScriptedModel, Step, turn

GOOD: list[Step] = [Text("The answer."), Usage(7, 3, model="server-b"), Finish(FinishReason.STOP)]
BROKEN: list[Step] = [ServiceError("broken")]
CATALOG = ModelCatalog((ModelInfo("a", "Model A*", "server-a"), ModelInfo("b", "Model B", "server-b")))
NOTE = "Answered by Model B, because Model A* did not respond."


class RecordingMeter(NoMeter):
    """Keeps the calls of ended turns."""

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []

    async def settle(self, turn: Turn, calls: Sequence[ModelCall], *, has_text: bool, ended: bool = True) -> None:
        self.calls += calls


async def ask(first: list[Step], second: list[Step]) -> tuple[FakeChannel, RecordingMeter, list[Ending]]:
    channel, meter = FakeChannel(), RecordingMeter()
    a, b = ScriptedModel(first), ScriptedModel(second)
    async with running_core(
        ModelRouter(a, {"a": a, "b": b}),
        completion=CompletionPolicy(attempts=1),
        hooks=TurnHooks(meter=meter),
        models=CATALOG,
        fallback=FallbackPolicy(("b",)),
    ) as core:
        core.turns.accept(turn(), channel)
        await core.idle()
    return channel, meter, core.journal.endings


async def test_the_reader_learns_who_answered() -> None:
    """The answer stands first, the note with both labels below it, and the ledger knows each call's model."""
    channel, meter, endings = await ask(BROKEN, GOOD)
    assert channel.text.startswith("The answer.")
    assert NOTE in channel.text.replace("\\", "")
    assert channel.text.count("Answered by") == 1
    assert [(call.model, call.usage and call.usage.model) for call in meter.calls] == [
        ("a", None),
        ("a", None),
        ("b", "server-b"),
    ]
    assert endings == [Ending.DONE]


@pytest.mark.parametrize("first", [GOOD, [Text("half "), ServiceError("cut")], [Reasoning("hm"), *GOOD]])
async def test_no_note_stands_below_the_chosen_models_answer(first: list[Step]) -> None:
    """A whole or a cut answer of the chosen model names nobody."""
    channel, _, _ = await ask(first, GOOD)
    assert "Answered by" not in channel.text


async def test_the_first_models_reason_is_shown_if_none_answers() -> None:
    """The notice is about the chosen model, and no note about another model stands there."""
    rejected: list[Step] = [ModelRejected("no", reason=RejectionReason.QUOTA)]
    channel, _, endings = await ask(rejected, BROKEN)
    assert "is used up" in channel.text
    assert "Answered by" not in channel.text
    assert endings == [Ending.FAILED]


class ReservingMeter(NoMeter):
    """Reserves room for model "b"."""

    async def admit(self, turn: Turn) -> QuotaDecision:
        return QuotaDecision(choices=TurnChoices(model="b"))


async def test_the_answer_comes_from_the_model_with_the_reservation() -> None:
    """Settings read for the quotas hold for the answer, and no question reads them twice."""
    a, b = ScriptedModel(GOOD), ScriptedModel(GOOD)
    hooks = TurnHooks(NoChoices(), ReservingMeter())
    async with running_core(ModelRouter(a, {"a": a, "b": b}), hooks=hooks, models=CATALOG) as core:
        core.turns.accept(turn(), FakeChannel())
        await core.idle()
    assert (len(a.calls), len(b.calls)) == (0, 1)
