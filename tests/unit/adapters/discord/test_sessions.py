"""The sequence of a session that is saved for a shard's next owner."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.sessions import Release, Session, SessionProgress, load_session
from bot.callbacks import no_op
from bot.rate_limits import WindowReport

GATEWAY = "wss://gateway.example"


class Saved:
    """The texts saved, as sessions."""

    def __init__(self) -> None:
        self.all: list[Session] = []

    def __call__(self, text: str) -> None:
        session = load_session(text)
        assert session is not None
        self.all.append(session)

    @property
    def sequence(self) -> int:
        return self.all[-1].sequence


def receive(progress: SessionProgress, sequence: int, *, holds: bool = False, session: str = "s") -> Release:
    """An event comes, perhaps one to be journalled."""
    progress.arriving(session, sequence, GATEWAY)
    release = progress.hold() if holds else no_op
    progress.received(session, sequence, GATEWAY)
    return release


def test_the_saved_sequence_waits_for_the_journal() -> None:
    """It passes an event that asks nothing at once, and a question once it is journalled, whatever the order."""
    saved = Saved()
    progress = SessionProgress(saved)
    receive(progress, 1)
    first, second = receive(progress, 2, holds=True), receive(progress, 3, holds=True)
    receive(progress, 4)
    sequences = [saved.sequence]
    second()
    sequences.append(saved.sequence)
    first()

    assert [*sequences, saved.sequence] == [1, 1, 4]


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_no_event_is_passed_before_its_release(held: list[bool], shuffler: random.Random) -> None:
    """In any order of releases, the saved sequence is before every held event, and the last one at the end."""
    saved = Saved()
    progress = SessionProgress(saved)
    releases: dict[int, Release] = {}
    for sequence, holds in enumerate(held, start=1):
        release = receive(progress, sequence, holds=holds)
        if holds:
            releases[sequence] = release
        assert not saved.all or saved.sequence < min(releases, default=len(held) + 1)
    order = list(releases)
    shuffler.shuffle(order)
    for sequence in order:
        releases.pop(sequence)()
        assert saved.sequence < min(releases, default=len(held) + 1)

    assert saved.sequence == len(held)


def test_a_new_session_forgets_the_old_ones_events() -> None:
    """An event of an older session holds nothing, and its late release moves nothing."""
    saved = Saved()
    progress = SessionProgress(saved)
    receive(progress, 1)
    old = receive(progress, 2, holds=True)
    receive(progress, 1, session="new")
    held = receive(progress, 2, session="new", holds=True)
    old()

    assert (saved.all[-1].id, saved.sequence) == ("new", 1)
    held()
    assert saved.sequence == 2


def test_nothing_moves_after_the_end() -> None:
    """The last text has the open windows; later events and releases are the next owner's."""
    saved = Saved()
    progress = SessionProgress(saved)
    progress.continue_from(Session("s", 5, GATEWAY))
    held = receive(progress, 6, holds=True)
    windows = {"7": {"edit": WindowReport(5, 1, 2.25)}}
    progress.end(windows)
    held()
    receive(progress, 7)

    assert saved.all == [Session("s", 5, GATEWAY), Session("s", 5, GATEWAY, windows)]


WINDOWS = {"1": {"edit": WindowReport(5, 0, 4.5), "post": WindowReport(5, 4, 0.1)}}


@pytest.mark.parametrize("windows", [None, {}, WINDOWS])
def test_a_session_is_a_text(windows: dict[str, dict[str, WindowReport]] | None) -> None:
    """The next owner reads what the last one wrote."""
    session = Session("id", 3, GATEWAY, windows)

    assert load_session(session.dump()) == session


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr))
def test_any_other_text_is_no_session(text: str) -> None:
    """Nobody's text raises anything."""
    assert load_session(text) is None
