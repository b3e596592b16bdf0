"""Prometheus and its promtool, where this machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Where the gate unpacks Debian's package.
UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """The path of ``promtool`` or ``prometheus``; without it the test is skipped, or fails if it is required."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        if os.environ.get("TICKERTAPE_REQUIRE_PROMTOOL"):  # noqa: TID251 (it is the runner's, and no setting of ours)
            pytest.fail(f"{name} is required, and not installed")
        pytest.skip(f"{name} is not installed")
    return found


def promtool(*arguments: str | Path, folder: Path = ROOT) -> str:
    """Run promtool; returns its output. Raises `AssertionError` with that output if it fails."""
    command = [program("promtool"), *map(str, arguments)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, output
    return output
