"""What the operator chooses about the model, as one value. Reading it from anywhere is `config`'s work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

# The hosted API (platform.openai.com/docs/api-reference). Given to the SDK always, so that it reads no environment.
OPENAI_BASE_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Which model is asked, where and how.

    `parameters` go into the body of every request as they are (``temperature``, ``max_completion_tokens``,
    ``reasoning_effort``; the Responses API has names of its own), so that a parameter that comes up tomorrow needs no
    release of ours. What we put there ourselves (model, messages, stream) cannot be overridden by them.
    """

    model: str  # no default: models are shut down, and a name baked in here would be one day
    api_key: str = field(default="", repr=False)  # empty for a local server that wants none
    base_url: str = field(default=OPENAI_BASE_URL, repr=False)  # may hold a user and a password: show `where`
    api: Literal["chat", "responses"] = "chat"
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    images: bool = True  # whether the model takes images; without, it is told that there was one
    connect_seconds: float = 5.0  # to reach the server at all; the SDK's own default, long enough for a distant one

    @property
    def where(self) -> str:
        """The base URL as it may be shown: without a user and a password."""
        return re.sub(r"//[^/@]*@", "//", self.base_url)
