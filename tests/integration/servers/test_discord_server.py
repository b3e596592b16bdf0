"""The loopback Discord itself: its limits are true, its answers Discord's, and its faults come when asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.servers.discord import DiscordDouble
from tests.servers.limits import Entry, FaultPlan, FixedWindowCounter, Kind, RollingWindowCounter, Transcript


@pytest.mark.parametrize(
    ("times", "allowed"),
    [
        ([0, 1, 2, 3], [True, True, False, False]),
        ([0, 4.9, 4.9, 5.0, 9.9, 9.9], [True, True, False, True, True, False]),
        ([3, 4, 7.9, 8.0], [True, True, False, True]),
    ],
)
def test_a_fixed_window(times: list[float], allowed: list[bool]) -> None:
    """The first request after a close opens the window; what is refused is not counted."""
    counter = FixedWindowCounter(2, 5.0)

    assert [counter.admit(now).allowed for now in times] == allowed


def test_a_fixed_window_says_what_is_left() -> None:
    """The verdict has what Discord's headers have."""
    counter = FixedWindowCounter(2, 5.0)
    counter.admit(1.0)
    verdict = counter.admit(2.0)

    assert (verdict.limit, verdict.remaining, verdict.reset_after) == (2, 0, 4.0)


@pytest.mark.parametrize(
    ("times", "allowed"),
    [
        ([0, 1, 2, 5.0, 5.5, 6.0], [True, True, False, True, False, True]),
        ([0, 0, 4.99, 5.0, 5.0, 5.0], [True, True, False, True, True, False]),
    ],
)
def test_a_rolling_window(times: list[float], allowed: list[bool]) -> None:
    """Never more than the limit in any stretch of the period."""
    counter = RollingWindowCounter(2, 5.0)

    assert [counter.admit(now).allowed for now in times] == allowed


async def test_a_transcript_says_what_came_when() -> None:
    """Entries have the seconds since the first; waiting for one ends when it is there."""
    transcript = Transcript()
    transcript.add("GET", "/a")

    async def later() -> None:
        await asyncio.sleep(2.0)
        transcript.add("POST", "/b", {"x": 1})

    async with asyncio.TaskGroup() as group:
        group.create_task(later())
        [found] = await transcript.wait_for("POST", "^/b$")

    assert found == Entry(found.at, "POST", "/b", {"x": 1})
    assert found.at == pytest.approx(2.0)
    assert [entry.path for entry in transcript.of()] == ["/a", "/b"]


def test_faults_come_at_their_turn() -> None:
    """The nth to the last planned request fails, the others do not."""
    plan = FaultPlan()
    plan.add("POST", "/messages", Kind.STATUS, nth=2, times=2)
    hits = [plan.hit("POST", "/messages") is not None for _ in range(4)]

    assert (hits, plan.hit("GET", "/messages"), len(plan.fired)) == ([False, True, True, False], None, 2)


class Rest:
    """A plain HTTP client of the double."""

    def __init__(self, double: DiscordDouble, session: aiohttp.ClientSession) -> None:
        self.double = double
        self._session = session
        world = double.world
        self.guild = world.guild()
        self.channel = world.channel(self.guild)
        self.ada = world.user("Ada")

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bot {self.double.token}"}
        url = self.double.api_url + path
        async with self._session.request(method, url, json=body, headers=headers) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None, response.headers

    async def post(self, content: str, **more: Any) -> tuple[int, Any, Any]:
        return await self.ask("POST", f"/channels/{self.channel}/messages", {"content": content, **more})


@asynccontextmanager
async def rest() -> AsyncIterator[Rest]:
    double = DiscordDouble()
    async with double.running(), aiohttp.ClientSession() as session:
        yield Rest(double, session)


