"""Where settings come from: the environment with its ``.env`` file, and the TOML file.

No other module reads the environment, nor changes it.
"""

from __future__ import annotations

import os  # in `environment` and `replace_in_environment` only
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from config.declarations import LISTED, Setting
from config.errors import SettingsError, is_short_word, toml_key, unknown_variables

USUAL_FILE = Path("config") / "tickertape.toml"  # read if it exists and TICKERTAPE_CONFIG is unset

# Known variables without a setting: the path of the file itself, and switches of the tests.
OTHER_VARIABLES = frozenset(
    {"TICKERTAPE_CONFIG", *(f"TICKERTAPE_REQUIRE_{each}" for each in ("CHROMIUM", "POSTGRES", "PROMTOOL"))}
)


@dataclass(frozen=True, slots=True)
class SettingSources:
    """The text of the environment and the content of the TOML file."""

    declared: Sequence[Setting]
    variables: Mapping[str, str]  # set and not empty
    file: Path | None
    toml: Mapping[str, Any]

    def name(self, path: tuple[str, ...]) -> str:
        """Name a setting as the operator did: the variable if it set it or if nothing did, else the key in the file."""
        if path[0] in LISTED and len(path) > 1:
            return self._name_of_listed(path)
        found = next((one for one in self.declared if one.path == path), None)
        if found is not None:
            given = self._variables_of(found)
            has_key, has_old_key = _holds(self.toml, path), _holds(self.toml, found.old_path)
            if given or not (found.toml_only or has_key or has_old_key):
                return next(iter(given), found.variable)
            if has_old_key and not has_key:
                path = found.old_path
        key = ".".join(map(toml_key, path))
        return f"{key} in {self.file}" if self.file else key

    def _name_of_listed(self, path: tuple[str, ...]) -> str:
        """Name a key in an entry of ``[[models]]`` or another list, by the entry's name or else its number."""
        group, number = path[0], int(path[1])
        entry = self._listed(group)[number]
        if path[2:] == ("api_key",) and (variable := _key_variable(entry)):
            return variable
        name = entry.get("name") if isinstance(entry, Mapping) else None
        is_plain = name != "" and is_short_word(name)
        owner = f'the {LISTED[group]} "{name}"' if is_plain else f"number {number + 1} of [[{group}]]"
        keys = ".".join(map(toml_key, path[2:]))
        return f"{keys} of {owner} in {self.file}" if keys else f"{owner} in {self.file}"

    def _listed(self, group: str) -> list[Any]:
        entries = self.toml.get(group)
        return entries if isinstance(entries, list) else []

    def key_variables(self) -> frozenset[str]:
        """Return the variables named by ``api_key_env`` of listed models."""
        return frozenset(filter(None, map(_key_variable, self._listed("models"))))

    def _with_key(self, entry: Any) -> Any:  # noqa: ANN401 (TOML of any shape)
        """Return an entry of ``[[models]]`` with the key from its variable."""
        variable = _key_variable(entry)
        return entry | {"api_key": self.variables[variable]} if variable in self.variables else entry

    def from_environment(self) -> dict[str, dict[str, str]]:
        """Return the values of the variables by table and key: ``OPENAI_MODEL`` is ``model.name``."""
        nested: dict[str, dict[str, str]] = {}
        for one in self.declared:
            if given := self._variables_of(one):
                nested.setdefault(one.group, {})[one.key] = next(iter(given.values()))
        return nested

    def from_file(self) -> dict[str, Any]:
        """Return the TOML file's values, with old keys renamed."""
        tables = {name: dict(table) if isinstance(table, Mapping) else table for name, table in self.toml.items()}
        for one in self.declared:
            if _holds(self.toml, one.old_path):
                old = tables[one.group].pop(one.old_key)
                tables[one.group].setdefault(one.key, old)
        if models := self._listed("models"):
            tables["models"] = [self._with_key(entry) for entry in models]
        return tables

    def deprecations(self) -> tuple[str, ...]:
        """Return one warning for each old name in use, with the new name."""
        return tuple(
            f"{old} is now {new}: the old name works for one more release"
            for one in self.declared
            for old, new, used in self._old_names(one)
            if used
        )

    def conflicts(self) -> list[str]:
        """Return one line for each setting with different values under its old and its new name."""
        lines = []
        for one in self.declared:
            if len(set(self._variables_of(one).values())) > 1:
                lines.append(_conflict(one.variable, one.old_variable))
            if _holds(self.toml, one.old_path) and _holds(self.toml, one.path):
                table = self.toml[one.group]
                if table[one.key] != table[one.old_key]:
                    lines.append(f"{_conflict(one.dotted, one.old_dotted)} in {self.file}")
        for number, entry in enumerate(self._listed("models")):
            if _key_variable(entry) and "api_key" in entry:
                where = self._name_of_listed(("models", str(number)))
                lines.append(f"{where} has both api_key and api_key_env: remove one of them")
        return lines

    def _variables_of(self, one: Setting) -> dict[str, str]:
        """Return the setting's variables in use with their values, the current name first."""
        return {name: self.variables[name] for name in one.variables if name in self.variables}

    def _old_names(self, one: Setting) -> Iterator[tuple[str, str, bool]]:
        yield one.old_variable, one.variable, one.old_variable in self.variables
        yield f"{one.old_dotted} in {self.file}", one.dotted, _holds(self.toml, one.old_path)


def read_sources(environ: Mapping[str, str], folder: Path, declared: Sequence[Setting]) -> SettingSources:
    """Read the TOML file named by `environ`, or the usual one in `folder`.

    Raises `SettingsError` for unknown variables, for old and new names that disagree, and for a file that is missing,
    unreadable or malformed.
    """
    cleaned = {name: _unquoted(text.strip()) for name, text in environ.items()}
    variables = {name: text for name, text in cleaned.items() if text}
    file = _settings_file(variables, folder)
    sources = SettingSources(declared, variables, file, _read_toml(file) if file else {})
    current = frozenset(one.variable for one in declared) | OTHER_VARIABLES | sources.key_variables()
    old = frozenset(one.old_variable for one in declared)
    if lines := unknown_variables(variables.keys() - old, known=current):
        raise SettingsError(lines)
    if lines := sources.conflicts():
        raise SettingsError(lines)
    return sources


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


def replace_in_environment(prefix: str, values: Mapping[str, str]) -> None:
    """Make these the process's only variables with the prefix, for a library with settings of its own.

    So the library sees a ``.env`` file too, and no value withheld from it.
    """
    for name in [name for name in os.environ if name.startswith(prefix)]:  # noqa: TID251 (as above)
        del os.environ[name]  # noqa: TID251 (as above)
    os.environ.update(values)  # noqa: TID251 (as above)


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


def _unquoted(text: str) -> str:
    """Remove one pair of quotes around a text: Docker's --env-file, unlike ``.env``, passes them on."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def _key_variable(entry: object) -> str:
    """Return the variable named by ``api_key_env`` of an entry of ``[[models]]``; empty without one."""
    variable = entry.get("api_key_env") if isinstance(entry, Mapping) else None
    return variable if isinstance(variable, str) else ""


def _conflict(new: str, old: str) -> str:
    return f"{new} and its old name {old} have different values: remove {old}"


def _holds(toml: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether the TOML file has a value at `path`."""
    here: Any = toml
    for key in path:
        if not key or not isinstance(here, Mapping) or key not in here:
            return False
        here = here[key]
    return True
