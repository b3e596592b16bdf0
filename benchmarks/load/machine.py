"""Machine-dependent results: printed, and stored with a description of the machine."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.latency.table import RESULTS


def described() -> str:
    """The machine in a line, without its name: processors, memory, Python, and the day."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    day = datetime.now(UTC).date().isoformat()
    return f"{count} x {_processor()}, {memory:.0f} GiB of memory, {platform.system()}, {python}, {day}"


def _processor() -> str:
    """The processor's model; Linux tells it in a file, others by `platform` or not at all."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def show(name: str, lines: Iterable[str], *, write: bool) -> None:
    """Print a result and where one of its kind is kept; with `write`, keep this one there."""
    text = "".join(f"{line}\n" for line in (described(), "", *lines))
    file = RESULTS / f"{name}.txt"
    if write:
        file.write_text(text, encoding="utf-8")
    where = file.relative_to(RESULTS.parent.parent)
    sys.stdout.write(f"{text}{'kept in' if write else 'the one that is kept:'} {where}\n")
