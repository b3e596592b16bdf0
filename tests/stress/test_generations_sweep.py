"""The sweep over further generations: fault k at call n of "try again" and of an edited question."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bot.errors import NotEditable
from tests.conftest import WHOLE_REPLIES
from tests.stress.fault_injection import SECRET, Fault, Injected, Scene, before
from tests.stress.generations_sweep import Again, fails_again
from tests.stress.test_fault_injection import DEATHS, JOURNAL, JOURNALS, PLATFORM, SIGNALS

OPEN = frozenset({"open", "newest"})

SAME = Scene("the same length", chunks=(6,), limit=140)
SHRINKS = Scene("then shorter", chunks=(6, 2), retries=(2,), limit=140)
GROWS = Scene("then longer", chunks=(2, 8), retries=(8,), limit=140)
SCENES = [Again(scene, edits) for scene in (SAME, SHRINKS, GROWS) for edits in (False, True)]

# Kinds of faults that act in a way of their own here; the whole list runs for first answers.
NAMES = {"limited", "unanswered, not done", "unanswered, done", "forbidden"}
FAULTS = [
    *(fault for fault in PLATFORM if fault.name in NAMES),
    Fault("not editable", frozenset({"edit"}), before(lambda: NotEditable(SECRET))),
    *(replace(fault, on=fault.on | OPEN) for fault in (*DEATHS, *SIGNALS)),
    *(fault for fault in JOURNALS if fault.on == JOURNAL and fault.name in {"journal fails", "journal slow"}),
]


@pytest.fixture(autouse=True)
def played(record_property: Callable[[str, object], None]) -> Iterator[list[int]]:
    """The number of whole replies of each test, reported to the process that sums them up."""
    counts: list[int] = []
    logging.disable(logging.CRITICAL)
    yield counts
    logging.disable(logging.NOTSET)
    record_property(WHOLE_REPLIES, sum(counts))


@pytest.mark.parametrize("again", SCENES, ids=lambda again: again.name)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_answer_is_left(fault: Fault, again: Again, played: list[int]) -> None:
    """At every call of a port, of the first answer and of the second: readers are left with one answer."""
    wrong = []
    for number in itertools.count():
        injected = Injected(fault, number)
        if problem := fails_again(again, injected):
            wrong.append(problem)
        played.append(2)
        if not injected.fired:
            break
    assert not wrong, f"{len(wrong)} of {number}:\n" + "\n".join(wrong[:8])
