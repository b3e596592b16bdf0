"""The command line: ``run``, ``check``, ``--help`` and ``--version``.

Parts are built in `bot.bootstrap` and run in `bot.lifecycle`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bot.bootstrap import open_bot, run_checks, start_http_server
from bot.bootstrap_models import model_label
from bot.errors import Permanent
from bot.lifecycle import serve, tune_gc
from config.docs import describe, help_text
from config.errors import SettingsError
from config.log_setup import configure
from config.settings import Settings
from config.sources import environment

log = logging.getLogger("bot")  # `__name__` is "__main__" if the module is run

# Exit codes by the shell's convention: 2 for unusable settings, 1 for a failure.
EXIT_USAGE, EXIT_FAILURE, EXIT_OK = 2, 1, 0


def main(
    arguments: Sequence[str] | None = None, *, runner: Callable[[Coroutine[Any, Any, int]], int] = asyncio.run
) -> int:
    """Parse the arguments, read the settings, run the command. Returns the exit code.

    `runner` runs the command's coroutine in an event loop; a benchmark adds a monitor of the loop.
    """
    parser = argparse.ArgumentParser(prog="tickertape", add_help=False)
    parser.add_argument("command", nargs="?", choices=["run", "check"], default="run")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    options = parser.parse_args(arguments)
    if options.help:
        _print(help_text())
        return EXIT_OK
    if options.version:
        _print(f"tickertape {_version()}")
        return EXIT_OK
    try:
        settings = Settings.load(environment())
    except SettingsError as error:
        _print_errors(str(error).splitlines())
        return EXIT_USAGE
    configure(level=settings.logs.level, style=settings.logs.format, secrets=settings.secrets())
    for line in settings.deprecations:
        log.warning(line)
    command = check if options.command == "check" else run
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        return runner(command(settings))
    return EXIT_FAILURE


async def run(settings: Settings) -> int:
    """Run the bot until a signal; returns the exit code."""
    async with AsyncExitStack() as stack:
        try:
            bot = await open_bot(settings, stack, _report)
            address = await start_http_server(bot.http_server, required=settings.playground_runs)
        except Permanent as failure:  # a port is taken, a model is not installed
            _print_errors([str(failure)])
            return EXIT_USAGE
        log.info("started", extra={"site": address, "platforms": ",".join(settings.platforms)})
        if settings.playground_runs:
            _report(f"open {address} to chat (model: {model_label(settings)})")
        tune_gc()
        succeeded = await serve(
            bot.turns,
            bot.platforms,
            drain_seconds=settings.turns.drain_seconds,
            interactions=bot.interactions,
        )
        return EXIT_OK if succeeded else EXIT_FAILURE


async def check(settings: Settings) -> int:
    """Print the configuration, try each token and the model, and print how to fix the failures."""
    for line in describe(settings):
        _print(line)
    results = await run_checks(settings)
    for result in results:
        state = "FAIL" if not result.ok else "warn" if result.warning else "ok  "
        _print(f"{state} {result.subject}: {result.message}")
        if result.fix:
            _print(f"     -> {result.fix}")
    return EXIT_OK if all(result.ok for result in results) else EXIT_FAILURE


def _report(line: str) -> None:
    _print(f"tickertape: {line}")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_errors(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stderr.write(f"tickertape: {line}\n")


def _version() -> str:
    try:
        return version("tickertape")
    except PackageNotFoundError:  # a checkout that was never installed
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
