"""The loopback Slack's requests are those of Slack: signed, repeated by its rules, and accepted by slack-bolt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_sdk.signature import SignatureVerifier

from tests.servers.slack import SlackDouble
from tests.support.slack import soon
from tests.support.transport import Transport

pytestmark = pytest.mark.sockets

SECRET = "s3cret"


@asynccontextmanager
async def serving(double: SlackDouble, handler: Any) -> AsyncIterator[None]:
    """An app at the double's request URL."""
    application = web.Application()
    application.router.add_post("/slack/events", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    double.requests.signing_secret = SECRET
    double.requests.move(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    try:
        yield
    finally:
        await runner.cleanup()


class App:
    """An app that verifies requests, and responds as told: with a status, or later than Slack waits."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        self.statuses: Iterator[int] = iter(statuses)
        self.headers = headers or {}
        self.texts: list[str] = []  # of events
        self.retries: list[tuple[str, str]] = []

    async def respond(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert SignatureVerifier(SECRET).is_valid_request(body, dict(request.headers))
        headers = request.headers
        self.retries.append((headers.get("X-Slack-Retry-Num", ""), headers.get("X-Slack-Retry-Reason", "")))
        if headers["Content-Type"] == "application/json":
            self.texts.append(json.loads(body)["event"]["text"])
        status = next(self.statuses, 200)
        if not status:
            await asyncio.Event().wait()
        return web.Response(status=status, headers=self.headers)


def of_one_message(*pauses: float) -> tuple[SlackDouble, str, str]:
    """A double with these pauses between deliveries, a direct message channel, and a person."""
    double = SlackDouble(transport=Transport.HTTP)
    double.requests.retry_seconds = pauses
    return double, double.world.channel("im"), double.world.user("Ann")


async def test_bolt_accepts_every_kind_of_payload() -> None:
    """Bolt verifies and parses events, presses and commands, and its answer to a form comes back."""
    double, app, seen = (
        SlackDouble(transport=Transport.HTTP),
        AsyncApp(token="xoxb-test", signing_secret=SECRET),
        list[str](),
    )
    ann, channel = double.world.user("Ann"), double.world.channel()

    async def event(body: dict[str, Any]) -> None:
        seen.append(body["event"]["text"])

    async def command(ack: AsyncAck, body: dict[str, Any]) -> None:
        seen.append(body["text"])
        await ack()

    async def submit(ack: AsyncAck) -> None:
        await ack(response_action="errors", errors={"b": "no"})

    app.event("message")(event)
    app.command("/tickertape")(command)
    app.view("form")(submit)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    async with double.running(), serving(double, handle):
        app.client.base_url = double.api_url
        answer = await double.requests.verify_url("what else")
        assert (answer.status, json.loads(answer.body)) == (200, {"challenge": "what else"})
        double.say(channel, "hello, <you> & \u00fc", author=ann)
        await double.command(channel, "ask a=b&c \u00fc", author=ann)
        await soon(double, lambda: len(seen) == 2)
        assert set(seen) == {"hello, <you> & \u00fc", "ask a=b&c \u00fc"}
        answers: list[object] = []
        payload = {"type": "view_submission", "team": {"id": "T1"}, "user": {"id": ann}}
        view = {"view": {"type": "modal", "callback_id": "form"}}
        await double.deliveries.deliver_payload("interactive", payload | view, answers.append)
        await soon(double, lambda: bool(answers))
        assert answers == [{"response_action": "errors", "errors": {"b": "no"}}]
        await double.settled()


async def test_an_event_is_repeated_three_times() -> None:
    """Without an acknowledgement an event comes four times, with its number and the reason; then it is given up."""
    double, dm, ann = of_one_message(0.0, 0.01, 0.01)
    double.requests.response_seconds = 0.7
    app = App(503, 0, 302, 500)
    async with double.running(), serving(double, app.respond):
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: bool(double.requests.given_up))
    assert app.retries == [("", ""), ("1", "http_error"), ("2", "http_timeout"), ("3", "http_error")]
    (envelope,) = double.requests.given_up
    assert (envelope.acked, envelope.responses) == (False, ["503", "http_timeout", "302", "500"])


async def test_an_app_without_a_server_is_tried_again() -> None:
    """Refused connections count as deliveries."""
    double, dm, ann = of_one_message(0.01)
    async with double.running():
        async with serving(double, App().respond):
            pass
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: bool(double.requests.given_up))
        assert double.requests.given_up[0].responses == ["connection_failed"] * 2


async def test_an_app_may_refuse_repetitions() -> None:
    """X-Slack-No-Retry ends the deliveries of an event."""
    double, dm, ann = of_one_message(0.01)
    app = App(500, headers={"X-Slack-No-Retry": "1"})
    async with double.running(), serving(double, app.respond):
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: bool(double.requests.given_up))
    assert app.texts == ["hello"]


async def test_commands_are_not_repeated() -> None:
    """A command whose response fails is lost."""
    double, dm, ann = of_one_message(0.0)
    app = App(503)
    async with double.running(), serving(double, app.respond):
        envelope = await double.command(dm, "help", author=ann)
        await soon(double, lambda: bool(double.requests.given_up))
        assert (envelope.acked, envelope.responses, app.retries) == (False, ["503"], [("", "")])


async def test_a_broken_connection_repeats_the_event() -> None:
    """The app gets a request whose response is never read, then its repetition."""
    double, dm, ann = of_one_message(0.1)
    double.requests.broken = 1
    app = App()
    async with double.running(), serving(double, app.respond):
        double.say(dm, "hello", author=ann)
        await double.settled()
    assert app.retries == [("", ""), ("1", "unknown_error")]


async def test_events_come_twice_at_once_and_out_of_order() -> None:
    """On command every second event comes twice, and held events come in any order."""
    double, dm, ann = of_one_message(0.0)
    double.requests.twice_each = 2
    app = App()
    async with double.running(), serving(double, app.respond):
        for text in ("a", "b", "c"):
            double.say(dm, text, author=ann)
        await soon(double, lambda: len(app.texts) == 4)
        double.requests.twice_each, double.requests.holding = 0, True
        for text in ("d", "e"):
            double.say(dm, text, author=ann)
        await soon(double, lambda: len(double.requests.held) == 2)
        await double.requests.release(reversed)
        await soon(double, lambda: len(app.texts) == 6)
    assert app.texts == ["a", "b", "b", "c", "e", "d"]
    assert 1 <= double.requests.connections < double.requests.sent  # they stay open


async def test_a_slow_sender_takes_its_time() -> None:
    """A body may come in pieces, with its length told before."""
    double, dm, ann = of_one_message()
    double.requests.body_seconds = 0.1
    app = App()
    async with double.running(), serving(double, app.respond):
        double.say(dm, "hello", author=ann)
        await double.settled()
    assert app.texts == ["hello"]