@pytest.mark.sockets
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_five_writes_in_a_window(method: str) -> None:
    """The sixth is a 429 with the headers that clients read, another channel is not touched, and it is recorded."""
    async with rest() as client:
        _, message, _ = await client.post("hi")
        if method == "POST":
            client.channel = client.double.world.channel(client.guild)
            answers = [await client.post(str(number)) for number in range(6)]
        else:
            path = f"/channels/{client.channel}/messages/{message['id']}"
            answers = [await client.ask("PATCH", path, {"content": str(number)}) for number in range(6)]

        assert [status for status, _, _ in answers] == [200] * 5 + [429]
        assert [headers["X-RateLimit-Remaining"] for _, _, headers in answers] == ["4", "3", "2", "1", "0", "0"]
        _, said, headers = answers[-1]
        assert 0 < said["retry_after"] <= 5.0
        assert (said["global"], headers["Via"], headers["Content-Type"]) == (False, "1.1 google", "application/json")
        assert len(client.double.limited) == 1
        client.channel = client.double.world.channel(client.guild)
        assert (await client.post("elsewhere"))[0] == 200


@pytest.mark.sockets
async def test_the_global_limit() -> None:
    """All requests of the bot count together: 50 in a second (here 3 in a minute), whatever the channel."""
    async with rest() as client:
        assert (client.double._everything.limit, client.double._everything.period) == (50, 1.0)
        client.double._everything = FixedWindowCounter(3, 60.0)
        answers = []
        for _ in range(4):
            client.channel = client.double.world.channel(client.guild)
            answers.append(await client.post("hi"))

        assert [status for status, _, _ in answers] == [200, 200, 200, 429]
        _, said, headers = answers[-1]
        assert (said["global"], headers["X-RateLimit-Scope"], len(client.double.limited)) == (True, "global", 1)


@pytest.mark.sockets
async def test_a_nonce_posts_once() -> None:
    """With enforce_nonce the second post returns the first one's message; without, there are two."""
    async with rest() as client:
        _, first, _ = await client.post("hi", nonce="n", enforce_nonce=True)
        _, second, _ = await client.post("hi again", nonce="n", enforce_nonce=True)
        assert first["id"] == second["id"]
        await client.post("hi", nonce="n")

        assert client.double.answers(client.channel) == ["hi", "hi"]


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"content": ""}, 400, 50006),
        ({"content": "a" * 2000}, 200, None),
        ({"content": "a" * 2001}, 400, 50035),
        ({"content": "\N{GRINNING FACE}" * 1001}, 400, 50035),
        ({"content": "a", "nonce": "n" * 26}, 400, 50035),
        ({"content": "a", "message_reference": {"message_id": "5"}}, 400, 50035),
        ({"content": "a", "message_reference": {"message_id": "5", "fail_if_not_exists": False}}, 200, None),
    ],
)
async def test_what_may_be_posted(body: dict[str, Any], status: int, code: int | None) -> None:
    """Discord's rules about a message's text and what it refers to."""
    async with rest() as client:
        answered, said, _ = await client.ask("POST", f"/channels/{client.channel}/messages", body)

        assert (answered, said.get("code")) == (status, code)


@pytest.mark.sockets
async def test_errors_are_discords() -> None:
    """Unknown channels and messages, other people's messages, forbidden channels and wrong tokens."""
    async with rest() as client:
        here = f"/channels/{client.channel}/messages"
        hers = client.double.say(client.channel, "hers", author=client.ada)
        _, ours, _ = await client.post("ours")
        codes = [
            (await client.ask("POST", "/channels/5/messages", {"content": "hi"}))[1]["code"],
            (await client.ask("PATCH", f"{here}/5", {"content": "hi"}))[1]["code"],
            (await client.ask("PATCH", f"{here}/{hers}", {"content": "hi"}))[1]["code"],
        ]
        client.double.forbidden.add(client.channel)
        codes.append((await client.post("hi"))[1]["code"])
        assert codes == [10003, 10008, 50005, 50013]
        assert (await client.ask("DELETE", f"{here}/{ours['id']}"))[0] == 204
        async with client._session.get(f"{client.double.api_url}/users/@me") as response:
            assert response.status == 401


