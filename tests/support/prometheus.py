"""Prometheus and its promtool, where this machine has them."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.waiting import POLL_SECONDS

# Where the gate unpacks Debian's package.
UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"

# Seconds between two scrapes, and the longest of one; a few of them make a rate.
SCRAPE_SECONDS = 0.5


def program(name: str) -> str:
    """The path of ``promtool`` or ``prometheus``; without it the test is skipped, or fails if it is required."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        if os.environ.get("TICKERTAPE_REQUIRE_PROMTOOL"):  # noqa: TID251 (it is the runner's, and no setting of ours)
            pytest.fail(f"{name} is required, and not installed")
        pytest.skip(f"{name} is not installed")
    return found


def promtool(*arguments: str | Path, folder: Path = ROOT) -> str:
    """Run promtool; returns its output. Raises `AssertionError` with that output if it fails."""
    command = [program("promtool"), *map(str, arguments)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, output
    return output


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a query's result."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A running Prometheus, asked over its API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, **parameters: str) -> Any:
        """The data of a response. Raises `AssertionError` with its error."""
        async with self._session.get(f"/api/v1/{path}", params=parameters) as response:
            body = await response.json()
        assert body["status"] == "success", body
        return body["data"]

    async def query(self, expression: str) -> Sequence[Sample]:
        """The elements of an instant vector that have a value; NaN is none."""
        data = await self.get("query", query=expression)
        samples = [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]
        return [sample for sample in samples if not math.isnan(sample.value)]

    async def scrape(self, times: int = 1) -> None:
        """Wait for this many successful scrapes that begin from now on."""
        expression = 'sum_over_time(up{job="tickertape"}[1h])'
        before = await self.query(expression)
        wanted = (before[0].value if before else 0) + times + 1  # one may have begun
        while not (now := await self.query(expression)) or now[0].value < wanted:
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def prometheus(folder: Path, target: str, rules: Path, port: int) -> AsyncIterator[Prometheus]:
    """Run Prometheus with its data in `folder`, scraping ``host:port`` as the job ``tickertape``."""
    seconds = f"{round(SCRAPE_SECONDS * 1000)}ms"
    config = {
        "global": {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": seconds},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "tickertape", "static_configs": [{"targets": [target]}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        program("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await _until_ready(session, process)
            yield Prometheus(session)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_ready(session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        try:
            async with session.get("/-/ready") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(POLL_SECONDS)
    pytest.fail("Prometheus has ended")
