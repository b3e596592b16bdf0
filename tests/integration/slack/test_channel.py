"""The channel of one answer, over real sockets: writes, look-ups, history, status, and missing features."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from adapters.shared.attachments import UNAVAILABLE
from adapters.slack import SlackMarkdown
from adapters.slack.history.reader import FIRST_PAGES, TAIL_READS
from bot.conversation import File, OmittedAttachment, Role
from bot.errors import InvalidRequest, OutcomeUnknown, ServiceError
from bot.ports import Body, Channel, Verb
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.slack import connected

pytestmark = pytest.mark.sockets

KEY = "abcdefghijklmnopqrst1"


@asynccontextmanager
async def asked(double: SlackDouble, kind: str = "channel") -> AsyncIterator[tuple[str, str, Channel, RecordingInbox]]:
    """One question: its channel id, its ts, its channel object and the inbox."""
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    async with double.running(), connected(double) as (_, inbox):
        ts = double.say(place, "<@UBOT> hello", author=ann)
        _, slack_channel = await inbox.turn(1)
        yield place, ts, slack_channel, inbox


async def test_the_payload_of_a_post() -> None:
    """A post is one markdown block with a short text, unfurls nothing, and carries its key."""
    double = SlackDouble()
    async with asked(double) as (place, root, slack_channel, _):
        ts = await slack_channel.post(Body("# Hi\n", "<\u200b!here> & " + "x" * 5000), KEY)
        (post,) = double.transcript.of("POST", "chat.postMessage")
        await slack_channel.edit(ts, Body("done"))
        (edit,) = double.transcript.of("POST", "chat.update")
    assert post.body["blocks"] == [{"type": "markdown", "text": "# Hi\n<\u200b!here> & " + "x" * 5000}]
    assert post.body["text"].startswith("# Hi\n&lt;\u200b!here&gt; &amp; xxx")
    assert len(post.body["text"].encode()) == 3000
    assert (post.body["thread_ts"], post.body["channel"]) == (root, place)
    assert (post.body["unfurl_links"], post.body["unfurl_media"]) == (False, False)
    assert post.body["metadata"] == {"event_type": "tickertape_turn", "event_payload": {"key": KEY}}
    assert edit.body == {
        "channel": place,
        "ts": ts,
        "text": "done",
        "blocks": [{"type": "markdown", "text": "done"}],
    }


@pytest.mark.parametrize("kind", ["channel", "im"])
async def test_a_post_with_a_lost_answer_is_found(kind: str) -> None:
    """The key is in the metadata, and it is looked for where the post went."""
    double = SlackDouble()
    double.post_seconds = 0.0
    async with asked(double, kind) as (place, _, slack_channel, _):
        double.faults.add("POST", "chat.postMessage", Kind.RESET_AFTER)
        with pytest.raises(OutcomeUnknown):
            await slack_channel.post(Body("once"), KEY)
        found = await slack_channel.find(KEY)
        assert double.answers(place) == ["once"]
        assert found == double.shown(place)[-1].ts
        assert await slack_channel.find("another key") is None


async def test_not_being_able_to_look_is_no_answer() -> None:
    """A temporary failure of a look-up raises, since "not found" would cause a second post."""
    double = SlackDouble()
    async with asked(double) as (_, _, slack_channel, _):
        double.faults.add("GET", "conversations.replies", Kind.STATUS, status=500, times=2)
        with pytest.raises(ServiceError):
            await slack_channel.find(KEY)
        assert await slack_channel.find(KEY) is None


async def test_a_found_post_is_found_on_a_late_page() -> None:
    """A thread of several pages is read to its end."""
    double = SlackDouble()
    double.page_limit = 5
    async with asked(double) as (place, root, slack_channel, _):
        for number in range(12):
            double.world.put(place, {"user": "U0001", "text": f"{number}", "thread_ts": root})
        ts = await slack_channel.post(Body("late"), KEY)
        assert await slack_channel.find(KEY) == ts


async def test_where_blocks_are_refused() -> None:
    """An answer goes on as text in the next try, and is not cut without a word; two in a row are told to others."""
    double = SlackDouble()
    double.blocks = False
    double.post_seconds = 0.0
    async with asked(double) as (place, root, slack_channel, inbox):
        with pytest.raises(ServiceError):
            await slack_channel.post(Body("**hi** <there>"), KEY)
        ts = await slack_channel.post(Body("**hi** <there>"), KEY)
        assert double.answers(place, root) == ["*hi* &lt;there&gt;"]
        with pytest.raises(InvalidRequest):
            await slack_channel.edit(ts, Body("x" * 9000))
        await slack_channel.edit(ts, Body("<" * 1000))
        double.say(place, "more", author="U0001", thread=root)
        _, second = await inbox.turn(2)
        with pytest.raises(ServiceError):
            await second.post(Body("again"), "key2")
        double.say(place, "and more", author="U0001", thread=root)
        _, third = await inbox.turn(3)
        assert third.caps.limit == 4000
        assert third.caps.measure("<&>") == 13


TABLES = "| a | b |\n|---|---|\n| 1 | 2 |\n\nand\n\n| c | d |\n|---|---|\n| 3 | 4 |"
SECOND_AS_TEXT = "| a | b |\n|---|---|\n| 1 | 2 |\n\nand\n\n```\nc  d\n─  ─\n3  4\n```"


async def test_where_one_table_is_allowed() -> None:
    """The first stays a table and the others become text, in the next try; from the second answer on at once."""
    double = SlackDouble()
    double.tables = 1
    double.post_seconds = 0.0
    async with asked(double) as (place, root, slack_channel, inbox):
        ts = await slack_channel.post(Body("| a | b |\n|---|---|\n| 1 | 2 |"), KEY)
        with pytest.raises(ServiceError):
            await slack_channel.edit(ts, Body(TABLES))
        await slack_channel.edit(ts, Body(TABLES))
        assert double.answers(place, root) == [SECOND_AS_TEXT]
        double.say(place, "more", author="U0001", thread=root)
        _, second = await inbox.turn(2)
        with pytest.raises(ServiceError):
            await second.post(Body(TABLES), "key2")
        double.say(place, "and more", author="U0001", thread=root)
        _, third = await inbox.turn(3)
        await third.post(Body(TABLES), "key3")
        assert double.answers(place, root)[-1] == SECOND_AS_TEXT


async def test_refused_tables() -> None:
    """Refused forms are dropped one by one (the second table, all tables, all blocks) without losing words."""
    double = SlackDouble()
    double.tables = 0
    double.post_seconds = 0.0
    async with asked(double) as (place, root, slack_channel, _):
        for _ in range(2):
            with pytest.raises(ServiceError):
                await slack_channel.post(Body(TABLES), KEY)
        await slack_channel.post(Body(TABLES), KEY)
        assert double.answers(place, root) == ["```\na  b\n─  ─\n1  2\n```\n\nand\n\n```\nc  d\n─  ─\n3  4\n```"]


async def test_a_dm_is_read_from_its_history() -> None:
    """The newest messages before the question, with our answers in one piece and without our small print."""
    double = SlackDouble()
    world = double.world
    ann, place = world.user("Ann"), world.channel("im")
    for number in range(6):
        world.put(place, {"user": ann, "text": f"q{number}"})
        for part in ("a", "b"):
            notice = f"\n\n{notice_of('cut')}" if part == "b" else ""
            body = {"text": "short", "blocks": [{"type": "markdown", "text": f"{part}{number}{notice}"}]}
            key = {"event_type": "tickertape_turn", "event_payload": {"key": f"{number}" * 20 + part}}
            world.put(place, {"user": "UBOT", "bot_id": "B0BOT", "metadata": key, **body})
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "now?", author=ann)
        _, slack_channel = await inbox.turn(1)
        history = await slack_channel.history(4)
        assert [(m.role, m.text) for m in history.messages] == [
            (Role.USER, "q4"),
            (Role.ASSISTANT, "a4\nb4"),
            (Role.USER, "q5"),
            (Role.ASSISTANT, "a5\nb5"),
        ]
        assert history.truncated
        await slack_channel.history(4)
        assert len(double.transcript.of(path="conversations.history")) == 1


def notice_of(line: str) -> str:
    return SlackMarkdown().notice(line)


async def test_a_long_thread_keeps_its_newest() -> None:
    """A thread of several pages is read to its end, and the newest are kept."""
    double = SlackDouble()
    double.page_limit = 10
    ann, place = double.world.user("Ann"), double.world.channel()
    root = double.say(place, "root", author=ann, quiet=True)
    for number in range(35):
        double.say(place, f"m{number}", author=ann, thread=root, quiet=True)
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root)
        _, slack_channel = await inbox.turn(1)
        history = await slack_channel.history(3)
        assert [m.text for m in history.messages] == ["m32", "m33", "m34"]
        assert history.truncated
        assert len(double.transcript.of(path="conversations.replies")) == 4


@pytest.mark.parametrize(("recent", "texts"), [(6, ["new3", "new4", "new5"]), (2, ["old0", "new0", "new1"])])
async def test_a_thread_of_too_many_pages_keeps_its_newest(recent: int, texts: list[str]) -> None:
    """A long thread is read from its start and from shortly before the question, without its middle."""
    double = SlackDouble()
    double.page_limit = 5
    ann, place = double.world.user("Ann"), double.world.channel()
    root = double.say(place, "old0", author=ann, quiet=True, ts="1600000000.000001")
    for number in range(1, 40):
        double.say(place, f"old{number}", author=ann, thread=root, quiet=True, ts=f"16000{number:05d}.000001")
    for number in range(recent):
        double.say(place, f"new{number}", author=ann, thread=root, quiet=True)
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root)
        for turn, question in enumerate([[], ["sum up"]], 1):
            _, slack_channel = await inbox.turn(turn)
            history = await slack_channel.history(3)
            assert [m.text for m in history.messages] == [*texts, *question][-3:]
            assert history.truncated
            double.say(place, "and now?", author=ann, thread=root)
        assert len(double.transcript.of(path="conversations.replies")) <= FIRST_PAGES + TAIL_READS


DAY = 86_400.0
# Seconds between a thread's first message and each of the others.
LONG_THREADS = {
    "2,001 in the last hour": [3600 * n / 2001 for n in range(1, 2001)],
    "10,000 in a day": [DAY * n / 10_000 for n in range(1, 10_000)],
    "a year": [365 * DAY * n / 3_000 for n in range(1, 3_000)],
    "a year, and then a burst": [
        *(365 * DAY * n / 1_000 for n in range(1, 1_001)),
        *(365 * DAY + n / 20 for n in range(1, 3_001)),
    ],
    "days and nights": [day * DAY + 36_000 * n / 400 for day in range(20) for n in range(1, 401)],
    "ever faster": [DAY * (1 - (1 - n / 5_000) ** 3) for n in range(1, 5_000)],
}


@pytest.mark.parametrize("scene", LONG_THREADS)
async def test_the_newest_of_a_long_thread_are_given(scene: str) -> None:
    """However long a thread is and whenever people wrote, a few reads find the last words before the question."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel()
    began = 1_690_000_000.0
    root = double.say(place, "m0", author=ann, quiet=True, ts=f"{began:.6f}")
    for number, seconds in enumerate(LONG_THREADS[scene], 1):
        double.say(place, f"m{number}", author=ann, thread=root, quiet=True, ts=f"{began + seconds:.6f}")
    asked = f"{began + LONG_THREADS[scene][-1] + 5:.6f}"
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root, ts=asked)
        _, slack_channel = await inbox.turn(1)
        history = await slack_channel.history(25)
    last = len(LONG_THREADS[scene])
    assert [m.text for m in history.messages] == [f"m{number}" for number in range(last - 24, last + 1)]
    assert history.truncated
    assert len(double.transcript.of(path="conversations.replies")) <= FIRST_PAGES + TAIL_READS
    assert (double.limited, double.refused) == ([], [])


