"""A real Chromium for tests of our pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright, expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# No network traffic of the browser's own, and no sandbox, because containers have none.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

REQUIRED = bool(os.environ.get("TICKERTAPE_REQUIRE_CHROMIUM"))  # noqa: TID251 (a test's own switch, no setting)

# Five seconds would be too short for a browser on a busy machine. Milliseconds.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)

# The marks of a test in a browser.
NEEDS_CHROMIUM = [
    pytest.mark.sockets(seconds=90),
    pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="there is no Chromium here to show the page in"),
]


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A running Chromium."""
    assert CHROMIUM is not None, "TICKERTAPE_REQUIRE_CHROMIUM is set, and there is no Chromium"
    async with async_playwright() as playwright:
        it = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield it
        finally:
            await it.close()
