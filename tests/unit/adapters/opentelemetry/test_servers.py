"""The server of a model, from its base URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.opentelemetry.servers import ModelServer, provider_of


@pytest.mark.parametrize(
    ("base_url", "provider", "address", "port"),
    [
        ("https://api.openai.com/v1", "openai", "api.openai.com", 443),
        ("http://localhost:11434/v1", "openai", "localhost", 11434),
        ("http://model.internal/v1", "openai", "model.internal", 80),
        ("https://me:secret@gateway.example:8443/v1?key=secret", "openai", "gateway.example", 8443),
        ("https://api.groq.com/openai/v1", "groq", "api.groq.com", 443),
        ("https://acme.openai.azure.com/openai/v1/", "azure.ai.openai", "acme.openai.azure.com", 443),
        (
            "https://bedrock-runtime.eu-west-1.amazonaws.com/v1",
            "aws.bedrock",
            "bedrock-runtime.eu-west-1.amazonaws.com",
            443,
        ),
        (
            "https://eu-aiplatform.googleapis.com/v1",
            "gcp.vertex_ai",
            "eu-aiplatform.googleapis.com",
            443,
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gcp.gemini",
            "generativelanguage.googleapis.com",
            443,
        ),
        ("http://[::1]:8000/v1", "openai", "::1", 8000),
    ],
)
def test_a_base_url_names_provider_and_address(base_url: str, provider: str, address: str, port: int) -> None:
    """Host and port stay, the rest does not; a well-known host gives its provider."""
    assert ModelServer.at(base_url, "m") == ModelServer("m", provider, address, port)


@pytest.mark.parametrize("base_url", ["", "nonsense", "http://[broken", "http://host:99999999/v1"])
def test_an_unreadable_address_is_left_out(base_url: str) -> None:
    """The span then has a model and no address."""
    assert ModelServer.at(base_url, "m") == ModelServer("m")


def test_only_whole_labels_of_a_host_count() -> None:
    """A host whose name merely ends in the same letters is another company's."""
    assert provider_of("notapi.groq.com.example") == "openai"
    assert provider_of("evilapi.x.ai") == "openai"
    assert provider_of("API.X.AI.") == "x_ai"


@given(st.text(), st.text())
def test_no_text_breaks_it(base_url: str, model: str) -> None:
    """Any address gives a server, and never its password."""
    server = ModelServer.at(f"https://user:hunter2-secret@{base_url}", model)
    assert "hunter2-secret" not in server.address
