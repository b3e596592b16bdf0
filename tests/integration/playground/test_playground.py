"""The playground without a browser: limits, memory, HTML, and the socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.playground import PlaygroundOptions, PlaygroundPlatform, protocol
from adapters.playground.channel import MESSAGE_UNITS, PlaygroundChannel
from adapters.playground.limits import FixedWindowCounter
from adapters.playground.platform import build_turn
from adapters.playground.protocol import QUESTION_CHARACTERS, AskRequest, RequestRejected, StopRequest, parse_request
from adapters.playground.rendering import RENDERED_CHARACTERS, PlaygroundMarkdown, to_html, without_small_print
from adapters.playground.routes import CONTENT_SECURITY_POLICY
from adapters.playground.state import (
    MAX_CHANNEL_MESSAGES,
    MAX_TIMELINE_WRITES,
    ChannelState,
    PlaygroundMessage,
    PlaygroundState,
    history,
)
from adapters.playground.subscribers import (
    MAX_QUEUED_EVENTS,
    MAX_SUBSCRIBERS,
    Subscriber,
    Subscribers,
    TooManySubscribers,
)
from adapters.shared.origin_check import rejection_reason
from bot.conversation import Role
from bot.errors import InvalidRequest, NotFound, RateLimited
from bot.markdown import utf16_units
from bot.ports import Body, Channel, Controls, Platform, Verb
from bot.rate_limits import FixedWindow, WindowReport
from tests.contracts.channel import PROMISES, Promise, name_of, play
from tests.servers.answerer import Answerer, serving

# ---------------------------------------------------------------------------------------------------------- rendering

ALLOWED: dict[str, set[str]] = {
    **{
        tag: set()
        for tag in ("h3", "h4", "h5", "h6", "ul", "li", "blockquote", "hr", "br", "em", "strong", "s", "code")
    },
    **{tag: set() for tag in ("table", "thead", "tbody", "tr")},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
    "p": {"class"},
    "pre": {"tabindex", "data-language"},
    "a": {"href", "rel", "target"},
}


class SafeHtmlCheck(HTMLParser):
    """Fails on any forbidden element, attribute or URL."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        assert {name for name, _ in attrs} <= ALLOWED[tag], (tag, attrs)
        if tag == "a":
            values = dict(attrs)
            href = (values["href"] or "").lower()
            assert href.startswith(("http://", "https://", "mailto:")), href
            assert values["rel"] == "noopener noreferrer nofollow"
            assert values["target"] == "_blank"

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def assert_safe_html(html: str) -> None:
    parser = SafeHtmlCheck()
    parser.feed(html)
    parser.close()


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- x --><![CDATA[x]]><?php x ?>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](&#x01;javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x) [y](file:///etc/passwd) [z](/metrics) [w](//evil.example)",
    "<javascript:alert(1)>",
    '[x](https://e.example "onmouseover=alert(1)")',
    '[x](https://e.example/"onmouseover="alert(1))',
    "![x](https://e.example/pixel.png)",
    "![x](javascript:alert(1))",
    "[![x](https://e.example/p.png)](https://b.example)",
    "[x]: javascript:alert(1)\n\n[x]",
    '```"><script>alert(1)</script>\n</code></pre><script>alert(1)</script>\n```',
    "| a |\n|:-:|\n| <script>alert(1)</script> |",
    "# <svg onload=alert(1)>",
    "-# <b onclick=alert(1)>small</b>",
    "`<script>`",
    "&lt;script&gt; &#60;script&#62;",
    "<a href='javascript:x'>x</a>",
    "\0<script\0>",
]


@pytest.mark.parametrize("source", ATTACKS)
def test_no_attack_becomes_an_element(source: str) -> None:
    """No text of a model or reader runs, loads a resource, or links elsewhere than to the web or mail."""
    assert_safe_html(to_html(source))


MARKS = st.sampled_from([*ATTACKS, *"<>[]()!`*_~|#-:\\\"'&;=/ \n\t", "http://a.b", "javascript:", "\n\n", "```", "-# "])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(MARKS | st.text(max_size=5), max_size=25).map("".join))
def test_any_text_renders_safely(source: str) -> None:
    """Every text renders, with markdown's own elements only."""
    assert_safe_html(to_html(source))


