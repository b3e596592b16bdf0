"""The embedded demonstration model: a tiny real one (SmolLM2-135M), served by a child process on the loopback.

What belongs here: starting, watching and stopping that process (`launcher`), and the process itself (`server`). What
does not: talking to it, which `adapters.openai` does as with any other server.
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