@pytest.mark.sockets
async def test_who_is_pinged() -> None:
    """Without allowed mentions everything pings; with them, what they let through."""
    async with rest() as client:
        text = f"@everyone <@{client.ada}>"
        asked = client.double.say(client.channel, "hi", author=client.ada)
        reference = {"message_id": asked}
        _, loud, _ = await client.post(text)
        _, quiet, _ = await client.post(text, allowed_mentions={"parse": []}, message_reference=reference)
        allowed = {"parse": [], "replied_user": True}
        _, reply, _ = await client.post(text, allowed_mentions=allowed, message_reference=reference)

        pinged = [client.double.posts[message["id"]].pinged for message in (loud, quiet, reply)]
        assert pinged == [{"everyone", client.ada}, set(), {client.ada}]


@pytest.mark.sockets
async def test_lists_of_messages() -> None:
    """Before, after and around, newest first, at most so many."""
    async with rest() as client:
        ids = [client.double.say(client.channel, str(number), author=client.ada) for number in range(6)]
        here = f"/channels/{client.channel}/messages"

        async def listed(query: str) -> list[str]:
            return [message["content"] for message in (await client.ask("GET", here + query))[1]]

        assert await listed("") == ["5", "4", "3", "2", "1", "0"]
        assert await listed(f"?before={ids[4]}&limit=2") == ["3", "2"]
        assert await listed(f"?after={ids[1]}&limit=2") == ["3", "2"]
        assert await listed(f"?around={ids[2]}&limit=3") == ["3", "2", "1"]
        assert (await client.ask("GET", here + f"/{ids[0]}"))[1]["content"] == "0"


@pytest.mark.sockets
async def test_faults_over_the_wire() -> None:
    """Before applying, after applying, garbled and late: what a client and a reader see of each."""
    async with rest() as client:
        faults = client.double.faults
        faults.add("POST", "/messages", Kind.RESET_BEFORE, nth=1)
        faults.add("POST", "/messages", Kind.RESET_AFTER, nth=2)
        faults.add("POST", "/messages", Kind.DELAY, nth=3, seconds=0.01)
        faults.add("POST", "/messages", Kind.STATUS, nth=4, status=502, body=b'{"bad": "gateway"}')
        for text in ("one", "two"):
            with pytest.raises(aiohttp.ClientError):
                await client.post(text)
        assert (await client.post("three"))[0] == 200
        assert (await client.post("four"))[:2] == (502, {"bad": "gateway"})

        assert client.double.answers(client.channel) == ["two", "three"]
        assert [kind for kind, _, _ in faults.fired] == [Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.DELAY, Kind.STATUS]


@pytest.mark.sockets
async def test_without_the_intent_text_is_withheld() -> None:
    """A session without Message Content is told the text of what mentions it, and of nothing else."""
    async with rest() as client, client._session.ws_connect(client.double.gateway_url) as socket:
        assert (await socket.receive_json())["op"] == 10
        await socket.send_json({"op": 2, "d": {"token": client.double.token, "intents": 1 << 9}})
        assert [(await socket.receive_json())["t"] for _ in range(2)] == ["READY", "GUILD_CREATE"]
        client.double.say(client.channel, "secret", author=client.ada)
        client.double.say(client.channel, f"<@{client.double.world.bot}> hi", author=client.ada)
        told = [(await socket.receive_json())["d"]["content"] for _ in range(2)]

        assert told == ["", f"<@{client.double.world.bot}> hi"]


