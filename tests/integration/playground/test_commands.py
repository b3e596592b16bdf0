"""Commands typed in the playground's box, with their buttons and forms, over its socket."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from bot.interactions.service import InteractionService
from bot.records import person
from tests.servers.answerer import Answerer, serving
from tests.support.handlers import WORDS, House
from tests.support.playground import Page

pytestmark = pytest.mark.sockets


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[tuple[Page, Answerer, str]]:
    async with (
        serving(interactions=InteractionService(commands=house.handlers)) as (url, answerer, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/playground/socket") as socket,
    ):
        await socket.receive_json()
        yield Page(socket), answerer, url


async def test_a_command_is_answered_to_its_page_alone() -> None:
    """No question arises from it, and no other page hears of it."""
    async with (
        opened(House()) as (page, answerer, url),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/playground/socket") as other,
    ):
        await other.receive_json()
        assert "/model [NAME]" in await page.said("/help")
        assert "Saved. Model: GPT-5 mini" in await page.said("/model mini")
        assert (await page.send(ask="What is a model?"))["type"] == "asked"
        heard = await other.receive_json()
        assert heard["message"]["text"] == "What is a model?"
        assert answerer.questions == ["What is a model?"]


async def test_an_unknown_word_gets_the_closest_command() -> None:
    """A slash within a word begins an ordinary question."""
    async with opened(House()) as (page, answerer, _):
        assert "/model" in await page.said("/modle mini")
        assert "<script>" not in await page.said("/x <script>alert(1)</script>")
        for text in ("/etc/hosts is what?", "/ what?", "//", "/?"):
            assert (await page.send(ask=text))["type"] == "asked"
        assert len(answerer.questions) == 4


async def test_ask_is_a_question() -> None:
    """Its answer is visible to all, as on other platforms; without words the command is explained."""
    async with opened(House()) as (page, answerer, _):
        assert (await page.send(ask="/ask  why is it blue?"))["type"] == "asked"
        assert answerer.questions == ["why is it blue?"]
        assert "/ask QUESTION" in await page.said("/ask")
        assert len(answerer.questions) == 1


async def test_a_form_changes_the_settings_of_its_reader() -> None:
    """A button opens it, and the name on the page is the person's id."""
    house = House()
    async with opened(house) as (page, _, _):
        shown = await page.send(ask="/settings")
        (button,) = shown["actions"]
        form = (await page.send(submit=button["id"], values={}))["form"]
        assert [each["name"] for each in form["fields"]] == ["model", "persona", "persona_text", "reasoning"]
        saved = await page.send(submit=form["id"], values={"model": "fast", "reasoning": "shown"})
        assert "Saved" in saved["html"]
        assert house.store.values == {person("playground", "Dana"): {"model": "fast", "reasoning": "shown"}}


async def test_a_reset_belongs_to_the_conversation_of_the_reply() -> None:
    """Without a reply, each question starts a conversation anyway."""
    house = House()
    async with opened(house) as (page, answerer, _):
        assert WORDS.reset_needless in await page.said("/reset")
        answer = await page.ask("why?")
        assert WORDS.reset_done in await page.said("/reset", reply_to=answer)
        ((_, conversation), position), *_ = house.store.positions.items()
        ((turn, _),) = answerer.turns
        assert turn.conversation == conversation
        assert turn.key.message.partition("-")[0] == position.partition("-")[0]


async def test_an_export_is_a_file_for_the_page() -> None:
    """It arrives whole, with its name."""
    house = House()
    house.personal.data[person("playground", "Dana")] = '{"name": "Dana ☃"}'.encode()
    async with opened(house) as (page, _, _):
        file = (await page.send(submit="privacy:export"))["file"]
        assert file["name"] == "tickertape-data.json"
        assert json.loads(base64.b64decode(file["data"])) == {"name": "Dana ☃"}


@pytest.mark.parametrize("values", [None, [], "x", {"model": 7}, {"model": None, "x": {"y": []}}, {"\ud800": "\ud800"}])
async def test_a_malformed_form_is_one_plain_response(values: object) -> None:
    """It changes nothing."""
    house = House()
    async with opened(house) as (page, _, _):
        event = await page.send(submit="settings:save:user", values=values)
        assert event["type"] == "private"
        assert house.store.values.get(person("playground", "Dana"), {}) == {}
        assert (await page.send(submit="settings:save:user", channel="nowhere"))["type"] == "refused"


async def test_without_commands_a_slash_is_ordinary() -> None:
    """A platform without handlers asks everything."""
    async with serving() as (url, answerer, _), aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{url}/playground/socket") as socket:
            await socket.receive_json()
            assert (await Page(socket).send(ask="/help"))["type"] == "asked"
        assert answerer.questions == ["/help"]