def test_markdown_elements() -> None:
    """Headings start below the page's own, code has a language label, and tables are aligned by class."""
    assert to_html("# Hi") == "<h3>Hi</h3>\n"
    assert to_html("a\nb") == "<p>a<br>\nb</p>\n"
    assert 'data-language="python"' in to_html("```python\nx = 1\n```")
    assert '<td class="align-right">1</td>' in to_html("|a|\n|-:|\n|1|")
    link = to_html("[x](https://e.example) ![pic](https://e.example/p.png)")
    assert link.count("<a ") == 2
    assert "pic</a>" in link
    assert "<img" not in link


def test_our_own_lines_are_small_print() -> None:
    """A notice is small print even directly after a paragraph, and does not reach the model later."""
    notice = PlaygroundMarkdown().notice("Stopped.")
    assert to_html(f"An answer\n{notice}") == '<p>An answer</p>\n<p class="small-print">Stopped.</p>\n'
    assert without_small_print(f"An answer\n\n{notice}\n") == "An answer"
    assert without_small_print("-# inside\nAn answer") == "-# inside\nAn answer"


def test_very_long_texts_are_shown_as_typed() -> None:
    """A very long text is not parsed, so markdown's worst cases cost little."""
    html = to_html("[" * (RENDERED_CHARACTERS + 1) + "<b>")
    assert html.startswith('<p class="plain">')
    assert_safe_html(html)


# ------------------------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize(
    "frame", ["", "[]", "null", "1", "{", '"x"', "[" * 100_000, '{"a":' * 50_000, "{}", '{"ask": 3}']
)
def test_an_invalid_frame_is_rejected(frame: str) -> None:
    """An invalid frame is a `RequestRejected`, and no other exception."""
    with pytest.raises(RequestRejected):
        parse_request(frame)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_frame_is_parsed_or_rejected(frame: str) -> None:
    """Any text is a request or a `RequestRejected`."""
    with suppress(RequestRejected):
        assert isinstance(parse_request(frame), AskRequest | StopRequest)


@given(st.text(st.characters(), min_size=1), st.text(st.characters(), max_size=60))
def test_a_parsed_question_is_valid_unicode(text: str, name: str) -> None:
    """Half surrogate pairs and control characters do not get past the parser."""
    try:
        ask = parse_request(json.dumps({"ask": text, "channel": "general", "name": name, "ref": text}))
    except RequestRejected:
        assert not text.replace("\0", "").strip()
        return
    assert isinstance(ask, AskRequest)
    ask.text.encode()
    assert ask.name.isprintable()
    assert 0 < len(ask.name) <= 40
    assert "\0" not in ask.text


def test_a_too_long_question_is_rejected() -> None:
    """A question of 100,000 characters gets a line with the number of characters."""
    with pytest.raises(RequestRejected, match="100,000 characters") as caught:
        parse_request(json.dumps({"ask": "x" * 100_000, "ref": "r1"}))
    assert caught.value.ref == "r1"
    assert isinstance(parse_request(json.dumps({"ask": "x" * QUESTION_CHARACTERS})), AskRequest)


@pytest.mark.parametrize(
    ("typed", "name"),
    [("", "you"), ("  Ada  ", "Ada"), ("A\nd\ta", "A d a"), ("\u202eAda", "Ada"), ("x" * 99, "x" * 40)],
)
def test_names_are_one_short_line(typed: str, name: str) -> None:
    """A name is cut to one short line, and may be missing."""
    ask = parse_request(json.dumps({"ask": "hi", "name": typed}))
    assert ask.name == name


# ------------------------------------------------------------------------------------------------------------- limits


def test_the_sixth_write_in_a_window_is_rejected() -> None:
    """A fixed window allows five writes in five seconds from its first write."""
    counter = FixedWindowCounter()
    assert [counter.count(10.0 + step).remaining for step in (0, 1, 2, 3, 4)] == [4, 3, 2, 1, 0]
    with pytest.raises(RateLimited) as caught:
        counter.count(14.5)
    assert caught.value.retry_after == pytest.approx(0.5)
    assert counter.report(14.5).remaining == 0
    assert counter.report(15.0).remaining == 5
    assert counter.count(15.0).remaining == 4
    assert counter.rejected == 1


@given(st.lists(st.tuples(st.floats(0, 4), st.booleans()), max_size=60), st.integers(1, 4))
def test_a_write_within_the_budget_is_never_rejected(steps: list[tuple[float, bool]], live: int) -> None:
    """No order of writes permitted by our budget gets a 429 from the strict counter."""
    counter, budget, now = FixedWindowCounter(), FixedWindow(5, 5.0, paced=True), 1000.0
    budget.live = live
    for pause, final in steps:
        now = max(now + pause, budget.ready_at(now + pause, final=final))
        now = max(now, budget.ready_at(now, final=final))
        budget.spend(now)
        budget.observe(now, counter.count(now))
        budget.record_response(now)


