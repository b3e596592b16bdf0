"""The composition root: settings in, a running bot out. Tests enter by the same functions.

What belongs here: which parts there are, how they are put together, and the order in which they start and stop. What
does not: anything that a part does.

Every task that is started here: one for `TurnManager.run`, one for each platform's `run`. All are in the one TaskGroup
of `serve`, which ends them when a signal says so.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from adapters import discord, embedded, openai, slack
from adapters.http_server import ComponentStatus, HttpServer, ListenFailed
from adapters.journal import JournalOptions, MemoryJournal, SqliteJournal
from adapters.playground import PlaygroundOptions, PlaygroundPlatform
from adapters.prometheus import PrometheusRecorder
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.shared.diagnostics import CheckResult
from bot.access import AccessRules, AllowDeny
from bot.completion import Completion, CompletionPolicy
from bot.delivery.reply import WritePolicy
from bot.errors import Failure, Permanent
from bot.ports import Journal, Model, Platform
from bot.prompt import PromptConfig, PromptLimits, PromptOverride
from bot.strings import Strings
from bot.turns.config import TurnConfig, TurnLimits
from bot.turns.manager import TurnManager
from config.docs import describe, help_text
from config.errors import SettingsError
from config.log_setup import configure
from config.settings import Settings
from config.sources import environment

log = logging.getLogger("bot")  # not __main__, which is what it is called when it is run

# What the process ends with: by the shell's custom 2 is for a call (here: settings) that cannot work, 1 for a failure.
WRONG_SETTINGS, FAILED, FINE = 2, 1, 0

# How many new objects there are before Python's collector looks through them, and how many such rounds before it looks
# further back. Its own 700 and 10 have it look through all that 1,500 live answers hold, half a million objects, again
# and again: 10 s in a minute, 0.4 s at once, in which nothing is read or written. Read by `spare_collector`.
COLLECTOR_ROUNDS = (10_000, 20, 20)

# How long the first attempt of a turn is silent at most where a server may load its model for it: 130 s were seen, of a
# large model from a slow disk. Seconds.
LOADING_SECONDS = 180.0

DEMONSTRATION = "SmolLM2-135M, a tiny demonstration model"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: read the settings, then run the bot or check what it is connected to. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="tickertape", add_help=False)
    parser.add_argument("command", nargs="?", choices=["run", "check"], default="run")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    chosen = parser.parse_args(arguments)
    if chosen.help:
        _say(help_text())
        return FINE
    if chosen.version:
        _say(f"tickertape {_version()}")
        return FINE
    try:
        settings = Settings.load(environment())
    except SettingsError as error:
        _complain(str(error).splitlines())
        return WRONG_SETTINGS
    configure(level=settings.logs.level, style=settings.logs.format, secrets=settings.secrets())
    for line in settings.deprecations:
        log.warning(line)
    command = check if chosen.command == "check" else run
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        return asyncio.run(command(settings))
    return FAILED


async def run(settings: Settings) -> int:
    """Run the bot until a signal; returns the exit code."""
    async with AsyncExitStack() as stack:
        recorder = PrometheusRecorder()
        journal = await open_journal(settings, stack)  # first, so that it is closed last
        try:
            server = await open_embedded(settings, stack)
            model = open_model(settings, stack, server)
            platforms, playground = make_platforms(settings, stack, journal)
            turns = make_turns(settings, model, recorder, journal, platforms)
            site = HttpServer(
                host=settings.site.host,
                port=settings.site.port,
                ready=lambda: {platform.name: platform.ready for platform in platforms},
                render_metrics=recorder.render_metrics,
                components=partial(conditions, turns, journal, server),
                routes=playground.routes() if playground else (),
            )
            stack.push_async_callback(site.close)
            where = await open_site(site, needed=playground is not None)
        except Permanent as failure:  # a port that is taken, a model that is not installed
            _complain([str(failure)])
            return WRONG_SETTINGS
        _announce(settings, where)
        spare_collector()
        return await serve(turns, platforms, drain_seconds=settings.turns.drain_seconds)


# ------------------------------------------------------------------------------------------------------------ the parts


async def open_site(site: HttpServer, *, needed: bool) -> str:
    """Where the site listens. Without one the page cannot be seen, but Slack and Discord are answered all the same."""
    try:
        return await site.start()
    except ListenFailed as failure:
        if needed:
            raise
        log.error("no health and no metrics: %s", failure)  # noqa: TRY400 (expected; its trace tells nothing)
        return ""


async def open_journal(settings: Settings, stack: AsyncExitStack) -> Journal:
    """Where turns are written down; a file that cannot be used says so, and hinders nothing. Closed with the stack."""
    file, chosen = settings.journal_file, settings.journal
    if file is None:
        return MemoryJournal()
    options = JournalOptions(days=chosen.days, repair_seconds=chosen.recovery_max_age_seconds)
    return await stack.enter_async_context(SqliteJournal(file, wall_clock(settings), options))


async def open_embedded(settings: Settings, stack: AsyncExitStack) -> embedded.EmbeddedServer | None:
    """The demonstration model's server, where that model answers. Stopped with the stack."""
    if not settings.embedded_runs:
        return None
    return await stack.enter_async_context(embedded.EmbeddedServer(_tell))


