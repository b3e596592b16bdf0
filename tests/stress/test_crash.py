"""Real processes with real signals: after any mishap of the bot or its model, every answer ends whole, once.

A few answers here; ``make crash`` has a hundred.
"""

from __future__ import annotations

import pytest

from tests.stress.crash import AGENT_VIEW, KILLED, MISHAPS, STOPPED, Load, crash
from tests.support.slack import OVER_HTTP

pytestmark = pytest.mark.sockets(seconds=150)

# Three on each platform; two messages' worth on Discord, in a second and a half.
LOAD = Load(replies=6, words=300, rate=200.0)
# Slower: a new process with a database begins to write late, and answers shall be half written then.
SLOW_LOAD = Load(replies=6, words=300, rate=60.0)


@pytest.mark.parametrize("mishap", MISHAPS)
async def test_live_answers_end_whole_and_once(mishap: str) -> None:
    """Half-written answers are completed in their own messages, without surplus or duplicate messages."""
    outcome = await crash("both", mishap, LOAD)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert outcome.whole == LOAD.replies
    assert outcome.live
    if mishap != KILLED:
        assert not outcome.limited  # the next process cannot know the writes of a killed one


@pytest.mark.parametrize("mishap", [KILLED, STOPPED])
async def test_a_journal_in_postgresql_loses_nothing_either(mishap: str, database: str) -> None:
    """The next process completes the answers of a killed or stopped one, as with a file."""
    outcome = await crash("both", mishap, SLOW_LOAD, journal=database)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert outcome.whole == SLOW_LOAD.replies
    assert outcome.live


async def test_twenty_answers_over_http_survive_a_kill() -> None:
    """Twenty answers, asked by requests and killed in their middle, are all completed, none of them twice."""
    load = Load(replies=20, words=120, rate=30.0)
    outcome = await crash(OVER_HTTP, KILLED, load)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert outcome.whole == load.replies
    assert outcome.live


async def test_twenty_open_native_streams_survive_a_kill() -> None:
    """Twenty streams, killed in their middle, are completed in their own messages, and show no sign of progress."""
    load = Load(replies=20, words=200, rate=20.0, streams=20)
    outcome = await crash(AGENT_VIEW, KILLED, load)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert (outcome.streamed, outcome.whole, outcome.spinners) == (20, 20, 0)
    assert not outcome.limited
