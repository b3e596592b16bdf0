"""Unix-only functions are called only after a check for their existence."""

from __future__ import annotations

import ast
import signal

import pytest

from adapters.embedded.launcher import exit_reason
from tests.support.paths import ROOT

# Names missing on Windows (https://docs.python.org/3/library/os.html, .../signal.html).
UNIX_ONLY = {
    "os": {"nice", "fork", "getuid", "geteuid", "getpgid", "killpg", "setsid", "uname", "getloadavg"},
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGALRM", "alarm", "setitimer", "pause"},
}


@pytest.mark.slow
def test_nothing_of_unix_is_used_unguarded() -> None:
    """Every use of a Unix-only name is a lookup."""
    files = [file for folder in ("bot", "adapters", "config") for file in (ROOT / folder).rglob("*.py")]
    used = [
        f"{file.name}: {node.value.id}.{node.attr}"
        for file in (*files, ROOT / "install.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in UNIX_ONLY.get(node.value.id, ())
    ]
    assert used == []


def test_a_killed_model_is_still_told_from_a_broken_one() -> None:
    """A signal's number is read where the signal exists; an ordinary exit code is never taken for one."""
    assert "enough memory" in exit_reason(-signal.SIGKILL, "")
    assert "ended with code 1" in exit_reason(1, "")
    assert "ended with code None" in exit_reason(None, "")


def test_time_zones_come_along() -> None:
    """Windows has no time zone database, so the lock has a package with one."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "\ntzdata==" in lock
