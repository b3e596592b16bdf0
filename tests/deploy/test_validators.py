"""The deployment files pass their tools' own checks, and the checks find what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, run_tool
from tests.support.paths import ROOT

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")

COMPOSE = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
KUBERNETES = ("kubernetes-validate", "--strict", "--quiet")


@pytest.mark.slow
def test_compose_has_its_schema() -> None:
    """Both files follow the Compose specification."""
    result = run_tool(*COMPOSE, ROOT / "compose.yaml", ROOT / "compose.scale.yaml")
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_the_check_of_compose_finds_errors(tmp_path: Path) -> None:
    """A misspelled key and a wrong type are refused."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for right, wrong in (("read_only: true", "read_only: [true]"), ("stop_grace_period", "stop_grace_time")):
        file = tmp_path / "compose.yaml"
        file.write_text(text.replace(right, wrong), encoding="utf-8")
        assert run_tool(*COMPOSE, file).returncode != 0


def test_kubernetes_has_its_schema() -> None:
    """Each resource follows the schema of its kind, without unknown keys."""
    result = run_tool(*KUBERNETES, *sorted(DEPLOY.glob("kubernetes*.yaml")))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_check_of_kubernetes_finds_errors(tmp_path: Path) -> None:
    """A misspelled key and a wrong type are refused."""
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    for right, wrong in (("replicas: 1", "replicas: one"), ("enableServiceLinks", "enableServicelinks")):
        file = tmp_path / "kubernetes.yaml"
        file.write_text(text.replace(right, wrong), encoding="utf-8")
        assert run_tool(*KUBERNETES, file).returncode != 0


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="there is no systemd here to check the unit")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """Every key and value is known; the program's path is that of the tests' Python here."""
    assert SYSTEMD_ANALYZE is not None
    text = (DEPLOY / "tickertape.service").read_text(encoding="utf-8")
    unit = tmp_path / "tickertape.service"
    for line, is_fine in (("", True), ("ProtectEverything=yes\n", False), ("TimeoutStopSec=soon\n", False)):
        changed = text.replace("/opt/tickertape/.venv/bin/python", sys.executable)
        unit.write_text(changed.replace("[Service]\n", f"[Service]\n{line}"), encoding="utf-8")
        result = subprocess.run([SYSTEMD_ANALYZE, "verify", unit], capture_output=True, text=True, check=False)
        assert (not result.stderr) == is_fine
