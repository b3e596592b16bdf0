"""The audit of dependencies: its results, and their effect on the gate."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from types import ModuleType

import pytest

from tests.support.paths import ROOT

FINE = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "CVE-2026-1"}, {"id": "GHSA-x"}]}
SKIPPED = {"name": "own", "skip_reason": "not found"}


def audit() -> ModuleType:
    """The script; its name has no extension, so it is loaded by path."""
    loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("dependencies", "code", "said"),
    [
        ([FINE, SKIPPED], 0, "nothing known against 1 of 2"),
        ([FINE, BAD], 1, "bad 2.0: CVE-2026-1, GHSA-x"),
        ([SKIPPED], 0, "not done"),
    ],
)
def test_what_is_known_fails_the_gate(
    dependencies: list[dict[str, object]],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each vulnerability is named and fails the gate; an unreachable database is reported and does not."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert audit().judge(dependencies) == code
    assert said in capsys.readouterr().out
