"""The search for the end of a long thread, on times alone."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.history.thread_tail import ThreadTail

SECOND = 1_000_000


class Thread:
    """A thread's messages by their times, given page by page, the oldest first."""

    def __init__(self, times: list[int], page: int) -> None:
        self.times, self.page, self.reads = times, page, 0

    def read(self, tail: ThreadTail, after: int) -> None:
        self.reads += 1
        begin = bisect_right(self.times, after)
        tail.add(after, self.times[begin : begin + self.page], more=begin + self.page < len(self.times))


def searched(times: list[int], until: int, *, page: int, wanted: int, reads: int) -> tuple[ThreadTail, Thread]:
    """Read a page from the beginning, then as the search says."""
    tail, thread = ThreadTail(until, wanted), Thread(times, page)
    thread.read(tail, 0)
    while thread.reads < reads and (after := tail.next()) is not None:
        thread.read(tail, after)
    return tail, thread


@given(
    gaps=st.lists(st.sampled_from([1, 1_000, SECOND, 60 * SECOND, 3_600 * SECOND]), min_size=1, max_size=400),
    later=st.integers(0, 30),
    page=st.integers(1, 50),
    wanted=st.integers(1, 60),
    reads=st.integers(2, 8),
)
def test_the_found_end_is_the_end(gaps: list[int], later: int, page: int, wanted: int, reads: int) -> None:
    """For any times, the found messages have no gap up to the question."""
    times = [1_700_000_000 * SECOND + sum(gaps[: number + 1]) for number in range(len(gaps))]
    until = times[max(len(times) - 1 - later, 0)]
    tail, thread = searched(times, until, page=page, wanted=wanted, reads=reads)
    assert thread.reads <= reads
    start = tail.start
    if start is not None:
        assert tail.found == sum(start < time < until for time in times)
    assert (tail.next() is not None) <= (tail.found < wanted)


@given(
    gaps=st.lists(st.sampled_from([1, 1_000, SECOND, 60 * SECOND]), min_size=1, max_size=200),
    page=st.integers(2, 50),
    wanted=st.integers(1, 60),
)
def test_with_patience_everything_wanted_is_found(gaps: list[int], page: int, wanted: int) -> None:
    """With enough reads the search finds all wanted messages, or the whole thread."""
    times = [1_700_000_000 * SECOND + sum(gaps[: number + 1]) for number in range(len(gaps))]
    tail, _ = searched(times, times[-1], page=page, wanted=wanted, reads=400)
    assert tail.found >= min(wanted, len(times) - 1)
