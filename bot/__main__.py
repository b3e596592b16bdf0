"""The command line: ``run``, ``check``, ``migrate``, ``manifest``, ``usage``, ``feedback``, ``--help``, ``--version``.

Parts are built in `bot.bootstrap` and run in `bot.lifecycle`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from bot.bootstrap import open_bot, run_checks, start_http_server
from bot.bootstrap_models import model_label
from bot.bootstrap_platforms import slack_address_line
from bot.bootstrap_records import ExportFailed, export_lines
from bot.errors import Failure, Permanent
from bot.lifecycle import serve, tune_gc
from bot.version import program_version
from config.docs import MIGRATE_HELP, describe, help_text
from config.errors import SettingsError
from config.log_setup import configure
from config.settings import Settings
from config.slack_manifest import manifest, request_url
from config.sources import environment

log = logging.getLogger("bot")  # `__name__` is "__main__" if the module is run

EXPORTS = ("usage", "feedback")  # commands that print records

# Exit codes by the shell's convention: 2 for unusable settings, 1 for a failure.
EXIT_USAGE, EXIT_FAILURE, EXIT_OK = 2, 1, 0


def main(
    arguments: Sequence[str] | None = None, *, runner: Callable[[Coroutine[Any, Any, int]], int] = asyncio.run
) -> int:
    """Parse the arguments, read the settings, run the command. Returns the exit code.

    `runner` runs the command's coroutine in an event loop; a benchmark adds a monitor of the loop.
    """
    options = _parse(arguments)
    if options.help or options.version:
        own_help = MIGRATE_HELP if options.command == "migrate" else help_text()
        _print(own_help if options.help else f"tickertape {program_version()}")
        return EXIT_OK
    if options.command == "manifest":
        return _print_manifest(options.http, oauth=options.oauth)
    try:
        settings = Settings.load(environment())
    except SettingsError as error:
        _print_errors(str(error).splitlines())
        return EXIT_USAGE
    if options.command in EXPORTS:  # without a log: the reader of the lines may be a program
        return _run(runner, export(settings, options))
    configure(level=settings.logs.level, style=settings.logs.format, secrets=settings.secrets())
    for line in settings.deprecations:
        log.warning(line)
    return _run(runner, _command(settings, options))


def _run(runner: Callable[[Coroutine[Any, Any, int]], int], command: Coroutine[Any, Any, int]) -> int:
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        return runner(command)
    return EXIT_FAILURE


def _command(settings: Settings, options: argparse.Namespace) -> Coroutine[Any, Any, int]:
    match options.command:
        case "check":
            return check(settings, options.url or "")
        case "migrate":
            return run_migrations(settings, only_check=options.check)
        case _:
            return run(settings)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    usage = f"tickertape [run | check | migrate | manifest | {' | '.join(EXPORTS)}] [--help]"
    parser = argparse.ArgumentParser(prog="tickertape", usage=usage, add_help=False)
    parser.add_argument("command", nargs="?", choices=["run", "check", "migrate", "manifest", *EXPORTS], default="run")
    for option in ("--csv", "--jsonl", "--check", "--oauth"):
        parser.add_argument(option, action="store_true")
    for option in ("--since", "--until"):
        parser.add_argument(option, default="")
    for option in ("--http", "--url"):
        parser.add_argument(option, metavar="ADDRESS")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    options = parser.parse_args(arguments)
    if options.command not in EXPORTS and (options.csv or options.jsonl or options.since or options.until):
        parser.error(f"--csv, --jsonl, --since and --until belong to {' and '.join(EXPORTS)}")
    if options.command != "manifest" and options.http is not None:
        parser.error("--http belongs to manifest")
    if options.oauth and options.http is None:
        parser.error("--oauth belongs to manifest, with --http")
    if options.command != "migrate" and options.check:
        parser.error("--check belongs to migrate")
    if options.command != "check" and options.url is not None:
        parser.error("--url belongs to check")
    if options.csv and options.jsonl:
        parser.error("choose one of --csv and --jsonl")
    return options


async def run(settings: Settings) -> int:
    """Run the bot until a signal; returns the exit code."""
    async with AsyncExitStack() as stack:
        try:
            bot = await open_bot(settings, stack, _report)
            address = await start_http_server(bot.http_server, required=settings.http_server_required)
            await bot.wait_until_ready()
        except Permanent as failure:  # a port is taken, a model is not installed, tables are missing
            _print_errors([str(failure)])
            return EXIT_USAGE
        log.info("started", extra={"site": address, "platforms": ",".join(settings.platforms)})
        if settings.slack.runs and settings.slack.over_http:
            log.info(slack_address_line(settings, address))
        if settings.playground_runs:
            _report(f"open {address} to chat (model: {model_label(settings)})")
        tune_gc()
        succeeded = await serve(
            bot.turns,
            bot.platforms,
            drain_seconds=settings.turns.drain_seconds,
            interactions=bot.interactions,
            keeper=bot.keeper,
        )
        return EXIT_OK if succeeded else EXIT_FAILURE


async def check(settings: Settings, address: str) -> int:
    """Print the configuration, try each token, the model and the address, and print how to fix the failures."""
    for line in describe(settings):
        _print(line)
    try:
        results = await run_checks(settings, address)
    except Permanent as failure:  # the address is none
        _print_errors([str(failure)])
        return EXIT_USAGE
    for result in results:
        state = "FAIL" if not result.ok else "warn" if result.warning else "ok  "
        _print(f"{state} {result.subject}: {result.message}")
        if result.fix:
            _print(f"     -> {result.fix}")
    return EXIT_OK if all(result.ok for result in results) else EXIT_FAILURE


async def run_migrations(settings: Settings, *, only_check: bool) -> int:
    """Update the tables in PostgreSQL, or only look; returns the exit code."""
    from bot.bootstrap_postgres import migrate  # noqa: PLC0415 (a running bot migrates nothing)

    try:
        fits = await migrate(settings, _print, only_check=only_check)
    except Failure as failure:
        _print_errors([str(failure)])
        return EXIT_USAGE if isinstance(failure, Permanent) else EXIT_FAILURE
    return EXIT_OK if fits else EXIT_FAILURE


def _print_manifest(address: str | None, *, oauth: bool) -> int:
    """Print the manifest of the Slack app; returns the exit code. Needs no settings: the app comes first."""
    try:
        text = manifest(request_url(address) if address is not None else "", oauth=oauth)
    except ValueError as error:
        _print_errors([f"--http: {error}"])
        return EXIT_USAGE
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()
    return EXIT_OK


async def export(settings: Settings, options: argparse.Namespace) -> int:
    """Print usage or feedback; returns the exit code."""
    zone = settings.conversation.zone()
    try:
        since, until = _moment(options.since, zone, 0.0), _moment(options.until, zone, math.inf)
    except ValueError:
        _print_errors(["--since and --until must be dates such as 2026-11-01"])
        return EXIT_USAGE
    if settings.journal_database is None:
        _tell_missing_records(settings.records_file)
    try:
        async for line in export_lines(settings, options.command, since, until, jsonl=options.jsonl):
            sys.stdout.buffer.write(line.encode("utf-8"))
        sys.stdout.buffer.flush()
    except ExportFailed as failure:
        _print_errors([str(failure)])
        return EXIT_FAILURE
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()  # or Python reports the pipe again at its end
    return EXIT_OK


def _tell_missing_records(file: Path | None) -> None:
    if file is None:
        _print_errors(["the records are in memory, so there is nothing to read: set JOURNAL_URL as for the bot"])
    elif file.parent.is_dir() and not file.exists():
        _print_errors([f"{file}: there are no records yet"])


def _moment(text: str, zone: tzinfo, default: float) -> float:
    """A date or time in seconds since 1970, in this zone unless it names its own. Raises `ValueError`."""
    if not text:
        return default
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _report(line: str) -> None:
    _print(f"tickertape: {line}")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_errors(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stderr.write(f"tickertape: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
