"""The composition root: builds the running bot from the settings. Tests build their parts with the same functions.

In `bot`, only this module may import `adapters`, and only this module and the command line may import `config`. No
behaviour of a part belongs here.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from adapters import discord, embedded, slack
from adapters.admin.gate import FORMS
from adapters.admin.history import History
from adapters.admin.routes import AdminRoutes
from adapters.http_server import ComponentStatus, HttpServer, ListenFailed
from adapters.prometheus import PrometheusRecorder
from adapters.shared.diagnostics import CheckResult
from bot.access import AccessRules, AllowDeny
from bot.backoff import Backoff
from bot.bootstrap_admin import make_admin_page
from bot.bootstrap_commands import make_preference_rules, open_handlers
from bot.bootstrap_journal import Stores, journal_status, open_stores
from bot.bootstrap_metrics import bot_state, lane_statuses
from bot.bootstrap_models import (
    check_models,
    make_catalog,
    make_completion_policy,
    make_fallback_policy,
    make_listed_policies,
    open_model,
)
from bot.bootstrap_platforms import (
    OpenedPlatforms,
    make_discord_options,
    make_slack_options,
    make_strings,
    open_platforms,
    wall_clock,
)
from bot.bootstrap_records import make_quotas, open_hooks, records_status
from bot.bootstrap_tracing import check_tracing, open_tracing
from bot.completion import Completion
from bot.delivery.policy import ReasoningPolicy, WritePolicy
from bot.feedback import Feedback
from bot.interactions.ports import Interactions
from bot.interactions.service import InteractionService
from bot.journal import Journal
from bot.ports import Model, Platform
from bot.prompt import PromptConfig, PromptLimits, PromptOverride
from bot.record_store import RecordStore
from bot.strings import Strings
from bot.telemetry import Recorder, Recorders
from bot.turns.config import TurnConfig, TurnLimits
from bot.turns.generations import Generations
from bot.turns.hooks import TurnHooks
from bot.turns.manager import TurnManager
from config.settings import Settings

if TYPE_CHECKING:
    from bot.bootstrap_journal import AnyJournal
    from bot.bootstrap_oauth import OpenedOAuth
    from bot.ownership.keeper import Keeper

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bot:
    """The parts with a lifecycle of their own."""

    turns: TurnManager
    platforms: Sequence[Platform]
    http_server: HttpServer
    interactions: Interactions
    keeper: Keeper | None  # of the lanes shared with other processes
    # Wait for a database that is away; raises `Permanent` if this version cannot use it.
    wait_until_ready: Callable[[], Awaitable[None]]


async def open_bot(settings: Settings, stack: AsyncExitStack, report: Callable[[str], None]) -> Bot:
    """Build all parts; `stack` closes them in reverse order. `report` shows a line of progress to the operator.

    Raises `Permanent` if a part cannot work: the embedded model is not installed, for example.
    """
    recorder = PrometheusRecorder()
    traces = open_tracing(settings, stack)  # to be closed last: nobody waits for them
    clock = wall_clock(settings)
    stores = await open_stores(settings, stack, clock, recorder)  # closed after all their users
    journal, records, ownership = stores.journal, stores.records, stores.ownership
    server = await open_embedded_server(settings, stack, report)
    model = open_model(settings, stack, server)
    opened = open_platforms(settings, stack, ownership, records, await _open_oauth(settings, stack, stores))
    platforms = opened.platforms
    strings = make_strings(settings, durable=journal.durable)
    quotas = make_quotas(settings, records, clock)
    rules = make_preference_rules(settings, make_access(settings), make_prompt_config(settings))
    hooks = await open_hooks(
        settings, stack, records, quotas, rules=rules, recorder=recorder, strings=strings, wall_clock=clock
    )
    history = History(clock)
    hooks = replace(hooks, may_run=ownership.may_run)
    turns = make_turns(settings, model, Recorders(recorder, history, *traces), journal, platforms, hooks=hooks)
    ownership.attach(turns, platforms, stores.lane_journal)
    admin = make_admin_page(settings, turns, history, records, wall_clock=clock, keeper=ownership.keeper)
    statuses = partial(component_statuses, turns, journal, records, server, ownership.keeper)
    recorder.add_state(lambda: bot_state(settings, turns, platform_readiness(platforms), statuses()))
    http_server = make_http_server(settings, recorder, opened, admin, statuses)
    stack.push_async_callback(http_server.close)
    generations = Generations(turns, {each.name: each for each in platforms}, edit_seconds=settings.turns.edit_seconds)
    commands = await open_handlers(
        settings, stack, rules, records, quotas, journal=journal, turns=turns, strings=strings, wall_clock=clock
    )
    feedback = Feedback(records, recorder, strings, clock)
    interactions = InteractionService(generations, feedback, commands)
    return Bot(turns, platforms, http_server, interactions, ownership.keeper, stores.wait_until_ready)


async def _open_oauth(settings: Settings, stack: AsyncExitStack, stores: Stores) -> OpenedOAuth | None:
    if not settings.slack.uses_oauth:
        return None
    from bot.bootstrap_oauth import open_oauth  # noqa: PLC0415 (loaded only if it is used)

    return await open_oauth(settings, stack, stores, wall_clock(settings))


def make_http_server(
    settings: Settings,
    recorder: PrometheusRecorder,
    opened: OpenedPlatforms,
    admin: AdminRoutes | None,
    statuses: Callable[[], Mapping[str, ComponentStatus]],
) -> HttpServer:
    """The server for health checks, metrics, the platforms and the operator."""
    return HttpServer(
        host=settings.site.host,
        port=settings.site.port,
        ready=partial(platform_readiness, opened.platforms),
        render_metrics=recorder.render_metrics,
        components=statuses,
        record_response=recorder.responded,
        routes=[*opened.routes, *(admin.routes() if admin else ())],
        bodies=[*opened.bodies, FORMS],
    )


async def start_http_server(http_server: HttpServer, *, required: bool) -> str:
    """Listen and return the address. If not `required`, a failure is logged and the address is empty.

    The playground and Slack over HTTP require the server; the others work without health checks and metrics.
    """
    try:
        return await http_server.start()
    except ListenFailed as failure:
        if required:
            raise
        log.error("no health checks and no metrics: %s", failure)  # noqa: TRY400 (expected; its trace tells nothing)
        return ""


def platform_readiness(platforms: Sequence[Platform]) -> Mapping[str, bool]:
    """Whether the events of each platform arrive."""
    return {platform.name: platform.ready for platform in platforms}


def component_statuses(
    turns: TurnManager,
    journal: AnyJournal,
    records: RecordStore,
    server: embedded.EmbeddedServer | None,
    keeper: Keeper | None = None,
) -> Mapping[str, ComponentStatus]:
    """The status of the journal, the records, the embedded model, and the lease, for ``/readyz``."""
    statuses = {"journal": journal_status(journal, degraded=turns.degraded)}
    if server is not None:
        statuses["model"] = ComponentStatus("alive" if server.alive else "dead", healthy=server.alive)
    return {**statuses, "records": records_status(records), **lane_statuses(keeper)}


async def run_checks(settings: Settings, address: str = "") -> Sequence[CheckResult]:
    """Try each configured token and the model, and Slack's request URL at `address`, if given.

    Raises `Permanent` with one line for the operator if that is no address.
    """
    from bot.bootstrap_oauth import check_slack  # noqa: PLC0415 (a running bot checks nothing)
    from bot.bootstrap_postgres import check_engine  # noqa: PLC0415 (as above)

    url = slack.parse_address(address) if address else ""
    results: list[CheckResult] = []
    if (discord_options := make_discord_options(settings)) is not None:
        results += await discord.check(discord_options)
    if (slack_options := make_slack_options(settings)) is not None:
        site, clock = settings.site, wall_clock(settings)
        way = slack.RequestUrlToCheck(site.host, site.port, url, clock)
        results += await check_slack(settings, slack_options, way)
    if url and not settings.slack.over_http:
        results.append(slack.NOT_OVER_HTTP)
    return [*results, *await check_engine(settings), *await check_models(settings), *check_tracing(settings)]


# ------------------------------------------------------------------------------------------------- journal and model


async def open_embedded_server(
    settings: Settings, stack: AsyncExitStack, report: Callable[[str], None]
) -> embedded.EmbeddedServer | None:
    """Start the server of the demonstration model if it is configured to answer."""
    if not settings.embedded_runs:
        return None
    return await stack.enter_async_context(embedded.EmbeddedServer(report))


# --------------------------------------------------------------------------------------------------------------- core


def make_turns(
    settings: Settings,
    model: Model,
    recorder: Recorder,
    journal: Journal,
    platforms: Sequence[Platform] = (),
    *,
    hooks: TurnHooks = TurnHooks(),  # noqa: B008 (a frozen value)
) -> TurnManager:
    """Build the core on top of the adapters."""
    by_name = {platform.name: platform for platform in platforms}
    random_ = random.Random()  # noqa: S311 (it spreads retries; nothing secret is drawn)
    return TurnManager(
        make_turn_config(settings, make_strings(settings, durable=journal.durable)),
        Completion(model, make_completion_policy(settings), recorder, random_, make_listed_policies(settings)),
        journal,
        recorder,
        random_=random_,
        wall_clock=wall_clock(settings),
        ready=lambda name: name not in by_name or by_name[name].ready,
        hooks=hooks,
        processor_time=time.thread_time,
    )


def make_turn_config(settings: Settings, strings: Strings) -> TurnConfig:
    """All choices of the operator for turns."""
    turns = settings.turns
    return TurnConfig(
        access=make_access(settings),
        prompting=make_prompt_config(settings),
        strings=strings,
        writing=make_write_policy(settings),
        limits=TurnLimits(
            waiting=turns.max_queued_per_conversation,
            live=turns.max_concurrent_turns,
            per_user=turns.live_per_user,
            per_channel=turns.live_per_channel,
            repair_seconds=settings.journal.recovery_max_age_seconds,
        ),
        models=make_catalog(settings),
        fallback=make_fallback_policy(settings),
    )


def make_write_policy(settings: Settings) -> WritePolicy:
    """When and how often replies are written."""
    writing = settings.writing
    return WritePolicy(
        first_seconds=writing.first_post_delay,
        rollover_after_seconds=writing.rollover_after_seconds,
        reasoning_preview=ReasoningPolicy(shown=writing.reasoning.value == "line"),
        max_messages=writing.max_messages,
        max_characters=writing.max_characters,
        write_seconds=writing.write_timeout,
        failures=writing.max_failures,
        backoff=Backoff(writing.backoff_seconds, writing.backoff_limit_seconds),
    )


def make_access(settings: Settings) -> AccessRules:
    """Who may ask and where, with each channel's own table."""
    chosen, tables = settings.access, settings.channels
    silent = {id_ for id_, table in tables.items() if not table.answer}
    return AccessRules(
        users=AllowDeny(frozenset(chosen.allow_users), frozenset(chosen.deny_users)),
        roles=AllowDeny(frozenset(chosen.allow_roles), frozenset(chosen.deny_roles)),
        channels=AllowDeny(frozenset(chosen.allow_channels), frozenset(chosen.deny_channels) | silent),
        workspaces=AllowDeny(frozenset(chosen.allow_workspaces), frozenset(chosen.deny_workspaces)),
        by_channel={id_: AllowDeny(frozenset(table.allow_users)) for id_, table in tables.items()},
        direct_messages=chosen.direct_messages,
        guests=chosen.guests,
        external=chosen.external,
        admins=frozenset(chosen.admins),
    )


def make_prompt_config(settings: Settings) -> PromptConfig:
    """The system prompt and its limits, with each channel's own prompt and model."""
    chosen = settings.conversation
    characters, question = chosen.history_characters, chosen.question_characters
    if settings.embedded_runs:  # a slow model with a small context
        characters, question = (min(limit, embedded.HISTORY_CHARACTERS) for limit in (characters, question))
    return PromptConfig(
        default=PromptOverride(chosen.prompt()),
        by_channel={id_: PromptOverride(table.system_prompt, table.model) for id_, table in settings.channels.items()},
        limits=PromptLimits(chosen.history_messages, characters, question),
        contexts=make_catalog(settings).contexts(),
    )
