"""The playground's page in a real browser."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from playwright.async_api import TimeoutError as PageTimeoutError

from adapters.http_server import HttpServer
from adapters.playground import PlaygroundOptions, PlaygroundPlatform
from adapters.prometheus import PrometheusRecorder
from bot.conversation import Finish, FinishReason, Text
from bot.interactions.service import InteractionService
from bot.interactions.values import NOTHING, Vote, VoteCast
from bot.strings import Strings
from bot.turns.generations import Generations
from tests.servers.answerer import serving
from tests.support.browser import NEEDS_CHROMIUM, browser
from tests.support.core import make_turns, running
from tests.support.fakes import ScriptedModel, Step, words
from tests.support.handlers import House
from tests.support.interactions import RecordingInteractions
from tests.support.process import bot
from tests.support.waiting import until

pytestmark = NEEDS_CHROMIUM

# Each state is longer than the last, like a stream's edits.
STEPS = ["One", "One two", "One two three", "One two three **four**", "One two three **four** five."]


@asynccontextmanager
async def opened(it: Browser, url: str, *, expected: str = "", **context: object) -> AsyncIterator[Page]:
    """The connected page. An error in its console fails the test, except for the required `expected` one."""
    contents = await it.new_context(**context)  # type: ignore[arg-type]  # passed through to playwright
    page = await contents.new_page()
    vendor_errors: list[str] = []
    page.on("pageerror", lambda error: vendor_errors.append(str(error)))
    page.on("console", lambda message: vendor_errors.append(message.text) if message.type == "error" else None)
    try:
        await page.goto(url)
        await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        yield page
        assert [line for line in vendor_errors if not expected or expected not in line] == []
        assert bool(vendor_errors) is bool(expected)
    finally:
        await contents.close()


async def remember_growth(page: Page) -> None:
    """Record every shown text of an answer in the page."""
    await page.evaluate(
        """() => {
            window.seen = [];
            const note = () => {
                const text = document.querySelector(".message.bot .body")?.textContent.trim();
                if (text && window.seen.at(-1) !== text) window.seen.push(text);
            };
            new MutationObserver(note).observe(document.getElementById("log"), {subtree: true, childList: true});
        }"""
    )


async def ask(page: Page, words: str) -> None:
    await page.get_by_label("Message", exact=True).fill(words)
    await page.keyboard.press("Enter")


async def test_an_answer_grows_before_the_readers_eyes() -> None:
    """A question sent by Enter gets one message growing in steps, with a timeline entry each, until it is done."""
    async with serving(STEPS, gap=0.15) as (url, answerer, _), browser() as it, opened(it, url) as page:
        await expect(page.get_by_text("a scripted model")).to_be_visible()
        await remember_growth(page)
        log = page.get_by_role("log")
        body = log.locator("article.bot .body")
        answerer.seen = lambda text: expect(body).to_have_text(text.replace("**", ""))
        await ask(page, "Count to five")
        await expect(log.locator("article.bot[data-state=done]")).to_have_count(1)
        seen = await page.evaluate("window.seen")
        assert len(seen) >= len(STEPS)
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(seen))
        assert seen[-1] == "One two three four five."
        await expect(log.get_by_text("Count to five")).to_be_visible()
        await expect(log.locator("article.bot strong")).to_have_text("four")
        await expect(log.locator("article.bot .tick")).to_have_count(5)
        told = re.compile(r"^5 writes, \d+\.\d s apart on average, \d+\.\d s in all$")
        await expect(log.locator("article.bot .figures")).to_have_text(told)
        await expect(page.locator("#meter-edit")).to_contain_text(re.compile(r"Edits \d of 5"))
        await expect(page.locator("#announcer")).to_contain_text("One two three")
        assert await log.get_attribute("aria-live") == "off"


async def test_stop_and_reply_by_keyboard_alone() -> None:
    """Typing, sending, stopping and replying work by keyboard; focus is visible and returns to the input."""
    async with serving(STEPS, gap=0.05) as (url, answerer, _), browser() as it, opened(it, url) as page:
        answerer.go_on.clear()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "message"
        await page.keyboard.type("Line one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("line two")
        await page.keyboard.press("Enter")
        await expect(page.locator("article.person .body")).to_have_text("Line one\nline two", use_inner_text=True)
        stop = page.get_by_role("button", name="Stop")
        await expect(stop).to_be_visible()
        await tab_to(page, "Stop", back=True)
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.keyboard.press("Enter")
        await expect(page.locator("article.bot[data-state=done] .small-print")).to_have_text("Stopped.")
        await expect(stop).to_have_count(0)
        assert await page.evaluate("document.activeElement.id") == "message"

        answerer.go_on.set()
        await tab_to(page, "Reply", back=True)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Replying to “One")).to_be_visible()
        await page.keyboard.type("Go on")
        await page.keyboard.press("Enter")
        await expect(page.locator("article.bot")).to_have_count(2)
        assert answerer.turns[0][0].conversation == answerer.turns[1][0].conversation


async def tab_to(page: Page, words: str, *, back: bool) -> None:
    for _ in range(30):
        await page.keyboard.press("Shift+Tab" if back else "Tab")
        if await page.evaluate("document.activeElement.textContent") == words:
            return
    raise AssertionError(f"{words} cannot be reached by keyboard")


ATTACK = (
    "<script>window.hit=1</script><img src=x onerror='window.hit=1'> [a](javascript:window.hit=1) "
    '![p](https://e.example/p.png)\n\n```"><img src=x onerror=window.hit=1>\n<b>x</b>\n```\n\n<svg onload=window.hit=1>'
)


async def test_nothing_that_is_written_runs() -> None:
    """No text of a model or reader, including names, becomes an element or a request."""
    policy = "Content Security Policy"
    async with (
        serving([ATTACK[:20], ATTACK]) as (url, _, _),
        browser() as it,
        opened(it, url, expected=policy) as page,
    ):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.get_by_label("Your name").fill("<img src=x onerror='window.hit=1'>")
        await ask(page, ATTACK)
        await expect(page.locator("article.bot[data-state=done]")).to_have_count(1)
        assert await page.evaluate("window.hit") is None
        assert await page.locator("#log").locator("script, img, b, [onerror], [onload], [style]").count() == 0
        links = await page.locator("#log a").evaluate_all("links => links.map(a => [a.href, a.rel, a.target])")
        assert links == [["https://e.example/p.png", "noopener noreferrer nofollow", "_blank"]] * 2
        assert asked == []
        inline = "const s = document.createElement('script'); s.textContent = 'window.hit = 1'; document.body.append(s)"
        await page.evaluate(f"() => {{ {inline} }}")
        assert await page.evaluate("window.hit") is None  # the policy holds even for an injected element


async def test_a_phone_has_no_sideways_scroll() -> None:
    """At 360 pixels no content overflows, and every control is large enough for a finger."""
    wide = f"{'x' * 300}\n\n```\n{'y' * 300}\n```\n\n|{'a|' * 30}\n|{'-|' * 30}\n|{'b|' * 30}\n\n# {'Z' * 90}"
    size = {"width": 360, "height": 640}
    async with serving([wide]) as (url, _, _), browser() as it, opened(it, url, viewport=size, has_touch=True) as page:
        await page.get_by_label("Your name").fill("N" * 40)
        await ask(page, "Something wide " + "w" * 400)
        await expect(page.locator("article.bot[data-state=done]")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        for part in (".shell", ".side", "main", "#scroller", ".foot"):
            assert await page.locator(part).evaluate("e => e.scrollWidth <= e.clientWidth + 1"), part
        for name in ("general", "random", "help", "Send", "Reply"):
            button = page.get_by_role("button", name=name)
            box = await button.bounding_box()
            assert box is not None, name
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= 360, name
            assert box["height"] >= 32, name


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (https://www.w3.org/TR/WCAG21/#dfn-relative-luminance)."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


COLOURS = """() => {
    const seen = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (!colour.startsWith("rgba")) return colour;
        }
    };
    const parts = [...document.querySelectorAll(
        "h1, h2, .author, time, .body p, .body a, .figures, .small, .facts dt, .facts dd, #connection, #keys, .meter"
    )].filter((node) => node.offsetParent);
    return parts.map((node) => [node.className || node.tagName, getComputedStyle(node).color, seen(node)]);
}"""


async def test_light_and_dark_are_both_readable() -> None:
    """The page follows the system's theme, the button's choice persists, and all text has a contrast of 4.5."""
    async with (
        serving(["[Link](https://e.example) and\n\n-# small print"]) as (url, _, _),
        browser() as it,
        opened(it, url, color_scheme="dark") as page,
    ):
        await ask(page, "Anything")
        await expect(page.locator("article.bot[data-state=done]")).to_have_count(1)
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert luminance(await page.evaluate(background)) < 0.05
        for theme in ("dark", "light"):
            for name, colour, behind in await page.evaluate(COLOURS):
                assert contrast(colour, behind) >= 4.5, (theme, name, colour, behind)
            if theme == "dark":
                await page.get_by_role("button", name="Theme: as the system").click()
                await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
                assert luminance(await page.evaluate(background)) > 0.8
        await page.reload()
        await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
        assert luminance(await page.evaluate(background)) > 0.8


async def test_what_cannot_be_sent_is_kept() -> None:
    """A far too long question comes back with the reason; an empty one cannot be sent."""
    async with serving() as (url, answerer, _), browser() as it, opened(it, url) as page:
        send = page.get_by_role("button", name="Send")
        await expect(send).to_be_disabled()
        await page.get_by_label("Message", exact=True).fill("  \n ")
        await expect(send).to_be_disabled()
        await ask(page, "The first")
        await page.get_by_role("button", name="Reply").click()
        for length in (100_000, 400_000):
            await ask(page, "x" * length)
            await expect(page.get_by_role("alert")).to_contain_text(f"{length:,} characters")
            assert len(await page.get_by_label("Message", exact=True).input_value()) == length
            await expect(page.get_by_text("Replying to “Hello.”")).to_be_visible()
        await expect(page.locator("article.bot .body")).to_be_in_viewport()
        assert len(answerer.turns) == 1
        await page.get_by_label("Message", exact=True).fill("Short")
        await send.click()
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.locator("article.bot")).to_have_count(2)


async def test_it_comes_back_when_the_server_does() -> None:
    """Without a server the page shows it and keeps the typed text; then it shows the new server's state."""
    async with browser() as it:
        async with serving(["Hello."]) as (url, _, _):
            page = await (await it.new_context()).new_page()
            await page.goto(url)
            await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
            await ask(page, "Before")
            await expect(page.locator("article.bot")).to_have_count(1)
        await expect(page.get_by_text("Reconnecting…")).to_be_visible()
        await page.get_by_label("Message", exact=True).fill("Kept")
        await expect(page.get_by_role("button", name="Send")).to_be_disabled()
        async with serving(["Hello again."], port=int(url.rpartition(":")[2])):
            await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
            await expect(page.get_by_role("alert")).to_contain_text("restarted")
            await expect(page.locator("article")).to_have_count(0)
            await page.get_by_role("button", name="Send").click()
            await expect(page.locator("article.bot .body")).to_have_text("Hello again.")


