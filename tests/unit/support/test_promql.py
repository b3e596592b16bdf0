"""The check of expressions finds each kind of mistake."""

from __future__ import annotations

import pytest

from tests.support.metrics import Series
from tests.support.promql import Unfounded, names_in, result_labels, template_labels

SERIES = {
    "a_total": Series("counter", frozenset({"kind"})),
    "b": Series("gauge", frozenset({"platform"})),
    "c_seconds_bucket": Series("histogram", frozenset({"le", "platform"})),
    "c_seconds_count": Series("histogram", frozenset({"platform"})),
}


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("b", {"platform", "job", "instance"}),
        ("sum(b)", set()),
        ("sum by (kind) (rate(a_total[5m])) > 0", {"kind"}),
        ("histogram_quantile(0.5, sum by (le, platform) (rate(c_seconds_bucket[5m])))", {"platform"}),
        ('rate(a_total{kind="x"}[5m]) / rate(a_total[5m])', {"kind", "job", "instance"}),
        ("sum(b) > 2 * sum(rate(a_total[5m]))", set()),
        ("b unless on (job) sum by (job) (b)", {"platform", "job", "instance"}),
    ],
)
def test_labels_of_a_sound_expression(expression: str, labels: set[str]) -> None:
    """The labels of the result are known, for legends and alerts to use."""
    assert result_labels(expression, SERIES) == labels


@pytest.mark.parametrize(
    "expression",
    [
        "d",  # no such series
        'b{kind="x"}',  # no such label
        "a_total",  # a bare counter
        "sum(a_total)",
        "a_total > 1",
        "rate(b[5m])",  # a rate of a gauge
        "changes(a_total[5m])",
        "sum by (kind) (b)",  # aggregated by a label of another series
        "histogram_quantile(0.5, sum by (platform) (rate(c_seconds_bucket[5m])))",  # the buckets are summed up
        "histogram_quantile(0.5, rate(c_seconds_count[5m]))",
        "sum by (platform) (b) > sum(b)",  # nothing to match
    ],
)
def test_an_unfounded_expression_is_found(expression: str) -> None:
    """Prometheus would accept each of these, and never return anything sensible."""
    with pytest.raises(Unfounded):
        result_labels(expression, SERIES)


def test_names_and_template_labels() -> None:
    """All series of an expression, and the labels in both kinds of templates."""
    assert names_in("sum(rate(a_total[5m])) / b") == {"a_total", "b"}
    assert template_labels("{{model}} {{ $labels.kind }} {{ $value | humanize }}") == {"model", "kind"}