def open_model(settings: Settings, stack: AsyncExitStack, server: embedded.EmbeddedServer | None) -> Model:
    """The model that answers: the one of `server`, or the operator's. Closed with the stack."""
    options = model_options(settings)
    if server is not None:
        options = openai.OpenAIOptions(
            model=server.model, base_url=server.base_url, images=False, parameters=embedded.PARAMETERS
        )
    model = openai.OpenAIModel(options)
    stack.push_async_callback(model.close)
    return model


def conditions(
    turns: TurnManager, journal: Journal, server: embedded.EmbeddedServer | None
) -> Mapping[str, ComponentStatus]:
    """How the parts are that are no platforms, for ``/readyz``."""
    kept = ("degraded" if journal.degraded else "ok") if isinstance(journal, SqliteJournal) else "memory"
    found = {"journal": ComponentStatus("degraded" if turns.degraded else kept)}
    if server is not None:
        found["model"] = ComponentStatus("alive" if server.alive else "dead", healthy=server.alive)
    return found


def wall_clock(settings: Settings) -> Callable[[], datetime]:
    """The date and the time where the operator says that the bot is."""
    return partial(datetime.now, settings.conversation.zone())


def model_options(settings: Settings) -> openai.OpenAIOptions:
    """What the operator chose of the model's server."""
    chosen = settings.model
    return openai.OpenAIOptions(
        model=chosen.name,
        api_key=chosen.api_key.get_secret_value() if chosen.api_key else "",
        base_url=chosen.base_url or openai.OPENAI_BASE_URL,
        api="responses" if chosen.api == "responses" else "chat",
        parameters=MappingProxyType(dict(chosen.parameters)),
        images=chosen.images,
    )


def make_platforms(
    settings: Settings, stack: AsyncExitStack, journal: Journal
) -> tuple[list[Platform], PlaygroundPlatform | None]:
    """Every platform that the settings have, and the playground once more, for its page's routes."""
    platforms: list[Platform] = []
    if (discord_options := make_discord_options(settings)) is not None:
        hosts, local = discord.file_hosts(discord_options), discord.serves_locally(discord_options)
        attachments = make_attachments(settings, hosts, local=local)
        stack.push_async_callback(attachments.close)
        platforms.append(discord.DiscordPlatform(discord_options, attachments))
    if (slack_options := make_slack_options(settings)) is not None:
        attachments = make_attachments(settings, slack.file_hosts(slack_options), bearer=slack_options.bot_token)
        stack.push_async_callback(attachments.close)
        spending = journal if isinstance(journal, SqliteJournal) else None
        platforms.append(slack.SlackPlatform(slack_options, attachments, spending))
    playground = None
    if settings.playground_runs:
        label = DEMONSTRATION if settings.embedded_runs else settings.model.name
        options = PlaygroundOptions(label, allowed_hosts=frozenset(settings.site.allowed_hosts))
        platforms.append(playground := PlaygroundPlatform(options))
    return platforms, playground


def make_discord_options(settings: Settings) -> discord.DiscordOptions | None:
    """What the operator chose of Discord; None where it does not run."""
    chosen = settings.discord
    if chosen.token is None:
        return None
    return discord.DiscordOptions(
        token=chosen.token.get_secret_value(),
        api_url=chosen.api_url,
        gateway_url=chosen.gateway_url,
        write_seconds=settings.writing.write_timeout,
        zone=settings.conversation.zone(),
    )


def make_slack_options(settings: Settings) -> slack.SlackOptions | None:
    """What the operator chose of Slack; None where it does not run."""
    chosen = settings.slack
    if chosen.bot_token is None or chosen.app_token is None:
        return None
    return slack.SlackOptions(
        bot_token=chosen.bot_token.get_secret_value(),
        app_token=chosen.app_token.get_secret_value(),
        api_url=chosen.api_url or None,
        edits=chosen.edits.value,
        edits_latch_seconds=chosen.edits_leak_seconds,
        call_seconds=settings.writing.write_timeout,
        zone=settings.conversation.zone(),
    )