# ------------------------------------------------------------------------------------------------------------- memory


def entry(
    message: str, *, bot: bool = False, question: str = "", reply_to: str = "", text: str = ""
) -> PlaygroundMessage:
    return PlaygroundMessage(
        id=message,
        channel="general",
        author="Tickertape" if bot else "Ada",
        by_bot=bot,
        question=question or message,
        reply_to=reply_to,
        conversation="c",
        posted_at=0.0,
        text=text or message,
    )


def chain() -> dict[str, PlaygroundMessage]:
    entries = [
        entry("q1"),
        entry("a1", bot=True, question="q1", reply_to="q1", text="one"),
        entry("other"),
        entry("a1b", bot=True, question="q1", text="two\n\n-# Stopped."),
        entry("q2", reply_to="a1b"),
        entry("a2", bot=True, question="q2", reply_to="q2"),
        entry("q3", reply_to="a2"),
    ]
    return {each.id: each for each in entries}


def test_a_chain_of_replies_is_the_conversation() -> None:
    """The chain is oldest first, without other messages; an answer of several messages is one, without small print."""
    entries = chain()
    found = history(entries, entries["q3"], 10)
    assert [(message.role, message.text, message.name) for message in found.messages] == [
        (Role.USER, "q1", "Ada"),
        (Role.ASSISTANT, "one\ntwo", ""),
        (Role.USER, "q2", "Ada"),
        (Role.ASSISTANT, "a2", ""),
    ]
    assert not found.truncated


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_the_newest_of_a_chain_are_kept(limit: int) -> None:
    """A limit omits the oldest messages, and marks the history as truncated."""
    entries = chain()
    found = history(entries, entries["q3"], limit)
    assert [message.text for message in found.messages] == ["q1", "one\ntwo", "q2", "a2"][4 - limit :]
    assert found.truncated


def test_an_incomplete_chain_is_truncated() -> None:
    """With an evicted beginning, the rest of the chain is returned."""
    entries = chain()
    del entries["q1"]
    found = history(entries, entries["q3"], 10)
    assert [message.text for message in found.messages] == ["one\ntwo", "q2", "a2"]
    assert found.truncated


def test_a_channel_evicts_its_oldest_messages() -> None:
    """Messages, keys and timelines are bounded."""
    channel_state = ChannelState("general", "")
    gone = [
        old.id
        for number in range(MAX_CHANNEL_MESSAGES + 3)
        for old in channel_state.add(entry(f"m{number}"), f"k{number}")
    ]
    assert gone == ["m0", "m1", "m2"]
    assert len(channel_state.messages) == len(channel_state.message_by_key) == MAX_CHANNEL_MESSAGES
    one = entry("x")
    for number in range(MAX_TIMELINE_WRITES + 5):
        one.apply_write(float(number), text="", html="", controls=Controls.NONE, remaining=1)
    assert len(one.timeline) == MAX_TIMELINE_WRITES
    assert one.writes == MAX_TIMELINE_WRITES + 5
    assert one.timeline[0].after == 5.0


# ------------------------------------------------------------------------------------------------------------ channel


class RecordingPage:
    """A page's subscription with its events."""

    def __init__(self, state: PlaygroundState) -> None:
        self._subscriber = state.subscribers.subscribe()

    async def events(self) -> list[dict[str, Any]]:
        self._subscriber.send('"end"')
        heard: list[dict[str, Any]] = []
        while (event := await self._subscriber.next_event()) not in {'"end"', None}:
            assert event is not None
            heard.append(json.loads(event))
        return heard


def playground_channel() -> tuple[PlaygroundChannel, ChannelState, PlaygroundState, RecordingPage]:
    state, channel_state = PlaygroundState("Tickertape"), ChannelState("general", "")
    question = entry("q")
    channel_state.add(question)
    return PlaygroundChannel(channel_state, question, state), channel_state, state, RecordingPage(state)


