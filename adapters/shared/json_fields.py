"""Typed access to JSON of any shape: a field of the wrong type reads as an empty value of the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


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