def make_attachments(
    settings: Settings, hosts: frozenset[str], bearer: str = "", *, local: bool = False
) -> Attachments:
    """A reader of attachments for one platform: its own hosts only, with its token where it wants one."""
    chosen = settings.attachments
    limits = AttachmentLimits(
        count=chosen.count,
        bytes=chosen.bytes,
        pixels=chosen.pixels,
        text_characters=chosen.text_characters,
        seconds=chosen.seconds,
    )
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return Attachments(limits, hosts=hosts, headers=headers, local=local)


def make_turns(
    settings: Settings,
    model: Model,
    recorder: PrometheusRecorder,
    journal: Journal,
    platforms: Sequence[Platform] = (),
) -> TurnManager:
    """The core."""
    named = {platform.name: platform for platform in platforms}
    seeded = random.Random()  # noqa: S311 (it spreads retries; nothing secret is drawn)
    asked = settings.completion
    loading_seconds = LOADING_SECONDS if settings.model.loads and asked.first_chunk_timeout is None else 0.0
    policy = CompletionPolicy(
        attempts=asked.attempts,
        first_seconds=asked.first_chunk_timeout or CompletionPolicy().first_seconds,
        loading_seconds=loading_seconds,
        absence_seconds=asked.connect_wait_seconds,
        outage_seconds=asked.outage_seconds,
        stall_seconds=asked.stream_idle_timeout,
        quiet_seconds=asked.no_text_timeout,
        answer_seconds=asked.answer_timeout,
        whole_seconds=asked.fallback_timeout,
        backoff_seconds=asked.backoff_seconds,
        backoff_limit_seconds=asked.backoff_limit_seconds,
        retry_after_limit_seconds=asked.retry_after_limit_seconds,
    )
    return TurnManager(
        make_choices(settings, make_words(settings, durable=journal.durable)),
        Completion(model, policy, recorder, seeded),
        journal,
        recorder,
        random_=seeded,
        wall_clock=wall_clock(settings),
        ready=lambda name: name not in named or named[name].ready,
    )


def make_words(settings: Settings, *, durable: bool) -> Strings:
    """The sentences for readers: the operator's over ours. With a `durable` journal, the next start goes on."""
    words = replace(Strings(), **settings.words.overrides())  # type: ignore[arg-type]  # a test says that the names agree
    return replace(words, interrupted=words.paused) if durable else words


def make_choices(settings: Settings, words: Strings) -> TurnConfig:
    """What the operator chose for turns, as the core's own values."""
    writing, turns = settings.writing, settings.turns
    return TurnConfig(
        access=make_access(settings),
        prompting=make_prompting(settings),
        words=words,
        writing=WritePolicy(
            first_seconds=writing.first_post_delay,
            rollover_after_seconds=writing.rollover_after_seconds,
            shows_reasoning=writing.reasoning.value == "line",
            max_messages=writing.max_messages,
            max_characters=writing.max_characters,
            write_seconds=writing.write_timeout,
            failures=writing.max_failures,
            backoff_seconds=writing.backoff_seconds,
            backoff_limit_seconds=writing.backoff_limit_seconds,
        ),
        limits=TurnLimits(
            waiting=turns.max_queued_per_conversation,
            live=turns.max_concurrent_turns,
            per_user=turns.live_per_user,
            per_channel=turns.live_per_channel,
            repair_seconds=settings.journal.recovery_max_age_seconds,
        ),
    )


def make_access(settings: Settings) -> AccessRules:
    """Who is answered, with each channel's own table."""
    chosen, tables = settings.access, settings.channels
    silent = {place for place, table in tables.items() if not table.answer}
    return AccessRules(
        users=AllowDeny(frozenset(chosen.allow_users), frozenset(chosen.deny_users)),
        roles=AllowDeny(frozenset(chosen.allow_roles), frozenset(chosen.deny_roles)),
        channels=AllowDeny(frozenset(chosen.allow_channels), frozenset(chosen.deny_channels) | silent),
        workspaces=AllowDeny(frozenset(chosen.allow_workspaces), frozenset(chosen.deny_workspaces)),
        by_channel={place: AllowDeny(frozenset(table.allow_users)) for place, table in tables.items()},
        direct_messages=chosen.direct_messages,
        guests=chosen.guests,
        external=chosen.external,
    )


