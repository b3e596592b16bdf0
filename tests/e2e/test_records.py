"""Votes, exports and "forget me" with the whole program on Discord, and the files that it leaves on the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.records.sqlite.export import read_rows
from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.process import bot
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=120)


async def test_votes_and_personal_data(tmp_path: Path) -> None:
    """A thumbs down and its reason reach the export; then the person exports and forgets everything."""
    async with OpenAIDouble(default=Answer("Zanzibar is the answer.")) as model, DiscordDouble().running() as double:
        channel, dana = double.world.channel(double.world.guild()), double.world.user("Dana")
        settings = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "x",
            "OPENAI_MODEL": "m",
            **double.environment,
            "JOURNAL_URL": f"sqlite:///{tmp_path}/turns.db",
        }
        async with bot(settings) as running:
            site = (await running.says("started")).partition("site=")[2].split()[0]
            await double.until(lambda: double.gateway.connected > 0)
            double.say(channel, f"<@{double.world.bot}> why?", author=dana)

            def thumbs_down() -> list[tuple[str, str]]:
                shown = [(each.id, each.text) for each in double.shown(channel) if "Zanzibar" in each.text]
                controls = [(message, control) for message, _ in shown for control in double.controls(channel, message)]
                return [(message, control) for message, control in controls if "down" in control]

            await double.until(lambda: bool(thumbs_down()))
            (message, control) = thumbs_down()[0]
            pressed = double.press(channel, message, user=dana, custom_id=control)
            await until(lambda: double.interactions.all[pressed].modal is not None)
            await until(lambda: [row["vote"] for row in rows(tmp_path, "feedback")] == ["down"])
            double.submit(pressed, {"reason": "=It is not."})
            await until(lambda: [row["reason"] for row in rows(tmp_path, "feedback")] == ["=It is not."])
            assert [(row["user"], row["message"]) for row in rows(tmp_path, "feedback")] == [(dana, message)]
            await until(lambda: [row["user"] for row in rows(tmp_path, "usage")] == [dana])  # after the last edit

            async with aiohttp.ClientSession() as session:
                async with session.get(f"{site}/readyz") as answer:
                    assert (await answer.json())["records"] == "ok"
                async with session.get(f"{site}/metrics") as answer:
                    assert 'tickertape_votes_total{platform="discord",vote="down"} 1.0' in await answer.text()

            assert holds(tmp_path / "turns-records.db", dana)
            command = double.interactions.all[double.use("privacy", channel, user=dana)]
            await until(lambda: any(buttons(each) for each in command.messages))
            source = next(each for each in command.messages if buttons(each))
            forget = next(each for each in buttons(source) if "forget" in each)
            asked = double.interactions.all[double.press(channel, source["id"], user=dana, custom_id=forget)]
            await until(lambda: any(buttons(each) for each in asked.messages))  # "are you sure?"
            sure = next(each for each in asked.messages if buttons(each))
            double.press(channel, sure["id"], user=dana)
            await running.says("forgot a person")
            assert not rows(tmp_path, "feedback")
            assert [row["user"] for row in rows(tmp_path, "usage")] == [""]
            assert not holds(tmp_path / "turns-records.db", dana)


def rows(folder: Path, kind: str) -> list[Mapping[str, object]]:
    """What an operator's export shows, read beside the running bot."""
    return list(read_rows(folder / "turns-records.db", kind, 0.0, math.inf))


def buttons(message: Mapping[str, Any]) -> list[str]:
    """The ids of a private message's buttons."""
    return [str(each["custom_id"]) for row in message.get("components", ()) for each in row["components"]]


def holds(file: Path, text: str) -> bool:
    """Whether a file or its log holds a text in any byte."""
    paths = [file, file.with_name(f"{file.name}-wal")]
    return any(text.encode() in path.read_bytes() for path in paths if path.exists())
