"""Typed access to JSON of any shape: a field of the wrong type reads as an empty value of the right one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Json = Mapping[str, Any]

# Limit of `objects_at`: platforms allow ten embeds and fifty blocks, but a paragraph of rich text has a part for each
# link and name.
MAX_OBJECTS = 200

# Nesting depth of stored JSON. Discord nests components eleven deep, Slack the rich text of a shared message twelve.
MAX_DEPTH = 16


def as_object(value: object) -> Json:
    """The value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is a list, otherwise an empty one."""
    return value if isinstance(value, list) else []


def as_string(value: object) -> str:
    """The value if it is a string, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def object_field(data: Json, name: str) -> Json:
    """An object field; empty if missing or of another type."""
    return as_object(data.get(name))


def list_field(data: Json, name: str) -> list[Any]:
    """A list field; empty if missing or of another type."""
    return as_list(data.get(name))


def string_field(data: Json, name: str) -> str:
    """A string field; empty if missing or of another type."""
    return as_string(data.get(name))


def string_at(data: object, *path: str) -> str:
    """The string at a path of field names, stripped; empty if missing."""
    return as_string(_value_at(data, path)).strip()


def number_at(data: object, *path: str) -> int | None:
    """The integer at a path of field names; None if missing."""
    value = _value_at(data, path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def object_at(data: object, *path: str) -> Json:
    """The object at a path of field names; empty if missing."""
    return as_object(_value_at(data, path))


def objects_at(data: object, *path: str) -> list[dict[str, Any]]:
    """The objects in the list at a path of field names, among its first `MAX_OBJECTS` entries."""
    return [entry for entry in as_list(_value_at(data, path))[:MAX_OBJECTS] if isinstance(entry, dict)]


def _value_at(data: object, path: tuple[str, ...]) -> object:
    for name in path:
        data = as_object(data).get(name)
    return data


def select_fields(value: object, names: Collection[str], depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401 (JSON of any shape)
    """`value` with only these field names and nothing below `depth`, for storage."""
    if isinstance(value, dict) and depth:
        return {name: select_fields(each, names, depth - 1) for name, each in value.items() if name in names}
    if isinstance(value, list) and depth:
        return [select_fields(each, names, depth - 1) for each in value]
    return None if isinstance(value, dict | list) else value
