"""The servers of `benchmarks.cpu.cost`, each in its own process: only the bot's time counts.

``python -m benchmarks.cpu.servers model|discord|slack`` prints its address as one line of JSON, and answers each line
of JSON on its standard input with one line. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from tests.servers.discord import DiscordDouble
from tests.servers.slack import SlackDouble

Json: TypeAlias = dict[str, Any]

# What the model says: markdown as models write it, without code, so that its words can be counted in what is shown.
PROSE = """Streams of text are **read as they come**, and what a reader sees follows at a distance that the platform's
limits allow. A first sentence is shown early; the rest follows in larger steps.\n\n- a point made in a few words
- another one, with `code` in it\n- and a *last* one\n\n"""
PIECES: tuple[str, ...] = tuple(re.findall(r"\S+\s+", PROSE))


def piece(number: int) -> str:
    """The word of this number (from 0), with the space behind it."""
    return PIECES[number % len(PIECES)]


def chunk_event(text: str, finish: str | None = None) -> bytes:
    """One event of a streamed chat completion in an HTTP chunk of its own: about 300 bytes, as from the hosted API."""
    chunk = {
        "id": "chatcmpl-BkX9f3QpLZr7TqVn2sYwHdGm1aJcE",
        "object": "chat.completion.chunk",
        "created": 1763830000,
        "model": "a-model-2026-01-01",
        "service_tier": "default",
        "system_fingerprint": "fp_a1b2c3d4e5",
        "choices": [
            {"index": 0, "delta": {} if finish else {"content": text}, "logprobs": None, "finish_reason": finish}
        ],
        "obfuscation": "x8Kq2Lm9",
    }
    return _framed(json.dumps(chunk, separators=(",", ":")))


def _framed(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
TAIL = chunk_event("", "stop") + _framed("[DONE]") + b"0\r\n\r\n"


class ModelServer(asyncio.Protocol):
    """One connection: any POST is answered with as many words as its body names last ("400 words")."""

    def __init__(self, words_per_second: float) -> None:
        self._rate = words_per_second
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not end or length is None or len(body) < int(length[1]):
            return
        self._received = b""
        assert self._transport is not None
        self._transport.write(HEAD + chunk_event(""))
        words = int(re.findall(rb"(\d+) words", body)[-1])
        self._say(0, words, asyncio.get_running_loop().time())

    def _say(self, number: int, words: int, began: float) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if number == words:
            self._transport.write(TAIL)
            return
        self._transport.write(chunk_event(piece(number)))
        loop = asyncio.get_running_loop()
        loop.call_at(began + (number + 1) / self._rate, self._say, number + 1, words, began)


async def serve_model(words_per_second: float) -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ModelServer(words_per_second), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await _obey({"url": f"http://127.0.0.1:{port}/v1"}, {})
    server.close()


class Stage(Protocol):
    """A platform's double with its world."""

    def about(self) -> Json:
        """Which platform it is, its adapter's options, and its channels."""
        ...

    def ask(self, words: list[int]) -> Json:
        """In each channel somebody asks for an answer of so many words; nobody asks for none."""
        ...

    def report(self) -> Json:
        """The 429s, the words shown in each channel, and for each message the texts that it showed in turn."""
        ...


class DiscordStage:
    """Discord: each question in a channel of its own, as a mention."""

    def __init__(self, double: DiscordDouble, channels: int) -> None:
        self._double = double
        world = double.world
        guild = world.guild()
        self._channels = [world.channel(guild, f"c{number}") for number in range(channels)]
        self._asker = world.user("Dana")

    def about(self) -> Json:
        """See `Stage`."""
        double = self._double
        options = {"token": double.token, "api_url": double.api_url, "gateway_url": double.gateway_url}
        return {"platform": "discord", "options": options, "channels": self._channels}

    def ask(self, words: list[int]) -> Json:
        """See `Stage`."""
        me = self._double.world.bot
        for channel, count in zip(self._channels, words, strict=True):
            if count:
                self._double.say(channel, f"<@{me}> tell me something in {count} words", author=self._asker)
        return {}

    def report(self) -> Json:
        """See `Stage`."""
        posts = self._double.posts
        shown = [[m["id"] for m in self._double.world.messages[channel].values()] for channel in self._channels]
        texts = [[[text for _, text in posts[m].texts] for m in messages if m in posts] for messages in shown]
        return _report(len(self._double.limited), texts)


class SlackStage:
    """Slack: each question in a channel of its own, as a mention."""

    def __init__(self, double: SlackDouble, channels: int) -> None:
        self._double = double
        self._channels = [double.world.channel() for _ in range(channels)]
        self._asker = double.world.user("Dana")

    def about(self) -> Json:
        """See `Stage`."""
        double = self._double
        options = {"bot_token": double.bot_token, "app_token": double.app_token, "api_url": double.api_url}
        return {"platform": "slack", "options": options, "channels": self._channels}

    def ask(self, words: list[int]) -> Json:
        """See `Stage`."""
        me = self._double.world.bot_user
        for channel, count in zip(self._channels, words, strict=True):
            if count:
                self._double.say(channel, f"<@{me}> tell me something in {count} words", author=self._asker)
        return {}

    def report(self) -> Json:
        """See `Stage`."""
        by_channel: dict[str, dict[str, list[str]]] = {channel: {} for channel in self._channels}
        for wrote in self._double.writes:
            by_channel[wrote.channel].setdefault(wrote.ts, []).append(wrote.text)
        return _report(len(self._double.limited), [list(messages.values()) for messages in by_channel.values()])


def _report(limited: int, texts: list[list[list[str]]]) -> Json:
    words = [sum(len(message[-1].split()) for message in messages) for messages in texts]
    return {"limited": limited, "words": words, "texts": texts}


async def serve_stage(platform: str, channels: int) -> None:
    """Serve until the input ends."""
    if platform == "discord":
        discord = DiscordDouble()
        async with discord.running():
            await _play(DiscordStage(discord, channels))
    else:
        slack = SlackDouble()
        async with slack.running():
            await _play(SlackStage(slack, channels))


async def _play(stage: Stage) -> None:
    await _obey(stage.about(), {"ask": stage.ask, "report": lambda _: stage.report()})


async def _obey(hello: Json, commands: Mapping[str, Callable[[Any], Json]]) -> None:
    """Say hello, then answer each line until the input ends: an object with a command's name and its argument."""
    _say(hello)
    while line := await asyncio.to_thread(sys.stdin.readline):
        for name, argument in json.loads(line).items():
            _say(commands[name](argument))


def _say(answer: Json) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(arguments: Iterator[str]) -> None:
    """``model WORDS_PER_SECOND`` or ``discord|slack CHANNELS``."""
    what, number = next(arguments), float(next(arguments))
    asyncio.run(serve_model(number) if what == "model" else serve_stage(what, int(number)))


if __name__ == "__main__":
    main(iter(sys.argv[1:]))
