"""The Grafana dashboard: valid for Grafana, readable, and about metrics of the program only."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from yarl import URL

from tests.support.dashboard import (
    BUILT_IN,
    FILE,
    VARIABLE,
    Query,
    annotation_queries,
    dashboard,
    panels,
    queries,
    variable_queries,
)
from tests.support.metrics import metric_names
from tests.support.paths import ROOT
from tests.support.promql import names_in, program_series, result_labels, template_labels

PROVISIONING = FILE.parents[1] / "provisioning"

# Fields of annotations from Prometheus; Grafana's general schema leaves them to the data source.
OF_PROMETHEUS = {"titleFormat", "textFormat", "step"}

VALUES = {"window": "15m", **BUILT_IN}


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Every place of `ours` without the same value in `theirs`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from differences(value, theirs[key], f"{path}.{key}")
            elif key not in OF_PROMETHEUS:
                yield f"{path}.{key} is unknown"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, other, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path} is {ours!r}, read as {theirs!r}"


def test_grafana_knows_every_field() -> None:
    """Grafana's own model of a dashboard (11.6) reads the file and writes the same again, with no field lost."""
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dict(dashboard()))))
    assert list(differences(dashboard(), read)) == []


def test_a_field_unknown_to_grafana_is_found() -> None:
    """The check above does notice a misspelt field, however deep."""
    register_default_plugins()
    changed = json.loads(FILE.read_text(encoding="utf-8"))
    changed["panels"][-1]["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 2
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(changed)))
    assert len(list(differences(changed, read))) == 1


def test_the_file_belongs_to_no_installation() -> None:
    """No id of a database, no user, no version, no address; the data source is a variable."""
    text = FILE.read_text(encoding="utf-8")
    assert not {"id", "version", "iteration", "gnetId"} & dashboard().keys()
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"tickertape", "${datasource}"}
    assert not re.search(r"https?://|localhost|\d+\.\d+\.\d+\.\d+", text)


def test_panels_lie_side_by_side() -> None:
    """Each panel has an id of its own and its place in the 24 columns; none covers another, no row has a gap."""
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in every)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    height = max(y for _, y in cells) + 1
    assert sorted(cells) == sorted(itertools.product(range(24), range(height)))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """It has a title, a sentence, a unit, the chosen data source, and a legend for each query."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in (panel, *panel["targets"]):
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["legendFormat"] for target in panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize(
    "query",
    [*queries(), *variable_queries(), *annotation_queries()],
    ids=lambda query: f"{query.panel}: {query.legend}",
)
def test_a_query_asks_for_what_exists(query: Query) -> None:
    """Its metrics, their types and labels are the program's, and so are the labels of its legend."""
    expression = query.filled(**VALUES)
    if query in variable_queries():
        (name,) = names_in(expression)
        assert template_labels(query.legend) <= program_series()[name].labels | {"instance"}
    else:
        labels = result_labels(expression, program_series())
        assert template_labels(query.legend) <= labels


def test_every_metric_is_on_the_dashboard() -> None:
    """Nothing is measured in vain, and no panel outlives its metric."""
    shown = {name for query in queries() for name in names_in(query.filled(**VALUES)) if name.startswith("tickertape_")}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == metric_names()


def test_every_variable_is_used_and_defined() -> None:
    """The selectors at the top of the page all do something."""
    defined = {variable["name"] for variable in dashboard()["templating"]["list"]}
    used = set(VARIABLE.findall(json.dumps(dashboard()["panels"])))
    assert used - set(BUILT_IN) == defined


def test_each_query_is_of_the_chosen_instance() -> None:
    """A second bot in the same Prometheus does not get into the first one's panels."""
    assert all('instance=~"$instance"' in query.expression for query in queries())


def test_grafana_finds_the_data_source_and_the_dashboard() -> None:
    """compose.yaml mounts what provisioning names: the folder of the dashboards, and the address of Prometheus."""
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))
    providers = yaml.safe_load((PROVISIONING / "dashboards" / "tickertape.yaml").read_text(encoding="utf-8"))
    assert sources["apiVersion"] == providers["apiVersion"] == 1
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    mounts = dict(each.split(":")[:2] for each in services["grafana"]["volumes"] if each.startswith("./"))
    (source,), (provider,) = sources["datasources"], providers["providers"]
    assert source["type"] == "prometheus"
    assert URL(source["url"]).host in services
    folders = {ROOT / own: theirs for own, theirs in mounts.items()}
    assert folders[FILE.parent] == provider["options"]["path"]
    assert folders[PROVISIONING / "datasources"] == "/etc/grafana/provisioning/datasources"
    assert folders[PROVISIONING / "dashboards"] == "/etc/grafana/provisioning/dashboards"
