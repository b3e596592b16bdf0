"""`SettingsError`, and the wording of malformed and unknown settings: one line each, with the operator's own name.

No line contains a secret's value.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.declarations import LISTED

PREFIX = "TICKERTAPE_"  # ours alone, so an unknown name below it is a misspelling

LONGEST_QUOTED = 16  # characters: words and numbers are shorter, every platform's token is longer

# The operator's name of a setting, by its path in the TOML file.
NameOf = Callable[[tuple[str, ...]], str]


class SettingsError(Exception):
    """Unusable settings; `lines` has one for each problem, printable on the operator's terminal."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def unknown_variables(variables: Iterable[str], *, known: frozenset[str]) -> list[str]:
    """Return a line for each unknown variable with our prefix: a misspelling would otherwise pass unnoticed."""
    unknown = sorted(name for name in variables if name.startswith(PREFIX) and name not in known)
    # Compare without the prefix, which would make all of them look alike.
    ours = {name.removeprefix(PREFIX): name for name in known if name.startswith(PREFIX)}
    near = {name: _near(name.removeprefix(PREFIX), ours, PREFIX) for name in unknown}
    return [f"{toml_key(name)} is not a setting{near[name]}" for name in unknown]


def from_validation(error: ValidationError, name: NameOf, groups: Mapping[str, type[BaseModel]]) -> list[str]:
    """Return pydantic's findings as lines, one for each setting."""
    details = error.errors(include_url=False, include_context=True)
    lines = (_line(detail, name, groups) for detail in details)
    return list(dict.fromkeys(lines))  # a list with two bad entries is one bad setting


def _line(detail: ErrorDetails, name: NameOf, groups: Mapping[str, type[BaseModel]]) -> str:
    """Return the line of one problem."""
    path = tuple(str(step) for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{name(path)} is not a setting{_near(path[-1], _siblings(path, groups))}"
    if path[0] in LISTED and len(path) == 1:
        return f"{name(path)} must be a list of tables: [[{path[0]}]]"
    if len(path) == 1 and path[0] != "channels":
        return f"{name(path)} must be a table: [{path[0]}]"
    # A list's entries and a union's branches are parts of one setting.
    depth = 3 if path[0] in {"channels", *LISTED} else 2
    return f"{name(path[:depth])} must be {_expected(detail)}{_instead_of(detail)}"


def _siblings(path: tuple[str, ...], groups: Mapping[str, type[BaseModel]]) -> Iterable[str]:
    """Return the existing names beside the unknown name at the end of `path`."""
    return groups if len(path) == 1 else groups[path[0]].model_fields


def _near(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Suggest the known name closest to `name`."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {prefix}{close[0]}?" if close else "; see `tickertape --help`"


def toml_key(name: str) -> str:
    """Write a key as TOML does: in quotes unless it is a plain word, so it stays on its line."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


def _kind(kind: str) -> Callable[[ErrorDetails], str]:
    return lambda _detail: kind


def _bound(comparison: str, key: str) -> Callable[[ErrorDetails], str]:
    return lambda detail: f"{comparison} {detail.get('ctx', {})[key]:g}"


# Pydantic's error types, each with the end of "NAME must be ...". Other types keep pydantic's message.
_EXPECTED: Mapping[str, Callable[[ErrorDetails], str]] = MappingProxyType(
    {
        "setting": lambda detail: detail["msg"],
        "missing": _kind("given"),
        "enum": lambda detail: str(detail.get("ctx", {})["expected"]).replace("'", ""),
        "int_parsing": _kind("a whole number"),
        "int_type": _kind("a whole number"),
        "int_from_float": _kind("a whole number"),
        "int_parsing_size": _kind("a smaller number"),
        "float_parsing": _kind("a number"),
        "float_type": _kind("a number"),
        "finite_number": _kind("a finite number"),
        "bool_parsing": _kind("true or false"),
        "bool_type": _kind("true or false"),
        "string_too_long": lambda detail: f"a text of at most {detail.get('ctx', {})['max_length']} characters",
        "string_type": _kind("a text in quotes"),
        "frozen_set_type": _kind("a list of texts"),
        "tuple_type": _kind("a list of texts"),
        "dict_type": _kind("a table"),
        "model_type": _kind("a table"),
        "greater_than": _bound("more than", "gt"),
        "greater_than_equal": _bound("at least", "ge"),
        "less_than": _bound("less than", "lt"),
        "less_than_equal": _bound("at most", "le"),
    }
)


def _expected(detail: ErrorDetails) -> str:
    """Return the end of "NAME must be ..."."""
    ending = _EXPECTED.get(detail["type"])
    return ending(detail) if ending else f"something else ({detail['msg'].lower()})"


def _instead_of(detail: ErrorDetails) -> str:
    """Quote the value if it is a number or a short word; a longer one may be a misplaced secret."""
    value = detail["input"]
    plain = isinstance(value, bool | int | float) or is_short_word(value)
    quotable = detail["type"] not in {"setting", "string_type"} and plain
    return f", not {value}" if quotable else ""


def is_short_word(value: object) -> bool:
    """Whether a value is too short for a secret, and printable."""
    return isinstance(value, str) and len(value) <= LONGEST_QUOTED and value.isprintable()
