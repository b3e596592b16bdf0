"""The alert rules: valid, tested by promtool, about metrics of the program, explained on a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.prometheus import promtool
from tests.support.promql import program_series, result_labels, template_labels

DEPLOY = ROOT / "config" / "deploy"
RULES, CONFIGURATION = DEPLOY / "prometheus-rules.yaml", DEPLOY / "prometheus.yml"
CONFIGURATIONS = sorted(DEPLOY.glob("prometheus*.yml"))
TESTS = sorted((ROOT / "tests" / "deploy").glob("prometheus_rules*_test.yaml"))
PAGE = "docs/alerts.md"

ALERTS = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def test_promtool_accepts_the_rules() -> None:
    """Expressions, durations and templates are valid, and no two rules are alike."""
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", RULES)


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.name)
def test_promtool_accepts_the_configuration(file: Path) -> None:
    """Prometheus of compose starts with its file, and finds the rules beside it."""
    output = promtool("check", "config", file)
    assert f"{len(ALERTS)} rules found" in output


def test_the_rules_name_the_scrape_job() -> None:
    """Selectors of `up` and of the process's figures find the bot; Grafana knows the interval of its scrapes."""
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    jobs = {scraped["job_name"] for scraped in configuration["scrape_configs"]}
    assert set(re.findall(r'job="(\w+)"', RULES.read_text(encoding="utf-8"))) == jobs
    source = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    (of_grafana,) = yaml.safe_load(source.read_text(encoding="utf-8"))["datasources"]
    assert of_grafana["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]


@pytest.mark.slow
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_alerts_fire_and_resolve(file: Path) -> None:
    """Each alert fires, does not fire just below its threshold or before its time, and resolves."""
    assert "SUCCESS" in promtool("test", "rules", file.name, folder=file.parent)


@pytest.mark.slow
def test_a_rule_changed_by_mistake_is_found(tmp_path: Path) -> None:
    """The unit tests fail if a threshold moves by one."""
    text = RULES.read_text(encoding="utf-8")
    assert "limited_total[1h])) > 3" in text
    rules, tests = tmp_path / RULES.name, tmp_path / "test.yaml"
    rules.write_text(text.replace("limited_total[1h])) > 3", "limited_total[1h])) > 2"), encoding="utf-8")
    groups = yaml.safe_load(TESTS[-1].read_text(encoding="utf-8"))
    groups["rule_files"] = [str(rules)]
    groups["tests"] = [group for group in groups["tests"] if group["name"] == "TickertapeRateLimited"]
    tests.write_text(yaml.safe_dump(groups), encoding="utf-8")
    with pytest.raises(AssertionError, match="TickertapeRateLimited"):
        promtool("test", "rules", tests)


def test_each_alert_has_unit_tests() -> None:
    """For each alert there is a check with it firing, one before it, and one after."""
    counts: dict[str, list[int]] = {}
    for file in TESTS:
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            checks = [len(check["exp_samples"]) for check in group.get("promql_expr_test", ())]
            counts.setdefault(group["name"], []).extend(checks)
    assert {name for name, checks in counts.items() if checks == [0, 1, 0]} >= {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_founded_and_explained(alert: dict[str, Any]) -> None:
    """Its metrics and labels exist, also those of its sentences; its runbook is a heading of the page."""
    labels = result_labels(alert["expr"], program_series())
    annotations = alert["annotations"]
    assert set(annotations) == {"summary", "description", "runbook"}
    for sentence in (annotations["summary"], annotations["description"]):
        assert template_labels(sentence) <= labels
        assert sentence.endswith(".")
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert annotations["runbook"] == f"{PAGE}#{alert['alert'].lower()}"


def test_the_page_explains_each_alert_once() -> None:
    """Headings and alerts agree, in the same order."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"^### (Tickertape\w+)$", page, re.MULTILINE) == [alert["alert"] for alert in ALERTS]
