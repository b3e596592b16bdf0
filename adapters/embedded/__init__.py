"""The embedded demonstration model: a tiny real one (SmolLM2-135M), served by a child process on the loopback.

`adapters.openai` talks to it as to any other server.
"""

from adapters.embedded.launcher import (
    HISTORY_CHARACTERS,
    MODEL,
    PARAMETERS,
    EmbeddedOptions,
    EmbeddedServer,
    EmbeddedUnavailable,
    require_installed,
)

__all__ = [
    "HISTORY_CHARACTERS",
    "MODEL",
    "PARAMETERS",
    "EmbeddedOptions",
    "EmbeddedServer",
    "EmbeddedUnavailable",
    "require_installed",
]
