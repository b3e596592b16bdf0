"""Fuzzing: the suite's property tests and pairs of injected faults, with new seeds until the time is up: `make fuzz`.

Properties belong to the test files, so that every finding is a failing test.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from collections.abc import Sequence

from tests.stress.fault_injection import fails
from tests.stress.test_fault_injection import SCENES, pair
from tests.support.paths import ROOT

# Pairs of faults per round: they take about as long as the properties.
_PAIRS = 2_000


async def properties(seed: int) -> bool:
    """Run the property tests with a seed; whether all pass."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-m", "hypothesis", f"--hypothesis-seed={seed}", "-q", cwd=ROOT
    )
    return await process.wait() == 0


def faults(seed: int, count: int) -> list[str]:
    """The problems after `count` random pairs of faults."""
    random_ = random.Random(seed)
    played = (
        fails(random_.choice(SCENES), *pair(random_), drain_seconds=random_.choice([0.0, 1.0])) for _ in range(count)
    )
    return [problem for problem in played if problem]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 1 if a property fails; the output has its seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    with asyncio.Runner() as runner:
        began = runner.get_loop().time()
        seed = chosen.seed
        while (spent := runner.get_loop().time() - began) < chosen.seconds:
            sys.stdout.write(f"seed {seed}, after {spent:.0f} s\n")
            sys.stdout.flush()
            if not runner.run(properties(seed)):
                return 1
            logging.disable(logging.CRITICAL)
            if wrong := faults(seed, _PAIRS):
                sys.stdout.write("\n".join(wrong) + "\n")
                return 1
            logging.disable(logging.NOTSET)
            seed += 1
    sys.stdout.write(f"{seed - chosen.seed} rounds, nothing found\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
