"""The settings explained: the text of ``--help``, the README's table, and what `check` says is configured.

What belongs here: pure text, generated from what `config.settings` declares, so that it cannot drift. What does not:
anything that reads an environment. ``python -m config.docs`` prints the README's table, and with
``env`` after it the lines of ``.env.example``.
"""

from __future__ import annotations

import json
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings import DEFAULTS, SHIPPED, Settings, fields, variable_of

WIDTH = 100  # columns of the help: a terminal's 80 would break most of the lines once more

USAGE = """\
usage: tickertape [run | check] [--help] [--version]

An LLM chat bot for Slack and Discord whose answers appear while they are being written.

  run      answer questions until told to stop (the default)
  check    say what is configured, try each token and the model, and tell what is missing

With nothing set, it serves a page to chat in (http://127.0.0.1:8080), where a tiny demonstration
model answers. Settings are environment variables; a .env file in the working directory and a TOML
file (config/tickertape.toml, or the one that TICKERTAPE_CONFIG names) say the same and more:
config/tickertape.example.toml shows all of it. The environment wins.
"""


def help_text() -> str:
    """The text of ``--help``: how it is started, and every setting with its default and what it is for."""
    lines = [USAGE]
    for group, rows in _by_group().items():
        lines.extend(textwrap.wrap(_title(group), WIDTH))
        for variable, default, why in rows:
            lines.append(f"  {variable}{f' = {default}' if default else ''}")
            lines.extend(textwrap.wrap(why, WIDTH, initial_indent="      ", subsequent_indent="      "))
        lines.append("")
    return "\n".join(lines)


def markdown_table() -> str:
    """The README's table of settings."""
    lines = ["| Variable | In the TOML file | Default | What for |", "|---|---|---|---|"]
    defaults = shipped_defaults()
    for (group, name), field in fields().items():
        text = format_value(defaults.get((group, name)))
        default = f"`{text}`" if text else ""
        why = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{variable_of(field)}` | `{group}.{name}` | {default} | {why} |")
    return "\n".join(lines) + "\n"


def shipped_defaults() -> dict[tuple[str, str], object]:
    """What each setting is where nothing is said, by its path in the TOML file; secrets have none."""
    tables = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))
    found: dict[tuple[str, str], object] = {}
    for (group, name), field in fields().items():
        if name in tables.get(group, {}):
            found[group, name] = tables[group][name]
        elif field.default not in (PydanticUndefined, None):
            found[group, name] = str(field.default)
    return found


def describe(settings: Settings) -> list[str]:
    """What is configured, one line a setting that is not at its default; secrets only as ``set``."""
    defaults = shipped_defaults()
    lines = [f"platforms: {', '.join(settings.platforms)}"]
    for (group, name), field in fields().items():
        value = getattr(getattr(settings, group), name)
        if is_secret(field):
            said = "set" if value is not None else ""
        else:
            same = _plain(value) == _plain(defaults.get((group, name)))
            said = "" if same else format_value(_plain(value)) or '""'
        if said:
            lines.append(f"{variable_of(field)}: {said}")
    if settings.words.overrides():
        lines.append(f"words of your own: {', '.join(settings.words.overrides())}")
    if settings.channels:
        lines.append(f"channels with their own settings: {', '.join(sorted(settings.channels))}")
    return lines


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is never shown: its type is a secret or None."""
    return any(SecretStr in (kind, *get_args(kind)) for kind in get_args(field.annotation))


def _by_group() -> dict[str, list[tuple[str, str, str]]]:
    """Each concern's rows: variable, default, what for."""
    defaults = shipped_defaults()
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for (group, name), field in fields().items():
        row = (variable_of(field), format_value(defaults.get((group, name))), field.description or "")
        rows.setdefault(group, []).append(row)
    return rows


def _title(group: str) -> str:
    """What a concern is about: its docstring's first line."""
    model = Settings.model_fields[group].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return (model.__doc__ or "").partition("\n")[0]


def _plain(value: object) -> object:
    """A value as TOML would say it, for comparing."""
    if isinstance(value, frozenset):
        return sorted(value)
    return value if isinstance(value, bool | int | float | dict | list | None) else str(value)


def format_value(value: object) -> str:
    """A value as a variable would say it; what is empty shows as nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value) if value else ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value).replace(str(SHIPPED), SHIPPED.name)  # wherever it is installed


def example_environment() -> Iterator[str]:
    """The lines of ``.env.example``: each setting, commented out, under what it is for."""
    for group, rows in _by_group().items():
        yield from textwrap.wrap(_title(group), WIDTH, initial_indent="# ", subsequent_indent="# ")
        for variable, default, why in rows:
            yield from textwrap.wrap(why, WIDTH, initial_indent="#   ", subsequent_indent="#   ")
            yield f"#{variable}={default}"
        yield ""


if __name__ == "__main__":
    sys.stdout.write("\n".join(example_environment()) if sys.argv[1:] == ["env"] else markdown_table())
