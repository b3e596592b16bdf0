"""Documents generated from the declared settings: the help, `check`'s summary, docs/settings.md and both examples.

``python -m config.docs settings | env | toml`` prints docs/settings.md, .env.example or tickertape.example.toml.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from config.declarations import Setting, declared_in, groups_of
from config.journal_address import without_password
from config.settings import Settings
from config.turn_settings import SHIPPED

WIDTH = 120  # columns of the help and of comments

USAGE = """\
usage: tickertape [run] [--help] [--version]
       tickertape check [--url ADDRESS]
       tickertape migrate [--check]
       tickertape manifest [--http ADDRESS [--oauth]]
       tickertape usage [--csv | --jsonl] [--since DATE] [--until DATE]
       tickertape feedback [--csv | --jsonl] [--since DATE] [--until DATE]

An LLM chat bot for Slack and Discord that streams its answers.

  run      answer questions until stopped (the default)
  check    show the configuration, try each token and the model, and report problems; with the bot's public address
           (--url https://bot.example.com), also try the way of Slack's requests over HTTP to the running bot
  migrate  create or update the tables in PostgreSQL (JOURNAL_URL), before a new version starts; see migrate --help
  manifest print the manifest of the Slack app, to paste into Slack: for Socket Mode, or with the bot's public
           address (--http https://bot.example.com) for events over HTTP, and many workspaces with --oauth
  usage    print every model call: who, where, model, tokens and cost; also while the bot runs
  feedback print every vote on an answer, with its reason; also while the bot runs

The last two print CSV, or one JSON object a line with --jsonl. --since and --until choose rows from a date to before
another, such as 2026-11-01, in the bot's time zone.

Without settings it serves a page to chat in (http://127.0.0.1:8080) with a tiny demonstration model.
Settings are environment variables, or lines of a .env file in the working directory. The TOML file has more:
config/tickertape.example.toml shows every key. The environment overrides the TOML file.
"""

MIGRATE_HELP = """\
usage: tickertape migrate [--check]

Creates or updates the tables of the bot in the PostgreSQL database that JOURNAL_URL names, in the schema "tickertape".
Run it before the first start and before each new version; the bot itself never changes tables. It may run while the
bot runs, twice, or on several machines at once: one of them works, the others wait.

  --check  change nothing; list the migrations that are still to run, and exit with 1 if there are any

Exit codes: 0 the tables fit this version, 1 they do not or the database does not answer, 2 a setting is wrong.
The user needs the right to create a schema in the database (GRANT CREATE ON DATABASE ... TO ...), or a schema
"tickertape" of its own. Hosts run it by themselves: "release:" in the Procfile, an init container on Kubernetes.
With SQLite or without a journal there is nothing to do, and it exits with 0.
"""

CONFIG = ("TICKERTAPE_CONFIG", "Path of the TOML file, if not config/tickertape.toml.")


def catalog() -> tuple[Setting, ...]:
    """Return every declared setting."""
    return declared_in(Settings)


def listed() -> tuple[Setting, ...]:
    """Return the settings of the help, the environment table and ``.env.example``."""
    return tuple(one for one in catalog() if not one.toml_only)


# ------------------------------------------------------------------------------------------------- help and check


def help_text() -> str:
    """Return the text of ``--help``: usage, then one line for each listed setting with its default."""
    name_width = max(len(one.variable) for one in listed())
    default_width = max(len(format_value(one.default)) for one in listed())

    def row(name: str, default: str, summary: str) -> str:
        return f"  {name:<{name_width}}  {default:<{default_width}}  {summary}"

    lines = [USAGE, row("variable", "default", "purpose"), row(CONFIG[0], "", CONFIG[1])]
    for title, group in _by_group(listed()):
        lines += ["", title, *(row(one.variable, format_value(one.default), one.summary) for one in group)]
    return "\n".join(lines) + "\n"


def describe(settings: Settings) -> list[str]:
    """Return one line for each setting that differs from its default; a secret is only ``set``."""
    lines = [f"platforms: {', '.join(settings.platforms)}"]
    for one in catalog():
        value = getattr(getattr(settings, one.group), one.key)
        if value != one.default:
            name = one.dotted if one.toml_only else one.variable
            text = "set" if one.secret else without_password(format_value(value))
            lines.append(f"{name}: {text or '(empty)'}")
    if settings.words.overrides():
        lines.append(f"words of your own: {', '.join(settings.words.overrides())}")
    if settings.models:
        lines.append(f"more models: {', '.join(model.name for model in settings.models)}")
    if settings.personas:
        lines.append(f"personas: {', '.join(persona.name for persona in settings.personas)}")
    if settings.channels:
        lines.append(f"channels with their own settings: {', '.join(sorted(settings.channels))}")
    return lines


def format_value(value: object) -> str:
    """Return a value as an environment variable holds it; empty for None and for an empty list, table or text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value) if value else ""
    if isinstance(value, frozenset | list | tuple):
        return ",".join(map(str, value) if isinstance(value, tuple) else sorted(map(str, value)))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else _shipped(str(value))


# ----------------------------------------------------------------------------------------------------- documents

SETTINGS_PAGE = """\
# Settings

<!-- Generated by `python -m config.docs settings`. Do not edit. -->

Each setting comes from the first of these places that has it:

1. an environment variable,
2. a line of `.env` in the working directory ([.env.example](../.env.example) lists them),
3. the TOML file: `config/tickertape.toml`, or the file in `TICKERTAPE_CONFIG`
   ([config/tickertape.example.toml](../config/tickertape.example.toml) shows every key),
4. the default.

A misspelt or malformed setting is one line on standard error, and the program exits with code 2. An empty variable
counts as unset. Write values the usual way: `INFO` or `info`, `True` or `yes`, `U1, U2`, and `90`, `90s` or `1.5m` for
seconds.

## Environment

| Variable | TOML key | Default | Purpose |
|---|---|---|---|
"""

TOML_SECTION = """
## TOML file only

These rarely need a change. Their environment variables from earlier releases still work.

| TOML key | Default | Purpose |
|---|---|---|
"""

MODELS_SECTION = """
## More models

Each `[[models]]` table adds a model for people to choose, beside the main one ([docs/models.md](models.md)):

| Key | Purpose |
|---|---|
"""

PERSONAS_SECTION = """
## Personas

Each `[[personas]]` table adds a persona for people to choose with the command `persona`:

| Key | Purpose |
|---|---|
"""

OTHER_TABLES = """
## Channels and sentences

`[channels."ID"]` overrides settings for one channel, thread or category:

| Key | Purpose |
|---|---|
"""

WORDS_SECTION = """
`[words]` holds the sentences that readers see. Replace or translate them one by one:

| Key | Use |
|---|---|
"""

SECTIONS = (
    ("models", MODELS_SECTION),
    ("personas", PERSONAS_SECTION),
    ("channels", OTHER_TABLES),
    ("words", WORDS_SECTION),
)


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    parts = [SETTINGS_PAGE, f"| `{CONFIG[0]}` |  |  | {CONFIG[1]} |\n"]
    parts += [f"| `{one.variable}` | `{one.dotted}` |{_cells(one)}" for one in listed()]
    parts.append(TOML_SECTION)
    parts += [f"| `{one.dotted}` |{_cells(one)}" for one in catalog() if one.toml_only]
    groups = groups_of(Settings)
    for group, heading in SECTIONS:
        parts.append(heading)
        parts += [f"| `{key}` | {field.description} |\n" for key, field in groups[group].model_fields.items()]
    return "".join(parts)


def example_environment() -> str:
    """Return the text of ``.env.example``: each listed setting, commented out, below its purpose."""
    lines = [
        "# Copy this file to .env and fill in your values: every way to start the bot in this folder reads it.",
        "# The environment overrides it. Empty means unset.",
        "# Start with OPENAI_API_KEY and OPENAI_MODEL (or OPENAI_BASE_URL for your own server), and platform tokens.",
        "",
        f"# {CONFIG[1]}",
        f"#{CONFIG[0]}=",
    ]
    for title, group in _by_group(listed()):
        lines += ["", f"# --- {title}"]
        for one in group:
            lines += [f"# {one.summary}", f"#{one.variable}={format_value(one.default)}"]
    return "\n".join(lines) + "\n"


def example_toml(strings: Mapping[str, object]) -> str:
    """Return the text of tickertape.example.toml: every key, commented out, at its default.

    `strings` are the core's sentences by name: the defaults of ``[words]``.
    """
    lines = [
        "# Every setting at its default. Copy this file to config/tickertape.toml and uncomment the lines to change.",
        "# Environment variables override it; `tickertape --help` lists them. Keys and tokens work here too",
        "# (model.api_key, discord.token, slack.bot_token, ...), but are safer in the environment.",
    ]
    for title, group in _by_group(catalog()):
        lines += ["", *_comment(title), f"[{group[0].group}]"]
        lines += [line for one in group if not one.secret for line in _toml_lines(one)]
    words = groups_of(Settings)["words"]
    lines += ["", *_comment(_first_line(words)), "[words]"]
    for key, field in words.model_fields.items():
        lines += [*_comment(field.description or ""), f"#{key} = {_toml_value(strings[key])}"]
    return "\n".join(lines) + "\n" + MODELS_EXAMPLE + PERSONAS_EXAMPLE + CHANNELS_EXAMPLE


MODELS_EXAMPLE = """
# More models for people to choose, each with its own server and key (docs/models.md).
#[[models]]
# Its name and label in chat, and its name at the server.
#name = "fast"
#label = "Fast and cheap"
#model = "llama-3.1-8b-instant"
#server = "https://api.groq.com/openai/v1"
# The environment variable with the key.
# For example: api_key_env = "GROQ_API_KEY"
#parameters = { temperature = 0.3 }
#images = false
#context = 128000
# US dollars per million tokens; a call above 100,000 input tokens has the second price.
#[models.price]
#input = 0.05
#cached_input = 0.025
#output = 0.08
#tiers = [{ above = 100000, input = 0.1, output = 0.16 }]
"""

PERSONAS_EXAMPLE = """
# Personas for people to choose.
#[[personas]]
# Its name and label in chat, and its instructions, added to the system prompt.
#name = "teacher"
#label = "Patient teacher"
#prompt = "Explain step by step, with one small example, and end with a question to the reader."
"""

CHANNELS_EXAMPLE = """
# Overrides for one channel, by its id. A thread follows its channel, a Discord channel its category. On Slack the id
# is at the end of the channel's details; on Discord it is in the channel's menu in developer mode.
#[channels."C0123ABCD"]
# The model and its system prompt.
#model = "a-cheaper-model"
#system_prompt = "Answer in French, in at most two sentences."
# Answer only these users here.
#allow_users = ["U0123ABCD"]

#[channels."1122334455667788990"]
# No answers here.
#answer = false
"""


def _by_group(settings: Iterable[Setting]) -> Iterator[tuple[str, list[Setting]]]:
    """Yield each group's title and its settings."""
    groups = groups_of(Settings)
    found: dict[str, list[Setting]] = {}
    for one in settings:
        found.setdefault(one.group, []).append(one)
    for group, members in found.items():
        yield _first_line(groups[group]), members


def _first_line(model: type) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _cells(one: Setting) -> str:
    """Return the last two cells of a setting's row: default and purpose."""
    default = f" `{text}` " if (text := format_value(one.default)) else "  "
    purpose = f"{one.summary} {one.note}".strip().replace("|", "\\|")
    return f"{default}| {purpose} |\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _toml_lines(one: Setting) -> list[str]:
    lines = _comment(f"{one.summary} {one.note}".strip())
    if one.default is None:
        return [*lines, f"# For example: {one.key} = {one.example}"]
    if isinstance(one.default, Path):
        return [*lines, f'# For example: {one.key} = "config/my_prompt.md"']
    return [*lines, f"#{one.key} = {_toml_value(one.default)}"]


def _toml_value(value: object) -> str:
    """Return a value as TOML writes it; for plain values TOML and JSON agree."""
    return json.dumps(sorted(value) if isinstance(value, frozenset) else value, ensure_ascii=False)


def _shipped(text: str) -> str:
    """Return a path within the installed package as it is named in the project."""
    return text.replace(str(SHIPPED), SHIPPED.name)


def main(document: str) -> str:
    """Return the named document. Run as a program, this module is a composition root and may read the core."""
    strings = dataclasses.asdict(importlib.import_module("bot.strings").Strings())
    documents = {"settings": settings_page(), "env": example_environment(), "toml": example_toml(strings)}
    return documents[document]


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]))
