"""The operator's page in a real browser: looks, keyboard, accessibility, live turns."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from bot.conversation import Author, Ending, TurnKey
from bot.delivery.phases import Phase
from bot.interactions.values import Vote
from bot.ledger import LedgerEntry
from bot.ownership.telemetry import OwnershipStatus
from bot.records import VoteRecord, person
from bot.telemetry import Figures
from bot.turns.live import LiveTurn
from tests.support.admin import NOW, TOKEN, Admin, admin
from tests.support.browser import NEEDS_CHROMIUM, browser

pytestmark = NEEDS_CHROMIUM

AMONG_OTHERS = OwnershipStatus(
    "0123456789abcdef",
    is_valid=True,
    lease_age=0.5,
    write_seconds=3.0,
    owned={"discord": 2, "slack": 1_200},
    unowned={"discord": 0, "slack": 3},
)
PHONE = {"width": 360, "height": 740}


@asynccontextmanager
async def visited(it: Browser, page_of: Admin, path: str = "/admin", **context: Any) -> AsyncIterator[Page]:
    """A page in a context of its own. An error in its console fails the test, except for the expected 401."""
    contents = await it.new_context(base_url=page_of.url, **context)
    page = await contents.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        await page.goto(path)
        yield page
        assert [line for line in errors if "401" not in line] == []
    finally:
        await contents.close()


async def log_in(page: Page) -> None:
    """Type the token and press Enter."""
    await page.keyboard.type(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Live turns")).to_be_visible()


async def fill(page_of: Admin) -> None:
    """Give every table rows, with long words."""
    at = NOW.timestamp() - 60
    long = "a-very-long-name-" * 6
    key = TurnKey("slack", "T1", "C0123456789", "1700000000.000100")
    page_of.turns.append(LiveTurn(key, Author("U1", "Ada"), 3.2, Phase.STREAMING, 900, 700, 1, 4, 1, 0.6, 0.2))
    page_of.ownership = AMONG_OTHERS
    records, user = page_of.records, person("slack", "U1")
    await records.record_vote(VoteRecord("slack", "T1", "C1", "1", "U1", Vote.DOWN, at, "t1", reason=long, answer=long))
    await records.record_vote(VoteRecord("slack", "T1", "C1", "2", "U2", Vote.UP, at, "t2"))
    await records.write(user, {"model": "small", "persona": long}, by=user)
    await records.settle(
        key, [LedgerEntry(at, "slack", "T1", "C1", "U1", "t1", "m", 1_000, 0, 500)], refund=False, ended=True
    )
    for first in (0.4, 0.6, 5.0):
        figures = Figures(0.0)
        figures.received(first, 10)
        figures.shown(first + 0.1, 10)
        page_of.history.ended(figures.record(9.0, key, Ending.DONE, 1))


async def violations(page: Page) -> list[str]:
    """The rules of axe-core that the page breaks."""
    results = await Axe().run(page)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in results.response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_rule_of_accessibility_is_broken(scheme: str) -> None:
    """axe-core finds nothing, logged out and in, empty and full, wide and on a phone; nothing is wider than a phone."""
    async with admin() as page_of, browser() as it:
        for viewport in (PHONE, {"width": 1280, "height": 900}):
            async with visited(it, page_of, color_scheme=scheme, viewport=viewport) as page:
                assert await violations(page) == []
                await log_in(page)
                assert await violations(page) == []
                width = await page.evaluate("document.documentElement.scrollWidth")
                assert width <= viewport["width"]
            await fill(page_of)


async def test_the_keyboard_is_enough() -> None:
    """Log in, skip to the content, change a limit and log out without a mouse; a wrong token is told."""
    async with admin() as page_of, browser() as it, visited(it, page_of) as page:
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("not the token")
        await log_in(page)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        amount = page.get_by_label("At most")
        await amount.focus()
        await page.keyboard.type("12")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("Saved.")
        await expect(page.get_by_role("cell", name="changed here")).to_be_visible()
        await page.get_by_role("button", name="Log out").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("You are logged out.")
        await page.goto("/admin")
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()


async def test_a_turn_appears_and_disappears_by_itself() -> None:
    """The open page follows the live turns, without a reload."""
    async with admin() as page_of, browser() as it, visited(it, page_of) as page:
        await log_in(page)
        await expect(page.get_by_text("No answer is being written.")).to_be_visible()
        key = TurnKey("discord", "G", "C", "1")
        page_of.turns.append(LiveTurn(key, Author("U", "Grace"), 0.1, Phase.WAITING))
        await expect(page.get_by_role("cell", name="Grace")).to_be_visible()
        page_of.turns.clear()
        await expect(page.get_by_text("No answer is being written.")).to_be_visible()


async def test_lease_lanes_and_database_of_a_process_among_others() -> None:
    """The open page follows them; one process alone has none."""
    async with admin() as page_of, browser() as it, visited(it, page_of) as page:
        await log_in(page)
        title, row = page.get_by_role("heading", name="Lease and lanes"), page.get_by_role("row", name="slack")
        await expect(title).to_have_count(0)
        page_of.ownership = AMONG_OTHERS
        await expect(page.get_by_text("Lease: valid; last heartbeat 0 s ago")).to_be_visible()
        await expect(page.get_by_text("Database: answers")).to_be_visible()
        await expect(page.get_by_text("Settings: as in all processes")).to_be_visible()
        await expect(row).to_have_text(re.compile(r"slack\s+1,200\s+3"))
        page_of.ownership = OwnershipStatus(
            "a.1",
            is_valid=False,
            lease_age=4.2,
            write_seconds=3.0,
            is_engine_away=True,
            owned={"slack": 1_200},
            different_settings=frozenset({"turns", "slack"}),
        )
        await expect(page.get_by_text("Lease: lapsed, so nothing is written; last heartbeat 4 s ago")).to_be_visible()
        await expect(page.get_by_text("Database: away")).to_be_visible()
        await expect(page.get_by_text("Settings: another process has other slack, turns")).to_be_visible()
        await expect(row).to_have_text(re.compile(r"slack\s+1,200\s+unknown"))


async def test_the_page_works_without_scripts() -> None:
    """Everything but the live update is there."""
    async with admin() as page_of, browser() as it:
        await fill(page_of)
        async with visited(it, page_of, java_script_enabled=False) as page:
            await page.get_by_label("Operator's token").fill(TOKEN)
            await page.get_by_role("button", name="Log in").click()
            await expect(page.get_by_role("rowheader", name="U1").first).to_be_visible()
            await expect(page.get_by_role("cell", name="Ada")).to_be_visible()
            await expect(page.get_by_text("Lease: valid")).to_be_visible()