async def test_every_write_is_one_event_with_the_whole_message() -> None:
    """The event of a post or edit has the whole message, its timeline and the rest of the window."""
    channel, channel_state, _, page_events = playground_channel()
    message = await channel.post(Body("**Hi", controls=Controls.STOP), "k")
    await asyncio.sleep(1.25)
    await channel.edit(message, Body("**Hi**"))
    await channel.delete(message)
    await channel.delete(message)
    post, edit, gone = await page_events.events()
    assert post["verb"] == "post"
    assert post["message"]["controls"] == ["stop"]
    assert post["message"]["replyTo"] == "q"
    assert post["budget"]["post"] == {"limit": 5, "left": 4, "resets": 5.0, "refused": 0}
    assert edit["message"]["html"] == "<p><strong>Hi</strong></p>\n"
    assert edit["message"]["controls"] == []
    assert edit["message"]["tape"] == [[0.0, 4], [1.25, 4]]
    assert edit["message"]["writes"] == 2
    assert gone == {**gone, "type": "gone", "id": message}
    assert message not in channel_state.messages


async def test_a_write_over_the_limit_is_a_429_with_an_event() -> None:
    """The sixth edit in a window is rejected, as by Discord, and the page gets an event."""
    channel, _, _, page_events = playground_channel()
    message = await channel.post(Body("x"), "k")
    for number in range(5):
        await channel.edit(message, Body(f"x{number}"))
    with pytest.raises(RateLimited) as caught:
        await channel.edit(message, Body("one too many"))
    assert caught.value.retry_after == pytest.approx(5.0)
    events = await page_events.events()
    assert events[-1]["type"] == "limited"
    assert events[-1]["budget"]["edit"] == {"limit": 5, "left": 0, "resets": 5.0, "refused": 1}
    await asyncio.sleep(5.0)
    await channel.edit(message, Body("the next window"))


async def test_budgets_follow_the_counter() -> None:
    """The counter's reports reach the budget like headers: a used-up window delays the next edit."""
    channel, _, _, _ = playground_channel()
    (budget,) = channel.budgets(Verb.EDIT)
    assert channel.budgets(Verb.EDIT)[0] is budget
    message = await channel.post(Body("x"), "k")
    loop = asyncio.get_running_loop()
    for number in range(5):
        assert budget.ready_at(loop.time(), final=True) <= loop.time()
        budget.spend(loop.time())
        await channel.edit(message, Body(f"x{number}"))
        budget.record_response(loop.time())
    assert budget.ready_at(loop.time(), final=True) == pytest.approx(loop.time() + 5.0, abs=0.1)


async def test_a_key_posts_once() -> None:
    """A second post with the same key returns the first message unchanged."""
    channel, channel_state, _, _ = playground_channel()
    first = await channel.post(Body("x"), "k")
    assert await channel.post(Body("y"), "k") == first
    assert channel_state.messages[first].text == "x"
    second = await channel.post(Body("z"), "k2")
    assert second != first
    assert channel_state.messages[second].reply_to == ""  # only the first post of an answer is a reply
    assert await channel.find("k") is None


