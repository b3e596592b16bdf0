"""What the composition root makes of the variables of traces: the servers of models, and the lines of `check`."""

from __future__ import annotations

from pathlib import Path

from adapters.opentelemetry import ModelServer
from bot.bootstrap_tracing import check_tracing, make_model_servers
from config.settings import Settings

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}

LISTED = """
[[models]]
name = "fast"
model = "llama-8b"
server = "https://api.groq.com/openai/v1"
api_key = "k"

[[models]]
name = "local"
server = "http://localhost:11434/v1"
"""


def test_each_model_has_its_own_server(tmp_path: Path) -> None:
    """The main model and the listed ones: their servers' names of them, providers and addresses."""
    file = tmp_path / "tickertape.toml"
    file.write_text(LISTED)
    settings = Settings.load(
        {"OPENAI_API_KEY": "k", "OPENAI_MODEL": "gpt-x", "TICKERTAPE_CONFIG": str(file)}, folder=tmp_path
    )
    assert make_model_servers(settings) == {
        "gpt-x": ModelServer("gpt-x", "openai", "api.openai.com", 443),
        "fast": ModelServer("llama-8b", "groq", "api.groq.com", 443),
        "local": ModelServer("local", "openai", "localhost", 11434),
    }


def test_the_demonstration_model_has_no_address(tmp_path: Path) -> None:
    """Its server's port is known only later, and it is nobody's service."""
    (server,) = make_model_servers(Settings.load({}, folder=tmp_path)).values()
    assert server.address == ""
    assert server.model


def test_the_check_tells_where_traces_go(tmp_path: Path) -> None:
    """One line with the collector, and one for each bad value; without variables, none."""
    assert not check_tracing(Settings.load({}, folder=tmp_path))
    (line,) = check_tracing(Settings.load(ENDPOINT, folder=tmp_path))
    assert (line.ok, line.warning, line.message) == (True, False, "sent to collector:4318")
    bad, good = check_tracing(Settings.load(ENDPOINT | {"OTEL_TRACES_SAMPLER": "x"}, folder=tmp_path))
    assert (bad.ok, bad.warning) == (True, True)
    assert good.message == "sent to collector:4318"
