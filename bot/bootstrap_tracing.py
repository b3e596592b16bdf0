"""The composition root's part for traces."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from adapters import embedded, opentelemetry
from adapters.opentelemetry import ModelServer
from adapters.shared.diagnostics import CheckResult
from bot.bootstrap_models import make_catalog, make_listed_options, make_model_options
from bot.telemetry import Recorder
from bot.version import program_version
from config.settings import Settings
from config.sources import replace_in_environment
from config.tracing import PREFIX

log = logging.getLogger(__name__)


def open_tracing(settings: Settings, stack: AsyncExitStack) -> Sequence[Recorder]:
    """Start to send traces if the operator names a collector; `stack` sends the last ones.

    Returns the recorder of traces, or none; one line of the log tells why not.
    """
    tracing = settings.tracing
    for line in tracing.problems:
        log.warning(line)
    if not tracing.wanted:
        return ()
    replace_in_environment(PREFIX, tracing.values)
    servers = make_model_servers(settings)
    main = servers[make_catalog(settings).default.name]
    try:
        started = opentelemetry.start(
            tracing.collector,
            lambda name: servers.get(name) or ModelServer(name or main.model, main.provider, main.address, main.port),
            version=program_version(),
            clock=asyncio.get_running_loop().time,
            wall_clock=time.time_ns,
        )
    except opentelemetry.TracingUnavailable as failure:
        log.warning(str(failure))
        return ()
    stack.push_async_callback(started.close)
    log.info("traces are sent", extra={"collector": tracing.collector})
    return (started.recorder,)


def check_tracing(settings: Settings) -> Sequence[CheckResult]:
    """Tell about the variables of traces, if any is set; nothing is sent."""
    tracing = settings.tracing
    results = [CheckResult("traces", ok=True, message=line, warning=True) for line in tracing.problems]
    if not tracing.wanted:
        return results
    if opentelemetry.is_installed():
        return [*results, CheckResult("traces", ok=True, message=f"sent to {tracing.collector}")]
    missing = CheckResult(
        "traces", ok=True, message="OpenTelemetry is not installed", fix=opentelemetry.INSTALL, warning=True
    )
    return [*results, missing]


def make_model_servers(settings: Settings) -> Mapping[str, ModelServer]:
    """The server of each model, by its name in the list. Any other name is one of the main model's server."""
    main, *listed = make_catalog(settings)
    options = make_model_options(settings)
    server = ModelServer(embedded.MODEL) if settings.embedded_runs else ModelServer.at(options.base_url, options.model)
    by_name = {main.name: server}
    for info, model in zip(listed, settings.models, strict=True):
        listed_options = make_listed_options(settings, model)
        by_name[info.name] = ModelServer.at(listed_options.base_url, listed_options.model)
    return by_name