async def test_discords_message_rules_apply() -> None:
    """An empty text or one over the limit in UTF-16 units is an `InvalidRequest`; one at the limit is posted."""
    channel, _, _, _ = playground_channel()
    assert utf16_units("a\N{GRINNING FACE}") == 3
    message = await channel.post(Body("\N{GRINNING FACE}" * (MESSAGE_UNITS // 2)), "k")
    with pytest.raises(InvalidRequest):
        await channel.edit(message, Body("\N{GRINNING FACE}" * (MESSAGE_UNITS // 2) + "x"))
    with pytest.raises(InvalidRequest):
        await channel.post(Body(" \n"), "k2")


async def test_an_edit_of_a_missing_message_is_not_found() -> None:
    """Deleted messages, readers' messages, and all writes after closing raise `NotFound`."""
    channel, _, state, _ = playground_channel()
    message = await channel.post(Body("x"), "k")
    await channel.delete(message)
    for target in (message, "q", "never"):
        with pytest.raises(NotFound):
            await channel.edit(target, Body("y"))
    state.closed = True
    with pytest.raises(NotFound):
        await channel.post(Body("y"), "k3")


async def test_working_shows_until_it_is_cancelled() -> None:
    """Two workers on a question share one indicator; it ends with the second."""
    channel, channel_state, _, page_events = playground_channel()
    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(channel.show_working()), group.create_task(channel.show_working())
        await asyncio.sleep(1)
        assert channel_state.working == {"q": 2}
        first.cancel()
        await asyncio.sleep(1)
        assert channel_state.working == {"q": 1}
        second.cancel()
    assert channel_state.working == {}
    events = await page_events.events()
    assert [event["on"] for event in events] == [True, True, False]


class LimitedOnce(FixedWindowCounter):
    """Rejects one write regardless of the window."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds: float | None = seconds

    def count(self, now: float) -> WindowReport:
        if self._seconds is None:
            return super().count(now)
        seconds, self._seconds = self._seconds, None
        raise RateLimited("refused once", retry_after=seconds)


class PlaygroundHarness:
    """See `tests.contracts.channel.ChannelHarness`."""

    skips = frozenset(
        {
            # A write is applied in one step of the loop: it cannot get lost, break half-way, or be forbidden.
            "a_key_posts_once",
            "a_server_error_is_retryable",
            "a_lost_response_is_an_unknown_outcome",
            "a_forbidden_post_is_forbidden",
            "failures_have_no_secrets",
        }
    )

    def __init__(self) -> None:
        self.channel, self._channel_state, self._state, _ = playground_channel()

    def another(self) -> Channel:
        question = entry("another")
        self._channel_state.add(question)
        return PlaygroundChannel(self._channel_state, question, self._state)

    def shown(self) -> list[str]:
        return [each.text for each in self._channel_state.messages.values() if each.by_bot]

    async def remove(self, message: str) -> None:
        self._channel_state.remove(message)

    def limit(self, verb: Verb, seconds: float) -> None:
        self._channel_state.counters[verb] = LimitedOnce(seconds)

    def fail_once(self, verb: Verb) -> None:
        raise NotImplementedError

    def lose_response(self, verb: Verb) -> None:
        raise NotImplementedError

    def forbid(self) -> None:
        raise NotImplementedError


@pytest.mark.quick
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_contract(promise: Promise) -> None:
    """The playground's channel fulfils the port's contract."""
    await play(promise, PlaygroundHarness())


# ----------------------------------------------------------------------------------------------------------- audience


async def test_a_lagging_page_is_disconnected() -> None:
    """Its queue is bounded, and its subscription ends."""
    subscriber = Subscriber()
    for number in range(MAX_QUEUED_EVENTS + 10):
        subscriber.send(str(number))
    assert subscriber.lagging
    assert await subscriber.next_event() is None


def test_the_number_of_pages_is_limited() -> None:
    """A page over the limit, and any page after closing, raises `TooManySubscribers`."""
    subscribers = Subscribers()
    opened = [subscribers.subscribe() for _ in range(MAX_SUBSCRIBERS)]
    with pytest.raises(TooManySubscribers):
        subscribers.subscribe()
    subscribers.unsubscribe(opened[0])
    subscribers.subscribe()
    subscribers.close()
    for subscriber in opened:
        subscribers.unsubscribe(subscriber)
    with pytest.raises(TooManySubscribers):
        subscribers.subscribe()


# -------------------------------------------------------------------------------------------------------------- guard


ALLOWED_HOSTS = (
    "Proxied.Example.",
    " https://Bot.example:8443/ ",
    "192.168.1.5:8080",
    "[fd00::0005]",
    "fe80::7",
    "bücher.example",
)


@pytest.mark.parametrize(
    ("host", "origin", "followed"),
    [
        ("127.0.0.1:8080", None, True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("127.8.9.1:8080", "http://127.8.9.1:8080", True),
        ("LOCALHOST:8080", "http://localhost:8080", True),
        ("localhost.:8080", "http://localhost.:8080", True),
        ("play.localhost:8080", "http://play.localhost:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("[::ffff:127.0.0.1]:8080", None, True),
        ("localhost", "http://localhost:80", True),
        ("localhost:80", "http://localhost", True),
        ("127.0.0.1:8080", "http://evil.example", False),
        ("127.0.0.1:8080", "http://127.0.0.1:9090", False),
        ("127.0.0.1:8080", "http://localhost:8080", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8080 http://evil.example", False),
        ("127.0.0.1:8080", "ftp://127.0.0.1:8080", False),
        ("127.0.0.1:8080", "null", False),
        ("127.0.0.1:8080", "", False),
        ("127.0.0.1:8080", "file://", False),
        ("127.0.0.1:8080", "http://[", False),
        ("evil.example:8080", "http://evil.example:8080", False),  # a rebound name
        ("evil.example:8080", None, False),
        ("localhost.evil.example", None, False),
        ("127.0.0.1.evil.example", None, False),
        ("evil@localhost", None, False),
        ("localhost@evil.example", None, False),
        ("localhost/evil", None, False),
        ("localhost:8080:1", None, False),
        ("localhost, evil.example", None, False),
        ("0.0.0.0:8080", "http://0.0.0.0:8080", False),
        ("[::]:8080", None, False),
        ("10.0.0.5:8080", "http://10.0.0.5:8080", False),  # this machine's address, but not allowed
        ("192.168.1.50:8080", None, False),
        ("", None, False),
        (".", None, False),
        ("[", None, False),
        ("bot.example", None, True),
        ("bot.example", "https://bot.example", True),
        ("BOT.example.", "https://bot.example", True),
        ("bot.example:8443", "https://bot.example:8443", True),
        ("bot.example", "https://evil.example", False),
        ("bot.example", "https://proxied.example", False),
        ("evil.example", "https://bot.example", False),
        ("sub.bot.example", "https://sub.bot.example", False),
        ("proxied.example", "https://proxied.example", True),
        ("192.168.1.5:9090", "http://192.168.1.5:9090", True),
        ("[fd00::5]:8080", "http://[fd00::5]:8080", True),
        ("[fe80::7]", None, True),
        ("xn--bcher-kva.example", "http://xn--bcher-kva.example", True),
    ],
)
def test_accepted_origins(host: str, origin: str | None, followed: bool) -> None:
    """Only the own page is accepted, under loopback or an allowed name; no foreign origin, no rebound name."""
    origins = [] if origin is None else [origin]
    reason = rejection_reason(hosts=[host], origins=origins, target="/", allowed=ALLOWED_HOSTS)
    assert (reason is None) is followed
    assert reason is None or reason.isprintable()


@pytest.mark.parametrize(
    ("hosts", "origins", "target"),
    [
        ([], [], "/"),  # HTTP/1.0
        (["localhost", "localhost"], [], "/"),
        (["localhost", "evil.example"], [], "/"),
        (["localhost"], ["http://localhost", "http://localhost"], "/"),
        (["localhost"], [], "http://evil.example/"),
        (["localhost"], [], "http://localhost:9/"),
        (["localhost"], [], "evil.example"),
        (["evil.example"], [], "http://localhost/"),
    ],
)
def test_a_request_names_one_host(hosts: list[str], origins: list[str], target: str) -> None:
    """A request with no host, two hosts or a foreign target is rejected."""
    assert rejection_reason(hosts=hosts, origins=origins, target=target, allowed=()) is not None
    assert (
        rejection_reason(hosts=["localhost"], origins=["http://localhost"], target="http://localhost/x", allowed=())
        is None
    )


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_header_gets_a_decision(host: str, origin: str, target: str) -> None:
    """Any header is accepted or rejected with one line; a foreign host is rejected."""
    reason = rejection_reason(hosts=[host], origins=[origin], target=target, allowed=(host, origin))
    assert reason is None or reason.isprintable()
    assert rejection_reason(hosts=[f"{host}.example"], origins=[], target="/", allowed=()) is not None


# ----------------------------------------------------------------------------------------------------------- platform


class Page:
    """A test's client of the page's socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **request: object) -> None:
        await self.socket.send_json(request)

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of this kind; others are skipped."""
        while True:
            event: dict[str, Any] = await self.socket.receive_json()
            if event["type"] == kind:
                return event

    async def answer(self) -> dict[str, Any]:
        """The bot's next finished message."""
        while True:
            message: dict[str, Any] = (await self.event("message"))["message"]
            if message["bot"] and not message["controls"]:
                return message


@asynccontextmanager
async def page(url: str, **headers: str) -> AsyncIterator[Page]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/playground/socket", headers=headers) as ws,
    ):
        yield Page(ws)


def test_it_is_a_platform() -> None:
    """The port's members are all there."""
    platform: Platform = PlaygroundPlatform(PlaygroundOptions(model_label="m"))
    assert platform.name == "playground"
    assert not platform.ready


@pytest.mark.sockets
async def test_the_page_and_its_files_come_with_a_strict_policy() -> None:
    """Each asset is served with a policy against inline scripts and frames; no other path is served."""
    async with serving() as (url, _, _), aiohttp.ClientSession(url) as session:
        for path in ("/", "/playground/app.js", "/playground/tape.js", "/playground/theme.js", "/playground/style.css"):
            async with session.get(path) as answer:
                text = await answer.text()
                assert answer.status == 200
                assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
                assert "https://" not in text
        async with session.get("/playground/../pages.py") as answer:
            assert answer.status == 404
        async with session.get("/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


@pytest.mark.quick
@pytest.mark.sockets
async def test_a_question_is_a_turn_and_its_answer_grows() -> None:
    """Each write is one event, in order; the turn has its author, channel and conversation."""
    async with serving(["One", "One two", "One two three"]) as (url, answerer, _), page(url) as client:
        hello = await client.event("hello")
        assert hello["model"] == "a scripted model"
        assert [channel["name"] for channel in hello["rooms"]] == ["general", "random", "help"]
        await client.send(ask=" Count! ", channel="random", name="Ada", ref="r1")
        question = (await client.event("message"))["message"]
        assert (question["text"], question["author"], question["bot"]) == ("Count!", "Ada", False)
        assert (await client.event("asked"))["id"] == question["id"]
        texts = [(await client.event("message"))["message"]["text"] for _ in range(3)]
        assert texts == ["One", "One two", "One two three"]
        ((asked, channel),) = answerer.turns
        assert asked.key.platform == "playground"
        assert asked.channel_ids == ("random",)
        assert asked.author.name == "Ada"
        assert asked.question.text == "Count!"
        assert channel.connection == "playground"


@pytest.mark.sockets
async def test_a_reply_continues_and_a_question_starts_a_conversation() -> None:
    """A reply to an answer has its conversation and history; another question has neither."""
    async with serving(["Paris."]) as (url, answerer, _), page(url) as client:
        await client.send(ask="Capital of France?", channel="general")
        first = await client.answer()
        await client.send(ask="And of Italy?", channel="general", reply_to=first["id"])
        await client.answer()
        await client.send(ask="Something else", channel="general")
        await client.answer()
        one, two, three = (asked for asked, _ in answerer.turns)
        assert one.conversation == two.conversation != three.conversation
        found = await answerer.turns[1][1].history(10)
        assert [message.text for message in found.messages] == ["Capital of France?", "Paris."]
        assert (await answerer.turns[2][1].history(10)).messages == ()


@pytest.mark.sockets
async def test_stop_reaches_the_inbox() -> None:
    """Stop works by message or question; for an ended answer it is rejected in plain words."""
    async with serving(["One", "One two", "One two three"]) as (url, answerer, _), page(url) as client:
        answerer.go_on.clear()
        await client.send(ask="Count!", channel="general", name="Ada")
        question = (await client.event("message"))["message"]
        message = (await client.event("message"))["message"]
        assert message["controls"] == ["stop"]
        await client.send(stop=message["id"], name="Ada", ref="s")
        final = await client.answer()
        assert "small-print" in final["html"]
        assert answerer.stops == [(message["id"], "Ada")]
        await client.send(stop=question["id"], ref="s2")
        assert "ended already" in (await client.event("refused"))["why"]


@pytest.mark.sockets
async def test_bad_requests_get_a_plain_answer_and_the_page_stays() -> None:
    """Invalid requests of every kind are rejected, and the socket stays open."""
    async with serving() as (url, answerer, _), page(url) as client:
        for request, words in [
            ({"ask": "  "}, "nothing to answer"),
            ({"ask": "x" * 100_000}, "100,000"),
            ({"ask": "\N{GRINNING FACE}" * 100_000}, "100,000"),
            ({"ask": "hi", "channel": "nowhere"}, "no such channel"),
            ({"ask": "hi", "channel": "general", "reply_to": "x"}, "there no more"),
        ]:
            await client.send(**request, ref="r")
            event = await client.event("refused")
            assert words in event["why"]
            assert event["ref"] == "r"
        await client.socket.send_str("{")
        assert "cannot be read" in (await client.event("refused"))["why"]
        await client.socket.send_bytes(b"\x00")
        assert not answerer.turns
        await client.send(ask="\N{GRINNING FACE}", channel="general")
        await client.answer()


@pytest.mark.sockets
async def test_a_frame_past_all_bounds_closes_its_socket_only() -> None:
    """A frame over the limit closes its own socket only."""
    async with serving() as (url, _, _):
        async with page(url) as client:
            await client.event("hello")
            await client.socket.send_str("x" * 1_500_000)
            assert (await client.socket.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
            assert client.socket.close_code == 1009
        async with page(url) as client:
            await client.event("hello")


@pytest.mark.sockets
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}])
async def test_foreign_pages_get_no_socket(headers: dict[str, str]) -> None:
    """A foreign origin and a rebound name get 403."""
    async with serving() as (url, _, _):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with page(url, **headers):
                raise AssertionError
        assert caught.value.status == 403


@pytest.mark.sockets
async def test_a_reconnected_page_gets_the_whole_state() -> None:
    """The first event has all messages, their timelines and the working indicators."""
    async with serving(["One", "One two"]) as (url, answerer, _):
        async with page(url) as client:
            await client.send(ask="Count!", channel="general")
            await client.answer()
            answerer.think = 30.0
            await client.send(ask="Again", channel="general")
            await client.event("working")
        async with page(url) as client:
            hello = await client.event("hello")
            general = hello["rooms"][0]
            assert [message["text"] for message in general["messages"]] == ["Count!", "One two", "Again"]
            assert general["messages"][1]["writes"] == len(general["messages"][1]["tape"]) == 2
            assert general["working"] == [general["messages"][2]["id"]]


@pytest.mark.sockets
async def test_all_pages_see_the_same() -> None:
    """Two pages of one channel get the same writes."""
    async with serving(["One", "One two"]) as (url, _, _), page(url) as one, page(url) as two:
        await two.event("hello")
        await one.send(ask="Count!", channel="general")
        assert (await one.answer())["html"] == (await two.answer())["html"]


@pytest.mark.sockets
async def test_too_many_pages_get_a_503() -> None:
    """A page over the limit gets 503 instead of a socket."""
    options = PlaygroundOptions(model_label="m", max_pages=1)
    async with serving(options=options) as (url, _, _), page(url) as client:
        await client.event("hello")
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with page(url):
                raise AssertionError
        assert caught.value.status == 503


@pytest.mark.sockets
async def test_a_stopping_platform_finishes_live_answers() -> None:
    """New questions are rejected in plain words, while a live answer runs to its end."""
    async with serving(["One", "One two"]) as (url, answerer, platform), page(url) as client:
        assert platform.ready
        answerer.go_on.clear()
        await client.send(ask="Count!", channel="general")
        await client.event("asked")
        await platform.stop_accepting()
        ready: bool = platform.ready
        assert ready is False
        await client.send(ask="One more", channel="general", ref="late")
        assert (await client.event("refused"))["ref"] == "late"
        answerer.go_on.set()
        assert (await client.answer())["text"] == "One two"


@pytest.mark.sockets
async def test_closing_closes_every_page() -> None:
    """A page gets the last write; then its socket is closed as going away, so that it reconnects."""
    async with serving(["One", "One two"]) as (url, answerer, platform), page(url) as client:
        answerer.go_on.clear()
        await client.send(ask="Count!", channel="general")
        message = (await client.event("message"), await client.event("message"))[1]["message"]
        await answerer.turns[0][1].edit(message["id"], Body("Interrupted."))
        async with asyncio.TaskGroup() as group:
            group.create_task(platform.close())
            assert (await client.answer())["text"] == "Interrupted."
            assert (await client.socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert client.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY


async def test_ids_differ_from_one_start_to_the_next() -> None:
    """A new question never has the key of a turn from an earlier start."""
    first, second = PlaygroundState("a"), PlaygroundState("a")
    assert first.new_id() != second.new_id()
    asked = build_turn(entry(first.new_id()))
    assert len(asked.key.digest) <= 25


async def test_requests_before_and_after_the_run_are_rejected() -> None:
    """A request before the start or after the end is rejected."""
    platform = PlaygroundPlatform(PlaygroundOptions(model_label="m"))
    request = json.dumps({"ask": "hi", "channel": "general"})
    assert json.loads(await platform.handle(request))["type"] == "refused"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(platform.run(Answerer(group)))
        await asyncio.sleep(0)
        assert json.loads(await platform.handle(request))["type"] == "asked"
        await asyncio.sleep(1)
        running.cancel()
    assert not platform.ready
    assert json.loads(await platform.handle(request))["type"] == "refused"


def test_events_are_json_with_a_type() -> None:
    """Every event is an object with a type."""
    channel_state = ChannelState("general", "")
    for event in (
        protocol.hello_event([channel_state], 1.0, run_id="r", model_label="m", bot_name="b"),
        protocol.message_event(channel_state, entry("q"), None, 1.0),
        protocol.deleted_event(channel_state, entry("q"), 1.0),
        protocol.working_event(channel_state, "q", on=True),
        protocol.rate_limited_event(channel_state, Verb.EDIT, 1.0),
        protocol.accepted_event("r", "q"),
        protocol.rejected_event(RequestRejected("why", "r")),
    ):
        assert isinstance(json.loads(event)["type"], str)
