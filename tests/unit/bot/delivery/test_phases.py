"""A reply changes its phase only by the table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.completion import Attempt
from bot.conversation import Announced, Delta, Ending, Finish, FinishReason, Reasoning, Refusal, Retraction, Text
from bot.delivery.phases import OPEN, TRANSITIONS, Event, IllegalTransition, Phase, transition
from bot.delivery.policy import WritePolicy
from bot.delivery.reply import Reply
from bot.errors import InvalidRequest, ServiceError
from bot.strings import Strings
from bot.telemetry import Figures
from tests.support.clock import VirtualLoop
from tests.support.fakes import FakeChannel, turn

POLICY = WritePolicy()

ILLEGAL = [(phase, event) for phase in Phase for event in Event if event not in TRANSITIONS[phase]]


@pytest.mark.parametrize(("phase", "event"), ILLEGAL, ids=lambda each: each.value)
def test_an_illegal_transition_raises(phase: Phase, event: Event) -> None:
    """An event outside of the table is a bug, and never a silent change of phase."""
    with pytest.raises(IllegalTransition, match=event.value):
        transition(phase, event)


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_every_phase_leads_to_an_end(phase: Phase) -> None:
    """From each phase a reply can be completed or fail, and a finished reply never moves again."""
    reachable, found = {phase}, {phase}
    while found:
        found = {after for one in found for after in TRANSITIONS[one].values()} - reachable
        reachable |= found
    ends = {one for one in Phase if not TRANSITIONS[one]}
    assert ends == {Phase.DONE, Phase.FAILED}
    assert reachable & ends
    assert (phase in ends) == (reachable == {phase})


def test_only_open_phases_take_text() -> None:
    """Text, attempts, retractions and announcements happen before the end only."""
    for event in (Event.TEXT, Event.RESTARTED, Event.RETRACTED, Event.ENDED):
        assert {phase for phase in Phase if event in TRANSITIONS[phase]} == OPEN


DELTAS: st.SearchStrategy[Delta | Attempt] = st.one_of(
    st.sampled_from([Text("word "), Text("x" * 300), Text("")]),
    st.sampled_from([Refusal("no "), Reasoning("Let me think about it. "), Retraction()]),
    st.builds(Attempt, st.integers(1, 4), st.booleans()),
    st.sampled_from([Announced(FinishReason.STOP), Announced(FinishReason.LENGTH), Finish(FinishReason.STOP)]),
)
STEPS = st.one_of(DELTAS, st.sampled_from(["stop", "write", "reject", "delete", "fail", "round"]))


async def play(steps: Sequence[Delta | Attempt | str]) -> None:
    """Apply random steps to a reply, and compare its phase with the rest of its state after each."""
    loop = asyncio.get_running_loop()
    channel = FakeChannel(limit=200)
    reply = Reply(turn().key, channel, Strings(), Figures(loop.time()))
    for step in steps:
        match step:
            case "stop":
                reply.finish(Ending.STOPPED, loop.time())
            case "write" if (write := reply.render()) is not None:
                reply.write_started()
                await reply.perform(write, POLICY)
                reply.write_finished()
            case "reject" if not reply.done.done():
                reply.freeze_with_error(InvalidRequest("rejected"))
                reply.write_finished()
            case "delete" if reply.messages:
                reply.message_deleted(reply.messages[0])
            case "fail":
                reply.fail(ServiceError("503"))
            case "round":
                await asyncio.sleep(0)
            case str():
                pass
            case delta:
                reply.feed(delta, loop.time(), POLICY)
        assert reply.is_final == (reply.phase not in OPEN)
        assert reply.done.done() == (reply.phase in {Phase.DONE, Phase.FAILED})
        assert reply.phase is not Phase.ANNOUNCED or reply.is_closing
    if reply.done.done():
        reply.done.exception()  # retrieved, or the loop would log it


@given(st.lists(STEPS, max_size=40))
def test_no_order_of_events_is_illegal(steps: list[Delta | Attempt | str]) -> None:
    """No order of events makes an illegal transition, and the phase agrees with the rest of the state."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play(steps))
