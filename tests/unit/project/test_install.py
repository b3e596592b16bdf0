"""install.py: the choice of a Python, and its messages. The gate runs the installation itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import install

OLD, BARE, GOOD = "/usr/bin/python3.9", "/usr/bin/python3", "/opt/python3.12"


def found(running: str, version: tuple[int, int], on_path: dict[str, str]) -> str:
    """What is chosen on a machine with these Pythons, of which the bare one has no `ensurepip`."""
    works = {
        OLD: {install.MAKES_VENVS},
        BARE: {install.NEW_ENOUGH},
        GOOD: {install.NEW_ENOUGH, install.MAKES_VENVS},
    }
    return install.find_python(running, version, on_path.get, lambda python, program: program in works[python])


def test_the_python_that_runs_it_is_taken_where_it_will_do() -> None:
    """Whoever chose a Python gets that one."""
    assert found(GOOD, (3, 12), {"python3": BARE}) == GOOD


@pytest.mark.parametrize(("running", "version"), [(OLD, (3, 9)), (BARE, (3, 11))])
def test_a_better_python_is_looked_for(running: str, version: tuple[int, int]) -> None:
    """`python3` may be old, or Debian's without `venv`, while a newer one is beside it."""
    assert found(running, version, {"python3.12": GOOD}) == GOOD


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
    running: str, version: tuple[int, int], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and what to do about it."""
    with pytest.raises(SystemExit) as ended:
        found(running, version, {})
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
