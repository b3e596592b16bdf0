"""install.py: the choice of a Python, and its messages. The gate runs the installation itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import install

OLD, BARE, GOOD = "/usr/bin/python3.9", "/usr/bin/python3", "/opt/python3.12"


def machine(
    monkeypatch: pytest.MonkeyPatch, *, running: str, on_path: dict[str, str], version: tuple[int, int]
) -> None:
    """A machine with these Pythons; the bare one lacks `ensurepip`."""
    monkeypatch.setattr(sys, "executable", running)
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    monkeypatch.setattr(shutil, "which", on_path.get)
    works = {
        OLD: {install.MAKES_VENVS},
        BARE: {install.NEW_ENOUGH},
        GOOD: {install.NEW_ENOUGH, install.MAKES_VENVS},
    }
    monkeypatch.setattr(install, "answers", lambda python, program: program in works[python])


def test_the_python_that_runs_it_is_taken_where_it_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python chosen by the user is used."""
    machine(monkeypatch, running=GOOD, on_path={"python3": BARE}, version=(3, 12))
    assert install.find_python() == GOOD


@pytest.mark.parametrize(("running", "version"), [(OLD, (3, 9)), (BARE, (3, 11))])
def test_a_better_python_is_looked_for(running: str, version: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer Python beside an old `python3`, or beside Debian's without `venv`, is used."""
    machine(monkeypatch, running=running, on_path={"python3.12": GOOD}, version=version)
    assert install.find_python() == GOOD


@pytest.mark.parametrize(
    ("running", "version", "line"),
    [
        (
            OLD,
            (3, 9),
            "tickertape: Python 3.11 or newer is needed; this one is 3.9, and there is no newer one on the path",
        ),
        (
            BARE,
            (3, 11),
            "tickertape: /usr/bin/python3 cannot make virtual environments; on Debian: apt install python3-venv",
        ),
    ],
)
def test_where_no_python_will_do_one_line_says_so(
    running: str,
    version: tuple[int, int],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message has a remedy and no traceback."""
    machine(monkeypatch, running=running, on_path={}, version=version)
    with pytest.raises(SystemExit) as ended:
        install.find_python()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"{line}\n"


def test_progress_is_seen_where_nobody_watches_but_not_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A build log gets one line in ten; pip's full output appears on failure."""
    for number in range(1, 21):
        install.progress(f"Collecting package-{number}==1.0\n", number, 20)
    install.progress("Requirement already satisfied: x\n", 20, 20)
    assert capsys.readouterr().err.splitlines() == ["  10/20 package-10", "  20/20 package-20"]


def test_the_installed_version_is_that_of_the_project() -> None:
    """`tickertape --version` prints the version of pyproject.toml."""
    assert f'version = "{install.project_version()}"' in (Path(install.__file__).parent / "pyproject.toml").read_text()
