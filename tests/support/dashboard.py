"""The Grafana dashboard as values: its panels, expressions and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.paths import ROOT

FILE = ROOT / "config" / "deploy" / "grafana" / "dashboards" / "tickertape.json"

# Grafana puts these in; the values stand for any choice of the reader.
BUILT_IN = {"__range": "6h", "__interval": "1m", "__rate_interval": "1m"}

VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, with the dashboard's variables in its expression."""

    panel: str
    expression: str
    legend: str

    def filled(self, **values: str) -> str:
        """The expression with each variable's value; a variable without one matches everything."""
        return VARIABLE.sub(lambda found: values.get(found[1], ".*"), self.expression)


@cache
def dashboard() -> Mapping[str, Any]:
    """The whole file."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def panels() -> Sequence[Mapping[str, Any]]:
    """All panels with data, without the rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Sequence[Query]:
    """All queries of all panels, in order."""
    return [
        Query(panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]


def queries_below(row: str) -> Sequence[Query]:
    """All queries of the panels below a row, up to the next row."""
    titles: list[str] = []
    current = ""
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            current = panel["title"]
        elif current == row:
            titles.append(panel["title"])
    return [query for query in queries() if query.panel in titles]


def variable_queries() -> Sequence[Query]:
    """The queries behind the variables, as the selector of their series."""
    found = (re.match(r"label_values\((.+), (\w+)\)", each["query"]["query"]) for each in _queried_variables())
    return [Query(match[2], match[1], f"{{{{{match[2]}}}}}") for match in found if match is not None]


def annotation_queries() -> Sequence[Query]:
    """The queries of the annotations."""
    return [
        Query(each["name"], each["expr"], each["titleFormat"] + each["textFormat"])
        for each in dashboard()["annotations"]["list"]
    ]


def _queried_variables() -> Iterator[Mapping[str, Any]]:
    return (variable for variable in dashboard()["templating"]["list"] if variable["type"] == "query")
