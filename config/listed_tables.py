"""The rules common to the lists ``[[models]]`` and ``[[personas]]``: people choose an entry in chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from config.declarations import LISTED
from config.errors import NameOf

# Discord's menus have at most 25 options. The main model and "default", or "default" and "in your own words", take two
# (https://docs.discord.com/developers/components/reference#string-select).
MOST_ENTRIES = 23

# Words of the commands beside an entry's name.
RESERVED = frozenset({"default", "none", "list"})

_NONE: Mapping[str, str] = MappingProxyType({})


class Entry(Protocol):
    """One entry of a list; an empty label means the name."""

    @property
    def name(self) -> str:
        """The name for choosing it in chat."""
        ...

    @property
    def label(self) -> str:
        """The name shown to people."""
        ...


def problems(group: str, entries: Sequence[Entry], name: NameOf, taken: Mapping[str, str] = _NONE) -> Iterator[str]:
    """A menu shows every entry, and a name or label chosen in chat means one of them.

    `taken` maps further names and labels, case-folded, to their owners.
    """
    if len(entries) > MOST_ENTRIES:
        yield f"{name((group,))} must have at most {MOST_ENTRIES} entries: Discord's menus take no more"
    owners = dict(taken)
    for number, entry in enumerate(entries):
        for key, text in (("name", entry.name), ("label", entry.label)):
            if owner := owners.get(text.casefold(), ""):
                yield f"{name((group, str(number), key))} is taken already, by {owner}: choose another"
        owners |= {text.casefold(): f'the {LISTED[group]} "{entry.name}"' for text in (entry.name, entry.label) if text}
