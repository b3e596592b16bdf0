"""The OTEL_* variables: which start traces, which are withheld from the SDK, and what the operator reads."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from config.sources import replace_in_environment
from config.tracing import TracingVariables, read_tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("variables", "collector"),
    [
        ({}, ""),
        ({"OTEL_SERVICE_NAME": "bot"}, ""),
        (ENDPOINT, "collector:4318"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:secret@otlp.example/path"}, "otlp.example:443"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4318"}, "[::1]:4318"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:1/v1/traces"}, "traces:1"),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, ""),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, ""),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "no"}, "collector:4318"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, ""),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, "collector:4318"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "collector:4318"),
    ],
    ids=str,
)
def test_a_collector_starts_traces(variables: dict[str, str], collector: str) -> None:
    """Traces are sent if an address is set, unless they are switched off; none of these is a problem."""
    tracing = read_tracing(variables)
    assert tracing.collector == collector
    assert tracing.wanted is bool(collector)
    assert tracing.problems == ()
    assert tracing.values == (variables if collector else {})


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:port"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://two words"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
    ],
    ids=str,
)
def test_an_unusable_collector_is_one_line(variables: dict[str, str], named: str) -> None:
    """The line names the variable and says that no traces are sent; the bot starts all the same."""
    tracing = read_tracing(variables)
    assert not tracing.wanted
    (line,) = tracing.problems
    assert line.startswith(named)
    assert line.endswith("no traces are sent")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-5"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9" * 5_000),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "\N{SUPERSCRIPT TWO}"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "nan"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "x" * 10_000),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_TRACES_SAMPLER_ARG", "half"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "long"),
    ],
)
def test_a_bad_value_is_one_line_and_the_default_holds(name: str, value: str) -> None:
    """The SDK never sees the value, and traces are sent."""
    tracing = read_tracing(ENDPOINT | {name: value})
    assert tracing.values == ENDPOINT
    (line,) = tracing.problems
    assert line.startswith(f"{name} must be ")
    assert value not in line.removeprefix(name) or len(value) <= 4


def test_a_batch_larger_than_the_queue_is_one_line() -> None:
    """The SDK would refuse both; each default holds."""
    tracing = read_tracing(ENDPOINT | {"OTEL_BSP_MAX_QUEUE_SIZE": "100"})
    assert tracing.values == ENDPOINT
    assert len(tracing.problems) == 1
    both = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"}
    assert read_tracing(ENDPOINT | both).problems == ()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization=Bearer hunter2-secret", "Authorization=Bearer hunter2-secret"),
        ("authorization=Basic%20aHVudGVyMg==,x-team=a", "authorization=Basic%20aHVudGVyMg==,x-team=a"),
        ("x-team=a, hunter2-secret", "x-team=a"),
        ("hunter2-secret", ""),
        ("x-team=a,x-key=hunter2\nsecret", "x-team=a"),
        ("x-key=hunter2%0d%0asecret", ""),
    ],
)
def test_malformed_headers_are_left_out_and_never_quoted(text: str, kept: str) -> None:
    """Good headers are sent, malformed ones are not; no line holds any part of a value."""
    tracing = read_tracing(ENDPOINT | {"OTEL_EXPORTER_OTLP_HEADERS": text})
    assert tracing.values["OTEL_EXPORTER_OTLP_HEADERS"] == kept
    assert bool(tracing.problems) is (kept != text)
    assert not any("hunter2" in line for line in tracing.problems)
    assert "hunter2" not in repr(tracing)


def test_header_values_and_passwords_are_secrets_of_the_log() -> None:
    """The log masks them in every spelling: encoded, decoded, and without the word before a token."""
    settings = Settings.load(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:pass%2Dword@otlp.example",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hunter2-secret",
        }
    )
    secrets = settings.secrets()
    assert {"Bearer%20hunter2-secret", "Bearer hunter2-secret", "hunter2-secret"} <= secrets
    assert {"pass%2Dword", "pass-word"} <= secrets
    assert settings.tracing.collector == "otlp.example:443"


def test_settings_without_the_variables_have_no_traces() -> None:
    """Nothing starts by itself."""
    assert Settings.load({}).tracing == TracingVariables()


NAMES = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(min_size=1) | st.sampled_from(["http://a:1", "1", "600"])))
def test_no_value_stops_the_start(variables: dict[str, str]) -> None:
    """Whatever is in the variables: nothing is raised, and each problem is one line."""
    tracing = read_tracing(variables)
    assert all("\n" not in line for line in tracing.problems)
    assert not tracing.wanted or set(tracing.values) <= set(variables)


def test_the_environment_gets_exactly_the_checked_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK sees a value from a file, and no withheld one; other variables stay."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "nonsense")
    monkeypatch.setenv("PATH_OF_SOMEBODY", "stays")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "before")
    replace_in_environment("OTEL_", {"OTEL_SERVICE_NAME": "after"})
    found = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}  # noqa: TID251 (the subject)
    assert found == {"OTEL_SERVICE_NAME": "after"}
    assert os.environ["PATH_OF_SOMEBODY"] == "stays"  # noqa: TID251 (as above)
