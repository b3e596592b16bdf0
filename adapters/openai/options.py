"""Options of the model adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from adapters.openai.read_coalescing import CoalescingOptions

# The hosted API (platform.openai.com/docs/api-reference). Always given to the SDK, so that it reads no environment.
OPENAI_BASE_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Model, server and request parameters.

    `parameters` go unchanged into the body of every request (``temperature``, ``max_completion_tokens``,
    ``reasoning_effort``; the Responses API has names of its own), so a new parameter needs no release of the bot. They
    cannot override our own fields (model, messages, stream).
    """

    model: str  # no default: providers shut models down, so a built-in name would stop working one day
    api_key: str = field(default="", repr=False)  # empty for a local server without keys
    base_url: str = field(default=OPENAI_BASE_URL, repr=False)  # may hold a user and a password: show `where`
    api: Literal["chat", "responses"] = "chat"
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    images: bool = True  # whether the model takes images; without, a text line replaces each image
    requests_per_minute: int = 0  # limit of requests to the server, all turns together; 0 means no limit
    coalescing: CoalescingOptions = field(default_factory=CoalescingOptions)
    connect_seconds: float = 5.0  # to reach the server at all; the SDK's own default, long enough for a distant one

    @property
    def where(self) -> str:
        """The base URL without user and password, for display."""
        return re.sub(r"//[^/@]*@", "//", self.base_url)

    @property
    def server(self) -> tuple[str, str]:
        """Address and key: models with the same ones share a connection."""
        return self.base_url, self.api_key