async def test_a_server_with_tiny_pages_gives_what_it_can() -> None:
    """Where a page holds few messages, some of the newest are given, and it is not taken for the whole."""
    double = SlackDouble()
    double.page_limit = 5
    ann, place = double.world.user("Ann"), double.world.channel()
    root = double.say(place, "root", author=ann, quiet=True)
    for number in range(60):
        double.say(place, f"m{number}", author=ann, thread=root, quiet=True)
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root)
        for turn, question in enumerate([[], ["sum up"]], 1):
            _, slack_channel = await inbox.turn(turn)
            history = await slack_channel.history(10)
            texts = [m.text for m in history.messages]
            assert texts[-2 - len(question) :] == ["m58", "m59", *question]
            assert history.truncated
            double.say(place, "and now?", author=ann, thread=root)
        assert len(double.transcript.of(path="conversations.replies")) <= 2 * (FIRST_PAGES + TAIL_READS)


async def test_an_unreadable_history_is_left_out() -> None:
    """An unreadable history is left out, and the reader is informed."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel()
    root = double.say(place, "root", author=ann, quiet=True)
    double.scopes -= {"channels:history"}
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root)
        _, slack_channel = await inbox.turn(1)
        history = await slack_channel.history(5)
        assert history.messages == ()
        assert history.truncated


@pytest.mark.parametrize("how", ["scope", "429", "time-out", "404"])
async def test_the_log_says_why_a_history_was_not_read(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The history names its cause, time-outs too, and so does one line of the log."""
    double, causes = SlackDouble(), {"scope": "missing_scope", "429": "429", "time-out": "in time", "404": "404"}
    ann, place = double.world.user("Ann"), double.world.channel()
    root = double.say(place, "root", author=ann, quiet=True)
    if how == "scope":
        double.scopes -= {"channels:history"}
    elif how == "time-out":
        double.faults.add("GET", "conversations.replies", Kind.STALL_BEFORE, seconds=30.0, times=9)
    else:
        headers = {"Retry-After": "60"} if how == "429" else {}
        double.faults.add("GET", "conversations.replies", Kind.STATUS, status=int(how), headers=headers, times=9)
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root)
        _, slack_channel = await inbox.turn(1)
        history = await slack_channel.history(5)
    assert causes[how] in history.unread
    (line,) = [each.getMessage() for each in caplog.records if "could not be read" in each.getMessage()]
    assert causes[how] in line


