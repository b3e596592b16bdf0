"""Commands of the whole program, as a process: settings made in chat reach the model, and outlive a restart."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.servers.openai import Answer, OpenAIDouble
from tests.support.playground import Page
from tests.support.process import bot

pytestmark = [pytest.mark.sockets(seconds=90), pytest.mark.slow]

TOML = """
[controls]
personas_free_text = "everyone"
[[models]]
name = "small"
label = "The small one"
model = "vendor/small-2"
[[personas]]
name = "pirate"
label = "Pirate"
prompt = "Speak like a pirate."
"""


@asynccontextmanager
async def opened(model: OpenAIDouble, folder: Path) -> AsyncIterator[Page]:
    """The program with the playground and a store in `folder`."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "tickertape.toml").write_text(TOML)
    environment = {
        "OPENAI_BASE_URL": model.url,
        "OPENAI_MODEL": "test-model",
        "JOURNAL_URL": "sqlite:///turns.db",
        "TICKERTAPE_PLAYGROUND": "on",
    }
    async with bot(environment, folder=folder) as running:
        line = await running.says("tickertape: open ")
        url = URL(next(word for word in line.split() if word.startswith("http://")).rstrip(".,/"))
        async with aiohttp.ClientSession() as session, session.ws_connect(url / "playground/socket") as socket:
            await socket.receive_json()
            yield Page(socket)


def prompt_of(model: OpenAIDouble) -> tuple[str, str, list[str]]:
    """Model, system prompt and other messages of the last request."""
    body = model.requests[-1].body
    system, *messages = body["messages"]
    return body["model"], system["content"], [message["content"] for message in messages]


async def test_settings_made_in_chat_reach_the_model_and_outlive_a_restart(tmp_path: Path) -> None:
    """Model and persona apply to the next answer; the default comes back when it is chosen."""
    async with OpenAIDouble(default=Answer("Aye.")) as model:
        async with opened(model, tmp_path) as page:
            assert "/model [NAME]" in await page.said("/help")
            assert "Saved. Model: The small one" in await page.said("/model the SMALL one")
            assert "Saved. Persona: Pirate" in await page.said("/persona pirate")
            await page.ask("why?")
            name, system, _ = prompt_of(model)
            assert name == "vendor/small-2"
            assert system.endswith("Speak like a pirate.")
            assert len(system) > len("Speak like a pirate.")
            assert "questions 1" in await page.said("/usage")
        async with opened(model, tmp_path) as page:
            await page.ask("why?")
            assert prompt_of(model)[0] == "vendor/small-2"
            assert "The small one (your choice)" in await page.said("/settings")
            await page.said("/model default")
            await page.said("/persona Answer like a very old knight")
            await page.ask("why?")
            name, system, _ = prompt_of(model)
            assert (name, system.endswith("Answer like a very old knight")) == ("test-model", True)


async def test_a_reset_hides_the_earlier_messages_from_the_model(tmp_path: Path) -> None:
    """The same chain of replies goes on without them."""
    async with OpenAIDouble(default=Answer("Because.")) as model, opened(model, tmp_path) as page:
        first = await page.ask("why one?")
        second = await page.ask("why two?", first)
        assert len(prompt_of(model)[2]) == 3
        assert "A new conversation begins here" in await page.said("/reset", reply_to=second)
        third = await page.ask("why three?", second)
        assert [text for text in prompt_of(model)[2] if "why" in text] == ["Dana: why three?"]
        await page.ask("why four?", third)
        assert len(prompt_of(model)[2]) == 3


async def test_own_data_is_exported_and_forgotten(tmp_path: Path) -> None:
    """The export has the settings, the usage and the journal; after "forget me" nothing of them is left."""
    async with OpenAIDouble(default=Answer("Aye.")) as model, opened(model, tmp_path) as page:
        await page.said("/model small")
        await page.ask("why?")
        assert "Export my data" in [each["label"] for each in (await page.send(ask="/privacy"))["actions"]]
        exported = json.loads(base64.b64decode((await page.send(submit="privacy:export", values={}))["file"]["data"]))
        assert "small" in json.dumps(exported)
        assert exported["journal"]
        assert "deleted" in (await page.send(submit="privacy:forget", values={}))["html"]
        assert "The small one (your choice)" not in await page.said("/settings")
        again = json.loads(base64.b64decode((await page.send(submit="privacy:export", values={}))["file"]["data"]))
        assert "small" not in json.dumps(again)
