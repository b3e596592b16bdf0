"""How one setting is declared, and the list of all declared settings.

The sources, the help and the generated documents read this list, so a setting is written down once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr
from pydantic.fields import FieldInfo

# Tables of the TOML file without environment variables: too many keys, or keys chosen by the operator.
ONLY_IN_FILE = frozenset({"channels", "models", "personas", "words"})

# Lists of tables, with the word for one entry.
LISTED = MappingProxyType({"models": "model", "personas": "persona"})

Path = tuple[str, str]  # a table and a key of the TOML file: ("completion", "attempts")


class SettingsGroup(BaseModel):
    """A table of the TOML file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Setting:
    """One declared setting. `variable` is its environment variable, `old_variable` and `old_key` its former names.

    `example` is a value in TOML, for a setting without a default.
    """

    group: str
    key: str
    summary: str
    note: str
    variable: str
    toml_only: bool
    old_variable: str
    old_key: str
    default: object
    secret: bool
    example: str

    @property
    def path(self) -> Path:
        """Table and key in the TOML file."""
        return self.group, self.key

    @property
    def dotted(self) -> str:
        """The path as documents and messages write it."""
        return f"{self.group}.{self.key}"

    @property
    def old_path(self) -> Path:
        """Table and former key; the key is empty if the setting was never renamed."""
        return self.group, self.old_key

    @property
    def old_dotted(self) -> str:
        """The former path as messages write it."""
        return f"{self.group}.{self.old_key}"

    @property
    def variables(self) -> tuple[str, ...]:
        """Its environment variables, the current name first."""
        return tuple(name for name in (self.variable, self.old_variable) if name)


def setting(
    variable: str,
    summary: str,
    *,
    default: object,
    note: str = "",
    toml_only: bool = False,
    renamed_from: tuple[str, str] = ("", ""),
    example: str = "90.0",
    ge: int | None = None,
    le: int | None = None,
) -> Any:  # noqa: ANN401 (it stands where a value of any type is declared, as pydantic's own Field does)
    """Declare one setting: a field of a `SettingsGroup`.

    `summary` is one sentence for the help and all documents, `note` the reason for the default and further details,
    for the documents alone. A `toml_only` setting is documented by its key. Its `variable`, kept from earlier releases,
    works without being listed; empty if there was none. `renamed_from` holds the variable and the key of the previous
    release. `example` is a value in TOML for a setting without a default. `ge` and `le` bound a number.
    """
    extra: dict[str, JsonValue] = {
        "variable": variable,
        "note": note,
        "toml_only": toml_only,
        "old_variable": renamed_from[0],
        "old_key": renamed_from[1],
        "example": example,
    }
    return Field(default=default, description=summary, json_schema_extra=extra, ge=ge, le=le)


def groups_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the tables of the TOML file by name, each with its model.

    ``channels`` maps to a single channel's, ``models`` and ``personas`` to a single entry's.
    """
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


def declared_in(model: type[BaseModel]) -> tuple[Setting, ...]:
    """Return every setting of `model` outside of `ONLY_IN_FILE`, in the order of declaration."""
    return tuple(
        _setting(group, key, field)
        for group, kind in groups_of(model).items()
        if group not in ONLY_IN_FILE
        for key, field in kind.model_fields.items()
    )


def _setting(group: str, key: str, field: FieldInfo) -> Setting:
    extra: Mapping[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Setting(
        group=group,
        key=key,
        summary=field.description or "",
        note=extra["note"],
        variable=extra["variable"],
        toml_only=extra["toml_only"],
        old_variable=extra["old_variable"],
        old_key=extra["old_key"],
        default=field.default,
        secret=SecretStr in _parts(field.annotation),
        example=extra["example"],
    )


def _parts(kind: object) -> set[object]:
    """Return every type named within an annotation."""
    return {kind}.union(*(_parts(part) for part in get_args(kind)))
