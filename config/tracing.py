"""The ``OTEL_*`` variables of traces: whether they are sent, and which values OpenTelemetry's SDK may have.

The SDK reads them from the process's environment. It answers a bad value with a traceback, or with a line that quotes a
secret header, so each is checked here: a bad one is named in one line and withheld, and the SDK's default holds.

Sources: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

PREFIX = "OTEL_"

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
SUPPORTED_PROTOCOL = "http/protobuf"

# As the SDK knows them.
SAMPLERS = frozenset(
    {
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    }
)
QUEUE, BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
DEFAULT_QUEUE, DEFAULT_BATCH = 2_048, 512

# Larger numbers are mistakes: a million spans in the queue take a gigabyte, and nobody waits a day for a collector.
MOST = 1_000_000
MOST_SECONDS = 86_400.0

# One header: a name, and a value of printable ASCII without a comma, perhaps percent-encoded.
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\s*=\s*[\x20-\x2b\x2d-\x7e]*")
_PAIR = re.compile(r"[^=,]+=[^,]*")


@dataclass(frozen=True, slots=True)
class TracingVariables:
    """What the variables say. `values` are for the SDK; `problems` are lines for the operator, without any secret.

    `collector` is the host and port that traces go to; empty if none are sent.
    """

    collector: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def wanted(self) -> bool:
        """Whether traces are to be sent."""
        return bool(self.collector)


def read_tracing(variables: Mapping[str, str]) -> TracingVariables:
    """Read the variables, which are set and not empty. Nothing is raised: without traces, the bot works as well."""
    given = {name: text for name, text in variables.items() if name.startswith(PREFIX)}
    secrets = frozenset(filter(None, _secrets(given)))
    endpoint = next((name for name in ENDPOINTS if name in given), "")
    if not endpoint or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return TracingVariables(secrets=secrets)
    if (exporter := given.get("OTEL_TRACES_EXPORTER", "otlp").lower()) != "otlp":
        problem = () if exporter == "none" else ("OTEL_TRACES_EXPORTER must be otlp or none: no traces are sent",)
        return TracingVariables(problems=problem, secrets=secrets)
    protocol = next((name for name in PROTOCOLS if name in given), "")
    if protocol and given[protocol].lower() != SUPPORTED_PROTOCOL:
        line = f"{protocol} must be {SUPPORTED_PROTOCOL} (usually port 4318 of a collector): no traces are sent"
        return TracingVariables(problems=(line,), secrets=secrets)
    collector = _host_and_port(given[endpoint])
    if not collector:
        line = f"{endpoint} must be an address such as http://localhost:4318: no traces are sent"
        return TracingVariables(problems=(line,), secrets=secrets)
    values, problems = _checked(given)
    return TracingVariables(collector, values, tuple(problems), secrets)


def _checked(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The values fit for the SDK, and a line for each other one."""
    values, problems = dict(given), []
    for name, check in _CHECKS.items():
        if name in given and not check.accepts(given[name]):
            del values[name]
            problems.append(f"{name} must be {check.expected}: its default is used")
    for name in HEADERS:
        if name in given:
            entries = [entry.strip() for entry in given[name].split(",") if entry.strip()]
            good = [entry for entry in entries if _HEADER.fullmatch(entry) and unquote(entry).isprintable()]
            values[name] = ",".join(good)
            if len(good) < len(entries):
                problems.append(f"{name} must be name=value pairs with commas between them: others are left out")
    if int(values.get(BATCH, DEFAULT_BATCH)) > int(values.get(QUEUE, DEFAULT_QUEUE)):
        problems.append(f"{BATCH} must be at most {QUEUE}: the defaults of both are used")
        for name in (BATCH, QUEUE):
            values.pop(name, None)
    return values, problems


def _host_and_port(address: str) -> str:
    """The host and port of an address without user and password; empty for anything else."""
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or not address.isprintable() or " " in address:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}"


def _secrets(given: Mapping[str, str]) -> Iterator[str]:
    """The values of headers as written and as sent, and passwords in addresses; of ``Bearer x`` also ``x``."""
    for name in HEADERS:
        for entry in given.get(name, "").split(","):
            value = (entry.partition("=")[2] or entry).strip()
            for text in (value, unquote(value)):
                yield text
                yield text.rpartition(" ")[2]
    for name in ENDPOINTS:
        userinfo = given.get(name, "").rpartition("@")[0].rpartition("//")[2]
        password = userinfo.partition(":")[2]
        yield from (password, unquote(password))


# ------------------------------------------------------------------------------------------------------ single values


@dataclass(frozen=True, slots=True)
class _Check:
    accepts: Callable[[str], bool]
    expected: str


def _is_count(text: str, least: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) and least <= int(text) <= MOST


def _is_number(text: str, most: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and 0 <= number <= most


def _is_positive_seconds(text: str) -> bool:
    return _is_number(text, MOST_SECONDS) and float(text) > 0


def _are_pairs(text: str) -> bool:
    return all(_PAIR.fullmatch(entry.strip()) for entry in text.split(",") if entry.strip())


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long, or with a null
        return False


def _each(names: Iterable[str], check: _Check) -> dict[str, _Check]:
    return dict.fromkeys(names, check)


_POSITIVE = _Check(lambda text: _is_count(text, 1), f"a whole number from 1 to {MOST:,}")
_COUNT = _Check(lambda text: _is_count(text, 0), f"a whole number from 0 to {MOST:,}")
_SECONDS = _Check(_is_positive_seconds, f"a number of seconds up to {MOST_SECONDS:,.0f}")
_COMPRESSION = _Check(lambda text: text.lower() in {"none", "gzip", "deflate"}, "none, gzip or deflate")
_FILE = _Check(_is_file, "the name of a file")

_CHECKS: Mapping[str, _Check] = MappingProxyType(
    {
        **_each(("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", QUEUE, BATCH), _POSITIVE),
        **_each(
            (
                "OTEL_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_SPAN_EVENT_COUNT_LIMIT",
                "OTEL_SPAN_LINK_COUNT_LIMIT",
                "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
            ),
            _COUNT,
        ),
        **_each(("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"), _SECONDS),
        **_each(("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"), _COMPRESSION),
        **_each(
            (
                f"OTEL_EXPORTER_OTLP_{signal}{kind}"
                for signal in ("", "TRACES_")
                for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
            ),
            _FILE,
        ),
        "OTEL_TRACES_SAMPLER": _Check(lambda text: text.lower() in SAMPLERS, f"one of {', '.join(sorted(SAMPLERS))}"),
        "OTEL_TRACES_SAMPLER_ARG": _Check(lambda text: _is_number(text, 1.0), "a number from 0 to 1"),
        "OTEL_RESOURCE_ATTRIBUTES": _Check(_are_pairs, "name=value pairs with commas between them"),
    }
)