class Connection:
    """A plain gateway connection."""

    def __init__(self, double: DiscordDouble, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._double = double
        self.socket = socket

    async def identify(self, shard: tuple[int, int]) -> dict[str, Any] | int:
        """The first answer, or the code of the close."""
        data = {"token": self._double.token, "intents": 1 << 15, "shard": shard}
        return await self._begin({"op": 2, "d": data})

    async def resume(self, session: str, sequence: int) -> dict[str, Any] | int:
        data = {"token": self._double.token, "session_id": session, "seq": sequence}
        return await self._begin({"op": 6, "d": data})

    async def _begin(self, frame: dict[str, Any]) -> dict[str, Any] | int:
        await self.socket.receive()  # HELLO
        await self.socket.send_json(frame)
        return await self.receive()

    async def receive(self) -> dict[str, Any] | int:
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            frame: dict[str, Any] = json.loads(message.data)
            return frame
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def connecting(double: DiscordDouble) -> AsyncIterator[Connection]:
    async with aiohttp.ClientSession() as session, session.ws_connect(double.gateway_url) as socket:
        yield Connection(double, socket)


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("shard", "least", "code"), [((2, 2), 1, 4010), ((0, 0), 1, 4010), ((0, 1), 2, 4011), ((1, 2), 3, 4011)]
)
async def test_a_wrong_shard_is_refused(shard: tuple[int, int], least: int, code: int) -> None:
    """A shard that does not exist, and too few of them, end the connection with their codes."""
    double = DiscordDouble()
    double.gateway.least_shards = least
    async with double.running(), connecting(double) as connection:
        assert await connection.identify(shard) == code


@pytest.mark.sockets
async def test_a_session_that_begins_too_early_is_invalid() -> None:
    """Of two sessions of one remainder within the time, the second is invalid; one of another remainder is not."""
    double = DiscordDouble()
    double.gateway.identify_seconds, double.gateway.max_concurrency = 60.0, 2
    async with double.running():
        answers = []
        for number in (0, 2, 1):
            async with connecting(double) as connection:
                answers.append(await connection.identify((number, 4)))
    assert [answer["op"] for answer in answers if isinstance(answer, dict)] == [0, 9, 0]
    assert double.gateway.too_early == [(2, 4)]


@pytest.mark.sockets
@pytest.mark.parametrize(("code", "answers"), [(4000, ["MESSAGE_CREATE", "RESUMED"]), (1000, [9]), (1001, [9])])
async def test_a_close_keeps_or_ends_the_session(code: int, answers: list[object]) -> None:
    """After 4000 another connection is sent what it missed; after 1000 and 1001 the session is invalid."""
    double = DiscordDouble()
    channel, ada = double.world.dm(double.world.user("Ada")), double.world.user("Bob")
    async with double.running():
        async with connecting(double) as first:
            ready = await first.identify((0, 1))
            await first.socket.close(code=code)
        await double.until(lambda: double.gateway.closes == [((0, 1), code)])
        double.say(channel, "missed", author=ada)
        await double.gateway.settled()
        async with connecting(double) as second:
            assert isinstance(ready, dict)
            received = [await second.resume(ready["d"]["session_id"], 1)]
            received += [await second.receive() for _ in answers[1:]]
    assert [frame.get("t") or frame["op"] for frame in received if isinstance(frame, dict)] == answers


@pytest.mark.sockets
async def test_a_session_is_kept_for_a_while() -> None:
    """After its time it is invalid, however it was left; a sequence number of the future ends the connection."""
    double = DiscordDouble()
    async with double.running():
        answers = []
        for sequence, seconds in ((1, 90.0), (5, 90.0), (1, 0.0)):
            async with connecting(double) as first:
                ready = await first.identify((0, 1))
                await first.socket.close(code=4000)
            await double.until(lambda: all(one.socket is None for one in double.gateway.sessions.values()))
            double.gateway.resume_seconds = seconds
            async with connecting(double) as second:
                assert isinstance(ready, dict)
                answers.append(await second.resume(ready["d"]["session_id"], sequence))
    assert [answer if isinstance(answer, int) else answer["op"] for answer in answers] == [0, 4007, 9]


@pytest.mark.sockets
async def test_the_gateway_tells_its_limits() -> None:
    """Shards, sessions left and the number that may begin at once, as bots ask for them."""
    async with rest() as client:
        gateway = client.double.gateway
        gateway.recommended_shards, gateway.max_concurrency, gateway.sessions_left = 3, 16, 7
        _, told, _ = await client.ask("GET", "/gateway/bot")

    assert (told["shards"], told["url"]) == (3, client.double.gateway_url)
    assert (told["session_start_limit"]["remaining"], told["session_start_limit"]["max_concurrency"]) == (7, 16)