async def test_channels_are_apart() -> None:
    """Another channel's activity is counted beside its name; its working indicator is shown in that channel."""
    async with serving(["Hello."]) as (url, answerer, _), browser() as it, opened(it, url) as page:
        answerer.may_post.clear()
        await ask(page, "In general")
        await expect(page.get_by_text("Tickertape is thinking")).to_be_visible()
        await page.get_by_role("button", name="random").click()
        await expect(page.get_by_text("Tickertape is thinking")).to_be_hidden()
        await expect(page.get_by_role("log", name="Conversation in random").locator("article")).to_have_count(0)
        answerer.may_post.set()
        await expect(page.locator("[data-channel=general] .new")).to_have_text("1")
        await page.get_by_role("button", name="general").click()
        await expect(page.locator("article.bot .body")).to_have_text("Hello.")
        await expect(page.locator(".new")).to_have_count(0)
        asked, _ = answerer.turns[0]
        assert asked.channel_ids == ("general",)
        answerer.think = 30.0
        await ask(page, "Something long")
        await page.get_by_role("button", name="Stop").click()
        await answerer.asked_to_stop.wait()
        assert answerer.stops[0][0] == answerer.turns[1][0].key.message


async def test_a_newcomer_sees_a_real_model_write(tmp_path: Path) -> None:
    """Without settings the program serves the page, and the embedded model's answer grows in at least three steps."""
    async with bot({}, folder=tmp_path) as running, browser() as it:
        line = await running.says("open http://")
        assert "demonstration model" in line
        url = re.search(r"http://\S+", line)
        assert url is not None
        async with opened(it, url.group()) as page:
            await remember_growth(page)
            await page.get_by_role("textbox", name="Message").fill("Tell me a long story about a lighthouse.")
            await page.keyboard.press("Enter")
            while await page.evaluate("window.seen.length") < 3:  # waiting inside the page needs eval
                await asyncio.sleep(0.05)
            with suppress(PageTimeoutError):  # a short story may have ended by itself
                await page.get_by_role("button", name="Stop").click(timeout=2_000)
            await expect(page.get_by_role("log").locator("article.bot[data-state=done]")).to_have_count(1)
            steps = await page.evaluate("window.seen")
        assert all(later.startswith(earlier[:20]) for earlier, later in itertools.pairwise(steps))
        assert re.search("ending=(stopped|done)", await running.says("turn ended"))


