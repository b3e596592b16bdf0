"""Checks a PromQL expression against the series of the program: names, types, labels, and the labels of its result.

Prometheus itself accepts an expression over series that never exist; such a panel stays empty, such an alert silent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from tests.support.metrics import Series, exposed_series

# Labels of every scraped series.
TARGET_LABELS = frozenset({"job", "instance"})

# Series of Prometheus itself.
PROMETHEUS_SERIES: Mapping[str, Series] = {
    "up": Series("gauge", frozenset()),
    "ALERTS": Series("gauge", frozenset({"alertname", "alertstate", "severity", "platform"})),
}

COUNTER_FUNCTIONS = frozenset({"rate", "increase", "irate"})
GAUGE_FUNCTIONS = frozenset({"changes", "predict_linear", "delta", "deriv"})
COUNTED = ("_bucket", "_sum", "_count")  # a histogram's series are counters


class Unfounded(Exception):
    """The expression names something that does not exist, or treats it as what it is not."""


@dataclass(frozen=True, slots=True)
class Result:
    """The labels of an expression's result, None for a number; and whether it is a counter without a rate."""

    labels: frozenset[str] | None
    counter: bool = False


def program_series() -> Mapping[str, Series]:
    """All series that an expression may name."""
    return {**exposed_series(), **PROMETHEUS_SERIES}


def names_in(expression: str) -> frozenset[str]:
    """The names of all series in an expression."""
    found: set[str] = set()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.add(str(node.name))

    promql.walk(promql.parse(expression), pre_visit=visit)
    return frozenset(found)


def result_labels(expression: str, series: Mapping[str, Series]) -> frozenset[str]:
    """The labels of the result. Raises `Unfounded`."""
    result = _check(promql.parse(expression), series)
    if result.counter:
        raise Unfounded(f"a bare counter: {expression}")
    return result.labels or frozenset()


def _check(node: Any, series: Mapping[str, Series]) -> Result:
    """Check one node and those below it."""
    if isinstance(node, promql.NumberLiteral | promql.StringLiteral):
        return Result(None)
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return _check(node.expr, series)
    if isinstance(node, promql.VectorSelector | promql.MatrixSelector):
        selector = node if isinstance(node, promql.VectorSelector) else node.vector_selector
        return _check_selector(selector, series)
    if isinstance(node, promql.AggregateExpr):
        return _check_aggregation(node, series)
    if isinstance(node, promql.BinaryExpr):
        return _check_binary(node, series)
    assert isinstance(node, promql.Call), node
    return _check_call(node, series)


def _check_selector(node: promql.VectorSelector, series: Mapping[str, Series]) -> Result:
    name = str(node.name)
    if name not in series:
        raise Unfounded(f"no such series: {name}")
    kind, labels = series[name].type, series[name].labels | TARGET_LABELS
    if unknown := {matcher.name for matcher in node.matchers.matchers} - labels:
        raise Unfounded(f"no such label of {name}: {', '.join(sorted(unknown))}")
    return Result(labels, kind == "counter" or (kind == "histogram" and name.endswith(COUNTED)))


def _check_aggregation(node: promql.AggregateExpr, series: Mapping[str, Series]) -> Result:
    inner = _check(node.expr, series)
    if inner.counter:
        raise Unfounded(f"an aggregated counter without a rate: {node.prettify()}")
    named = frozenset(node.modifier.labels) if node.modifier is not None else frozenset()
    if unknown := named - (inner.labels or frozenset()):
        raise Unfounded(f"no such label to aggregate by: {', '.join(sorted(unknown))}")
    if node.modifier is not None and node.modifier.type == promql.AggModifierType.Without:
        return Result((inner.labels or frozenset()) - named)
    return Result(named)


def _check_binary(node: promql.BinaryExpr, series: Mapping[str, Series]) -> Result:
    left, right = _check(node.lhs, series), _check(node.rhs, series)
    if left.counter or right.counter:
        raise Unfounded(f"a counter without a rate: {node.prettify()}")
    matching = node.modifier.matching if node.modifier is not None else None
    both = left.labels is not None and right.labels is not None
    if both and matching is None and str(node.op) != "or" and left.labels != right.labels:
        raise Unfounded(f"sides with different labels never match: {node.prettify()}")
    return Result(left.labels if left.labels is not None else right.labels)


def _check_call(node: promql.Call, series: Mapping[str, Series]) -> Result:
    name, results = node.func.name, [_check(argument, series) for argument in node.args]
    vector = next((result for result in results if result.labels is not None), Result(None))
    if name in COUNTER_FUNCTIONS and not vector.counter:
        raise Unfounded(f"{name} of a gauge: {node.prettify()}")
    if name in GAUGE_FUNCTIONS and vector.counter:
        raise Unfounded(f"{name} of a counter: {node.prettify()}")
    labels = vector.labels
    if name == "histogram_quantile":
        if "le" not in (labels or ()) or not all(each.endswith("_bucket") for each in names_in(node.prettify())):
            raise Unfounded(f"no buckets: {node.prettify()}")
        labels = (labels or frozenset()) - {"le"}
    return Result(labels, vector.counter and name not in COUNTER_FUNCTIONS)


def template_labels(text: str) -> frozenset[str]:
    """The labels named in a Grafana legend (``{{label}}``) or in an alert's template (``{{ $labels.label }}``)."""
    return frozenset(re.findall(r"{{\s*(?:\$labels\.)?([a-z_]+)(?=[^\w(])", text))
