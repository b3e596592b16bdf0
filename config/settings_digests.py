"""Digests of the settings, one for each table, so that processes can tell whether theirs are the same.

Nobody can tell a value by its digest. The tokens of Slack and Discord are random and long, so they are part of theirs.
Of other secrets, perhaps a person's own words, only the presence counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from config.settings import Settings

# Each process has its own port, log and address of the database.
OWN = MappingProxyType(
    {"site": frozenset({"host", "port", "allowed_hosts"}), "journal": frozenset({"url"}), "logs": None}
)

# Tables with secrets made by the platform, or by a generator of keys: 128 bits at least.
WITH_LONG_SECRETS = frozenset({"slack", "discord"})

# 48 bits: settings that differ have the same digest in one of 10^14 cases.
_DIGITS = 12


def settings_digests(settings: Settings) -> Mapping[str, str]:
    """The digest of each table, but for platforms that this process does not serve.

    Defaults do not count: another version may have others.
    """
    chosen = settings.model_dump(exclude_defaults=True)
    if "system_prompt_file" in (conversation := chosen.get("conversation", {})):
        conversation["system_prompt_file"] = settings.conversation.prompt()
    silent = {name for name in WITH_LONG_SECRETS if name not in settings.platforms}
    tables = (name for name in type(settings).model_fields if name not in silent and OWN.get(name, ()) is not None)
    return {name: _digest(name, chosen.get(name, {})) for name in tables}


def _digest(table: str, values: Any) -> str:  # noqa: ANN401 (a table, or a list of tables)
    if own := OWN.get(table):
        values = {key: value for key, value in values.items() if key not in own}
    plain = partial(_plain, with_secrets=table in WITH_LONG_SECRETS)
    text = json.dumps(values, default=plain, sort_keys=True)
    return hashlib.sha256(f"{table}:{text}".encode()).hexdigest()[:_DIGITS]


def _plain(value: object, *, with_secrets: bool) -> object:
    """A value for JSON."""
    match value:
        case SecretStr():
            return value.get_secret_value() if with_secrets else "set"
        case Enum():
            return value.value
        case Path():
            return str(value)
        case Mapping():
            return dict(value)
        case frozenset():
            return sorted(value)
        case _:
            raise TypeError(f"a setting of the type {type(value).__name__}")
