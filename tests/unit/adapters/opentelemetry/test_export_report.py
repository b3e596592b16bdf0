"""What an operator reads of a collector that takes no spans: few lines, with all losses in them."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.opentelemetry.export_report import REPEAT_SECONDS, ExportReport


class Lines(logging.Handler):
    """The lines of the report, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._logger = logging.getLogger("adapters.opentelemetry.export_report")
        self._logger.addHandler(self)
        self._logger.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def close(self) -> None:
        self._logger.removeHandler(self)
        super().close()

    @property
    def lost(self) -> list[int]:
        return [vars(record)["lost_spans"] for record in self.records]


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_a_loss_is_told_at_once_and_then_in_sums(lines: Lines) -> None:
    """The first loss has its line; the next line comes after the pause, with all that was lost meanwhile."""
    clock = Clock()
    report = ExportReport("collector:4318", clock)
    for second in range(0, 700, 5):
        clock.now = float(second)
        report.lost(4, "HTTP 500")
    lines.close()
    assert lines.lost == [4, 120 * 4]
    assert [vars(record)["why"] for record in lines.records] == ["HTTP 500"] * 2
    assert {vars(record)["collector"] for record in lines.records} == {"collector:4318"}


def test_the_end_of_a_loss_is_told_once(lines: Lines) -> None:
    """An operator who read of a loss reads of its end; one who did not reads nothing."""
    report = ExportReport("c", Clock())
    report.sent()
    report.lost(1, "HTTP 500")
    report.lost(2, "HTTP 500")
    report.sent()
    report.sent()
    lines.close()
    assert [record.levelname for record in lines.records] == ["WARNING", "INFO"]
    assert lines.lost == [1, 2]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 100.0)), max_size=200))
def test_a_collector_that_comes_and_goes_does_not_fill_the_log(outcomes: list[tuple[bool, float]]) -> None:
    """In each pause at most one loss and its end are told, and no lost span is counted twice."""
    lines, clock = Lines(), Clock()
    report, lost = ExportReport("c", clock), 0
    for is_lost, seconds in outcomes:
        clock.now += seconds
        lost += is_lost
        if is_lost:
            report.lost(1, "x")
        else:
            report.sent()
    lines.close()
    assert len(lines.records) <= 2 * (1 + clock.now // REPEAT_SECONDS)
    assert sum(lines.lost) <= lost
