"""The version of the program."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def program_version() -> str:
    """Return the installed package's version, or that of the folder it runs from, as in an image or on Heroku."""
    with suppress(PackageNotFoundError):
        return version("tickertape")
    try:
        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return "(unknown)"
    return str(project["project"]["version"])
