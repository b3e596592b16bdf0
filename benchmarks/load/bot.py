"""The whole bot with a monitor of its event loop's delay: ``python -m benchmarks.load.bot FILE``.

The monitor runs in the measured process and writes its result at the end. The bot itself is unchanged.
"""

from __future__ import annotations

import asyncio
import json
import sys
from array import array
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bot.__main__ import main as run_bot

# How long the watch sleeps; what it sleeps longer is the lag. Short against what is asked of the loop (0.1 s), long
# against what a look costs. Seconds.
STEP = 0.01


async def watch(times: array[float], lags: array[float]) -> None:
    """Note the lag, and when, until cancelled. Times are the machine's monotonic ones, the same in all processes."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + STEP
        await asyncio.sleep(STEP)
        times.append(loop.time())
        lags.append(max(loop.time() - due, 0.0))


def main(file: Path) -> int:
    """Run the bot; at its end, write what was noted to `file` as JSON."""
    times, lags = array("d"), array("d")

    async def watched(command: Coroutine[Any, Any, int]) -> int:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(times, lags))
            try:
                return await command
            finally:
                watching.cancel()

    try:
        return run_bot([], runner=lambda command: asyncio.run(watched(command)))
    finally:
        file.write_text(json.dumps({"times": list(times), "lags": list(lags)}))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