async def test_a_rate_limited_read_waits() -> None:
    """A 429 on a read pauses all reads."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel()
    root = double.say(place, "root", author=ann, quiet=True)
    body = b'{"ok": false, "error": "ratelimited"}'
    double.faults.add("GET", "conversations.replies", Kind.STATUS, status=429, headers={"Retry-After": "1"}, body=body)
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "<@UBOT> sum up", author=ann, thread=root)
        _, slack_channel = await inbox.turn(1)
        assert [m.text for m in (await slack_channel.history(5)).messages] == ["root"]


async def test_attachments() -> None:
    """Attachments become parts or are named as omitted, then and in later histories."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    outside = {"name": "a.png", "mimetype": "image/png", "url_private": "https://elsewhere.example/a.png", "size": 10}
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "", author=ann, subtype="file_share", files=[outside])
        _, slack_channel = await inbox.turn(1)
        assert [type(part) for part in await slack_channel.attachments()] == [OmittedAttachment]
        double.say(place, "and?", author=ann)
        _, slack_channel = await inbox.turn(2)
        (before,) = (await slack_channel.history(5)).messages
        assert before.parts == (OmittedAttachment("a.png", UNAVAILABLE),)


async def test_the_history_has_as_many_files_as_a_message() -> None:
    """Files of the history are read newest first, at most `count` together with the question's."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    async with files_served() as (url, asked_for), double.running(), connected(double, files=url) as (_, inbox):
        for number in range(6):
            files = [
                {"name": f"{number}{part}.txt", "mimetype": "text/plain", "url_private": f"{url}{number}{part}"}
                for part in "ab"
            ]
            double.say(place, f"m{number}", author=ann, subtype="file_share", files=files)
            await inbox.turn(number + 1)
        _, slack_channel = inbox.turns[-1]
        history = await slack_channel.history(10)
    names = [[part.name for part in message.parts if isinstance(part, File)] for message in history.messages]
    assert names == [[], *([f"{number}a.txt", f"{number}b.txt"] for number in range(1, 5))]
    assert [message.text for message in history.messages] == [f"m{number}" for number in range(5)]
    assert sorted(asked_for) == sorted(f"/{number}{part}" for number in range(1, 5) for part in "ab")


@asynccontextmanager
async def files_served() -> AsyncIterator[tuple[str, list[str]]]:
    """A file host: its address, and the requested paths."""
    asked_for: list[str] = []

    async def give(request: web.Request) -> web.Response:
        asked_for.append(request.path)
        return web.Response(text="words")

    app = web.Application()
    app.router.add_get("/{name}", give)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", asked_for
    finally:
        await runner.cleanup()


async def test_a_status_shows_while_there_is_nothing() -> None:
    """The status is set at once; the first post clears it, and without a post we do."""
    double = SlackDouble()
    async with asked(double) as (place, root, slack_channel, _):
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(slack_channel.show_working())
            await asyncio.wait_for(double.until(lambda: len(double.statuses) == 1), PATIENCE)
            showing.cancel()
        await asyncio.wait_for(double.until(lambda: len(double.statuses) == 2), PATIENCE)
        assert double.statuses == [(place, root, "is thinking..."), (place, root, "")]


async def test_a_status_that_a_post_overtakes_is_cleared() -> None:
    """A status that Slack applies after the first post would stay for two minutes, so the bot clears it."""
    double = SlackDouble()
    double.faults.add("POST", "assistant.threads.setStatus", Kind.DELAY, seconds=0.3)
    async with asked(double) as (place, root, slack_channel, _):
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(slack_channel.show_working())
            await double.transcript.wait_for(path="setStatus")
            await slack_channel.post(Body("hi"), KEY)
            assert double.statuses == []  # the post came first
            showing.cancel()
        await asyncio.wait_for(double.until(lambda: (place, root, "") in double.statuses), PATIENCE)
        assert double.statuses[-1] == (place, root, "")


async def test_a_status_sent_after_a_post_is_cleared() -> None:
    """A status begun while the first post is in flight would stay as well."""
    double = SlackDouble()
    double.faults.add("POST", "chat.postMessage", Kind.LATE, seconds=0.3)
    async with asked(double) as (place, root, slack_channel, _):
        async with asyncio.TaskGroup() as group:
            posting = group.create_task(slack_channel.post(Body("hi"), KEY))
            await double.transcript.wait_for(path="chat.postMessage")
            showing = group.create_task(slack_channel.show_working())
            await posting
            showing.cancel()
        await asyncio.wait_for(double.until(lambda: len(double.statuses) == 2), PATIENCE)
        assert double.statuses == [(place, root, "is thinking..."), (place, root, "")]


async def test_a_found_post_clears_no_later_status() -> None:
    """A post found again, as after a crash, is older than the status, so the bot clears the status itself."""
    double = SlackDouble()
    async with asked(double) as (place, root, slack_channel, _):
        await slack_channel.post(Body("hi"), KEY)
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(slack_channel.show_working())
            await asyncio.wait_for(double.until(lambda: len(double.statuses) == 1), PATIENCE)
            assert await slack_channel.find(KEY) is not None
            showing.cancel()
        await asyncio.wait_for(double.until(lambda: len(double.statuses) == 2), PATIENCE)
        assert double.statuses == [(place, root, "is thinking..."), (place, root, "")]


async def continue_below_a_status(double: SlackDouble, slack_channel: Channel) -> None:
    """Continue an answer by an edit alone while the status is shown; the work is over then."""
    message = await slack_channel.post(Body("hi"), KEY)
    async with asyncio.TaskGroup() as group:
        showing = group.create_task(slack_channel.show_working())
        await asyncio.wait_for(double.until(lambda: len(double.statuses) == 1), PATIENCE)
        await slack_channel.edit(message, Body("hi there"))
        showing.cancel()


async def test_a_status_is_cleared_before_the_turn_has_ended() -> None:
    """An answer continued by edits alone clears no status. Its process may stop right after the turn."""
    double = SlackDouble()
    async with asked(double) as (place, root, slack_channel, _):
        await continue_below_a_status(double, slack_channel)
        await slack_channel.turn_ended()
        assert double.statuses == [(place, root, "is thinking..."), (place, root, "")]


async def test_a_status_that_could_not_be_cleared_is_cleared_later() -> None:
    """The call at the end of the turn fails; the one after the working has ended makes up for it."""
    double = SlackDouble()
    async with asked(double) as (place, root, slack_channel, _):
        double.faults.add("POST", "assistant.threads.setStatus", Kind.STATUS, status=500, nth=2)
        await continue_below_a_status(double, slack_channel)
        await slack_channel.turn_ended()
        assert double.faults.fired
        await asyncio.wait_for(double.until(lambda: double.statuses[1:] == [(place, root, "")]), PATIENCE)


@pytest.mark.parametrize("as_404", [False, True])
async def test_a_surface_without_a_status_is_asked_once(as_404: bool) -> None:
    """A server without a status causes no failure, and is not asked again for each answer."""
    double = SlackDouble()
    double.without.add("assistant.threads.setStatus")
    double.without_as_404 = as_404
    async with asked(double) as (place, _, slack_channel, inbox):
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(slack_channel.show_working())
            await double.transcript.wait_for(path="setStatus")
            await slack_channel.post(Body("hi"), KEY)
            showing.cancel()
        double.say(place, "<@UBOT> again", author="U0001")
        _, other = await inbox.turn(2)
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(other.show_working())
            await other.find(KEY)  # a round trip: enough time for a second call
            showing.cancel()
        assert len(double.transcript.of(path="setStatus")) == 1


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_page_of_a_proxy_passes(status: int) -> None:
    """A proxy's 4xx ends no answer: the write is repeated, after a look-up in the case of a post."""
    double = SlackDouble()
    page = {"status": status, "body": b"<html>blocked</html>", "headers": {"Content-Type": "text/html"}}
    async with asked(double) as (place, root, slack_channel, _):
        double.faults.add("POST", "chat.postMessage", Kind.STATUS, **page)
        with pytest.raises(OutcomeUnknown):
            await slack_channel.post(Body("hi"), KEY)
        assert await slack_channel.find(KEY) is None
        ts = await slack_channel.post(Body("hi"), KEY)
        double.faults.add("POST", "chat.update", Kind.STATUS, **page)
        with pytest.raises(ServiceError):
            await slack_channel.edit(ts, Body("hi, Ann"))
        await slack_channel.edit(ts, Body("hi, Ann"))
        assert double.answers(place, root) == ["hi, Ann"]


async def test_one_budget_per_counted_resource() -> None:
    """Edits are counted for the workspace, posts for a channel."""
    double = SlackDouble()
    async with asked(double) as (_, _, slack_channel, inbox):
        dm = double.world.channel("im")
        double.say(dm, "hi", author="U0001")
        _, other = await inbox.turn(2)
        assert slack_channel.budgets(Verb.EDIT)[0] is other.budgets(Verb.EDIT)[0]
        assert slack_channel.budgets(Verb.DELETE)[0] is other.budgets(Verb.DELETE)[0]
        assert slack_channel.budgets(Verb.POST)[0] is not other.budgets(Verb.POST)[0]
        assert slack_channel.connection == other.connection == "slack:T1"
