"""What is wrong with the settings, in words: one line a problem, with the name that the operator used.

What belongs here: `SettingsError` and the wording of malformed and unknown settings. What does not: the checks
(`config.types` for one value, `config.validators` for several). No line ever holds a secret's value.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

PREFIX = "TICKERTAPE_"  # what is ours alone, so that anything else under it is a misspelling


class SettingsError(Exception):
    """The settings cannot be used; `lines` has one for each problem, fit for the operator's terminal."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class SettingSources:
    """Where each setting came from, so that a problem is named as the operator named it."""

    variables: Mapping[str, tuple[str, str]]  # every environment variable, and the path of what it sets
    given: frozenset[str]  # those that are set
    file: Path | None  # the TOML file that was read
    toml: Mapping[str, Any]  # what it says

    def name(self, path: tuple[str, ...]) -> str:
        """Name a setting: the variable where that is what set it or where nothing did, else its key in the file."""
        variable = next((name for name, where in self.variables.items() if where == path), "")
        if variable and (variable in self.given or not self._in_file(path)):
            return variable
        key = ".".join(map(_key, path))
        return f"{key} in {self.file}" if self.file else key

    def _in_file(self, path: tuple[str, ...]) -> bool:
        """Whether the TOML file says something at `path`."""
        here: Any = self.toml
        for key in path:
            if not isinstance(here, Mapping) or key not in here:
                return False
            here = here[key]
        return True


def unknown_variables(variables: Iterable[str], *, known: frozenset[str]) -> list[str]:
    """A line for each variable under our own prefix that sets nothing: a misspelling that would pass unseen."""
    unknown = sorted(name for name in variables if name.startswith(PREFIX) and name not in known)
    # Without the prefix, which would make all of them look alike.
    ours = {name.removeprefix(PREFIX): name for name in known if name.startswith(PREFIX)}
    near = {name: _near(name.removeprefix(PREFIX), ours, PREFIX) for name in unknown}
    return [f"{_key(name)} is not a setting{near[name]}" for name in unknown]


def from_validation(
    error: ValidationError, sources: SettingSources, groups: Mapping[str, type[BaseModel]]
) -> list[str]:
    """Put what pydantic found into words, one line for each setting."""
    details = error.errors(include_url=False, include_context=True)
    lines = (_line(detail, sources, groups) for detail in details)
    return list(dict.fromkeys(lines))  # each once: a list with two bad entries is one bad setting


def _line(detail: ErrorDetails, sources: SettingSources, groups: Mapping[str, type[BaseModel]]) -> str:
    """The line of one problem."""
    path = tuple(str(step) for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{sources.name(path)} is not a setting{_near(path[-1], _siblings(path, groups))}"
    if len(path) == 1 and path[0] != "channels":
        return f"{sources.name(path)} must be a table: [{path[0]}]"
    # A list's entries and a union's branches are parts of one setting.
    depth = 3 if path[0] == "channels" else 2
    return f"{sources.name(path[:depth])} must be {_wanted(detail)}{_instead_of(detail)}"


def _siblings(path: tuple[str, ...], groups: Mapping[str, type[BaseModel]]) -> Iterable[str]:
    """The names that there are where `path` names one that there is not."""
    return groups if len(path) == 1 else groups[path[0]].model_fields


def _near(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Suggest what was probably meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {prefix}{close[0]}?" if close else "; `tickertape --help` lists them all"


def _key(name: str) -> str:
    """Write a name as TOML would: in quotes where it is not a plain word, so that it stays on its line."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


def _number(kind: str) -> Callable[[ErrorDetails], str]:
    return lambda _detail: kind


def _bound(words: str, key: str) -> Callable[[ErrorDetails], str]:
    return lambda detail: f"{words} {detail.get('ctx', {})[key]:g}"


# What pydantic calls a problem, and how "NAME must be ..." goes on. What is not here says what pydantic says.
_WANTED: Mapping[str, Callable[[ErrorDetails], str]] = {
    "setting": lambda detail: detail["msg"],
    "enum": lambda detail: str(detail.get("ctx", {})["expected"]).replace("'", ""),
    "int_parsing": _number("a whole number"),
    "int_type": _number("a whole number"),
    "int_from_float": _number("a whole number"),
    "int_parsing_size": _number("a smaller number"),
    "float_parsing": _number("a number"),
    "float_type": _number("a number"),
    "finite_number": _number("a finite number"),
    "bool_parsing": _number("true or false"),
    "bool_type": _number("true or false"),
    "string_type": _number("a text in quotes"),
    "frozen_set_type": _number("a list of texts"),
    "tuple_type": _number("a list of texts"),
    "dict_type": _number("a table"),
    "model_type": _number("a table"),
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
}


def _wanted(detail: ErrorDetails) -> str:
    """What the setting must be."""
    words = _WANTED.get(detail["type"])
    return words(detail) if words else f"something else ({detail['msg'].lower()})"


def _instead_of(detail: ErrorDetails) -> str:
    """What it is, where that can be said: a number or a short word. Anything longer may be a misplaced secret."""
    value = detail["input"]
    plain = isinstance(value, bool | int | float) or _is_short_word(value)
    said = detail["type"] not in {"setting", "string_type"} and plain
    return f", not {value}" if said else ""


def _is_short_word(value: object) -> bool:
    """Whether a value is too short to be a secret, and stays on its line."""
    return isinstance(value, str) and len(value) <= LONGEST_QUOTED and value.isprintable()


LONGEST_QUOTED = 16  # characters: words and numbers are shorter, every platform's token is longer
