"""The server behind a model, as traces name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from adapters.opentelemetry.conventions import DEFAULT_PROVIDER, PROVIDERS


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A model's name at its server, the provider of its protocol, and the server's host and port."""

    model: str
    provider: str = DEFAULT_PROVIDER
    address: str = ""
    port: int = 0

    @classmethod
    def at(cls, base_url: str, model: str) -> Self:
        """The server of a base URL. User, password and path stay out; an unreadable URL gives no address."""
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return cls(model)
        if not host:
            return cls(model)
        return cls(model, provider_of(host), host, port or (80 if parts.scheme == "http" else 443))


def provider_of(host: str) -> str:
    """The provider of a host, by the conventions' well-known names."""
    host = f".{host.lower().rstrip('.')}"
    # A region comes before a dot, or before a hyphen (us-central1-aiplatform.googleapis.com).
    found = (provider for name, provider in PROVIDERS.items() if host.endswith((f".{name}", f"-{name}")))
    return next(found, DEFAULT_PROVIDER)