def make_prompting(settings: Settings) -> PromptConfig:
    """What a model is given, with each channel's own prompt and model."""
    chosen = settings.conversation
    characters, question = chosen.history_characters, chosen.question_characters
    if settings.embedded_runs:  # it reads slowly, and its context is small
        characters, question = (min(limit, embedded.HISTORY_CHARACTERS) for limit in (characters, question))
    return PromptConfig(
        default=PromptOverride(chosen.prompt()),
        by_channel={id_: PromptOverride(table.system_prompt, table.model) for id_, table in settings.channels.items()},
        limits=PromptLimits(chosen.history_messages, characters, question),
    )


# -------------------------------------------------------------------------------------------------------------- running


@dataclass(slots=True)
class _Signals:
    """The first signal asks to stop, a second one ends at once."""

    stop: asyncio.Event
    end: Callable[[], object]

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # Windows has no such handlers; Ctrl-C ends at once there
                loop.add_signal_handler(number, self._came)

    def _came(self) -> None:
        if self.stop.is_set():
            self.end()
        self.stop.set()


async def serve(turns: TurnManager, platforms: Sequence[Platform], *, drain_seconds: float) -> int:
    """Let the platforms bring turns until a signal, or until none of them can run; then finish what is live.

    The clients are closed last: what is still being written needs them.
    """
    stop = asyncio.Event()
    main_task = asyncio.current_task()
    assert main_task is not None
    _Signals(stop, main_task.cancel).install()
    async with AsyncExitStack() as closing, asyncio.TaskGroup() as group:
        for platform in platforms:
            closing.push_async_callback(platform.close)
        tasks = [group.create_task(turns.run(), name="turns")]
        await turns.started.wait()
        running = [group.create_task(_run_platform(platform, turns), name=platform.name) for platform in platforms]
        ended = group.create_task(_when_all_ended(running, stop), name="ended")
        await stop.wait()
        failed = all(task.done() for task in running)
        log.info("stopping", extra={"drain_seconds": drain_seconds})
        async with asyncio.TaskGroup() as quieting:  # each may first hand over what it is looking up
            for platform in platforms:
                quieting.create_task(platform.stop_accepting())
        await turns.drain(drain_seconds)
        for task in (*tasks, *running, ended):
            task.cancel()
    return FAILED if failed else FINE


def spare_collector() -> None:
    """Have the collector of unreachable cycles pass over what lives as long as the process, and look at the rest less.

    What has no cycles is freed at once as ever; what has some, a little later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_ROUNDS)


async def _run_platform(platform: Platform, turns: TurnManager) -> None:
    """One platform, until cancelled: one that cannot run (a wrong token), or breaks, does not take the others along."""
    try:
        await platform.run(turns)
    except Failure as failure:
        log.error("platform stopped", extra={"platform": platform.name, "failure": str(failure)})  # noqa: TRY400 (expected; its trace tells nothing)
    except Exception:
        log.exception("platform broke", extra={"platform": platform.name})


async def _when_all_ended(running: Iterable[asyncio.Task[None]], stop: asyncio.Event) -> None:
    await asyncio.wait(running)
    stop.set()


# ------------------------------------------------------------------------------------------------------------- checking


async def check(settings: Settings) -> int:
    """Say what is configured, try each token and the model, and tell what is missing."""
    for line in describe(settings):
        _say(line)
    findings: list[CheckResult] = []
    if (discord_options := make_discord_options(settings)) is not None:
        findings += await discord.check(discord_options)
    if (slack_options := make_slack_options(settings)) is not None:
        findings += await slack.check(slack_options)
    if settings.embedded_runs:
        findings.append(_check_embedded())
    else:
        findings += await openai.check(model_options(settings))
    for finding in findings:
        state = "FAIL" if not finding.ok else "warn" if finding.warning else "ok  "
        _say(f"{state} {finding.subject}: {finding.message}")
        if finding.fix:
            _say(f"     -> {finding.fix}")
    return FINE if all(finding.ok for finding in findings) else FAILED


def _check_embedded() -> CheckResult:
    try:
        embedded.require_installed()
    except embedded.EmbeddedUnavailable as failure:
        return CheckResult("model", ok=False, message=str(failure), fix="or set OPENAI_API_KEY and OPENAI_MODEL")
    return CheckResult("model", ok=True, message=DEMONSTRATION)


# --------------------------------------------------------------------------------------------------------------- saying


def _announce(settings: Settings, where: str) -> None:
    log.info("started", extra={"site": where, "platforms": ",".join(settings.platforms)})
    if settings.playground_runs:
        label = DEMONSTRATION if settings.embedded_runs else settings.model.name
        _tell(f"open {where} to chat (model: {label})")


def _tell(line: str) -> None:
    _say(f"tickertape: {line}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stderr.write(f"tickertape: {line}\n")


def _version() -> str:
    try:
        return version("tickertape")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
