"""Where settings come from: the environment with its ``.env`` file, and the TOML file.

No other module reads the environment.
"""

from __future__ import annotations

import os  # read in `environment` only
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from config.declarations import Setting
from config.errors import SettingsError, toml_key, unknown_variables

USUAL_FILE = Path("config") / "tickertape.toml"  # read if it exists and TICKERTAPE_CONFIG is unset

# Known variables without a setting: the path of the file itself, and a switch of the tests.
OTHER_VARIABLES = frozenset({"TICKERTAPE_CONFIG", "TICKERTAPE_REQUIRE_CHROMIUM"})


@dataclass(frozen=True, slots=True)
class SettingSources:
    """The text of the environment and the content of the TOML file."""

    declared: Sequence[Setting]
    variables: Mapping[str, str]  # set and not empty
    file: Path | None
    toml: Mapping[str, Any]

    def name(self, path: tuple[str, ...]) -> str:
        """Name a setting as the operator did: the variable if it set it or if nothing did, else the key in the file."""
        found = next((one for one in self.declared if one.path == path), None)
        if found is not None:
            given = [name for name in found.variables if name in self.variables]
            if given or not (found.toml_only or _holds(self.toml, path)):
                return given[0] if given else found.variable
        key = ".".join(map(toml_key, path))
        return f"{key} in {self.file}" if self.file else key

    def from_environment(self) -> dict[str, dict[str, str]]:
        """Return the values of the variables by table and key: ``OPENAI_MODEL`` is ``model.name``."""
        nested: dict[str, dict[str, str]] = {}
        for one in self.declared:
            for name in one.variables:
                if name in self.variables:
                    nested.setdefault(one.group, {}).setdefault(one.key, self.variables[name])
        return nested


def read_sources(environ: Mapping[str, str], folder: Path, declared: Sequence[Setting]) -> SettingSources:
    """Read the TOML file named by `environ`, or the usual one in `folder`.

    Raises `SettingsError` for unknown variables, and for a file that is missing, unreadable or malformed.
    """
    variables = {name: text.strip() for name, text in environ.items() if text.strip()}
    file = _settings_file(variables, folder)
    known = frozenset(name for one in declared for name in one.variables) | OTHER_VARIABLES
    if lines := unknown_variables(variables, known=known):
        raise SettingsError(lines)
    return SettingSources(declared, variables, file, _read_toml(file) if file else {})


def environment(folder: Path = Path()) -> dict[str, str]:
    """Return the operating system's environment over a ``.env`` file in `folder`.

    Raises `SettingsError` if the file exists and cannot be read.
    """
    file = folder / ".env"
    try:
        from_file = dotenv_values(file, interpolate=False)
    except OSError as error:
        raise SettingsError([f"{file} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file} is not a text file in UTF-8"]) from None
    return {name: text for name, text in from_file.items() if text is not None} | dict(os.environ)  # noqa: TID251 (the only place that reads it)


def _settings_file(variables: Mapping[str, str], folder: Path) -> Path | None:
    """Return the file named by TICKERTAPE_CONFIG, which must exist, else the usual one if it exists."""
    if named := variables.get("TICKERTAPE_CONFIG"):
        path = (folder / named).expanduser()
        if not path.is_file():
            raise SettingsError([f"TICKERTAPE_CONFIG names {named}, where there is no file"])
        return path
    usual = folder / USUAL_FILE
    return usual if usual.is_file() else None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{file} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file} is not a text file in UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{file} is not valid TOML: {error}"]) from None


def _holds(toml: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether the TOML file has a value at `path`."""
    here: Any = toml
    for key in path:
        if not isinstance(here, Mapping) or key not in here:
            return False
        here = here[key]
    return True
