"""The migration files beside this module, as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import resources

_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_HEAD = re.compile(r"-- (?P<kind>expand|contract): (?P<purpose>.{10,})")


class Kind(Enum):
    """Whether the version before it still runs on the database afterwards."""

    EXPAND = "expand"  # it only adds: earlier versions work on
    CONTRACT = "contract"  # it takes something away, no longer in use since the version before


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the database's schema."""

    number: int
    name: str
    kind: Kind
    purpose: str
    script: str = field(repr=False)

    @property
    def checksum(self) -> str:
        """Tells a changed file from the one that ran. Line ends do not count: Git may change them."""
        return hashlib.sha256("\n".join(self.script.splitlines()).encode()).hexdigest()

    @property
    def title(self) -> str:
        """Number and name, as in the file's name."""
        return f"{self.number:04} {self.name}"


@cache
def all_migrations() -> tuple[Migration, ...]:
    """All migrations of this version, in order."""
    folder = resources.files(__package__)
    return parse_migrations(
        (each.name, each.read_text(encoding="utf-8")) for each in folder.iterdir() if each.name.endswith(".sql")
    )


def parse_migrations(files: Iterable[tuple[str, str]]) -> tuple[Migration, ...]:
    """Migrations from file names and texts. Raises `ValueError` for a malformed or repeated one."""
    found: dict[int, Migration] = {}
    for file_name, text in files:
        name, head = _FILE_NAME.fullmatch(file_name), _HEAD.match(text)
        if name is None or head is None:
            raise ValueError(f"{file_name}: a migration is named 0001_words.sql and begins with its kind and purpose")
        number = int(name["number"])
        if number in found:
            raise ValueError(f"{file_name}: number {number} is taken by {found[number].name}")
        found[number] = Migration(number, name["name"], Kind(head["kind"]), head["purpose"], text)
    return tuple(found[number] for number in sorted(found))