async def test_a_command_is_answered_in_a_private_card() -> None:
    """Words, a form by keyboard, a confirmation before a deletion and a file; another page sees none of it."""
    house = House()
    service = InteractionService(commands=house.handlers)
    async with (
        serving(interactions=service) as (url, answerer, _),
        browser() as it,
        opened(it, url) as page,
        opened(it, url) as other,
    ):
        card = page.get_by_role("region", name="Private response")
        await ask(page, "/settings")
        await expect(card).to_contain_text("Model: GPT-5 (the default)")
        await card.get_by_role("button", name="Change my settings").press("Enter")
        await expect(card).to_have_count(1)
        await card.get_by_label("Model").select_option("fast")
        await card.get_by_label("Persona in your own words").fill("Be kind.")
        await card.get_by_role("button", name="Save").press("Enter")
        await expect(card).to_contain_text("Saved. Model: Fast_and *cheap*")
        await expect(page.locator("#announcer")).to_contain_text("Saved.")
        await card.get_by_role("button", name="Close").click()
        await expect(card).to_have_count(0)

        await ask(page, "/privacy")
        async with page.expect_download() as download:
            await card.get_by_role("button", name="Export my data").click()
            await card.get_by_role("link", name="Save tickertape-data.json").click()
        assert (await download.value).suggested_filename == "tickertape-data.json"
        await ask(page, "/privacy")
        latest = card.last
        await latest.get_by_role("button", name="Forget me").click()
        await latest.get_by_role("button", name="Cancel").click()
        assert house.personal.forgotten == []
        await latest.get_by_role("button", name="Forget me").click()
        await latest.get_by_role("button", name="Forget me").click()
        await expect(latest).to_contain_text("Messages on this platform stay")
        assert len(house.personal.forgotten) == 1
        await ask(page, "/modle")
        await expect(card.last).to_contain_text("Did you mean /model?")
        assert answerer.questions == []
        await expect(other.get_by_role("region", name="Private response")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_private_card_is_readable_on_a_phone(scheme: str) -> None:
    """No sideways scroll, and its texts have the contrast of WCAG AA in both themes."""
    service = InteractionService(commands=House().handlers)
    phone = {"width": 360, "height": 640}
    async with (
        serving(interactions=service) as (url, _, _),
        browser() as it,
        opened(it, url, viewport=phone, color_scheme=scheme) as page,
    ):
        await ask(page, "/settings")
        card = page.get_by_role("region", name="Private response")
        await card.get_by_role("button", name="Change my settings").click()
        await expect(card.get_by_label("Model")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        colours = await page.evaluate(
            """() => [...document.querySelectorAll(".private :is(.context, label, select, button)")].map((node) => {
                let back = node;
                while (getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
                return [getComputedStyle(node).color, getComputedStyle(back).backgroundColor];
            })"""
        )
        assert len(colours) > 4
        assert min(contrast(*pair) for pair in colours) >= 4.5


@asynccontextmanager
async def whole_core(*scripts: Iterable[Step]) -> AsyncIterator[tuple[str, RecordingInteractions]]:
    """The playground with the whole core and a scripted model: its URL, and the other recorded interactions."""
    platform = PlaygroundPlatform(PlaygroundOptions(model_label="a scripted model"))
    turns = make_turns(ScriptedModel(*scripts))
    votes = RecordingInteractions(lambda _: NOTHING)
    interactions = InteractionService(Generations(turns, {"playground": platform}, edit_seconds=300.0), votes)
    site = HttpServer(
        host="127.0.0.1",
        port=0,
        ready=lambda: {"playground": platform.ready},
        render_metrics=PrometheusRecorder().render_metrics,
        routes=platform.routes(),
    )
    async with running(turns), asyncio.TaskGroup() as group:
        page = group.create_task(platform.run(turns, interactions))
        try:
            yield await site.start(), votes
        finally:
            await platform.close()
            await site.close()
            page.cancel()


async def test_another_try_takes_the_place_of_the_answer() -> None:
    """A press of "Try again" replaces the text in its message; votes are pressed buttons, and reach the core."""
    first = words(30, rate=100.0)
    second: list[Step] = [Text("Quite different."), Finish(FinishReason.STOP)]
    async with whole_core(first, second) as (url, votes), browser() as it, opened(it, url) as page:
        await ask(page, "Why?")
        answer = page.locator("article.bot")
        await expect(answer.locator(".body")).to_contain_text("word29")
        good, bad = (page.get_by_role("button", name=name) for name in ("Good answer", "Bad answer"))
        await good.click()
        await bad.click()
        await expect(bad).to_have_attribute("aria-pressed", "true")
        await expect(good).to_have_attribute("aria-pressed", "false")
        await until(lambda: [each.vote for each in votes.events if isinstance(each, VoteCast)] == [Vote.UP, Vote.DOWN])
        await tab_to(page, "Try again", back=True)
        await page.keyboard.press("Enter")
        await expect(answer.locator(".body")).to_have_text("Quite different.")
        await expect(answer).to_have_count(1)
        await expect(page.get_by_role("button", name="Try again")).to_be_enabled()
        await page.get_by_label("Your name").fill("Eli")
        await page.keyboard.press("Tab")
        await page.get_by_role("button", name="Try again").click()
        await expect(page.locator("section.private .body")).to_have_text(Strings().retry_others)
        await expect(answer.locator(".body")).to_have_text("Quite different.")
